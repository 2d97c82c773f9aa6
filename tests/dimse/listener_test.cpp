#include "dimse/listener.h"

#include <sys/resource.h>

#include <atomic>

#include "loopback.h"

using namespace loopback;  // NOLINT: test code
using dimse::Connection;
using dimse::Listener;

namespace {

/// Serves until the peer closes or the listener stops.
void wait_for_the_end(const Connection& connection) {
  pollfd ready[] = {{connection.descriptor, POLLIN, 0}, {connection.stop_descriptor, POLLIN, 0}};
  ::poll(ready, 2, 20000);
}

}  // namespace

TEST_CASE("Each connection is served on a thread of its own, with its peer's address") {
  std::atomic<int> here{0};
  std::mutex mutex;
  std::string address;
  Listener listener(
      {"127.0.0.1", 0, 10},
      [&](const Connection& connection) {
        {
          std::lock_guard lock(mutex);
          address = connection.address;
        }
        ++here;
        wait_for_the_end(connection);
        --here;
      },
      [](mapping::LogLevel, std::string_view) {});
  const auto port = listener.start().value();
  const auto first = RawPeer::connect(port), second = RawPeer::connect(port);
  CHECK(eventually([&] { return here == 2; }));
  listener.stop(20s);
  CHECK(here == 0);
  CHECK(address == "127.0.0.1");
  listener.stop(0ms);  // once more is harmless
}

TEST_CASE("An IPv4 peer of an IPv6 socket shows as IPv4") {
  std::mutex mutex;
  std::string address;
  Listener listener(
      {"::", 0, 10},
      [&](const Connection& connection) {
        std::lock_guard lock(mutex);
        address = connection.address;
      },
      [](mapping::LogLevel, std::string_view) {});
  const auto port = listener.start().value();
  auto peer = RawPeer::connect(port);
  CHECK(peer.closed());
  listener.stop(20s);
  CHECK(address == "127.0.0.1");
}

TEST_CASE("At the limit the oldest that has not settled goes, and nobody who has") {
  std::atomic<int> settled{0};
  Lines lines;
  Listener listener(
      {"127.0.0.1", 0, 3},
      [&](const Connection& connection) {
        char first = 0;
        if (::recv(connection.descriptor, &first, 1, 0) == 1) {
          connection.settle();
          ++settled;
        }
        wait_for_the_end(connection);
      },
      lines.log());
  const auto port = listener.start().value();
  auto member = RawPeer::connect(port);
  member.send("x");
  REQUIRE(eventually([&] { return settled == 1; }));
  auto silent = RawPeer::connect(port), late = RawPeer::connect(port);
  auto newcomer = RawPeer::connect(port);
  CHECK(silent.closed());  // its place was needed
  late.send("x");
  newcomer.send("x");
  REQUIRE(eventually([&] { return settled == 3; }));
  auto refused = RawPeer::connect(port);
  CHECK(refused.closed());
  CHECK(eventually([&] { return lines.hold("too many connections already"); }));
  member.close();
  CHECK(eventually([&] {
    auto next = RawPeer::connect(port);
    next.send("x");
    pollfd ready{next.descriptor(), POLLIN, 0};
    return ::poll(&ready, 1, 50) == 0;  // not closed at once
  }));
}

TEST_CASE("What serving throws ends its connection and no other") {
  Lines lines;
  std::atomic<int> served{0};
  Listener listener(
      {"127.0.0.1", 0, 10},
      [&](const Connection&) {
        if (++served == 1) throw std::runtime_error("boom");
        if (served == 2) throw 7;
      },
      lines.log());
  const auto port = listener.start().value();
  for (int i = 0; i < 3; ++i) CHECK(RawPeer::connect(port).closed());
  CHECK(served == 3);
  CHECK(lines.hold("boom"));
  CHECK(lines.hold("unknown exception"));
}

TEST_CASE("Without descriptors newcomers wait, which is told once, and are served when there are") {
  Lines lines;
  Listener listener(
      {"127.0.0.1", 0, 10}, [](const Connection&) {}, lines.log());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(listener.start().value());
  RawPeer peer(dimse::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{std::min<rlim_t>(64, before.rlim_max), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  std::vector<dimse::Descriptor> all;
  do all.emplace_back(::dup(peer.descriptor()));
  while (all.back());
  CHECK(::connect(peer.descriptor(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  pollfd ready{peer.descriptor(), POLLIN, 0};
  CHECK(::poll(&ready, 1, 300) == 0);  // not served, and tried for again and again
  all.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(peer.closed());
  CHECK(lines.hold("cannot accept"));
  CHECK(lines.count() == 1);
}

TEST_CASE("An address that cannot be had is a fault that names it") {
  Listener holder({"127.0.0.1", 0, 1}, [](const Connection&) {}, {});
  const auto port = holder.start().value();
  Listener second({"127.0.0.1", port, 1}, [](const Connection&) {}, {});
  const auto started = second.start();
  REQUIRE_FALSE(started);
  CHECK(started.fault().what.find("cannot listen on 127.0.0.1 port " + std::to_string(port)) == 0);
  Listener nowhere({"not an address", 0, 1}, [](const Connection&) {}, {});
  CHECK_FALSE(nowhere.start());
}

TEST_CASE("Stopping waits for its grace and then shuts down what is still served") {
  std::atomic<bool> begun{false}, ended{false};
  Listener listener(
      {"127.0.0.1", 0, 10},
      [&](const Connection& connection) {
        begun = true;
        char byte = 0;
        (void)::recv(connection.descriptor, &byte, 1, 0);  // deaf to the stop descriptor
        ended = true;
      },
      [](mapping::LogLevel, std::string_view) {});
  const auto peer = RawPeer::connect(listener.start().value());
  REQUIRE(eventually([&] { return begun.load(); }));
  listener.stop(10ms);
  CHECK(ended);
}
