// The audit trail of this gateway: takes what happened, makes messages of it, keeps them on disk
// until the collector has them. Two threads: one writes messages down, one sends what lies there,
// in order. Nobody who records anything waits for either. PS3.15, A.5 to A.7; rules I.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "gateway/audit_message.h"
#include "gateway/syslog_sender.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/security_alert.h"

namespace gateway {

/// [audit].
struct AuditOptions {
  SyslogOptions syslog;
  AuditSource source;                       ///< id empty: the name of this host
  std::uint64_t buffer_bytes = 256u << 20;  ///< of messages that lie there
  std::filesystem::path state_dir;
  std::size_t max_pending = 10'000;              ///< not yet on the disk; more are lost
  std::chrono::milliseconds retry_first{1'000};  ///< after a failed attempt to send, doubled up to
  std::chrono::milliseconds retry_max{10'000};
  /// What is written when the gateway is asked to stop may take this long to be sent.
  std::chrono::milliseconds last_words{2'000};
};

/// Safe from any thread.
///
/// A message is sent at least once, in the order of recording: whoever reads the trail may find
/// one twice after the gateway or the connection broke. What does not fit into the buffer, or comes
/// faster than the disk takes it, is lost: counted, logged once, and told in the trail itself by
/// "Audit Recording Stopped" and "Audit Recording Started" (PS3.16, CID 403).
class AuditTrail {
 public:
  /// Starts the threads. Fault: the buffer or a TLS file cannot be used, and what to do.
  static mapping::Result<std::unique_ptr<AuditTrail>> open(AuditOptions options, mapping::Log log);
  ~AuditTrail();  ///< stops
  AuditTrail(const AuditTrail&) = delete;
  AuditTrail& operator=(const AuditTrail&) = delete;

  struct Activity {
    bool start = true;
    std::string ae_title;  ///< of the DIMSE front; empty = none
    AuditTime time;
  };
  using Event = std::variant<Activity, AuditedQuery, AuditedProcedure, AuditedAlert>;
  /// Never blocks and never throws.
  void record(Event event);
  /// What a front refused.
  void record(const mapping::SecurityAlert& alert);

  /// This process as a participant. ae_title: the one that it acted under; empty = none.
  AuditParticipant self(const std::string& ae_title = {}) const;

  /// What is recorded is written down, and sent if the collector takes it within last_words.
  void stop();

  struct Numbers {
    std::uint64_t sent = 0, waiting = 0, lost = 0;
    bool up = true;  ///< the last attempt to send was a success
  };
  Numbers numbers() const;

 private:
  class Impl;
  explicit AuditTrail(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
