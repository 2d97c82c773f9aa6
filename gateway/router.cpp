// Backends by name, services by caller.
#include "gateway/router.h"

#include <algorithm>
#include <set>

namespace gateway {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ",") + name;
  return all;
}

}  // namespace

mapping::Result<bool> Router::make_backends(const Config& config) {
  for (const auto& [name, options] : config.backends) {
    Backend backend;
    const auto own = [&backend](auto service) {
      backend.worklist = service.get();
      backend.mpps = service.get();
      backend.owner = std::move(service);
    };
    backend.mirror = options.mirror;
    if (const auto* scu = std::get_if<dimse::ScuOptions>(&options.options)) {
      auto made = std::make_unique<dimse::Scu>(*scu, log_);
      backend.probe = [&scu = *made](const auto& context) { return scu.probe(context).outcome; };
      backend.count = [&scu = *made](BackendNumbers& numbers) {
        numbers.associations = scu.pool();
        numbers.replaced_characters = scu.replaced_characters();
      };
      own(std::move(made));
    } else if (const auto* store = std::get_if<StepStoreOptions>(&options.options)) {
      auto opened = StepStore::open(*store, log_);
      if (!opened) {
        mapping::Fault fault = opened.fault();
        fault.what = "[backend " + name + "] " + fault.what;
        return fault;
      }
      own(std::move(opened).value());
    } else {
      auto made = web::UserAgent::make(std::get<web::UserAgentOptions>(options.options), log_);
      backend.probe = [&agent = *made.value()](const auto& context) {
        return agent.probe(context);
      };
      backend.count = [&agent = *made.value()](BackendNumbers& numbers) {
        numbers.connections = agent.pool();
      };
      own(std::move(made).value());
    }
    if (options.verify_matches || !options.combined_date_time) {
      const VerifiedWorklist::Options verify{.combined_date_time = options.combined_date_time,
                                             .note_dropped = options.verify_matches};
      backend.verified = std::make_unique<VerifiedWorklist>(*backend.worklist, name, verify, log_);
      backend.worklist = backend.verified.get();
    }
    backends_.emplace(name, std::move(backend));
  }
  return true;
}

mapping::Result<bool> Router::make_queue(const Config& config, const std::vector<Route>& routes) {
  std::set<std::string> names;
  for (const Route& route : routes) {
    if (needs_queue(route)) names.insert(route.mpps.begin(), route.mpps.end());
  }
  if (names.empty()) return true;
  auto opened = SqliteMppsQueue::open(config.state_dir, SqliteMppsQueue::Role::gateway);
  if (!opened) return opened.fault();
  queue_ = std::move(opened).value();
  std::vector<MppsReceiver> receivers;
  for (const std::string& name : names) {
    const Backend& backend = backends_.at(name);
    receivers.push_back({name, backend.mpps, [&probe = backend.probe](const auto& context) {
                           return !probe || probe(context).how == mapping::Outcome::How::answered;
                         }});
  }
  delivery_ = std::make_unique<MppsDelivery>(*queue_, std::move(receivers), config.delivery, log_);
  return true;
}

mapping::Result<std::unique_ptr<Router>> Router::make(const Config& config, const mapping::Log& log,
                                                      Trace* trace) {
  std::unique_ptr<Router> router(new Router(log, trace));
  const auto made = router->make_backends(config);
  if (!made) return made.fault();

  std::vector<Route> routes;
  if (config.web) routes.push_back(config.web->route);
  if (config.dimse) routes.push_back(config.dimse->route);
  for (const ModalityRoute& modality : config.modalities) {
    routes.push_back(route_of(config, modality));
  }
  const auto queue = router->make_queue(config, routes);
  if (!queue) return queue.fault();

  if (config.web) router->web_ = router->services_of(config.web->route, "web");
  if (config.dimse) router->dimse_ = router->services_of(config.dimse->route, "dimse");
  for (const ModalityRoute& modality : config.modalities) {
    router->modalities_[modality.ae_title] =
        router->services_of(route_of(config, modality), "modality " + modality.ae_title);
  }
  if (router->delivery_) router->delivery_->start();
  return router;
}

Router::~Router() = default;

/// The receivers of a route as one service.
mapping::MppsService& Router::mpps_of(const Route& route, FrontChain& chain) {
  mapping::MppsService& first = *backends_.at(route.mpps[0]).mpps;
  if (!needs_queue(route)) return first;
  QueuedMppsOptions options;
  options.retrieve_from = route.retrieve_from;
  options.wake = [this](const std::string& receiver) { delivery_->wake(receiver); };
  for (std::size_t i = route.mpps_queued ? 0 : 1; i < route.mpps.size(); ++i) {
    const std::string& name = route.mpps[i];
    options.receivers.push_back({name, i == 0 ? MirrorFilter() : backends_.at(name).mirror});
  }
  if (route.mpps_queued) {
    options.strict = route.validation.value_or(Validation::reject) == Validation::reject;
    chain.queued = std::make_unique<QueuedMpps>(*queue_, first, std::move(options), log_);
  } else {
    chain.queued = std::make_unique<MirroredMpps>(*queue_, first, std::move(options), log_);
  }
  return *chain.queued;
}

/// name: of the front or the modality.
mapping::Services Router::services_of(const Route& route, const std::string& name) {
  if (!route.worklist.empty()) offered_.push_back({name + " worklist", route.worklist});
  if (!route.mpps.empty()) offered_.push_back({name + " mpps", route.mpps});
  FrontChain chain;
  if (!route.worklist.empty()) {
    mapping::WorklistService* worklist = backends_.at(route.worklist[0]).worklist;
    std::vector<MergedWorklist::Source> sources;
    for (const std::string& backend : route.worklist) {
      sources.push_back({backends_.at(backend).worklist, backend});
    }
    if (sources.size() > 1) {
      chain.merged =
          std::make_unique<MergedWorklist>(std::move(sources), route.worklist_partial, log_);
      worklist = chain.merged.get();
    }
    chain.worklist =
        std::make_unique<LoggedWorklist>(*worklist, joined(route.worklist), metrics_, log_);
  }
  if (!route.mpps.empty()) {
    mapping::MppsService* mpps = &mpps_of(route, chain);
    const Validation validation =
        route.validation.value_or(route.mpps_queued ? Validation::reject : Validation::warn);
    if (validation != Validation::off) {
      chain.validated = std::make_unique<ValidatedMpps>(*mpps, validation, log_);
      mpps = chain.validated.get();
    }
    const std::string where = route.mpps_queued ? "queue" : joined(route.mpps);
    chain.mpps = std::make_unique<LoggedMpps>(*mpps, where, metrics_, log_);
  }
  mapping::Services services{chain.worklist.get(), chain.mpps.get()};
  if (trace_ != nullptr && chain.worklist) {
    chain.traced_worklist = std::make_unique<TracedWorklist>(*chain.worklist, *trace_);
    services.worklist = chain.traced_worklist.get();
  }
  if (trace_ != nullptr && chain.mpps) {
    chain.traced_mpps = std::make_unique<TracedMpps>(*chain.mpps, *trace_);
    services.mpps = chain.traced_mpps.get();
  }
  chains_.push_back(std::move(chain));
  return services;
}

mapping::Services Router::route(const mapping::Caller& caller) const {
  if (caller.protocol == mapping::Caller::Protocol::web) return web_;
  const auto modality = modalities_.find(caller.name);
  return modality == modalities_.end() ? dimse_ : modality->second;
}

std::vector<WatchedBackend> Router::watched() const {
  std::vector<WatchedBackend> watched;
  for (const auto& [name, backend] : backends_) {
    if (backend.probe) watched.push_back({name, backend.probe});
  }
  return watched;
}

std::vector<BackendNumbers> Router::numbers() const {
  std::vector<BackendNumbers> all;
  for (const auto& [name, backend] : backends_) {
    BackendNumbers numbers{.name = name};
    if (backend.count) backend.count(numbers);
    if (backend.verified) numbers.mismatched_matches = backend.verified->dropped();
    all.push_back(std::move(numbers));
  }
  return all;
}

}  // namespace gateway
