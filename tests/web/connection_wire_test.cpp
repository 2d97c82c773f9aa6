// What a connection receives and sends, over a pair of sockets. Through TLS: tls_test.
#include "web/connection_wire.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <optional>
#include <string>

using web::Body;
using web::ConnectionWire;
using Received = ConnectionWire::Received;
using Sent = ConnectionWire::Sent;

namespace {

/// A wire, and the other end.
struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0);
    wire.emplace(web::Descriptor(ends[0]), nullptr);
    peer = web::Descriptor(ends[1]);
  }
  /// All that is there.
  std::string taken() const {
    std::string all;
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t got = ::read(peer.get(), buffer.data(), buffer.size());
      if (got <= 0) return all;
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  std::optional<ConnectionWire> wire;
  web::Descriptor peer;
};

}  // namespace

TEST_CASE("What the peer sent is received, nothing is told from the end") {
  Pair pair;
  std::array<char, 4> buffer{};
  std::string_view got;
  CHECK(pair.wire->receive(buffer, got) == Received::nothing);
  REQUIRE(::write(pair.peer.get(), "abcdef", 6) == 6);
  CHECK(pair.wire->receive(buffer, got) == Received::bytes);
  CHECK(got == "abcd");
  CHECK(pair.wire->receive(buffer, got) == Received::bytes);
  CHECK(got == "ef");
  CHECK(pair.wire->receive(buffer, got) == Received::nothing);
  CHECK(pair.wire->ready());
  CHECK(pair.wire->tls_fault().empty());
  pair.peer = web::Descriptor();
  CHECK(pair.wire->receive(buffer, got) == Received::ended);
}

TEST_CASE("An answer goes on where the peer stopped taking it, byte for byte") {
  Pair pair;
  const std::string head = "head\r\n\r\n";
  std::string text;
  for (int i = 0; text.size() < (4u << 20); ++i) text += std::to_string(i) + ",";
  Body body;
  for (std::size_t at = 0; at < text.size(); at += 1000) body.append(text.substr(at, 1000));
  std::size_t sent = 0;
  std::string all;
  int rounds = 0;
  for (Sent result = Sent::part; result == Sent::part; ++rounds) {
    REQUIRE(rounds < 10'000);
    result = pair.wire->send(head, body, sent);
    CHECK(result != Sent::broken);
    all += pair.taken();
  }
  CHECK(rounds > 1);
  CHECK(sent == head.size());
  CHECK(body.size() == 0);
  CHECK(all == head + text);
}

TEST_CASE("A head without a body, and a body of nothing, are sent whole") {
  Pair pair;
  std::size_t sent = 0;
  Body nothing;
  CHECK(pair.wire->send("head", nothing, sent) == Sent::all);
  CHECK(sent == 4);
  CHECK(pair.wire->send("head", nothing, sent) == Sent::all);  // nothing is left of it
  CHECK(pair.wire->send_now("now"));
  CHECK(pair.taken() == "headnow");
}

TEST_CASE("Behind the end nothing comes, but the peer may still send") {
  Pair pair;
  pair.wire->end();
  char byte = 0;
  CHECK(::read(pair.peer.get(), &byte, 1) == 0);
  REQUIRE(::write(pair.peer.get(), "x", 1) == 1);
  std::array<char, 4> buffer{};
  std::string_view got;
  CHECK(pair.wire->receive(buffer, got) == Received::bytes);
  CHECK(got == "x");
}

TEST_CASE("To a peer that is gone the wire is broken") {
  Pair pair;
  pair.peer = web::Descriptor();
  std::size_t sent = 0;
  Body body(std::string("body"));
  CHECK(pair.wire->send("head", body, sent) == Sent::broken);
  CHECK_FALSE(pair.wire->send_now("now"));
}
