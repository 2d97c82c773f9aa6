// Takes what happened, makes audit messages of it and writes them into the buffer, on a thread of
// its own: nobody who records anything waits for the disk. Knows no collector.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "gateway/audit_buffer.h"
#include "gateway/audit_message.h"
#include "mapping/log.h"

namespace gateway {

struct AuditActivity {
  bool start = true;
  std::string ae_title;  ///< of the DIMSE front; empty = none
  AuditTime time;
};
using AuditEvent = std::variant<AuditActivity, AuditedQuery, AuditedProcedure, AuditedAlert>;

/// How messages are made, and how many are kept.
struct AuditRules {
  AuditSource source;
  std::uint64_t buffer_bytes = 256u << 20;  ///< of messages that lie there
  std::size_t max_pending = 10'000;         ///< not yet on the disk; more are lost
};

/// An alert of a gateway about itself, for information. self: as a participant. what: a sentence.
AuditedAlert own_alert(const AuditCode& type, std::string what, const AuditParticipant& self);

/// Safe from any thread, but for stop.
class AuditRecorder {
 public:
  /// buffer outlives this. self: this process, without an AE title. on_written: something lies in
  /// the buffer; called on the recorder's thread.
  AuditRecorder(AuditBuffer& buffer, AuditRules rules, AuditParticipant self,
                std::function<void()> on_written, mapping::Log log);
  ~AuditRecorder();  ///< stops
  AuditRecorder(const AuditRecorder&) = delete;
  AuditRecorder& operator=(const AuditRecorder&) = delete;

  /// Never blocks and never throws. Recorded by one thread, written in that order.
  void record(AuditEvent event) noexcept;
  /// For what is written from now on.
  void change(AuditRules rules);
  /// Until what is recorded is written down, or the time is over.
  void settle(std::chrono::milliseconds time);
  /// What is recorded is written down, unless the disk takes nothing.
  void stop();

  /// Messages that found no room, in memory or in the buffer.
  std::uint64_t lost() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
