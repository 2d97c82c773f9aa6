#include "web/connection.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace web {
namespace {
constexpr std::chrono::milliseconds linger_time{1000};
constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";
}  // namespace

Connection::Connection(Descriptor accepted, const ConnectionFrontOptions& options,
                       const TlsContext* tls, std::string peer)
    : wire(std::move(accepted), tls),
      reader(options.limits),
      peer_address(std::move(peer)),
      options_(options) {
  wait(options.head_timeout);
}

std::uint32_t Connection::events() const {
  const bool to_read = state == State::reading || state == State::lingering;
  return (to_read ? EPOLLIN : EPOLLOUT) | EPOLLONESHOT;
}

RequestReader::Progress Connection::feed(std::string_view bytes) {
  const bool begins = !reader.begun();
  const auto before = reader.progress();
  const auto progress = reader.feed(bytes);
  if (begins || progress != before) wait_for_request();
  return progress;
}

RequestReader::Progress Connection::next() {
  const auto progress = reader.next();
  wait_for_request();
  return progress;
}

/// Until a further request, or the rest of a head or body: as a whole, more bytes put nothing off.
void Connection::wait_for_request() {
  wait(reader.progress() == RequestReader::Progress::body ? options_.body_timeout
       : reader.begun()                                   ? options_.head_timeout
                                                          : options_.idle_timeout);
}

void Connection::wait(Clock::duration time) {
  since = Clock::now();
  deadline = since + time;
}

void Connection::answer(RawResponse response) {
  out_ = std::move(response);
  sent_ = 0;
  state = State::writing;
  wait(options_.write_timeout);
  send();
}

void Connection::send() {
  const auto result = wire.send(out_.head, out_.body, sent_);
  if (result == ConnectionWire::Sent::part) return;
  out_ = {};
  if (result == ConnectionWire::Sent::broken) {
    state = State::broken;
  } else if (close) {
    // A close with unread bytes would reset the connection and take the answer from the client.
    wire.end();
    state = State::lingering;
    wait(linger_time);
  } else {
    state = State::reading;
    wait_for_request();
  }
}

void Connection::send_continue() {
  if (!wire.send_now(continue_line)) state = State::broken;
}

bool Connection::discard() const {
  std::array<char, 4096> discarded{};
  const ssize_t got = ::recv(socket(), discarded.data(), discarded.size(), 0);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

void Connection::drop_unsent() const {
  const linger reset{1, 0};
  ::setsockopt(socket(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

// ------------------------------------------------------------------------------------------------

bool ClientGone::requested() {
  if (gone_) return true;
  pollfd look{socket_, POLLRDHUP, 0};
  gone_ = ::poll(&look, 1, 0) > 0;
  return gone_;
}

int ClientGone::descriptor() const {
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

}  // namespace web
