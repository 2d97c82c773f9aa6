// Buffered, deadline-bound socket input and output.
#include "dimse/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dimse/tls.h"

namespace dimse {
namespace {

constexpr std::size_t initial_input = 8u << 10;
constexpr std::size_t burst_input = 64u << 10;

void set_option(int descriptor, int level, int option, int value) {
  // Failing leaves the connection slower, not wrong (the socket may not be TCP in a test).
  (void)::setsockopt(descriptor, level, option, &value, sizeof value);
}

}  // namespace

int poll_timeout(Transport::Clock::time_point deadline) {
  auto now = Transport::Clock::now();
  if (deadline <= now) return 0;
  constexpr auto day = std::chrono::hours(24);
  auto left = std::min<Transport::Clock::duration>(deadline - now, day);
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
}

Transport::Transport(int descriptor) : Transport(descriptor, nullptr) {}

Transport::Transport(int descriptor, std::unique_ptr<TlsSession> tls)
    : descriptor_(descriptor), tls_(std::move(tls)), receive_on_(POLLIN), send_on_(POLLOUT) {
  set_option(descriptor_, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(descriptor_, SOL_SOCKET, SO_KEEPALIVE, 1);
}

Transport::~Transport() = default;

std::string Transport::tls_failure() const { return tls_ ? tls_->failure() : std::string(); }

// A stock peer with Nagle on waits for an ACK before its next write. The kernel holds one back
// until something goes out that it can ride on: an answer that is ready carries it for nothing.
void Transport::acknowledge() {
  if (owes_acknowledgement_) set_option(descriptor_, IPPROTO_TCP, TCP_QUICKACK, 1);
  owes_acknowledgement_ = false;
}

bool Transport::await(short events, Clock::time_point deadline) {
  acknowledge();
  pollfd peer{descriptor_, events, 0};
  return ::poll(&peer, 1, poll_timeout(deadline)) != 0 || Clock::now() < deadline;
}

void Transport::consume(std::size_t count) {
  begin_ += count;
  if (begin_ == end_) begin_ = end_ = 0;
}

void Transport::make_room(std::size_t wanted) {
  if (input_.empty()) input_.resize(initial_input);
  if (begin_ > 0 && (begin_ + wanted > input_.size() || end_ == input_.size())) {
    std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // A burst filled the buffer: give it more, so that it costs one recv and not ten.
  if (end_ == input_.size())
    wanted = std::max({wanted, burst_input, input_.size() + initial_input});
  if (wanted > input_.size()) input_.resize(wanted);
}

Transport::Status Transport::receive_by_tls() {
  std::size_t got = 0;
  owes_acknowledgement_ = true;  // of a handshake's messages as well
  switch (tls_->receive(input_.data() + end_, input_.size() - end_, got)) {
    case TlsSession::Status::ok:
      end_ += got;
      receive_on_ = POLLIN;
      return Status::ok;
    case TlsSession::Status::wants_input:
      receive_on_ = POLLIN;
      return Status::timed_out;
    case TlsSession::Status::wants_output:
      receive_on_ = POLLOUT;
      return Status::timed_out;
    case TlsSession::Status::closed:
      return Status::closed;
  }
  return Status::closed;
}

/// timed_out: there is nothing now.
Transport::Status Transport::receive() {
  if (tls_) return receive_by_tls();
  for (;;) {
    auto got = ::recv(descriptor_, input_.data() + end_, input_.size() - end_, MSG_DONTWAIT);
    if (got > 0) {
      owes_acknowledgement_ = true;
      end_ += static_cast<std::size_t>(got);
      return Status::ok;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Status::timed_out;
    return Status::closed;
  }
}

Transport::Status Transport::fill_available() {
  make_room(end_ - begin_ + 1);
  auto status = receive();
  // What TLS has decrypted already, no poll would ever tell of.
  while (status == Status::ok && tls_ && tls_->has_input()) {
    make_room(end_ - begin_ + 1);
    status = receive();
  }
  return status == Status::timed_out ? Status::ok : status;
}

Transport::Status Transport::fill(std::size_t wanted, Clock::time_point deadline) {
  if (end_ - begin_ >= wanted) return Status::ok;
  if (auto status = flush(Clock::now() + write_timeout_); status != Status::ok) return status;
  make_room(wanted);
  while (end_ - begin_ < wanted) {
    auto status = receive();
    if (status == Status::closed) return status;
    if (status == Status::ok) continue;
    if (!await(receive_on_, deadline)) return Status::timed_out;
  }
  return Status::ok;
}

Transport::Wait Transport::wait(Clock::time_point deadline, int beside) {
  if (flush(Clock::now() + write_timeout_) != Status::ok) return Wait::readable;  // recv says why
  if (begin_ == end_ && input_.size() > burst_input) input_ = {};
  if (output_.capacity() > initial_input) output_ = {};  // nothing goes out for a while
  if (tls_ && tls_->has_input()) return Wait::readable;
  for (;;) {
    acknowledge();
    pollfd ready[] = {{descriptor_, receive_on_, 0}, {beside, POLLIN, 0}};
    int count = ::poll(ready, beside < 0 ? 1 : 2, poll_timeout(deadline));
    if (count > 0) return ready[0].revents != 0 ? Wait::readable : Wait::beside;
    if (count == 0 && Clock::now() >= deadline) return Wait::timed_out;
  }
}

void Transport::count_sent(std::size_t bytes) {
  owes_acknowledgement_ = false;
  flushed_ += bytes;
  sent_ += bytes;
  if (flushed_ == output_.size()) {
    output_.clear();
    flushed_ = 0;
  }
}

Transport::Status Transport::send_by_tls() {
  std::size_t gone = 0;
  switch (tls_->send(output_.data() + flushed_, output_.size() - flushed_, gone)) {
    case TlsSession::Status::ok:
      count_sent(gone);
      send_on_ = POLLOUT;
      return Status::ok;
    case TlsSession::Status::wants_input:
      send_on_ = POLLIN;
      return Status::timed_out;
    case TlsSession::Status::wants_output:
      send_on_ = POLLOUT;
      return Status::timed_out;
    case TlsSession::Status::closed:
      return Status::closed;
  }
  return Status::closed;
}

Transport::Status Transport::send_once() {
  if (tls_) return send_by_tls();
  for (;;) {
    auto gone = ::send(descriptor_, output_.data() + flushed_, output_.size() - flushed_,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
    if (gone >= 0) {
      count_sent(static_cast<std::size_t>(gone));
      return Status::ok;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Status::timed_out;
    return Status::closed;
  }
}

Transport::Status Transport::flush(Clock::time_point deadline) {
  while (!output_.empty()) {
    auto status = send_once();
    if (status == Status::closed) return status;
    if (status == Status::ok) continue;
    if (!await(send_on_, deadline)) return Status::timed_out;
  }
  return Status::ok;
}

Transport::Status Transport::flush_available() {
  while (!output_.empty()) {
    auto status = send_once();
    if (status == Status::timed_out) return Status::ok;
    if (status == Status::closed) return status;
  }
  return Status::ok;
}

void Transport::close_gracefully(std::chrono::milliseconds at_most) {
  auto deadline = Clock::now() + at_most;
  if (flush(deadline) != Status::ok) return;
  if (tls_) tls_->say_goodbye();
  ::shutdown(descriptor_, SHUT_WR);
  constexpr std::size_t most = 4u << 20;  // a peer that keeps sending is not listened to for ever
  for (std::size_t swallowed = 0; swallowed < most; swallowed += end_) {
    begin_ = end_ = 0;
    make_room(1);
    auto status = receive();
    if (status == Status::closed) return;
    if (status == Status::ok) continue;
    if (!await(receive_on_, deadline)) return;
  }
}

}  // namespace dimse
