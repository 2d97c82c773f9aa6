// Brings syslog messages to a collector: RFC 5424 over UDP (RFC 5426) or over TLS with octet
// counting (RFC 5425). PS3.15, A.6 and A.7; rule I7. Knows nothing of audit and keeps nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dimse/tls.h"
#include "mapping/result.h"

namespace gateway {

/// Where the collector listens.
struct SyslogTarget {
  enum class Transport : std::uint8_t { udp, tls };
  Transport transport = Transport::udp;
  std::string host;  ///< name or numeric address
  std::uint16_t port = 514;
  bool operator==(const SyslogTarget&) const = default;

  /// udp://HOST[:514] | tls://HOST[:6514]. Fault: what is expected.
  static mapping::Result<SyslogTarget> parse(std::string_view uri);
  std::string uri() const;  ///< with its port
};

struct SyslogHeader {
  std::string host;      ///< HOSTNAME
  std::string app_name;  ///< APP-NAME
  std::string process;   ///< PROCID
  std::string time;      ///< TIMESTAMP, as RFC 3339 writes it
};
/// An audit message's SYSLOG-MSG: facility 10, severity 5, MSGID DICOM+RFC3881, the text behind a
/// byte order mark, as RFC 5424 wants it for UTF-8.
std::string to_syslog(const SyslogHeader& header, std::string_view utf_8);

struct SyslogOptions {
  SyslogTarget target;
  dimse::TlsOptions tls;  ///< trusted: the CAs of the collector's certificate
  std::chrono::milliseconds connect_timeout{3'000};  ///< again for the handshake, and for a refusal
  std::chrono::milliseconds send_timeout{10'000};    ///< until the collector's host has it
  bool operator==(const SyslogOptions&) const = default;
};

/// One thread at a time.
class SyslogSender {
 public:
  /// stop_descriptor: readable once waiting is to end; -1 = none. Fault: a TLS file that cannot be
  /// used.
  static mapping::Result<std::unique_ptr<SyslogSender>> make(SyslogOptions options,
                                                             int stop_descriptor);
  ~SyslogSender();
  SyslogSender(const SyslogSender&) = delete;
  SyslogSender& operator=(const SyslogSender&) = delete;

  struct Failure {
    std::string why;              ///< for the log
    bool authentication = false;  ///< it was TLS that failed: a certificate, as a rule
  };
  /// Sends these, connecting first where that is needed. Nothing: the collector's host has taken
  /// all of them (TLS: it has acknowledged every byte; UDP: it has not said that nobody listens).
  /// After a failure some of them may have arrived, and all are to be sent again.
  std::optional<Failure> send(const std::vector<std::string_view>& messages);

 private:
  class Connection;
  class Datagrams;
  class Stream;
  SyslogSender(SyslogOptions options, int stop_descriptor,
               std::shared_ptr<const dimse::TlsContext> tls);

  const SyslogOptions options_;
  const int stop_;
  const std::shared_ptr<const dimse::TlsContext> tls_;  ///< null: UDP
  std::unique_ptr<Connection> connection_;              ///< null: none stands
};

}  // namespace gateway
