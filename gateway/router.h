// Owns the backends and says which of them answers a caller: per modality where it has rules of its
// own, else per front. Owns the durable queue and its delivery, where a route needs one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/backend_watch.h"
#include "gateway/config.h"
#include "gateway/merged_worklist.h"
#include "gateway/metrics.h"
#include "gateway/mpps_delivery.h"
#include "gateway/mpps_validation.h"
#include "gateway/sqlite_mpps_queue.h"
#include "gateway/traced_services.h"
#include "gateway/transaction_log.h"
#include "gateway/verified_worklist.h"
#include "mapping/result.h"
#include "mapping/services.h"

namespace gateway {

/// What a backend has counted since the start, and what it holds now.
struct BackendNumbers {
  std::string name;
  std::optional<mapping::PoolState> associations{};    ///< of an SCP
  std::optional<mapping::PoolState> connections{};     ///< of an origin server
  std::optional<std::uint64_t> replaced_characters{};  ///< Scu::replaced_characters
  std::optional<std::uint64_t>
      mismatched_matches{};  ///< VerifiedWorklist::dropped, where it checks
};

/// Constant after construction; safe from any thread. Outlives the fronts that route through it.
/// Delivers what is queued as long as it lives.
class Router {
 public:
  /// config: without faults. Opens no connection yet. Fault: a backend that is part of this program
  /// cannot be used (the embedded store, the queue), and what to do.
  /// trace: gets every data set of whom it follows, and outlives this; null = there is none.
  static mapping::Result<std::unique_ptr<Router>> make(const Config& config,
                                                       const mapping::Log& log,
                                                       Trace* trace = nullptr);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  /// What the caller's front, or its [modality …], offers it.
  mapping::Services route(const mapping::Caller& caller) const;

  /// One service of one front or modality, and who answers it.
  struct OfferedService {
    std::string name;                   ///< "dimse worklist", "modality CT1 mpps"
    std::vector<std::string> backends;  ///< by name; never empty
  };
  const std::vector<OfferedService>& offered() const { return offered_; }
  /// Every backend that is another program. What they hold lives as long as this.
  std::vector<WatchedBackend> watched() const;
  /// Of every backend, by name.
  std::vector<BackendNumbers> numbers() const;
  const Metrics& metrics() const { return metrics_; }
  /// The durable queue; null if no route needs one. Safe from any thread.
  MppsQueue* queue() const { return queue_.get(); }
  /// Something in the queue may be due for this receiver. Only where there is a queue.
  void wake(const std::string& receiver) const { delivery_->wake(receiver); }

 private:
  /// A backend behind the decorators that are its own; one object is both services.
  struct Backend {
    std::unique_ptr<mapping::WorklistService> owner;
    std::unique_ptr<VerifiedWorklist> verified;  ///< null: answers are taken as they are
    mapping::WorklistService* worklist = nullptr;
    mapping::MppsService* mpps = nullptr;
    /// Asks whether it is there at all, as WatchedBackend. Null: it is part of this program.
    std::function<mapping::Outcome(const mapping::Context&)> probe;
    std::function<void(BackendNumbers&)> count;  ///< adds what it knows; null: nothing
    MirrorFilter mirror;
  };
  /// What a front puts between itself and a backend: the log outermost, it sees refusals too.
  struct FrontChain {
    std::unique_ptr<MergedWorklist> merged;  ///< null: one worklist
    std::unique_ptr<LoggedWorklist> worklist;
    std::unique_ptr<mapping::MppsService> queued;  ///< null: one receiver, asked at once
    std::unique_ptr<ValidatedMpps> validated;
    std::unique_ptr<LoggedMpps> mpps;
    std::unique_ptr<TracedWorklist> traced_worklist;  ///< null: there is no trace, or no worklist
    std::unique_ptr<TracedMpps> traced_mpps;          ///< likewise
  };
  Router(mapping::Log log, Trace* trace) : log_(std::move(log)), trace_(trace) {}
  mapping::Result<bool> make_backends(const Config& config);
  mapping::Result<bool> make_queue(const Config& config, const std::vector<Route>& routes);
  mapping::Services services_of(const Route& route, const std::string& name);
  mapping::MppsService& mpps_of(const Route& route, FrontChain& chain);

  const mapping::Log log_;
  Trace* const trace_;
  Metrics metrics_;
  std::vector<OfferedService> offered_;
  std::map<std::string, Backend> backends_;
  std::unique_ptr<SqliteMppsQueue> queue_;  ///< null: no route needs one
  std::unique_ptr<MppsDelivery> delivery_;  ///< goes before the backends and the queue
  std::vector<FrontChain> chains_;
  mapping::Services dimse_;
  mapping::Services web_;
  std::map<std::string, mapping::Services> modalities_;  ///< by calling AE title
};

}  // namespace gateway
