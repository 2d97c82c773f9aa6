#include "web/origin_stream.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <system_error>

namespace web {
namespace {

using Clock = ExchangeWatch::Clock;
using mapping::NetworkEvent;

constexpr std::size_t least_input = 16u << 10, most_input = 128u << 10;
/// Around a body. The library reads lines, and heads, of any length, and a status line by
/// recursion: one of some ten thousand bytes would exhaust the stack.
constexpr std::size_t longest_line = 8u << 10, most_around = 64u << 10;

int milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

/// Waits until the socket is ready. False if time ran out, or the caller gave up.
bool wait_for(int socket, short events, Clock::time_point deadline, ExchangeWatch& watch) {
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

}  // namespace

ssize_t OriginStream::read(char* to, std::size_t size) {
  if (!out_.empty() && !flush()) return -1;
  if (read_ == filled_ && !fill()) return watch_.event == NetworkEvent::none ? 0 : -1;
  const std::size_t count = std::min(size, filled_ - read_);
  const std::string_view got(in_.data() + read_, count);
  if (!is_in_bounds(got)) return -1;
  std::memcpy(to, got.data(), count);
  read_ += count;
  return static_cast<ssize_t>(count);
}

bool OriginStream::is_in_bounds(std::string_view got) {
  const auto end = got.rfind('\n');
  watch_.around += got.size();
  watch_.line = end == std::string_view::npos ? watch_.line + got.size() : got.size() - end - 1;
  if (watch_.around <= most_around && watch_.line <= longest_line) return true;
  watch_.event = NetworkEvent::protocol_error;
  return false;
}

bool OriginStream::flush() {
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
      if (!wait_for(socket_, POLLOUT, watch_.within(watch_.silence), watch_)) {
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
bool OriginStream::fill() {
  // A long answer is read in few calls.
  in_.resize(filled_ == in_.size() ? most_input : least_input);
  read_ = filled_ = 0;
  if (watch_.ahead && !watch_.ahead()) return false;
  while (true) {
    if (!wait_for(socket_, POLLIN, watch_.within(watch_.silence), watch_)) {
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
bool OriginStream::decrypt(std::string_view encrypted) {
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

bool shake_hands(int socket, TlsSession& tls, Clock::time_point deadline, ExchangeWatch& watch) {
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
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  return connect_to(found, deadline, fault);
}

namespace {

/// A connected socket, or -1 and error.
int connect_to_one(const addrinfo& address, Clock::time_point deadline, int& error) {
  const int socket = ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                              address.ai_protocol);
  error = errno;
  if (socket < 0) return -1;
  error = ::connect(socket, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd look{socket, POLLOUT, 0};
    socklen_t length = sizeof error;
    error = ETIMEDOUT;
    if (::poll(&look, 1, milliseconds_until(deadline)) > 0) {
      ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
    }
  }
  if (error == 0) return socket;
  ::close(socket);
  return -1;
}

}  // namespace

int connect_to(const addrinfo* addresses, Clock::time_point deadline, std::string& fault) {
  int left = 0;
  for (const addrinfo* each = addresses; each != nullptr; each = each->ai_next) ++left;
  int error = EADDRNOTAVAIL;
  for (const addrinfo* each = addresses; each != nullptr; each = each->ai_next) {
    const auto now = Clock::now();
    error = ETIMEDOUT;
    if (now >= deadline) break;
    const int connected = connect_to_one(*each, now + (deadline - now) / left--, error);
    if (connected < 0) continue;
    const int one = 1;
    ::setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return connected;
  }
  fault = "cannot connect: " + std::generic_category().message(error);
  return -1;
}

}  // namespace web
