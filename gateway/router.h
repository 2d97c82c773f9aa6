// Says which backends answer a caller, as the current configuration has it, and owns what outlives
// every configuration: the durable queue and its delivery, the embedded store, the counters.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gateway/backend_watch.h"
#include "gateway/config.h"
#include "gateway/disposal.h"
#include "gateway/metrics.h"
#include "gateway/mpps_delivery.h"
#include "gateway/routes.h"
#include "gateway/sqlite_mpps_queue.h"
#include "gateway/step_store.h"
#include "mapping/current.h"
#include "mapping/result.h"
#include "mapping/services.h"

namespace gateway {

/// prepare and its change from one thread; the rest is safe from any. Outlives the fronts that
/// route through it. Delivers what is queued as long as it lives.
class Router {
 public:
  /// config: without faults. Opens no connection yet. Fault: as prepare.
  /// trace: gets every data set of whom it follows; null = there is none. It and audit outlive
  /// this.
  static mapping::Result<std::unique_ptr<Router>> make(const Config& config,
                                                       const mapping::Log& log, AuditTrail& audit,
                                                       Trace* trace = nullptr);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  /// What a configuration brings.
  struct Next {
    mapping::Change change;
    std::vector<WatchedBackend> watched;  ///< as watched() after the change; the next likewise
    std::shared_ptr<MppsQueue> queue;
  };
  /// Other backends and routes after the change. Transactions that have begun end with what they
  /// began with; the next ones meet the new. A backend whose section and files are as they were
  /// goes on with its connections; another one closes them when its last transaction is over.
  /// config: without faults; state_dir stays. Fault: a backend cannot be made, or what is part of
  /// this program cannot be used (the embedded store, the queue), and what to do. Throws
  /// std::system_error where there are no threads for it.
  mapping::Result<Next> prepare(const Config& config);

  /// What the caller's front, or its [modality …], offers it now.
  mapping::Services route(const mapping::Caller& caller) const;

  std::vector<OfferedService> offered() const { return routes_.get()->offered(); }
  /// Every backend that is another program.
  std::vector<WatchedBackend> watched() const;
  /// Of every backend, by name.
  std::vector<BackendNumbers> numbers() const;
  const Metrics& metrics() const { return metrics_; }
  /// The durable queue; null as long as no route has needed one, and none was there. Stays as long
  /// as this.
  std::shared_ptr<MppsQueue> queue() const { return queue_.get(); }
  /// Something in the queue may be due for this receiver. Only where there is a queue.
  void wake(const std::string& receiver) const { delivery_->wake(receiver); }

 private:
  Router(mapping::Log log, AuditTrail& audit, Trace* trace)
      : log_(std::move(log)), audit_(audit), trace_(trace) {}
  mapping::Result<std::shared_ptr<StepStore>> store_for(const Config& config) const;
  mapping::Result<std::shared_ptr<MppsQueue>> queue_for(const Config& config) const;
  mapping::Result<Backends> backends_for(const Config& config,
                                         const std::shared_ptr<StepStore>& store);
  mapping::Change deliver(const Config& config, MppsQueue& queue, const Backends& backends);

  const mapping::Log log_;
  AuditTrail& audit_;
  Trace* const trace_;
  Metrics metrics_;
  Disposal disposal_;                 ///< of backends
  std::shared_ptr<StepStore> store_;  ///< null as long as no backend has been one
  std::set<std::string> receivers_;   ///< that something is delivered to
  mapping::Current<MppsQueue> queue_;
  mapping::Current<const Routes> routes_;
  std::shared_ptr<MppsDelivery> delivery_;  ///< there as soon as the queue; goes before it
};

}  // namespace gateway
