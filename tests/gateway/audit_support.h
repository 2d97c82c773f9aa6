// A collector on the loopback, and an audit trail that sends to it.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dimse/descriptor.h"
#include "gateway/audit_trail.h"
#include "tests/gateway/queue_support.h"

namespace audit_test {

/// Syslog over UDP; takes what comes when it is asked to.
class Collector {
 public:
  explicit Collector(std::uint16_t wanted = 0) : socket_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(wanted);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    const int room = 8 << 20;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    REQUIRE(::bind(socket_.get(), any, size) == 0);
    REQUIRE(::getsockname(socket_.get(), any, &size) == 0);
    port = ntohs(address.sin_port);
  }
  /// The next message; it comes within some seconds, or the test fails.
  std::string receive() const {
    pollfd ready{socket_.get(), POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 15'000) == 1);
    std::string bytes(65'536, '\0');
    const auto got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    REQUIRE(got >= 0);
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
  }
  /// None is there now.
  bool silent() const {
    pollfd ready{socket_.get(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 0;
  }
  std::uint16_t port = 0;

 private:
  dimse::Descriptor socket_;
};

/// A port that nobody listens on.
inline std::uint16_t free_port() { return Collector().port; }

class Lines {
 public:
  mapping::Log log() {
    return [this](mapping::LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex_);
      all_.emplace_back(line);
    };
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
};

inline gateway::AuditOptions options_for(const queue_test::Directory& directory,
                                         std::uint16_t port) {
  gateway::AuditOptions options;
  options.syslog.target = {gateway::SyslogTarget::Transport::udp, "127.0.0.1", port};
  options.rules.source.id = "gate";
  options.state_dir = directory.path();
  options.retry_first = options.retry_max = std::chrono::milliseconds(20);
  return options;
}

inline void change(gateway::AuditTrail& trail, std::optional<gateway::AuditOptions> options) {
  auto prepared = trail.prepare(std::move(options));
  if (!prepared) FAIL(prepared.fault().what);
  prepared.value()();
}

inline std::unique_ptr<gateway::AuditTrail> open_trail(const gateway::AuditOptions& options,
                                                       mapping::Log log) {
  auto trail = std::make_unique<gateway::AuditTrail>(std::move(log));
  change(*trail, options);
  return trail;
}

/// Whether the condition becomes true within some seconds.
template <class Condition>
bool eventually(const Condition& condition) {
  for (int i = 0; i < 1'500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// The disk takes nothing as long as this lives: files may not grow.
class FullDisk {
 public:
  FullDisk() {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
};

}  // namespace audit_test
