// Descriptors that close themselves, and how an origin server's port is opened.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <utility>

#include "mapping/result.h"

namespace web {

/// Closes a descriptor when it goes.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor();

  int get() const { return value_; }  ///< -1 if there is none
  explicit operator bool() const { return value_ >= 0; }

 private:
  int value_ = -1;
};

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_storage storage;
};

/// The numeric form; an IPv4 address that came through an IPv6 socket as IPv4.
std::string to_text(const SocketAddress& address);

/// What errno means.
std::string error_text();

struct Listening {
  Descriptor socket;  ///< non-blocking
  std::uint16_t port = 0;
};

/// bind: numeric IPv4 or IPv6 address; port: 0 = any free one. Fault: which call failed, and why.
mapping::Result<Listening> listen_on(const std::string& bind, std::uint16_t port);

}  // namespace web
