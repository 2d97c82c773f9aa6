// Brings what lies in the buffer of audit messages to one collector, in order, on a thread of its
// own. A message leaves the buffer once the collector has it; until then it waits, through any
// number of attempts and for whichever sender comes next.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "gateway/audit_buffer.h"
#include "gateway/syslog_sender.h"
#include "mapping/log.h"
#include "mapping/result.h"

namespace gateway {

struct AuditSenderOptions {
  SyslogOptions syslog;
  std::chrono::milliseconds retry_first{1'000};  ///< after a failed attempt to send, doubled up to
  std::chrono::milliseconds retry_max{10'000};
};

/// start and stop once each, from one thread; the rest is safe from any.
class AuditSender {
 public:
  /// The collector has shown a certificate that is not to be trusted, or refused ours. Called on
  /// the sender's thread, once for each change of why.
  using OnRefused = std::function<void(const std::string& why)>;

  /// buffer outlives this. Sends nothing yet. Fault: a TLS file that cannot be used.
  /// Throws std::system_error where there is no thread for it.
  static mapping::Result<std::unique_ptr<AuditSender>> make(AuditSenderOptions options,
                                                            AuditBuffer& buffer,
                                                            OnRefused on_refused, mapping::Log log);
  ~AuditSender();  ///< stops without grace
  AuditSender(const AuditSender&) = delete;
  AuditSender& operator=(const AuditSender&) = delete;

  /// Begins with what lies there. One sender at a time works on a buffer.
  void start();
  /// Something was written into the buffer.
  void wake();
  /// Sends what lies there until the grace is over or an attempt has failed; what is left stays.
  void stop(std::chrono::milliseconds grace);

  std::uint64_t sent() const;
  bool up() const;  ///< the last attempt to send was a success, or there was none

 private:
  class Impl;
  explicit AuditSender(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
