// The audit trail of this gateway, which a reload may turn on and off: an AuditRecorder writes down
// what happened, an AuditSender brings it to the collector that there is now. Nobody who records
// anything waits for either. PS3.15, A.5 to A.7; rules I.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "gateway/audit_message.h"
#include "gateway/audit_recorder.h"
#include "gateway/syslog_sender.h"
#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/security_alert.h"

namespace gateway {

/// [audit].
struct AuditOptions {
  SyslogOptions syslog;
  AuditRules rules;       ///< source.id empty: the name of this host
  std::string tls_files;  ///< differs when what stands in the TLS files was written anew
  std::filesystem::path state_dir;
  std::chrono::milliseconds retry_first{1'000};  ///< after a failed attempt to send, doubled up to
  std::chrono::milliseconds retry_max{10'000};
  /// What is written when the trail ends may take this long to be sent.
  std::chrono::milliseconds last_words{2'000};
};

/// Off until a change gives it a collector. prepare with its change, and stop, from one thread;
/// the rest is safe from any.
///
/// A message is sent at least once, in the order of recording: whoever reads the trail may find
/// one twice after the gateway or the connection broke, or the collector was exchanged. What does
/// not fit into the buffer, or comes faster than the disk takes it, is lost: counted, logged once,
/// and told in the trail itself by "Audit Recording Stopped" and "Audit Recording Started" (PS3.16,
/// CID 403).
class AuditTrail {
 public:
  explicit AuditTrail(mapping::Log log);
  ~AuditTrail();  ///< stops
  AuditTrail(const AuditTrail&) = delete;
  AuditTrail& operator=(const AuditTrail&) = delete;

  /// options: from the change on; nothing = off. state_dir stays as it was first. What waits goes
  /// to the collector that is there then, in order; while there is none, it waits on the disk. The
  /// change of a collector ends the attempt that is under way, and with off what is recorded before
  /// has last_words to be written and sent. Fault: the buffer or a TLS file cannot be used. Throws
  /// std::system_error where there are no threads for it.
  mapping::Result<mapping::Change> prepare(std::optional<AuditOptions> options);
  /// Whether what happens is recorded.
  bool on() const;

  /// Nothing while it is off. Never blocks and never throws.
  void record(AuditEvent event);
  /// What a front refused.
  void record(const mapping::SecurityAlert& alert);
  /// What this gateway tells of itself: an alert of this type, for information. what: a sentence.
  void record_own(const AuditCode& type, std::string what);

  /// This process as a participant. ae_title: the one that it acted under; empty = none.
  AuditParticipant self(const std::string& ae_title = {}) const;

  /// What is recorded is written down, and sent if the collector takes it within last_words.
  void stop();

  struct Numbers {
    std::uint64_t sent = 0, waiting = 0, lost = 0;  ///< sent, lost: since the start of the program
    bool up = true;                                 ///< as AuditSender::up
  };
  /// Nothing while it is off.
  std::optional<Numbers> numbers() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
