// What one configuration makes of callers: per modality where it has rules of its own, else per
// front, the decorators between a front and its backends.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gateway/audited_services.h"
#include "gateway/backend.h"
#include "gateway/config.h"
#include "gateway/merged_worklist.h"
#include "gateway/metrics.h"
#include "gateway/mpps_queue.h"
#include "gateway/mpps_validation.h"
#include "gateway/traced_services.h"
#include "gateway/transaction_log.h"
#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

/// By name.
using Backends = std::map<std::string, std::shared_ptr<const Backend>>;

/// One service of one front or modality, and who answers it.
struct OfferedService {
  std::string name;                   ///< "dimse worklist", "modality CT1 mpps"
  std::vector<std::string> backends;  ///< by name; never empty
  std::set<std::string> needed{};     ///< of these: while one is gone, requests are refused
  std::set<std::string> queued{};     ///< of these: what is for one waits in the queue
};

/// Receivers that get messages out of the durable queue. None: it is not needed.
std::set<std::string> queue_receivers(const Config& config);

/// Constant after construction; safe from any thread.
class Routes {
 public:
  /// What outlives every configuration.
  struct Shared {
    Metrics& metrics;
    AuditTrail& audit;
    MppsQueue* queue = nullptr;  ///< null: no route needs one
    /// A message for this receiver is in the queue.
    std::function<void(const std::string& receiver)> wake{};
    mapping::Log log{};
    Trace* trace = nullptr;  ///< as Router::make
  };
  /// backends: all that config names.
  Routes(const Config& config, Backends backends, Shared shared);
  Routes(const Routes&) = delete;
  Routes& operator=(const Routes&) = delete;

  /// What the caller's front, or its [modality …], offers it. The services live as long as this.
  mapping::Services services(const mapping::Caller& caller) const;
  const std::vector<OfferedService>& offered() const { return offered_; }
  const Backends& backends() const { return backends_; }

 private:
  /// What a front puts between itself and its backends. From the outside: audit, trace, log, all
  /// of which see refusals too; then validation, then the queue, or several worklists as one.
  struct FrontChain {
    std::unique_ptr<MergedWorklist> merged;  ///< null: one worklist
    std::unique_ptr<LoggedWorklist> worklist;
    std::unique_ptr<mapping::MppsService> queued;  ///< null: one receiver, asked at once
    std::unique_ptr<ValidatedMpps> validated;
    std::unique_ptr<LoggedMpps> mpps;
    std::unique_ptr<TracedWorklist> traced_worklist;    ///< null: there is no trace, or no worklist
    std::unique_ptr<TracedMpps> traced_mpps;            ///< likewise
    std::unique_ptr<AuditedWorklist> audited_worklist;  ///< null: no worklist
    std::unique_ptr<AuditedMpps> audited_mpps;          ///< null: no MPPS
  };
  void offer(const Route& route, const std::string& name);
  void audit(FrontChain& chain, mapping::Services& services) const;
  mapping::Services services_of(const Route& route, const std::string& name);
  mapping::MppsService& mpps_of(const Route& route, FrontChain& chain);

  const Backends backends_;
  const Shared shared_;
  const AuditPlace audit_place_;  ///< where callers ask
  std::vector<OfferedService> offered_;
  std::vector<FrontChain> chains_;
  mapping::Services dimse_;
  mapping::Services web_;
  std::map<std::string, mapping::Services> modalities_;  ///< by calling AE title
};

}  // namespace gateway
