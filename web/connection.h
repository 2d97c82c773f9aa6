// One connection of the front: what it has read of a request, what it has not yet sent of an
// answer, and until when. Never blocks; starts nothing by itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mapping/services.h"
#include "web/connection_front.h"
#include "web/connection_wire.h"
#include "web/request_reader.h"

namespace web {

/// Who may touch a connection: the epoll thread, but for `running`, when a worker may. The worker
/// hands it back by clearing running and arming the socket, in this order, and then touches
/// nothing but the descriptor, which its shared_ptr keeps from being closed and used anew.
struct Connection {
  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t {
    reading,    ///< a handshake, a head, a body, or nothing yet (idle)
    writing,    ///< what the client did not take at once
    lingering,  ///< all is sent and our side closed; waits for the client's end
    broken,     ///< to be closed
  };

  /// options: of the front, which outlives its connections. tls: null = plain.
  Connection(Descriptor accepted, const ConnectionFrontOptions& options, const TlsContext* tls,
             std::string peer);

  int socket() const { return wire.descriptor(); }
  /// What epoll is to wait for, once.
  std::uint32_t events() const;

  /// Takes bytes of requests.
  RequestReader::Progress feed(std::string_view bytes);
  /// Goes on with what a pipelining client sent behind the request that was answered.
  RequestReader::Progress next();
  /// Begins to send an answer: whole, or as much as the client takes now.
  void answer(RawResponse response);
  /// Goes on with it. When all is sent, the connection reads again, or lingers where it is to
  /// close.
  void send();
  /// Tells a client that waits for it to send its body.
  void send_continue();
  /// Lingering: reads past what still comes. False: nothing comes any more.
  bool discard() const;
  /// What the kernel still holds for a client that takes nothing goes too: reset, not closed.
  void drop_unsent() const;

  ConnectionWire wire;
  RequestReader reader;
  const std::string peer_address;
  std::uint64_t id = 0;
  std::atomic<bool> running{false};
  State state = State::reading;
  Clock::time_point since;     ///< it waits for its client: single bytes of one do not move it
  Clock::time_point deadline;  ///< of that
  Clock::time_point received;  ///< when the request that runs was whole
  bool close = false;          ///< after the answer
  /// Which limit it is over: it is told so, and no more. Empty = it is served.
  std::string_view surplus;

 private:
  void wait_for_request();
  void wait(Clock::duration time);

  const ConnectionFrontOptions& options_;
  RawResponse out_;       ///< while writing: its head, and what of its body is not sent
  std::size_t sent_ = 0;  ///< bytes of the head
};
using ConnectionPointer = std::shared_ptr<Connection>;

/// The client's going away, seen by poll: a FIN or RST, though unread requests lie before it.
/// A client that only ends its own side looks the same, so it counts as gone too.
class ClientGone : public mapping::Cancellation {
 public:
  explicit ClientGone(int socket) : socket_(socket) {}

  bool requested() override;
  /// An epoll descriptor, itself fit for poll: readable when the client goes, and, unlike the
  /// socket, not when it pipelines a further request.
  int descriptor() const override;

 private:
  const int socket_;
  bool gone_ = false;
  mutable Descriptor watch_;
};

}  // namespace web
