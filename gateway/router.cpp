// Backends by name, those that stay as they are taken over; the current routes.
#include "gateway/router.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

namespace gateway {
namespace {

std::vector<WatchedBackend> watched_in(const Backends& backends) {
  std::vector<WatchedBackend> watched;
  for (const auto& [name, backend] : backends) {
    if (backend->probe) watched.push_back({name, backend->probe, backend});
  }
  return watched;
}

}  // namespace

mapping::Result<std::unique_ptr<Router>> Router::make(const Config& config, const mapping::Log& log,
                                                      AuditTrail& audit, Trace* trace) {
  std::unique_ptr<Router> router(new Router(log, audit, trace));
  auto begin = router->prepare(config);
  if (!begin) return begin.fault();
  begin.value().change();
  return router;
}

Router::~Router() = default;

/// The embedded store, opened where a backend is one. Null: none is, nor was.
mapping::Result<std::shared_ptr<StepStore>> Router::store_for(const Config& config) const {
  if (store_) return store_;
  for (const auto& [name, backend] : config.backends) {
    const auto* options = std::get_if<StepStoreOptions>(&backend.options);
    if (options == nullptr) continue;
    auto opened = StepStore::open(*options, log_);
    if (opened) return std::shared_ptr<StepStore>(std::move(opened).value());
    mapping::Fault fault = opened.fault();
    fault.what = "[backend " + name + "] " + fault.what;
    return fault;
  }
  return std::shared_ptr<StepStore>();
}

/// The queue, opened where a route needs it, or one is there that may hold something from before.
/// Null: neither, nor was.
mapping::Result<std::shared_ptr<MppsQueue>> Router::queue_for(const Config& config) const {
  auto queue = queue_.get();
  const bool needed = !queue_receivers(config).empty();
  if (queue || (!needed && !SqliteMppsQueue::is_in(config.state_dir))) return queue;
  auto opened = SqliteMppsQueue::open(config.state_dir, SqliteMppsQueue::Role::gateway);
  if (opened) return std::shared_ptr<MppsQueue>(std::move(opened).value());
  if (needed) return opened.fault();
  log_(mapping::LogLevel::warn,
       fmt::format("what an MPPS queue of before may hold is not delivered: {}",
                   opened.fault().what));
  return queue;
}

mapping::Result<Backends> Router::backends_for(const Config& config,
                                               const std::shared_ptr<StepStore>& store) {
  const auto before = routes_.get();
  Backends backends;
  for (const auto& [name, options] : config.backends) {
    if (before) {
      const auto same = before->backends().find(name);
      if (same != before->backends().end() && same->second->config == options) {
        backends.emplace(name, same->second);
        continue;
      }
    }
    auto made = Backend::make(name, options, store, log_, audit_);
    if (!made) return made.fault();
    backends.emplace(name, disposal_.share(std::move(made).value()));
  }
  return backends;
}

mapping::Result<Router::Next> Router::prepare(const Config& config) {
  auto store = store_for(config);
  if (!store) return store.fault();
  auto queue = queue_for(config);
  if (!queue) return queue.fault();
  auto backends = backends_for(config, store.value());
  if (!backends) return backends.fault();
  Routes::Shared shared{metrics_,
                        audit_,
                        queue.value().get(),
                        [this](const std::string& receiver) { delivery_->wake(receiver); },
                        log_,
                        trace_};
  auto routes = std::make_shared<const Routes>(config, backends.value(), std::move(shared));
  mapping::Change serve = [] {}, deliver = [] {};
  for (const auto& [name, backend] : config.backends) {
    const auto* options = std::get_if<StepStoreOptions>(&backend.options);
    if (options != nullptr) serve = store.value()->prepare(*options);
  }
  if (queue.value()) deliver = this->deliver(config, *queue.value(), routes->backends());
  // Delivery before the routes: nobody is told of a message that those who deliver would not know.
  return Next{[this, store = store.value(), queue = queue.value(), routes, serve = std::move(serve),
               deliver = std::move(deliver)] {
                store_ = store;
                serve();
                queue_.set(queue);
                deliver();
                routes_.set(routes);
              },
              watched_in(routes->backends()), queue.value()};
}

/// What is queued, to the receivers that routes name, those that something waits for from before
/// they did not any more, and those that something which has begun may still be accepted for.
mapping::Change Router::deliver(const Config& config, MppsQueue& queue, const Backends& backends) {
  std::set<std::string> names = queue_receivers(config);
  for (const std::string& name : receivers_) {
    if (backends.contains(name)) names.insert(name);
  }
  std::vector<std::string> warnings;
  try {
    for (const auto& [name, open, held, oldest] : queue.depths()) {
      if (backends.contains(name)) {
        names.insert(name);
      } else {
        warnings.push_back(
            fmt::format("the MPPS queue holds messages for {0} that nobody delivers, since there "
                        "is no [backend {0}]: {1}; name it again, or export and discard them",
                        name, open));
      }
    }
  } catch (const QueueFailure& failure) {
    log_(mapping::LogLevel::error,
         fmt::format("the MPPS queue cannot be read: {}", failure.what()));
  }
  std::vector<MppsReceiver> receivers;
  for (const std::string& name : names) {
    const auto& backend = backends.at(name);
    receivers.push_back({name, backend->mpps,
                         [&probe = backend->probe](const auto& context) {
                           return !probe || probe(context).how == mapping::Outcome::How::answered;
                         },
                         backend});
  }
  mapping::Change begin;
  if (delivery_) {
    begin = delivery_->prepare(std::move(receivers), config.delivery);
  } else {
    begin = [this, first = std::make_shared<MppsDelivery>(queue, std::move(receivers),
                                                          config.delivery, log_)] {
      delivery_ = first;
      delivery_->start();
    };
  }
  return [this, warnings, begin, names] {
    for (const std::string& warning : warnings) log_(mapping::LogLevel::warn, warning);
    begin();
    receivers_ = names;
  };
}

mapping::Services Router::route(const mapping::Caller& caller) const {
  auto routes = routes_.get();
  mapping::Services services = routes->services(caller);
  services.owner = std::move(routes);
  return services;
}

std::vector<WatchedBackend> Router::watched() const {
  return watched_in(routes_.get()->backends());
}

std::vector<BackendNumbers> Router::numbers() const {
  std::vector<BackendNumbers> all;
  const auto routes = routes_.get();
  for (const auto& [name, backend] : routes->backends()) {
    BackendNumbers numbers{.name = name};
    if (backend->count) backend->count(numbers);
    if (backend->verified) numbers.mismatched_matches = backend->verified->dropped();
    all.push_back(std::move(numbers));
  }
  return all;
}

}  // namespace gateway
