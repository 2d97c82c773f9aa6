// One [backend …] at work: the room that speaks to it, behind the decorators that are its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/audited_services.h"
#include "gateway/config.h"
#include "gateway/step_store.h"
#include "gateway/verified_worklist.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/services.h"

namespace gateway {

/// What a backend has counted since it was made, and what it holds now.
struct BackendNumbers {
  std::string name;
  std::optional<mapping::PoolState> associations{};    ///< of an SCP
  std::optional<mapping::PoolState> connections{};     ///< of an origin server
  std::optional<std::uint64_t> replaced_characters{};  ///< Scu::replaced_characters
  /// VerifiedWorklist::dropped, where it checks.
  std::optional<std::uint64_t> mismatched_matches{};
};

/// Constant after make; the services are safe from any thread. Whoever holds it may use them.
struct Backend {
  /// store: the one of this process; used where the configuration names it. audit: outlives the
  /// backend. Fault: the backend cannot be made of what its
  /// configuration names now.
  static mapping::Result<std::unique_ptr<Backend>> make(const std::string& name,
                                                        const BackendConfig& config,
                                                        const std::shared_ptr<StepStore>& store,
                                                        const mapping::Log& log, AuditTrail& audit);

  BackendConfig config;  ///< what it was made by
  mapping::WorklistService* worklist = nullptr;
  mapping::MppsService* mpps = nullptr;
  /// Asks whether it is there at all, as WatchedBackend. Null: it is part of this program.
  std::function<mapping::Outcome(const mapping::Context&)> probe{};
  std::function<void(BackendNumbers&)> count{};         ///< adds what it knows; null: nothing
  std::shared_ptr<mapping::WorklistService> owner{};    ///< one object is both services
  std::unique_ptr<AuditedWorklist> audited_worklist{};  ///< null: no participant, as the next
  std::unique_ptr<AuditedMpps> audited_mpps{};
  std::unique_ptr<VerifiedWorklist> verified{};  ///< null: answers are taken as they are
};

}  // namespace gateway
