// Backends by name, services by caller.
#include "gateway/router.h"

namespace gateway {

Router::Router(const Config& config, const mapping::Log& log) : log_(log) {
  for (const auto& [name, options] : config.backends) {
    Backend backend;
    const auto own = [&backend](auto service) {
      backend.worklist = service.get();
      backend.mpps = service.get();
      backend.owner = std::move(service);
    };
    if (const auto* scu = std::get_if<dimse::ScuOptions>(&options.options)) {
      own(std::make_unique<dimse::Scu>(*scu, log));
    } else {
      own(web::UserAgent::make(std::get<web::UserAgentOptions>(options.options), log).value());
    }
    if (options.verify_matches || !options.combined_date_time) {
      const VerifiedWorklist::Options verify{.combined_date_time = options.combined_date_time,
                                             .log_dropped = options.verify_matches};
      backend.verified = std::make_unique<VerifiedWorklist>(*backend.worklist, name, verify, log);
      backend.worklist = backend.verified.get();
    }
    backends_.emplace(name, std::move(backend));
  }
  if (config.web) web_ = services_of(config.web->route, config.web->validation);
  if (!config.dimse) return;
  const Validation validation = config.dimse->validation;
  dimse_ = services_of(config.dimse->route, validation);
  for (const ModalityRoute& modality : config.modalities) {
    const Route route{.worklist = modality.worklist.value_or(config.dimse->route.worklist),
                      .mpps = modality.mpps.value_or(config.dimse->route.mpps)};
    modalities_[modality.ae_title] = services_of(route, validation);
  }
}

Router::~Router() = default;

mapping::Services Router::services_of(const Route& route, Validation validation) {
  FrontChain chain;
  if (!route.worklist.empty()) {
    const std::string& name = route.worklist[0];
    chain.worklist = std::make_unique<LoggedWorklist>(*backends_.at(name).worklist, name, log_);
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
