#include "web/origin_connections.h"

#include <httplib.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "web/answer_body.h"
#include "web/origin_stream.h"

namespace web {
namespace {

using Clock = std::chrono::steady_clock;
using mapping::NetworkEvent;

/// httplib reads and writes here.
class LibraryStream : public httplib::Stream {
 public:
  explicit LibraryStream(OriginStream& stream) : stream_(stream) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return stream_.socket(); }
  ssize_t write(const char* from, size_t size) override {
    stream_.write({from, size});
    return static_cast<ssize_t>(size);
  }
  ssize_t read(char* to, size_t size) override { return stream_.read(to, size); }

 private:
  OriginStream& stream_;
};

constexpr std::size_t handed_on_at = 256u << 10;  ///< bytes of a body, if not before

/// One kept-alive connection. One thread at a time.
class OriginConnection : private httplib::ClientImpl {
 public:
  explicit OriginConnection(const OriginConnectionsOptions& options)
      : ClientImpl(options.base.host, options.base.port), options_(options) {
    set_keep_alive(true);
    set_follow_location(false);
    set_decompress(false);
    set_url_encode(false);  // targets are encoded already
  }

  OriginReply exchange(const OriginRequest& request, ExchangeWatch& watch);
  /// The last exchange left it open.
  bool is_open() const { return is_socket_open(); }

 private:
  bool create_and_connect_socket(Socket& socket, httplib::Error& error) override;
  bool process_socket(const Socket& socket,
                      std::function<bool(httplib::Stream& stream)> callback) override;
  void drop_if_stale();
  static void read_head(const httplib::Response& head, OriginReply& reply);
  static OriginReply failure(const ExchangeWatch& watch);

  const OriginConnectionsOptions& options_;
  std::unique_ptr<TlsSession> tls_;  ///< of the open connection, where it is https
  ExchangeWatch* watch_ = nullptr;   ///< of the exchange that runs
};

/// The server may have closed it while it was idle, perhaps with a 408 as a farewell, which httplib
/// would take for the answer to the next request.
void OriginConnection::drop_if_stale() {
  if (!is_socket_open()) return;
  pollfd look{socket(), POLLIN | POLLRDHUP, 0};
  if (::poll(&look, 1, 0) > 0) stop();
}

bool OriginConnection::create_and_connect_socket(Socket& socket, httplib::Error& error) {
  const Clock::time_point deadline = watch_->within(options_.connect_timeout);
  socket.sock = connect_to(options_.base, deadline, watch_->connect_fault);
  if (socket.is_open() && !options_.tls) return true;
  watch_->event = NetworkEvent::connect_failed;
  if (socket.is_open()) {
    tls_ = std::make_unique<TlsSession>(*options_.tls, options_.base.host);
    watch_->event = NetworkEvent::none;
    if (shake_hands(socket.sock, *tls_, deadline, *watch_)) return true;
    watch_->event = NetworkEvent::tls_failed;
    watch_->tls_fault = tls_->fault();
    ::close(socket.sock);
    socket.sock = INVALID_SOCKET;
  }
  error = httplib::Error::Connection;
  return false;
}

bool OriginConnection::process_socket(const Socket& socket,
                                      std::function<bool(httplib::Stream& stream)> callback) {
  OriginStream stream(socket.sock, tls_.get(), *watch_);
  LibraryStream library_stream(stream);
  return callback(library_stream);
}

OriginReply OriginConnection::failure(const ExchangeWatch& watch) {
  OriginReply reply;
  reply.event = watch.event;
  reply.tls_fault = watch.tls_fault;
  if (reply.event == NetworkEvent::connect_failed) reply.connect_fault = watch.connect_fault;
  if (reply.event == NetworkEvent::none) {
    // Nothing broke, and yet httplib makes no answer of what came.
    reply.event = watch.closed ? NetworkEvent::connection_lost : NetworkEvent::protocol_error;
  }
  if (watch.cancelled) {
    reply.how = OriginReply::How::cancelled;
  } else if (watch.too_large) {
    reply.how = OriginReply::How::too_large;
  } else if (!watch.sent) {
    reply.how = OriginReply::How::not_sent;
  } else {
    reply.how = OriginReply::How::no_answer;
  }
  // Where we hung up ourselves nothing was lost, and nothing is asked again.
  reply.lost_before_answer = reply.how != OriginReply::How::cancelled &&
                             reply.event == NetworkEvent::connection_lost && !watch.received;
  return reply;
}

void OriginConnection::read_head(const httplib::Response& head, OriginReply& reply) {
  reply.status = head.status;
  reply.content_type = head.get_header_value("Content-Type");
  reply.location = head.get_header_value("Location");
  reply.retry_after = head.get_header_value("Retry-After");
  reply.warnings.clear();
  const auto warnings = head.headers.equal_range("Warning");
  for (auto each = warnings.first; each != warnings.second; ++each) {
    reply.warnings.push_back(each->second);
  }
}

OriginReply OriginConnection::exchange(const OriginRequest& request, ExchangeWatch& watch) {
  watch_ = &watch;
  drop_if_stale();
  httplib::Request sent;
  sent.method = request.method;
  sent.path = request.target;
  sent.headers = {
      {"Accept", request.accept}, {"Accept-Encoding", "gzip"}, {"User-Agent", "modgate"}};
  if (!request.authorization.empty()) {
    sent.headers.emplace("Authorization", request.authorization);
  }
  if (!request.content_type.empty()) {
    sent.headers.emplace("Content-Type", request.content_type);
    sent.body = request.body;
  }
  constexpr int not_modified = 304;
  OriginReply reply;
  AnswerBody body(reply.body, options_.max_response_bytes);
  TakeBody take;
  // The library hands on four kilobytes at a time; who takes the body gets what has come.
  const auto hand_on = [&] {
    if (!take || reply.body.empty()) return true;
    watch.stopped = !take(reply.body);
    reply.body.clear();
    return !watch.stopped;
  };
  watch.ahead = hand_on;
  sent.response_handler = [&](const httplib::Response& head) {
    body.begin(head.get_header_value("Content-Encoding"));
    read_head(head, reply);
    if (request.on_head) take = request.on_head(reply);
    return head.status != not_modified;  // the library would wait for a body
  };
  sent.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    watch.body_came();
    watch.too_large = !body.add({data, size});
    return !watch.too_large && (reply.body.size() < handed_on_at || hand_on());
  };
  httplib::Response received;
  auto error = httplib::Error::Success;
  const bool whole = send(sent, received, error) && hand_on();
  watch.ahead = nullptr;
  if (watch.stopped) {
    reply.how = OriginReply::How::stopped;  // its head is there
    return reply;
  }
  if (!whole && received.status != not_modified) return failure(watch);
  read_head(received, reply);
  reply.how = OriginReply::How::answered;
  if (!body.whole()) {
    reply.body.clear();
    // Of a POST only the status counts, and of a failure, too.
    if (request.method == "GET" && received.status >= 200 && received.status < 300) {
      reply.how = OriginReply::How::no_answer;
      reply.event = NetworkEvent::unreadable_answer;
    }
  }
  return reply;
}

}  // namespace

class OriginConnections::Impl {
 public:
  explicit Impl(OriginConnectionsOptions options) : options_(std::move(options)) {}

  /// Null if none becomes free in time, or the caller gives up.
  std::unique_ptr<OriginConnection> take(ExchangeWatch& watch);
  /// connection: null if it is not to be used again.
  void give(std::unique_ptr<OriginConnection> connection);
  const OriginConnectionsOptions& options() const { return options_; }
  mapping::PoolState state() const;

 private:
  std::size_t limit() const { return std::max<std::size_t>(options_.max_connections, 1); }

  const OriginConnectionsOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<OriginConnection>> idle_;  // guarded by mutex_
  std::size_t taken_ = 0;                                // guarded by mutex_
  std::size_t waiting_ = 0;                              // guarded by mutex_
};

std::unique_ptr<OriginConnection> OriginConnections::Impl::take(ExchangeWatch& watch) {
  std::unique_lock lock(mutex_);
  while (taken_ >= limit()) {
    if (watch.look_at_cancellation() || Clock::now() >= watch.deadline) return nullptr;
    ++waiting_;
    free_.wait_until(lock, watch.within(std::chrono::milliseconds(100)));
    --waiting_;
  }
  ++taken_;
  if (idle_.empty()) return std::make_unique<OriginConnection>(options_);
  // The one used last: the others may grow old and be closed by the server.
  std::unique_ptr<OriginConnection> connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void OriginConnections::Impl::give(std::unique_ptr<OriginConnection> connection) {
  {
    const std::lock_guard lock(mutex_);
    if (connection) idle_.push_back(std::move(connection));
    --taken_;
  }
  free_.notify_one();
}

mapping::PoolState OriginConnections::Impl::state() const {
  const std::lock_guard lock(mutex_);
  const auto open = std::count_if(idle_.begin(), idle_.end(),
                                  [](const auto& connection) { return connection->is_open(); });
  return {static_cast<std::size_t>(open), taken_, waiting_, limit()};
}

OriginConnections::OriginConnections(OriginConnectionsOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

OriginConnections::~OriginConnections() = default;

mapping::PoolState OriginConnections::state() const { return impl_->state(); }

OriginReply OriginConnections::exchange(const OriginRequest& request,
                                        const mapping::Context& context, bool cancellable) {
  ExchangeWatch watch;
  watch.deadline = context.deadline;
  watch.silence = impl_->options().response_timeout;
  if (cancellable) watch.cancellation = context.cancellation;
  auto connection = impl_->take(watch);
  // Sending when no time is left for the answer would only leave doubts.
  if (connection && Clock::now() >= watch.deadline) impl_->give(std::move(connection));
  if (!connection) {
    OriginReply reply;
    reply.how = watch.cancelled ? OriginReply::How::cancelled : OriginReply::How::not_sent;
    reply.event = NetworkEvent::busy;
    return reply;
  }
  OriginReply reply;
  try {
    reply = connection->exchange(request, watch);
  } catch (...) {
    // httplib reads status lines with std::regex, which may throw at what a server sends.
    connection.reset();
    reply.how = watch.sent ? OriginReply::How::no_answer : OriginReply::How::not_sent;
    reply.event = NetworkEvent::protocol_error;
  }
  impl_->give(std::move(connection));
  return reply;
}

}  // namespace web
