// What is said to a service manager's socket.
#include "gateway/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>

using gateway::tell_service_manager;

namespace {

/// A service manager: a socket, named in the environment while this lives.
class Manager {
 public:
  explicit Manager(std::string name) : name_(std::move(name)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name_[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    REQUIRE(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    ::setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(socket_);
    if (name_[0] != '@') std::filesystem::remove(name_);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// The next datagram; nothing where there is none.
  std::string heard() const {
    std::array<char, 100> bytes{};
    const auto size = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return size < 0 ? "nothing" : std::string(bytes.data(), static_cast<std::size_t>(size));
  }

 private:
  const std::string name_;
  const int socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

}  // namespace

TEST_CASE("a service manager hears one datagram, at a path or an abstract name") {
  const std::string process = std::to_string(::getpid());
  const std::string name =
      GENERATE_COPY(std::filesystem::temp_directory_path().string() + "/modgate-notify-" + process,
                    "@modgate-notify-" + process);
  const Manager manager(name);
  tell_service_manager("READY=1");
  CHECK(manager.heard() == "READY=1");
  tell_service_manager("STOPPING=1");
  CHECK(manager.heard() == "STOPPING=1");
  CHECK(manager.heard() == "nothing");
}

TEST_CASE("without a service manager, or with a name of none, nothing happens") {
  ::unsetenv("NOTIFY_SOCKET");
  tell_service_manager("READY=1");
  for (const std::string& name :
       {std::string(), std::string("/nowhere/notify"), std::string(300, 'x'), std::string("@")}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    tell_service_manager("READY=1");
  }
  ::unsetenv("NOTIFY_SOCKET");
}
