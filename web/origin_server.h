// FRONT: this gateway as an origin server. Turns the requests of PS3.18, chapters 14 and 15
// (Supplement 246), into calls of the two services, and their outcomes into HTTP answers.
// Sockets and framing are connection_front's; how DIMSE and HTTP statuses relate is
// mapping/status'; who answers is the router's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/security_alert.h"
#include "mapping/services.h"
#include "web/authentication.h"
#include "web/tls.h"

namespace web {

struct OriginServerOptions {
  std::string bind = "0.0.0.0";                   ///< numeric IPv4 or IPv6 address
  std::uint16_t port = 8081;                      ///< 0 = any free one
  std::string base_path = "/";                    ///< absolute path in front of the resources
  TlsFiles tls;                                   ///< with a certificate: the port speaks TLS only
  AuthenticationFiles authentication;             ///< without files everybody is served
  mapping::OnSecurityAlert on_alert;              ///< told of 401, 403, failed TLS handshakes
  std::size_t max_connections = 256;              ///< further ones get 503 and are closed
  std::size_t max_connections_per_address = 128;  ///< the same of one peer; 0 = no limit
  std::size_t max_body_bytes = 4u << 20;
  std::size_t max_response_bytes = 64u << 20;  ///< a longer Search result is 413
  std::uint64_t count_cap = 1000;  ///< after a full page: further matches counted for the Warning
  std::chrono::milliseconds count_cap_milliseconds{500};  ///< … but no longer than this
  int no_match_status = 204;                              ///< or 200 with an empty list. rule J4
  bool gateway_status_codes = false;  ///< 502 and 504 where the upstream is at fault
  /// Origins whose pages may use this server from a browser, such as https://app.example; or "*".
  std::vector<std::string> cors_allowed_origins;
  std::size_t workers = 16;                         ///< requests that run at the same time
  std::chrono::milliseconds head_timeout{10'000};   ///< for the whole head, from its first byte
  std::chrono::milliseconds body_timeout{30'000};   ///< for the whole body
  std::chrono::milliseconds idle_timeout{60'000};   ///< of a kept-alive connection
  std::chrono::milliseconds write_timeout{30'000};  ///< for the whole answer to be taken
  std::chrono::milliseconds transaction_timeout{60'000};  ///< deadline of a service call
};

/// One listening origin server. start and stop once each, and prepare with its change, from one
/// thread; stop may be left to the destructor.
class OriginServer {
 public:
  OriginServer(OriginServerOptions options, mapping::Router router, mapping::Log log);
  ~OriginServer();
  /// Whether all are what cors_allowed_origins takes.
  static bool valid_origins(const std::vector<std::string>& origins);
  OriginServer(const OriginServer&) = delete;
  OriginServer& operator=(const OriginServer&) = delete;

  /// Listens and serves from threads of its own. Returns the port really used.
  /// Fault: an option that makes no sense, or an address that cannot be bound.
  mapping::Result<std::uint16_t> start();
  /// Other options, after start, for requests that arrive after the change, and certificates for
  /// connections that do; bind, port and the limits and timeouts of connections stay. Fault: as
  /// start, addresses aside.
  mapping::Result<mapping::Change> prepare(OriginServerOptions options);

  /// Stops accepting and ends idle connections at once; requests that run have grace to finish,
  /// then their connections are closed and their cancellation fires. Returns when no thread of
  /// this server runs any more.
  void stop(std::chrono::milliseconds grace);

  /// Connections that are served now; after start, from any thread, as refused.
  std::size_t connections() const;
  /// Connections that were over a limit.
  std::uint64_t refused() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
