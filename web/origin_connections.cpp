#include "web/origin_connections.h"

#include <httplib.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "web/gzip.h"

namespace web {
namespace {

using Clock = std::chrono::steady_clock;
using mapping::NetworkEvent;

int milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

/// now + span, but not past the deadline.
Clock::time_point within(Clock::time_point deadline, std::chrono::milliseconds span) {
  return std::min(deadline, Clock::now() + span);
}

/// What one exchange may take and what became of it.
struct Watch {
  Clock::time_point deadline;
  std::chrono::milliseconds silence;
  mapping::Cancellation* cancellation = nullptr;  ///< null: not to be looked at

  bool sent = false;      ///< a byte of the request was given to the kernel
  bool received = false;  ///< a byte of an answer came
  bool closed = false;    ///< by the server
  bool cancelled = false;
  bool too_large = false;
  bool stopped = false;         ///< no more of the body is wanted
  std::function<bool()> ahead;  ///< called before more is read; false: stop. Null = nothing to do
  NetworkEvent event = NetworkEvent::none;  ///< why it failed
  std::string tls_fault;                    ///< … and what TLS says of it
  std::string connect_fault;                ///< … or the system

  bool look_at_cancellation() {
    cancelled = cancelled || (cancellation != nullptr && cancellation->requested());
    return cancelled;
  }
};

/// Waits until the socket is ready. False if time ran out, or the caller gave up.
bool wait_for(int socket, short events, Clock::time_point deadline, Watch& watch) {
  while (true) {
    if (watch.look_at_cancellation()) return false;
    const int cancel = watch.cancellation == nullptr ? -1 : watch.cancellation->descriptor();
    std::array<pollfd, 2> look{{{socket, events, 0}, {cancel, POLLIN, 0}}};
    // A cancellation without a descriptor is looked at now and then.
    const bool blind = watch.cancellation != nullptr && cancel < 0;
    constexpr int now_and_then = 100;
    const int left = milliseconds_until(deadline);
    const int ready = ::poll(look.data(), look.size(), blind ? std::min(left, now_and_then) : left);
    if (ready < 0 && errno != EINTR) return false;
    if (ready > 0 && look[0].revents != 0) return true;
    if (ready <= 0 && Clock::now() >= deadline) {
      watch.event = NetworkEvent::response_timeout;
      return false;
    }
  }
}

/// httplib reads and writes here. Writes are gathered and leave as one, before the first read.
class WatchedStream : public httplib::Stream {
 public:
  /// tls: null = plain.
  WatchedStream(int socket, TlsSession* tls, Watch& watch)
      : socket_(socket), tls_(tls), watch_(watch) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

  ssize_t write(const char* from, size_t size) override {
    out_.append(from, size);
    return static_cast<ssize_t>(size);
  }

  ssize_t read(char* to, size_t size) override {
    if (!out_.empty() && !flush()) return -1;
    if (read_ == filled_ && !fill()) return watch_.event == NetworkEvent::none ? 0 : -1;
    const std::size_t count = std::min(size, filled_ - read_);
    std::memcpy(to, in_.data() + read_, count);
    read_ += count;
    return static_cast<ssize_t>(count);
  }

 private:
  bool flush() {
    if (tls_ != nullptr) {
      if (!tls_->send(out_)) {
        watch_.event = NetworkEvent::connection_lost;
        return false;
      }
      out_ = tls_->take_output();
    }
    std::size_t done = 0;
    while (done < out_.size()) {
      const ssize_t sent =
          ::send(socket_, out_.data() + done, out_.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        watch_.sent = true;
        done += static_cast<std::size_t>(sent);
      } else if (errno == EAGAIN) {
        if (!wait_for(socket_, POLLOUT, within(watch_.deadline, watch_.silence), watch_)) {
          return false;
        }
      } else if (errno != EINTR) {
        watch_.event = NetworkEvent::connection_lost;
        return false;
      }
    }
    out_.clear();
    return true;
  }

  /// False at the end (event none), or if it failed.
  bool fill() {
    // A long answer is read in few calls.
    in_.resize(filled_ == in_.size() ? most_input : least_input);
    read_ = filled_ = 0;
    if (watch_.ahead && !watch_.ahead()) return false;
    while (true) {
      if (!wait_for(socket_, POLLIN, within(watch_.deadline, watch_.silence), watch_)) {
        if (watch_.event == NetworkEvent::none) watch_.event = NetworkEvent::connection_lost;
        return false;
      }
      const ssize_t got = ::recv(socket_, in_.data(), in_.size(), MSG_DONTWAIT);
      if (got > 0 && tls_ == nullptr) {
        watch_.received = true;
        filled_ = static_cast<std::size_t>(got);
        return true;
      }
      if (got > 0 && decrypt({in_.data(), static_cast<std::size_t>(got)})) return filled_ > 0;
      if (got > 0) continue;
      if (got == 0) {
        watch_.closed = true;
        return false;
      }
      if (errno != EAGAIN && errno != EINTR) {
        watch_.event = NetworkEvent::connection_lost;
        return false;
      }
    }
  }

  /// Replaces what came by what it says. False if that is nothing yet.
  bool decrypt(std::string_view encrypted) {
    plain_.clear();
    const bool goes_on = tls_->receive(encrypted, plain_);
    in_.swap(plain_);
    filled_ = in_.size();
    if (filled_ > 0) {
      watch_.received = true;
      return true;
    }
    in_.resize(least_input);
    if (!goes_on) {
      watch_.closed = tls_->fault().empty();
      if (!watch_.closed) watch_.event = NetworkEvent::connection_lost;
      watch_.tls_fault = tls_->fault();  // with TLS 1.3, a refusal of our certificate comes here
    }
    return !goes_on;
  }

  static constexpr std::size_t least_input = 16u << 10, most_input = 128u << 10;
  const int socket_;
  TlsSession* const tls_;
  Watch& watch_;
  std::string out_;
  std::string in_;
  std::string plain_;
  std::size_t read_ = 0;
  std::size_t filled_ = 0;
};

/// The handshake. False if it failed; the log of the user agent says why.
bool shake_hands(int socket, TlsSession& tls, Clock::time_point deadline, Watch& watch) {
  tls.begin();
  std::array<char, 16u << 10> buffer;
  std::string plain;
  while (true) {
    const std::string out = tls.take_output();  // at most a few kilobytes
    if (!out.empty() &&
        ::send(socket, out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size())) {
      return false;
    }
    if (tls.established()) return true;
    if (!wait_for(socket, POLLIN, deadline, watch)) return false;
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return false;
    const bool goes_on =
        got < 0 || tls.receive({buffer.data(), static_cast<std::size_t>(got)}, plain);
    if (!goes_on && !tls.established()) {
      const std::string alert = tls.take_output();
      ::send(socket, alert.data(), alert.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      return false;
    }
  }
}

/// Tries the addresses of the host one after the other. -1 if none answers in time; fault says what
/// the last one came to.
int connect_to(const BaseUri& base, Clock::time_point deadline, std::string& fault) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int unknown =
      ::getaddrinfo(base.host.c_str(), std::to_string(base.port).c_str(), &hints, &found);
  if (unknown != 0) {
    fault = std::string("unknown host: ") + ::gai_strerror(unknown);
    return -1;
  }
  int connected = -1;
  for (const addrinfo* each = found; each != nullptr && connected < 0; each = each->ai_next) {
    const int socket = ::socket(each->ai_family, each->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                each->ai_protocol);
    if (socket < 0) continue;
    int error = ::connect(socket, each->ai_addr, each->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd look{socket, POLLOUT, 0};
      socklen_t length = sizeof error;
      error = ETIMEDOUT;
      if (::poll(&look, 1, milliseconds_until(deadline)) > 0) {
        ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
      }
    }
    if (error == 0) {
      connected = socket;
    } else {
      fault = "cannot connect: " + std::generic_category().message(error);
      ::close(socket);
    }
  }
  ::freeaddrinfo(found);
  const int one = 1;
  if (connected >= 0) ::setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return connected;
}

/// Gathers the body of an answer, decompressed; neither form of it grows beyond max_bytes.
class AnswerBody {
 public:
  AnswerBody(std::string& body, std::size_t max_bytes)
      : body_(body), max_bytes_(max_bytes), left_(max_bytes) {}

  /// Before the first byte. coding: value of Content-Encoding.
  void begin(std::string coding) {
    for (char& c : coding) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (coding == "gzip" || coding == "x-gzip") {
      inflater_.emplace(max_bytes_);
    } else {
      unknown_ = !coding.empty() && coding != "identity";
    }
  }
  /// False: it is too large.
  bool add(std::string_view bytes) {
    if (bytes.size() > left_) return false;
    left_ -= bytes.size();
    begun_ = begun_ || !bytes.empty();
    if (unknown_) return true;
    if (!inflater_) {
      body_ += bytes;
      return true;
    }
    const auto take = [this](std::string_view plain) {
      body_ += plain;
      return true;
    };
    return inflater_->add(bytes, take) != Inflater::State::too_large;
  }
  /// After the last byte: whether body is what the server meant. Half a gzip must never be taken
  /// for the empty body that says "no match".
  bool whole() const {
    return !begun_ || (!unknown_ && (!inflater_ || inflater_->state() == Inflater::State::whole));
  }

 private:
  std::string& body_;
  const std::size_t max_bytes_;
  std::size_t left_;  ///< of the bytes as they come
  std::optional<Inflater> inflater_;
  bool unknown_ = false;  ///< a coding that was not asked for
  bool begun_ = false;
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

  OriginReply exchange(const OriginRequest& request, Watch& watch);
  /// The last exchange left it open.
  bool is_open() const { return is_socket_open(); }

 private:
  bool create_and_connect_socket(Socket& socket, httplib::Error& error) override;
  bool process_socket(const Socket& socket,
                      std::function<bool(httplib::Stream& stream)> callback) override;
  void drop_if_stale();
  static void read_head(const httplib::Response& head, OriginReply& reply);
  static OriginReply failure(const Watch& watch);

  const OriginConnectionsOptions& options_;
  std::unique_ptr<TlsSession> tls_;  ///< of the open connection, where it is https
  Watch* watch_ = nullptr;           ///< of the exchange that runs
};

/// The server may have closed it while it was idle, perhaps with a 408 as a farewell, which httplib
/// would take for the answer to the next request.
void OriginConnection::drop_if_stale() {
  if (!is_socket_open()) return;
  pollfd look{socket(), POLLIN | POLLRDHUP, 0};
  if (::poll(&look, 1, 0) > 0) stop();
}

bool OriginConnection::create_and_connect_socket(Socket& socket, httplib::Error& error) {
  const Clock::time_point deadline = within(watch_->deadline, options_.connect_timeout);
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
  WatchedStream stream(socket.sock, tls_.get(), *watch_);
  return callback(stream);
}

OriginReply OriginConnection::failure(const Watch& watch) {
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

OriginReply OriginConnection::exchange(const OriginRequest& request, Watch& watch) {
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
  std::unique_ptr<OriginConnection> take(Watch& watch);
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

std::unique_ptr<OriginConnection> OriginConnections::Impl::take(Watch& watch) {
  std::unique_lock lock(mutex_);
  while (taken_ >= limit()) {
    if (watch.look_at_cancellation() || Clock::now() >= watch.deadline) return nullptr;
    ++waiting_;
    free_.wait_until(lock, within(watch.deadline, std::chrono::milliseconds(100)));
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
  Watch watch;
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
