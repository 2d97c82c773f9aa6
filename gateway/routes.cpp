// Services by caller, and what stands between them and the backends.
#include "gateway/routes.h"

#include <utility>

namespace gateway {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ",") + name;
  return all;
}

}  // namespace

std::set<std::string> queue_receivers(const Config& config) {
  std::vector<Route> routes;
  if (config.web) routes.push_back(config.web->route);
  if (config.dimse) routes.push_back(config.dimse->route);
  for (const ModalityRoute& modality : config.modalities) {
    routes.push_back(route_of(config, modality));
  }
  std::set<std::string> names;
  for (const Route& route : routes) {
    if (needs_queue(route)) names.insert(route.mpps.begin(), route.mpps.end());
  }
  return names;
}

Routes::Routes(const Config& config, Backends backends, Shared shared)
    : backends_(std::move(backends)),
      shared_(std::move(shared)),
      audit_place_(audit_place(config)) {
  if (config.web) web_ = services_of(config.web->route, "web");
  if (config.dimse) dimse_ = services_of(config.dimse->route, "dimse");
  for (const ModalityRoute& modality : config.modalities) {
    modalities_[modality.ae_title] =
        services_of(route_of(config, modality), "modality " + modality.ae_title);
  }
}

/// The receivers of a route as one service.
mapping::MppsService& Routes::mpps_of(const Route& route, FrontChain& chain) {
  mapping::MppsService& first = *backends_.at(route.mpps[0])->mpps;
  if (!needs_queue(route)) return first;
  QueuedMppsOptions options;
  options.retrieve_from = route.retrieve_from;
  options.wake = shared_.wake;
  for (std::size_t i = route.mpps_queued ? 0 : 1; i < route.mpps.size(); ++i) {
    const std::string& name = route.mpps[i];
    options.receivers.push_back(
        {name, i == 0 ? MirrorFilter() : backends_.at(name)->config.mirror});
  }
  if (route.mpps_queued) {
    options.strict = route.validation.value_or(Validation::reject) == Validation::reject;
    chain.queued =
        std::make_unique<QueuedMpps>(*shared_.queue, first, std::move(options), shared_.log);
  } else {
    chain.queued =
        std::make_unique<MirroredMpps>(*shared_.queue, first, std::move(options), shared_.log);
  }
  return *chain.queued;
}

/// name: as services_of.
void Routes::offer(const Route& route, const std::string& name) {
  const auto& worklist = route.worklist;
  const auto& mpps = route.mpps;
  if (!worklist.empty()) {
    const bool whole = worklist.size() == 1 || !route.worklist_partial;
    offered_.push_back({.name = name + " worklist", .backends = worklist});
    if (whole) offered_.back().needed.insert(worklist.begin(), worklist.end());
  }
  if (!mpps.empty()) {
    const auto queued = mpps.begin() + (route.mpps_queued ? 0 : 1);
    offered_.push_back({.name = name + " mpps",
                        .backends = mpps,
                        .needed = {mpps.begin(), queued},
                        .queued = {queued, mpps.end()}});
  }
}

/// name: of the front or the modality.
mapping::Services Routes::services_of(const Route& route, const std::string& name) {
  offer(route, name);
  FrontChain chain;
  if (!route.worklist.empty()) {
    mapping::WorklistService* worklist = backends_.at(route.worklist[0])->worklist;
    std::vector<MergedWorklist::Source> sources;
    for (const std::string& backend : route.worklist) {
      sources.push_back({backends_.at(backend)->worklist, backend});
    }
    if (sources.size() > 1) {
      chain.merged =
          std::make_unique<MergedWorklist>(std::move(sources), route.worklist_partial, shared_.log);
      worklist = chain.merged.get();
    }
    chain.worklist = std::make_unique<LoggedWorklist>(*worklist, joined(route.worklist),
                                                      shared_.metrics, shared_.log);
  }
  if (!route.mpps.empty()) {
    mapping::MppsService* mpps = &mpps_of(route, chain);
    const Validation validation =
        route.validation.value_or(route.mpps_queued ? Validation::reject : Validation::warn);
    if (validation != Validation::off) {
      chain.validated = std::make_unique<ValidatedMpps>(*mpps, validation, shared_.log);
      mpps = chain.validated.get();
    }
    const std::string where = route.mpps_queued ? "queue" : joined(route.mpps);
    chain.mpps = std::make_unique<LoggedMpps>(*mpps, where, shared_.metrics, shared_.log);
  }
  mapping::Services services{chain.worklist.get(), chain.mpps.get()};
  if (shared_.trace != nullptr && chain.worklist) {
    chain.traced_worklist = std::make_unique<TracedWorklist>(*chain.worklist, *shared_.trace);
    services.worklist = chain.traced_worklist.get();
  }
  if (shared_.trace != nullptr && chain.mpps) {
    chain.traced_mpps = std::make_unique<TracedMpps>(*chain.mpps, *shared_.trace);
    services.mpps = chain.traced_mpps.get();
  }
  audit(chain, services);
  chains_.push_back(std::move(chain));
  return services;
}

/// Outermost, around trace and log: what is refused was received, too.
void Routes::audit(FrontChain& chain, mapping::Services& services) const {
  if (services.worklist != nullptr) {
    chain.audited_worklist =
        std::make_unique<AuditedWorklist>(*services.worklist, audit_place_, shared_.audit);
    services.worklist = chain.audited_worklist.get();
  }
  if (services.mpps != nullptr) {
    chain.audited_mpps = std::make_unique<AuditedMpps>(*services.mpps, audit_place_, shared_.audit);
    services.mpps = chain.audited_mpps.get();
  }
}

mapping::Services Routes::services(const mapping::Caller& caller) const {
  if (caller.protocol == mapping::Caller::Protocol::web) return web_;
  const auto modality = modalities_.find(caller.name);
  return modality == modalities_.end() ? dimse_ : modality->second;
}

}  // namespace gateway
