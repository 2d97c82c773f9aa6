// Backends by name, services by caller.
#include "gateway/router.h"

namespace gateway {

Router::Router(const Config& config, const mapping::Log& log) {
  for (const auto& [name, options] : config.backends) {
    Backend backend;
    const auto own = [&, &title = name](auto service) {
      backend.worklist = std::make_unique<LoggedWorklist>(*service, title, log);
      backend.mpps = std::make_unique<LoggedMpps>(*service, title, log);
      backend.worklist_owner = std::move(service);
    };
    if (const auto* scu = std::get_if<dimse::ScuOptions>(&options)) {
      own(std::make_unique<dimse::Scu>(*scu, log));
    } else {
      own(web::UserAgent::make(std::get<web::UserAgentOptions>(options), log).value());
    }
    backends_.emplace(name, std::move(backend));
  }
  if (config.web) web_ = services_of(config.web->route);
  if (!config.dimse) return;
  dimse_ = services_of(config.dimse->route);
  for (const ModalityRoute& modality : config.modalities) {
    modalities_[modality.ae_title] =
        services_of({.worklist = modality.worklist.value_or(config.dimse->route.worklist),
                     .mpps = modality.mpps.value_or(config.dimse->route.mpps)});
  }
}

Router::~Router() = default;

mapping::Services Router::services_of(const Route& route) const {
  mapping::Services services;
  if (!route.worklist.empty()) services.worklist = backends_.at(route.worklist[0]).worklist.get();
  if (!route.mpps.empty()) services.mpps = backends_.at(route.mpps[0]).mpps.get();
  return services;
}

mapping::Services Router::route(const mapping::Caller& caller) const {
  if (caller.protocol == mapping::Caller::Protocol::web) return web_;
  const auto modality = modalities_.find(caller.name);
  return modality == modalities_.end() ? dimse_ : modality->second;
}

}  // namespace gateway
