// Backends by name, services by caller.
#include "gateway/router.h"

namespace gateway {

mapping::Result<bool> Router::make_backends(const Config& config) {
  for (const auto& [name, options] : config.backends) {
    Backend backend;
    const auto own = [&backend](auto service) {
      backend.worklist = service.get();
      backend.mpps = service.get();
      backend.owner = std::move(service);
    };
    if (const auto* scu = std::get_if<dimse::ScuOptions>(&options.options)) {
      own(std::make_unique<dimse::Scu>(*scu, log_));
    } else if (const auto* store = std::get_if<StepStoreOptions>(&options.options)) {
      auto opened = StepStore::open(*store, log_);
      if (!opened) {
        mapping::Fault fault = opened.fault();
        fault.what = "[backend " + name + "] " + fault.what;
        return fault;
      }
      own(std::move(opened).value());
    } else {
      own(web::UserAgent::make(std::get<web::UserAgentOptions>(options.options), log_).value());
    }
    if (options.verify_matches || !options.combined_date_time) {
      const VerifiedWorklist::Options verify{.combined_date_time = options.combined_date_time,
                                             .log_dropped = options.verify_matches};
      backend.verified = std::make_unique<VerifiedWorklist>(*backend.worklist, name, verify, log_);
      backend.worklist = backend.verified.get();
    }
    backends_.emplace(name, std::move(backend));
  }
  return true;
}

mapping::Result<std::unique_ptr<Router>> Router::make(const Config& config,
                                                      const mapping::Log& log) {
  std::unique_ptr<Router> router(new Router(log));
  const auto made = router->make_backends(config);
  if (!made) return made.fault();
  if (config.web) router->web_ = router->services_of(config.web->route, config.web->validation);
  if (!config.dimse) return router;
  const Validation validation = config.dimse->validation;
  router->dimse_ = router->services_of(config.dimse->route, validation);
  for (const ModalityRoute& modality : config.modalities) {
    Route route = config.dimse->route;
    if (modality.worklist) route.worklist = *modality.worklist;
    if (modality.mpps) route.mpps = *modality.mpps;
    router->modalities_[modality.ae_title] = router->services_of(route, validation);
  }
  return router;
}

Router::~Router() = default;

mapping::Services Router::services_of(const Route& route, Validation validation) {
  FrontChain chain;
  if (!route.worklist.empty()) {
    mapping::WorklistService* worklist = backends_.at(route.worklist[0]).worklist;
    std::string names;
    std::vector<MergedWorklist::Source> sources;
    for (const std::string& name : route.worklist) {
      names += (names.empty() ? "" : ",") + name;
      sources.push_back({backends_.at(name).worklist, name});
    }
    if (sources.size() > 1) {
      chain.merged =
          std::make_unique<MergedWorklist>(std::move(sources), route.worklist_partial, log_);
      worklist = chain.merged.get();
    }
    chain.worklist = std::make_unique<LoggedWorklist>(*worklist, std::move(names), log_);
  }
  if (!route.mpps.empty()) {
    const std::string& name = route.mpps[0];
    mapping::MppsService* mpps = backends_.at(name).mpps;
    if (validation != Validation::off) {
      chain.validated = std::make_unique<ValidatedMpps>(*mpps, validation, log_);
      mpps = chain.validated.get();
    }
    chain.mpps = std::make_unique<LoggedMpps>(*mpps, name, log_);
  }
  chains_.push_back(std::move(chain));
  return {chains_.back().worklist.get(), chains_.back().mpps.get()};
}

mapping::Services Router::route(const mapping::Caller& caller) const {
  if (caller.protocol == mapping::Caller::Protocol::web) return web_;
  const auto modality = modalities_.find(caller.name);
  return modality == modalities_.end() ? dimse_ : modality->second;
}

}  // namespace gateway
