#include "web/socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace web {
namespace {

mapping::Result<SocketAddress> parse_address(const std::string& bind, std::uint16_t port) {
  SocketAddress address{};
  if (::inet_pton(AF_INET, bind.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return address;
  }
  std::string bare = bind;
  if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') {
    bare = bare.substr(1, bare.size() - 2);
  }
  if (::inet_pton(AF_INET6, bare.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return address;
  }
  return mapping::Fault{mapping::Fault::Kind::invalid_value,
                        "bind is not a numeric IPv4 or IPv6 address"};
}

}  // namespace

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

std::string to_text(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = &address.v4.sin_addr;
  int family = AF_INET;
  if (address.any.sa_family == AF_INET6) {
    if (IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) {
      bytes = &address.v6.sin6_addr.s6_addr[12];
    } else {
      bytes = &address.v6.sin6_addr;
      family = AF_INET6;
    }
  }
  return ::inet_ntop(family, bytes, text.data(), text.size()) == nullptr ? "" : text.data();
}

std::string error_text() { return std::generic_category().message(errno); }

mapping::Result<Listening> listen_on(const std::string& bind, std::uint16_t port) {
  const auto address = parse_address(bind, port);
  if (!address) return address.fault();
  const auto fault = [&](std::string_view call) {
    return mapping::Fault{
        mapping::Fault::Kind::invalid_value,
        fmt::format("cannot listen on {} port {}: {}: {}", bind, port, call, error_text())};
  };
  const int family = address.value().any.sa_family;
  Descriptor socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fault("socket");
  const int one = 1;
  // Not SO_REUSEPORT: a second server on this port must be an error, not a lottery.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (::bind(socket.get(), &address.value().any, length) != 0) return fault("bind");
  constexpr int backlog = 512;
  if (::listen(socket.get(), backlog) != 0) return fault("listen");
  SocketAddress bound{};
  socklen_t bound_length = sizeof bound;
  if (::getsockname(socket.get(), &bound.any, &bound_length) != 0) return fault("getsockname");
  Listening result;
  result.port = ntohs(family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
  result.socket = std::move(socket);
  return result;
}

}  // namespace web
