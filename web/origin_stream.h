// The socket of an exchange with an origin server: connecting, TLS, deadlines, cancellation, and
// what has really been sent and received. Knows no HTTP, but for its lines: those around a body may
// not grow without end.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "mapping/outcome.h"
#include "mapping/services.h"
#include "web/base_uri.h"
#include "web/tls.h"

struct addrinfo;

namespace web {

/// What one exchange may take and what became of it. One thread.
struct ExchangeWatch {
  using Clock = std::chrono::steady_clock;

  Clock::time_point deadline;
  std::chrono::milliseconds silence;              ///< of the server, at most
  mapping::Cancellation* cancellation = nullptr;  ///< null: not to be looked at

  bool sent = false;      ///< a byte of the request was given to the kernel
  bool received = false;  ///< a byte of an answer came
  bool closed = false;    ///< by the server
  bool cancelled = false;
  bool too_large = false;
  bool stopped = false;         ///< no more of the body is wanted
  std::function<bool()> ahead;  ///< called before more is read; false: stop. Null = nothing to do
  std::size_t around = 0;  ///< bytes read since the last of a body: a head, the size of a chunk
  std::size_t line = 0;    ///< … of them in a line without an end
  mapping::NetworkEvent event = mapping::NetworkEvent::none;  ///< why it failed
  std::string tls_fault;                                      ///< … and what TLS says of it
  std::string connect_fault;                                  ///< … or the system

  bool look_at_cancellation() {
    cancelled = cancelled || (cancellation != nullptr && cancellation->requested());
    return cancelled;
  }
  /// now + span, but not past the deadline.
  Clock::time_point within(std::chrono::milliseconds span) const {
    return std::min(deadline, Clock::now() + span);
  }
  /// Bytes of a body were read.
  void body_came() { around = line = 0; }
};

/// Tries the addresses of the host one after the other. A connected socket, the caller's to close,
/// or -1 if none answers in time; fault says what the last one came to.
int connect_to(const BaseUri& base, ExchangeWatch::Clock::time_point deadline, std::string& fault);
/// The same for the addresses that a resolver found. Each has its share of the time, so that one
/// which answers nothing does not take that of the others.
int connect_to(const addrinfo* addresses, ExchangeWatch::Clock::time_point deadline,
               std::string& fault);

/// The handshake. False if it failed; tls, and watch, say why.
bool shake_hands(int socket, TlsSession& tls, ExchangeWatch::Clock::time_point deadline,
                 ExchangeWatch& watch);

/// Bytes to and from a connected socket. Writes are gathered and leave as one, before the first
/// read.
class OriginStream {
 public:
  /// tls: null = plain. All outlive the stream.
  OriginStream(int socket, TlsSession* tls, ExchangeWatch& watch)
      : socket_(socket), tls_(tls), watch_(watch) {}

  int socket() const { return socket_; }
  void write(std::string_view bytes) { out_ += bytes; }
  /// At most size bytes. 0 at the end, -1 if it failed: watch.event says why.
  ssize_t read(char* to, std::size_t size);

 private:
  bool flush();
  bool fill();
  bool decrypt(std::string_view encrypted);
  bool is_in_bounds(std::string_view got);

  const int socket_;
  TlsSession* const tls_;
  ExchangeWatch& watch_;
  std::string out_;
  std::string in_;
  std::string plain_;
  std::size_t read_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace web
