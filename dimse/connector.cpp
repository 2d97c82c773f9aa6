// Non-blocking connect with our own deadline. DCMTK's is one global number of seconds, IPv4 only.
#include "dimse/connector.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "dimse/transport.h"

namespace dimse {
namespace {

/// 0, or the errno of the failure.
int await_connected(int descriptor, std::chrono::steady_clock::time_point deadline) {
  pollfd peer{descriptor, POLLOUT, 0};
  for (;;) {
    int ready = ::poll(&peer, 1, poll_timeout(deadline));
    if (ready > 0) break;
    if (ready == 0 && std::chrono::steady_clock::now() >= deadline) return ETIMEDOUT;
    if (ready < 0 && errno != EINTR) return errno;
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

Descriptor connect_to(const addrinfo& address, std::chrono::steady_clock::time_point deadline,
                      int& error) {
  Descriptor peer(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  error = !peer ? errno : 0;
  if (error == 0 && ::connect(peer.get(), address.ai_addr, address.ai_addrlen) != 0) {
    error = errno == EINPROGRESS ? await_connected(peer.get(), deadline) : errno;
  }
  if (error != 0) peer.reset();
  return peer;
}

}  // namespace

Descriptor connect_to(const std::string& host, std::uint16_t port,
                      std::chrono::steady_clock::time_point deadline, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found)) {
    why = std::string("unknown host: ") + ::gai_strerror(code);
    return {};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  return connect_to(addresses.get(), deadline, why);
}

Descriptor connect_to(const addrinfo* addresses, std::chrono::steady_clock::time_point deadline,
                      std::string& why) {
  int left = 0;
  for (const auto* address = addresses; address != nullptr; address = address->ai_next) ++left;
  int error = EADDRNOTAVAIL;
  for (const auto* address = addresses; address != nullptr; address = address->ai_next) {
    const auto now = std::chrono::steady_clock::now();
    error = ETIMEDOUT;
    if (now >= deadline) break;
    if (auto peer = connect_to(*address, now + (deadline - now) / left--, error)) return peer;
  }
  why = "cannot connect: " + std::generic_category().message(error);
  return {};
}

}  // namespace dimse
