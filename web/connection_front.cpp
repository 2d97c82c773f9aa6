#include "web/connection_front.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "web/connection_wire.h"
#include "web/socket.h"

namespace web {
namespace {

using Clock = std::chrono::steady_clock;
using mapping::LogLevel;

/// Who may touch a connection: the epoll thread, but for `running`, when a worker may. The worker
/// hands it back by clearing running and arming the socket, in this order, and then touches
/// nothing but the descriptor, which its shared_ptr keeps from being closed and used anew.
struct Connection {
  enum class State : std::uint8_t {
    reading,    ///< a head, a body, or nothing yet (idle)
    writing,    ///< what the client did not take at once
    lingering,  ///< all is sent and our side closed; waits for the client's end
    broken,     ///< to be closed
  };

  Connection(Descriptor accepted, const TlsContext* tls, const RequestLimits& limits,
             std::string peer)
      : wire(std::move(accepted), tls), reader(limits), peer_address(std::move(peer)) {}

  int socket() const { return wire.descriptor(); }

  ConnectionWire wire;
  RequestReader reader;
  const std::string peer_address;
  std::uint64_t id = 0;
  std::atomic<bool> running{false};
  State state = State::reading;
  Clock::time_point deadline;
  Clock::time_point received;    ///< when the request that runs was whole
  bool close = false;            ///< after the answer
  bool surplus = false;          ///< over the limit of connections: told so, and no more
  std::vector<RawResponse> out;  ///< one answer; before it, perhaps, a 100 Continue
  std::size_t sent = 0;          ///< bytes of out
};
using ConnectionPointer = std::shared_ptr<Connection>;

/// The client's going away, seen by poll: a FIN or RST, though unread requests lie before it.
/// A client that only ends its own side looks the same, so it counts as gone too.
class ClientGone : public mapping::Cancellation {
 public:
  explicit ClientGone(int socket) : socket_(socket) {}

  bool requested() override {
    if (gone_) return true;
    pollfd look{socket_, POLLRDHUP, 0};
    gone_ = ::poll(&look, 1, 0) > 0;
    return gone_;
  }

  /// An epoll descriptor, itself fit for poll: readable when the client goes, and, unlike the
  /// socket, not when it pipelines a further request.
  int descriptor() const override {
    if (!watch_) {
      Descriptor watch(::epoll_create1(EPOLL_CLOEXEC));
      epoll_event event{};
      event.events = EPOLLRDHUP;
      if (watch && ::epoll_ctl(watch.get(), EPOLL_CTL_ADD, socket_, &event) == 0) {
        watch_ = std::move(watch);
      }
    }
    return watch_.get();
  }

 private:
  const int socket_;
  bool gone_ = false;
  mutable Descriptor watch_;
};

}  // namespace

class ConnectionFront::Impl {
 public:
  Impl(ConnectionFrontOptions options, RequestHandler handler, RefusalHandler refusal_handler,
       mapping::Log log)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        refusal_handler_(std::move(refusal_handler)),
        log_(std::move(log)) {}
  ~Impl() { stop(std::chrono::milliseconds(0)); }

  mapping::Result<std::uint16_t> start();
  void stop(std::chrono::milliseconds grace);

 private:
  // The epoll thread.
  void gather();
  void accept_all();
  void add(Descriptor socket, std::string peer);
  void wake_up();
  void handle(const ConnectionPointer& connection);
  void read(const ConnectionPointer& connection);
  void go_on(const ConnectionPointer& connection, RequestReader::Progress progress);
  void sweep();
  void begin_stop();
  static void drop_unsent(const Connection& connection);
  void close(const ConnectionPointer& connection);
  bool finished() const;

  // The workers.
  void work();
  ConnectionPointer next_request();
  void answer(const ConnectionPointer& connection);
  RawResponse run(Connection& connection, const RawRequest& request);

  // Whoever owns the connection.
  void dispatch(const ConnectionPointer& connection);
  void refuse(Connection& connection, const Refusal& refusal);
  bool send(Connection& connection);
  void after_send(Connection& connection);
  void arm(const Connection& connection);
  void hand_back(const ConnectionPointer& connection);
  std::chrono::milliseconds tick() const;

  const ConnectionFrontOptions options_;
  const RequestHandler handler_;
  const RefusalHandler refusal_handler_;
  const mapping::Log log_;

  // Constant after start.
  Descriptor epoll_;
  Descriptor wake_;
  std::thread gatherer_;
  std::vector<std::thread> workers_;

  // The epoll thread's own.
  Descriptor listener_;
  bool listening_ = false;  ///< the listener is armed
  std::unordered_map<std::uint64_t, ConnectionPointer> connections_;
  std::uint64_t last_id_ = 1;
  std::size_t surplus_ = 0;  ///< of connections_
  std::vector<char> buffer_;
  bool begun_to_stop_ = false;
  bool grace_is_over_ = false;

  std::atomic<bool> stopping_{false};
  std::atomic<Clock::time_point> stop_deadline_{Clock::time_point::max()};

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<ConnectionPointer> queue_;  // guarded by mutex_
  bool workers_end_ = false;             // guarded by mutex_
};

namespace {
constexpr std::uint64_t wake_id = 0;
constexpr std::uint64_t listener_id = 1;
constexpr std::size_t receive_size = 64u << 10;
constexpr std::chrono::milliseconds linger_time{1000};
constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";

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
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.workers, 1); ++i) {
    workers_.emplace_back([this] { work(); });
  }
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
  {
    const std::lock_guard lock(mutex_);
    workers_end_ = true;
  }
  arrived_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
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
    for (int i = 0; i < count; ++i) {
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      if (id == wake_id) {
        wake_up();
      } else if (id == listener_id) {
        accept_all();
      } else if (const auto found = connections_.find(id); found != connections_.end()) {
        handle(ConnectionPointer(found->second));
      }
    }
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

void ConnectionFront::Impl::accept_all() {
  while (listener_ && !stopping_) {
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
  auto connection = std::make_shared<Connection>(std::move(socket), options_.tls.get(),
                                                 options_.limits, std::move(peer));
  connection->id = ++last_id_;
  connection->deadline = Clock::now() + options_.head_timeout;
  connection->surplus = connections_.size() - surplus_ >= options_.max_connections;
  constexpr std::size_t max_surplus = 64;
  // Closed without a word, as is whoever would have to be told so in TLS.
  if (connection->surplus && (surplus_ >= max_surplus || options_.tls)) return;
  if (!watch(epoll_.get(), EPOLL_CTL_ADD, connection->socket(), connection->id,
             EPOLLIN | EPOLLONESHOT)) {
    return;
  }
  connections_.emplace(connection->id, connection);
  if (!connection->surplus) return;
  ++surplus_;
  refuse(*connection, {503, "This server has too many connections open"});
  arm(*connection);
}

void ConnectionFront::Impl::handle(const ConnectionPointer& connection) {
  if (connection->running.load(std::memory_order_acquire)) return;
  switch (connection->state) {
    case Connection::State::reading:
      read(connection);
      break;
    case Connection::State::writing:
      if (send(*connection)) after_send(*connection);
      if (connection->state == Connection::State::reading) {
        go_on(connection, connection->reader.next());
      } else {
        arm(*connection);
      }
      break;
    case Connection::State::lingering: {
      std::array<char, 4096> discarded{};
      const ssize_t got = ::recv(connection->socket(), discarded.data(), discarded.size(), 0);
      if (got > 0 || (got < 0 && errno == EAGAIN)) {
        arm(*connection);
      } else {
        close(connection);
      }
      break;
    }
    case Connection::State::broken:
      close(connection);
      break;
  }
}

void ConnectionFront::Impl::read(const ConnectionPointer& connection) {
  std::string_view got;
  switch (connection->wire.receive(buffer_, got)) {
    case ConnectionWire::Received::nothing:
      arm(*connection);
      return;
    case ConnectionWire::Received::ended:
      if (const std::string fault = connection->wire.tls_fault(); !fault.empty()) {
        log_(LogLevel::info, fmt::format("web: {} TLS: {}", connection->peer_address, fault));
      }
      close(connection);
      return;
    case ConnectionWire::Received::bytes:
      break;
  }
  if (!connection->reader.begun()) connection->deadline = Clock::now() + options_.head_timeout;
  const auto before = connection->reader.progress();
  const auto progress = connection->reader.feed(got);
  if (before == RequestReader::Progress::head && progress == RequestReader::Progress::body) {
    connection->deadline = Clock::now() + options_.body_timeout;
  }
  go_on(connection, progress);
}

void ConnectionFront::Impl::go_on(const ConnectionPointer& connection,
                                  RequestReader::Progress progress) {
  if (progress == RequestReader::Progress::whole) {
    dispatch(connection);
    return;
  }
  if (progress == RequestReader::Progress::refused) {
    refuse(*connection, connection->reader.refusal());
  } else if (connection->reader.take_expectation()) {
    if (!connection->wire.send_now(continue_line)) {
      connection->state = Connection::State::broken;
    }
  }
  arm(*connection);
}

void ConnectionFront::Impl::sweep() {
  const auto now = Clock::now();
  if (stopping_ && !grace_is_over_ && now >= stop_deadline_.load()) {
    grace_is_over_ = true;
    // Makes the cancellation of every running request fire.
    for (const auto& [id, connection] : connections_) {
      ::shutdown(connection->socket(), SHUT_RDWR);
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
      if (connection->state == Connection::State::writing) drop_unsent(*connection);
      close(connection);
      continue;
    }
    refuse(*connection, stopping_ ? Refusal{503, "This server is stopping"}
                                  : Refusal{408, "The request did not arrive in time"});
    arm(*connection);
  }
}

/// What the kernel still holds for a client that takes nothing goes too: reset, not closed.
void ConnectionFront::Impl::drop_unsent(const Connection& connection) {
  const linger reset{1, 0};
  ::setsockopt(connection.socket(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
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
  if (connection->surplus) --surplus_;
  connections_.erase(connection->id);
}

// --- The workers --------------------------------------------------------------------------------

void ConnectionFront::Impl::work() {
  while (const ConnectionPointer connection = next_request()) answer(connection);
}

ConnectionPointer ConnectionFront::Impl::next_request() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return !queue_.empty() || workers_end_; });
  if (queue_.empty()) return nullptr;
  ConnectionPointer connection = std::move(queue_.front());
  queue_.pop_front();
  return connection;
}

void ConnectionFront::Impl::answer(const ConnectionPointer& connection) {
  const RawRequest request = connection->reader.take();
  connection->close = request.wants_close() || stopping_;
  connection->out.push_back(run(*connection, request));
  connection->close = connection->close || connection->out.back().close;
  connection->deadline = Clock::now() + options_.write_timeout;
  connection->state = Connection::State::writing;
  if (send(*connection)) after_send(*connection);
  // What a pipelining client sent behind it goes to the end of the queue.
  if (connection->state == Connection::State::reading && connection->reader.begun()) {
    const auto progress = connection->reader.next();
    if (progress == RequestReader::Progress::whole) {
      dispatch(connection);
      return;
    }
    if (progress == RequestReader::Progress::refused) {
      refuse(*connection, connection->reader.refusal());
    }
  }
  hand_back(connection);
}

RawResponse ConnectionFront::Impl::run(Connection& connection, const RawRequest& request) {
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

void ConnectionFront::Impl::dispatch(const ConnectionPointer& connection) {
  connection->received = Clock::now();
  connection->running.store(true, std::memory_order_release);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(connection);
  }
  arrived_.notify_one();
}

void ConnectionFront::Impl::refuse(Connection& connection, const Refusal& refusal) {
  log_(LogLevel::info,
       fmt::format("web: {} refused: {} {}", connection.peer_address, refusal.status, refusal.why));
  connection.out.push_back(refusal_handler_(refusal));
  connection.close = true;
  connection.deadline = Clock::now() + options_.write_timeout;
  connection.state = Connection::State::writing;
  if (send(connection)) after_send(connection);
}

/// Sends what the client takes now. True if that was all; broken if the client is gone.
bool ConnectionFront::Impl::send(Connection& connection) {
  while (!connection.out.empty()) {
    const RawResponse& response = connection.out.front();
    switch (connection.wire.send(response.head, response.body, connection.sent)) {
      case ConnectionWire::Sent::part:
        return false;
      case ConnectionWire::Sent::broken:
        connection.out.clear();
        connection.state = Connection::State::broken;
        return false;
      case ConnectionWire::Sent::all:
        connection.out.erase(connection.out.begin());
        connection.sent = 0;
    }
  }
  return true;
}

void ConnectionFront::Impl::after_send(Connection& connection) {
  if (connection.close || stopping_) {
    // A close with unread bytes would reset the connection and take the answer from the client.
    connection.wire.end();
    connection.state = Connection::State::lingering;
    connection.deadline = Clock::now() + linger_time;
    return;
  }
  connection.state = Connection::State::reading;
  const bool begun = connection.reader.begun();
  connection.deadline = Clock::now() + (begun ? options_.head_timeout : options_.idle_timeout);
}

namespace {
std::uint32_t events_for(Connection::State state) {
  const bool to_read = state == Connection::State::reading || state == Connection::State::lingering;
  return (to_read ? EPOLLIN : EPOLLOUT) | EPOLLONESHOT;
}
}  // namespace

/// The epoll thread goes on waiting for what the connection's state needs.
void ConnectionFront::Impl::arm(const Connection& connection) {
  watch(epoll_.get(), EPOLL_CTL_MOD, connection.socket(), connection.id,
        events_for(connection.state));
}

/// The same from a worker, which gives the connection away by it.
void ConnectionFront::Impl::hand_back(const ConnectionPointer& connection) {
  const std::uint32_t events = events_for(connection->state);
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

mapping::Result<std::uint16_t> ConnectionFront::start() { return impl_->start(); }

void ConnectionFront::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace web
