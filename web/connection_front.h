// The listening socket of an origin server and what stands between it and a handler: one thread
// gathers whole requests from all connections (epoll), a few workers answer them one at a time.
// No idle, slow or stuck client ever holds a worker. Knows no DICOM and no library but the
// kernel's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/security_alert.h"
#include "mapping/services.h"
#include "web/body.h"
#include "web/request_reader.h"
#include "web/tls.h"

namespace web {

struct ConnectionFrontOptions {
  std::string bind = "127.0.0.1";               ///< numeric IPv4 or IPv6 address
  std::uint16_t port = 0;                       ///< 0 = any free one
  mapping::OnSecurityAlert on_alert{};          ///< told of TLS handshakes that failed
  std::size_t max_connections = 256;            ///< in total
  std::size_t max_connections_per_address = 0;  ///< of one peer; 0 = no limit
  /// Over a limit, the one that waits longest for its client ends (of the same address, where that
  /// has its share) and the new one is served. False: the new one is refused.
  bool makes_room = false;
  std::size_t workers = 16;
  /// Requests for which it holds, whose password is still to be checked, wait for as many workers
  /// of their own, so that they keep no others waiting; beyond 16, and a quarter of
  /// max_connections, further ones are refused. Called by several threads; must not block. Null =
  /// there are none.
  std::function<bool(const RawRequest&)> apart{};
  RequestLimits limits;
  std::chrono::milliseconds head_timeout{10'000};   ///< whole head, from accept or its first byte
  std::chrono::milliseconds body_timeout{30'000};   ///< whole body, from the end of the head
  std::chrono::milliseconds idle_timeout{60'000};   ///< between two requests
  std::chrono::milliseconds write_timeout{30'000};  ///< whole answer, from its first byte
};

/// What goes along with a request to the handler.
struct RequestContext {
  std::string peer_address;  ///< numeric
  std::string user;          ///< the handler's own: who was recognised
  bool read_only = false;    ///< the handler's own: that user may change nothing
  std::chrono::steady_clock::time_point received;  ///< when the request was whole
  bool close = false;  ///< the connection ends after the answer, which has to say so
  mapping::Cancellation* cancellation = nullptr;  ///< the client went away, or this server stops
};

/// An answer, ready for the wire.
struct RawResponse {
  std::string head;  ///< status line, headers, empty line
  Body body;
  bool close = false;          ///< the connection ends after it; the head says so
  bool service_asked = false;  ///< the handler's own: as Answer::service_asked
};

/// Answers one request; called by several workers at a time. An exception is a 500.
using RequestHandler = std::function<RawResponse(const RawRequest&, const RequestContext&)>;
/// The whole answer to a request that never becomes one: a refusal of the reader, too many
/// connections. The connection is closed after it.
using RefusalHandler = std::function<RawResponse(const Refusal&)>;

/// start and stop once each, and speak, from one thread.
class ConnectionFront {
 public:
  ConnectionFront(ConnectionFrontOptions options, RequestHandler handler,
                  RefusalHandler refusal_handler, mapping::Log log);
  ~ConnectionFront();
  ConnectionFront(const ConnectionFront&) = delete;
  ConnectionFront& operator=(const ConnectionFront&) = delete;

  /// Connections that come from now on speak TLS by these certificates; null: plain, as all do
  /// before the first call.
  void speak(std::shared_ptr<const TlsContext> tls);
  /// Listens and starts the threads. Returns the port really used.
  mapping::Result<std::uint16_t> start();
  /// No more connections and requests from now on; running requests have grace to finish, then
  /// their connections are closed and their cancellation fires. Returns when all threads ended:
  /// a handler that looks at neither its cancellation nor its deadline is waited for.
  void stop(std::chrono::milliseconds grace);

  /// Connections that are served now. Safe from any thread, as refused.
  std::size_t connections() const;
  /// Connections that were over a limit.
  std::uint64_t refused() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
