#include "web/connection_front.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mapping/current.h"
#include "mapping/log_limit.h"
#include "web/connection.h"
#include "web/connection_limits.h"
#include "web/request_workers.h"
#include "web/socket.h"

namespace web {

using Clock = std::chrono::steady_clock;
using mapping::LogLevel;

/// As many may wait apart on a front of few connections, too.
constexpr std::size_t least_apart = 16;

class ConnectionFront::Impl {
 public:
  Impl(ConnectionFrontOptions options, RequestHandler handler, RefusalHandler refusal_handler,
       mapping::Log log)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        refusal_handler_(std::move(refusal_handler)),
        log_(std::move(log)),
        limits_(options_.max_connections, options_.max_connections_per_address) {}
  ~Impl() { stop(std::chrono::milliseconds(0)); }

  void speak(std::shared_ptr<const TlsContext> tls) { tls_.set(std::move(tls)); }
  mapping::Result<std::uint16_t> start();
  void stop(std::chrono::milliseconds grace);
  std::size_t connections() const { return open_; }
  std::uint64_t refused() const { return refused_; }

 private:
  // The epoll thread.
  void gather();
  void accept();
  void add(Descriptor socket, std::string peer);
  bool make_room(const std::string& peer);
  void wake_up();
  void handle(const ConnectionPointer& connection);
  void read(const ConnectionPointer& connection);
  void sweep();
  void begin_stop();
  void close(const ConnectionPointer& connection);
  bool finished() const;

  // The workers.
  void answer(const ConnectionPointer& connection);
  RawResponse run(Connection& connection, const RawRequest& request);

  // Whoever owns the connection.
  bool go_on(const ConnectionPointer& connection, RequestReader::Progress progress);
  void refuse(Connection& connection, const Refusal& refusal);
  void arm(const Connection& connection);
  void hand_back(const ConnectionPointer& connection);
  std::chrono::milliseconds tick() const;

  const ConnectionFrontOptions options_;
  const RequestHandler handler_;
  const RefusalHandler refusal_handler_;
  const mapping::Log log_;
  const mapping::LogLimit limited_{log_};   ///< what clients can cause without end
  mapping::Current<const TlsContext> tls_;  ///< null: plain

  // Constant after start.
  Descriptor epoll_;
  Descriptor wake_;
  std::thread gatherer_;

  // The epoll thread's own.
  Descriptor listener_;
  bool listening_ = false;  ///< the listener is armed
  std::unordered_map<std::uint64_t, ConnectionPointer> connections_;
  std::uint64_t last_id_ = 1;
  ConnectionLimits limits_;
  std::size_t surplus_ = 0;  ///< of connections_
  std::vector<char> buffer_;
  bool begun_to_stop_ = false;
  bool grace_is_over_ = false;

  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> open_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<Clock::time_point> stop_deadline_{Clock::time_point::max()};

  RequestWorkers workers_{[this](const ConnectionPointer& connection) { answer(connection); }};
};

namespace {
constexpr std::uint64_t wake_id = 0;
constexpr std::uint64_t listener_id = 1;
constexpr std::size_t receive_size = 64u << 10;
/// Accepted at a time, and only when what lies in connections is read: else so many could come at
/// once that they take the room of one whose request is there.
constexpr int accepted_at_a_time = 8;
/// Connections over a limit that are told so at a time; further ones are closed without a word.
constexpr std::size_t max_surplus = 64;
/// For the handshake of one, which has to end before it can be told anything.
constexpr std::chrono::milliseconds surplus_time{2000};

bool watch(int epoll, int operation, int descriptor, std::uint64_t id, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return ::epoll_ctl(epoll, operation, descriptor, &event) == 0;
}
}  // namespace

mapping::Result<std::uint16_t> ConnectionFront::Impl::start() {
  auto listening = listen_on(options_.bind, options_.port);
  if (!listening) return listening.fault();
  const std::uint16_t port = listening.value().port;
  listener_ = std::move(listening.value().socket);
  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = Descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!epoll_ || !wake_ || !watch(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), wake_id, EPOLLIN) ||
      !watch(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), listener_id, EPOLLIN)) {
    return mapping::Fault{mapping::Fault::Kind::invalid_value,
                          "cannot watch the listening socket: " + error_text()};
  }
  listening_ = true;
  gatherer_ = std::thread([this] { gather(); });
  // Not so many wait apart that they hold all connections.
  const std::size_t most_apart = std::max(least_apart, options_.max_connections / 4);
  workers_.start(options_.workers, options_.apart ? most_apart : 0);
  return port;
}

void ConnectionFront::Impl::stop(std::chrono::milliseconds grace) {
  if (!gatherer_.joinable()) return;
  stop_deadline_ = Clock::now() + grace;
  stopping_ = true;
  const std::uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) {
    // The counter is full, so the thread is awake already.
  }
  gatherer_.join();
  workers_.stop();
}

// --- The epoll thread ---------------------------------------------------------------------------

/// How often deadlines are looked at: a fraction of the shortest, so that they hold roughly.
std::chrono::milliseconds ConnectionFront::Impl::tick() const {
  const auto shortest = std::min({options_.head_timeout, options_.body_timeout,
                                  options_.idle_timeout, options_.write_timeout});
  return std::clamp(shortest / 4, std::chrono::milliseconds(10), std::chrono::milliseconds(250));
}

void ConnectionFront::Impl::gather() {
  std::array<epoll_event, 64> events{};
  buffer_.resize(receive_size);
  const auto pause = tick();
  Clock::time_point next_sweep = Clock::now();
  while (!finished()) {
    const bool waiting_for_time = !connections_.empty() || !listening_;
    const int timeout = stopping_ ? 10 : waiting_for_time ? static_cast<int>(pause.count()) : -1;
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    bool arrived = false;
    for (int i = 0; i < count; ++i) {
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      if (id == wake_id) {
        wake_up();
      } else if (id == listener_id) {
        arrived = true;
      } else if (const auto found = connections_.find(id); found != connections_.end()) {
        handle(ConnectionPointer(found->second));
      }
    }
    if (arrived) accept();
    if (stopping_ && !begun_to_stop_) begin_stop();
    const auto now = Clock::now();
    if (now >= next_sweep || stopping_) {
      sweep();
      next_sweep = now + pause;
    }
  }
}

void ConnectionFront::Impl::wake_up() {
  std::uint64_t count = 0;
  if (::read(wake_.get(), &count, sizeof count) < 0) return;  // nothing to drain
}

bool ConnectionFront::Impl::finished() const { return begun_to_stop_ && connections_.empty(); }

void ConnectionFront::Impl::accept() {
  for (int i = 0; i < accepted_at_a_time && listener_ && !stopping_; ++i) {
    SocketAddress address{};
    socklen_t length = sizeof address;
    Descriptor socket(
        ::accept4(listener_.get(), &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      // No descriptors or memory left: look again at the next sweep instead of spinning here.
      log_(LogLevel::error, "web: accept: " + error_text());
      watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), listener_id, 0);
      listening_ = false;
      return;
    }
    add(std::move(socket), to_text(address));
  }
}

void ConnectionFront::Impl::add(Descriptor socket, std::string peer) {
  const int one = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  std::string_view surplus = limits_.enter(peer);
  if (!surplus.empty() && options_.makes_room && make_room(peer)) surplus = limits_.enter(peer);
  ++(surplus.empty() ? open_ : refused_);
  if (!surplus.empty() && surplus_ >= max_surplus) return;
  auto connection =
      std::make_shared<Connection>(std::move(socket), options_, tls_.get().get(), std::move(peer));
  connection->id = ++last_id_;
  connection->surplus = surplus;
  connections_.emplace(connection->id, connection);
  if (!surplus.empty()) {
    ++surplus_;
    connection->deadline = std::min(connection->deadline, Clock::now() + surplus_time);
    if (connection->wire.ready()) refuse(*connection, {503, std::string(surplus)});
  }
  if (!watch(epoll_.get(), EPOLL_CTL_ADD, connection->socket(), connection->id,
             connection->events())) {
    close(connection);
  }
}

/// False: all that could make room for this address are being answered.
bool ConnectionFront::Impl::make_room(const std::string& peer) {
  const bool own = limits_.share_is_taken(peer);
  ConnectionPointer longest;
  for (const auto& [id, connection] : connections_) {
    if (!connection->surplus.empty() || (own && connection->peer_address != peer)) continue;
    if (connection->running.load(std::memory_order_acquire)) continue;
    if (!longest || connection->since < longest->since) longest = connection;
  }
  if (!longest) return false;
  limited_(LogLevel::info, longest->peer_address,
           fmt::format("web: {} ended: silent, and others need the room", longest->peer_address));
  if (longest->state == Connection::State::writing) longest->drop_unsent();
  close(longest);
  return true;
}

void ConnectionFront::Impl::handle(const ConnectionPointer& connection) {
  if (connection->running.load(std::memory_order_acquire)) return;
  switch (connection->state) {
    case Connection::State::reading:
      read(connection);
      break;
    case Connection::State::writing:
      if (stopping_) connection->close = true;
      connection->send();
      if (connection->state != Connection::State::reading ||
          go_on(connection, connection->next())) {
        arm(*connection);
      }
      break;
    case Connection::State::lingering:
      if (connection->discard()) {
        arm(*connection);
      } else {
        close(connection);
      }
      break;
    case Connection::State::broken:
      close(connection);
      break;
  }
}

void ConnectionFront::Impl::read(const ConnectionPointer& connection) {
  std::string_view got;
  const auto received = connection->wire.receive(buffer_, got);
  if (received == ConnectionWire::Received::ended) {
    if (const std::string fault = connection->wire.tls_fault(); !fault.empty()) {
      limited_(LogLevel::info, connection->peer_address,
               fmt::format("web: {} TLS: {}", connection->peer_address, fault));
      if (options_.on_alert && !connection->wire.ready()) {
        options_.on_alert({mapping::SecurityAlert::Kind::node_authentication,
                           {mapping::Caller::Protocol::web, {}, connection->peer_address},
                           "TLS refused: " + fault});
      }
    }
    close(connection);
    return;
  }
  if (!connection->surplus.empty()) {
    if (connection->wire.ready()) refuse(*connection, {503, std::string(connection->surplus)});
    arm(*connection);
    return;
  }
  if (received == ConnectionWire::Received::nothing || go_on(connection, connection->feed(got))) {
    arm(*connection);
  }
}

void ConnectionFront::Impl::sweep() {
  const auto now = Clock::now();
  if (stopping_ && !grace_is_over_ && now >= stop_deadline_.load()) {
    grace_is_over_ = true;
    // Makes the cancellation of every running request fire; its client can still be told.
    for (const auto& [id, connection] : connections_) {
      ::shutdown(connection->socket(), SHUT_RD);
    }
  }
  if (!listening_ && listener_) {
    listening_ = watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), listener_id, EPOLLIN);
  }
  std::vector<ConnectionPointer> expired;
  for (const auto& [id, connection] : connections_) {
    if (connection->running.load(std::memory_order_acquire)) continue;
    const bool unwanted = begun_to_stop_ && connection->state == Connection::State::reading;
    if (now >= connection->deadline || unwanted || grace_is_over_) expired.push_back(connection);
  }
  for (const ConnectionPointer& connection : expired) {
    const bool begun =
        connection->state == Connection::State::reading && connection->reader.begun();
    if (!begun || grace_is_over_) {
      if (connection->state == Connection::State::writing) connection->drop_unsent();
      close(connection);
      continue;
    }
    refuse(*connection, stopping_ ? Refusal{503, "This server is stopping"}
                                  : Refusal{408, "The request did not arrive in time"});
    arm(*connection);
  }
}

void ConnectionFront::Impl::begin_stop() {
  begun_to_stop_ = true;
  listener_ = Descriptor();
  listening_ = false;
}

void ConnectionFront::Impl::close(const ConnectionPointer& connection) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->socket(), nullptr);
  // A worker that just handed it back may still hold the last reference for a moment.
  ::shutdown(connection->socket(), SHUT_RDWR);
  if (connection->surplus.empty()) {
    limits_.leave(connection->peer_address);
    --open_;
  } else {
    --surplus_;
  }
  connections_.erase(connection->id);
}

// --- The workers --------------------------------------------------------------------------------

void ConnectionFront::Impl::answer(const ConnectionPointer& connection) {
  const RawRequest request = connection->reader.take();
  connection->close = request.wants_close() || stopping_;
  RawResponse response = run(*connection, request);
  connection->close = connection->close || response.close || stopping_;
  connection->answer(std::move(response));
  // What a pipelining client sent behind it goes to the end of the queue.
  if (connection->state != Connection::State::reading || go_on(connection, connection->next())) {
    hand_back(connection);
  }
}

RawResponse ConnectionFront::Impl::run(Connection& connection, const RawRequest& request) {
  if (Clock::now() >= stop_deadline_.load()) {
    connection.close = true;
    return refusal_handler_({503, "This server is stopping"});
  }
  ClientGone client_gone(connection.socket());
  RequestContext context;
  context.peer_address = connection.peer_address;
  context.received = connection.received;
  context.close = connection.close;
  context.cancellation = &client_gone;
  try {
    return handler_(request, context);
  } catch (...) {
    log_(LogLevel::error, "web: an exception left a request handler");
    return refusal_handler_({500, "This server failed to handle the request"});
  }
}

// --- Whoever owns the connection ----------------------------------------------------------------

/// Does what the request asks for so far. False: it was given to a worker, who owns the connection.
bool ConnectionFront::Impl::go_on(const ConnectionPointer& connection,
                                  RequestReader::Progress progress) {
  if (progress == RequestReader::Progress::whole) {
    const bool apart = options_.apart && options_.apart(connection->reader.request());
    if (workers_.give(connection, apart)) return false;
    refuse(*connection, {503, "Too many requests wait for their password to be checked"});
  } else if (progress == RequestReader::Progress::refused) {
    refuse(*connection, connection->reader.refusal());
  } else if (connection->reader.take_expectation()) {
    connection->send_continue();
  }
  return true;
}

void ConnectionFront::Impl::refuse(Connection& connection, const Refusal& refusal) {
  limited_(
      LogLevel::info, connection.peer_address,
      fmt::format("web: {} refused: {} {}", connection.peer_address, refusal.status, refusal.why));
  connection.close = true;
  connection.answer(refusal_handler_(refusal));
}

/// The epoll thread goes on waiting for what the connection's state needs.
void ConnectionFront::Impl::arm(const Connection& connection) {
  watch(epoll_.get(), EPOLL_CTL_MOD, connection.socket(), connection.id, connection.events());
}

/// The same from a worker, which gives the connection away by it.
void ConnectionFront::Impl::hand_back(const ConnectionPointer& connection) {
  const std::uint32_t events = connection->events();
  connection->running.store(false, std::memory_order_release);
  // Fails harmlessly if the epoll thread has closed it meanwhile.
  watch(epoll_.get(), EPOLL_CTL_MOD, connection->socket(), connection->id, events);
}

// -------------------------------------------------------------------------------------------------

ConnectionFront::ConnectionFront(ConnectionFrontOptions options, RequestHandler handler,
                                 RefusalHandler refusal_handler, mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler),
                                   std::move(refusal_handler), std::move(log))) {}

ConnectionFront::~ConnectionFront() = default;

void ConnectionFront::speak(std::shared_ptr<const TlsContext> tls) { impl_->speak(std::move(tls)); }

mapping::Result<std::uint16_t> ConnectionFront::start() { return impl_->start(); }

void ConnectionFront::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

std::size_t ConnectionFront::connections() const { return impl_->connections(); }

std::uint64_t ConnectionFront::refused() const { return impl_->refused(); }

}  // namespace web
