#include "dimse/transport.h"

#include <fcntl.h>
#include <netinet/tcp.h>

#include "loopback.h"

using namespace loopback;  // NOLINT: test code
using dimse::Transport;
using Status = Transport::Status;
using Wait = Transport::Wait;

namespace {

/// Both ends of a connection; the other end is a bare socket.
struct Pair {
  Pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ours = dimse::Descriptor(ends[0]);
    other = dimse::Descriptor(ends[1]);
    transport.emplace(ours.get());
  }
  void say(std::string_view bytes) {
    REQUIRE(::send(other.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  dimse::Descriptor ours, other;
  std::optional<Transport> transport;
};

Transport::Clock::time_point soon() { return Transport::Clock::now() + 20s; }
Transport::Clock::time_point at_once() { return Transport::Clock::now(); }

}  // namespace

TEST_CASE("Input is gathered until there is enough, and what is left stays") {
  Pair pair;
  auto& transport = *pair.transport;
  pair.say("abc");
  CHECK(transport.fill(2, soon()) == Status::ok);
  CHECK(transport.input() == "abc");
  CHECK(transport.fill(4, at_once()) == Status::timed_out);
  transport.consume(2);
  pair.say("defg");
  CHECK(transport.fill(5, soon()) == Status::ok);
  CHECK(transport.input() == "cdefg");
  transport.consume(5);
  CHECK(transport.input().empty());
  CHECK(transport.fill_available() == Status::ok);  // nothing is no failure
  CHECK(transport.input().empty());
  pair.say("h");
  pair.other.reset();
  CHECK(transport.fill(2, soon()) == Status::closed);
  CHECK(transport.input() == "h");
}

TEST_CASE("More than any buffer holds arrives whole and in order") {
  Pair pair;
  std::string sent;
  for (int i = 0; i < 300'000; ++i) sent += std::to_string(i);
  RawPeer other(std::move(pair.other));
  std::thread writing([&] { other.send(sent); });
  std::string got;
  while (got.size() < sent.size()) {
    REQUIRE(pair.transport->fill(1, soon()) == Status::ok);
    const auto piece = pair.transport->input().substr(0, 7777);
    got += piece;
    pair.transport->consume(piece.size());
  }
  writing.join();
  CHECK(got == sent);
}

TEST_CASE("Output waits for its flush, and a peer that does not read runs into the deadline") {
  Pair pair;
  auto& transport = *pair.transport;
  transport.write("abc");
  CHECK(transport.sent() == 0);
  CHECK(transport.flush(soon()) == Status::ok);
  CHECK(transport.sent() == 3);
  char got[3];
  CHECK(::recv(pair.other.get(), got, sizeof got, 0) == 3);
  transport.write(std::string(8u << 20, 'x'));
  CHECK(transport.flush(Transport::Clock::now() + 20ms) == Status::timed_out);
  const auto unsent = transport.output().size();
  CHECK(transport.flush_available() == Status::ok);
  CHECK(transport.output().size() == unsent);  // it is kept
  pair.other.reset();
  CHECK(transport.flush(soon()) == Status::closed);
}

TEST_CASE("Waiting ends at input, at the descriptor beside, at the end of the peer, and in time") {
  Pair pair, beside;
  auto& transport = *pair.transport;
  CHECK(transport.wait(at_once()) == Wait::timed_out);
  CHECK(transport.wait(at_once(), beside.ours.get()) == Wait::timed_out);
  beside.say("x");
  CHECK(transport.wait(soon(), beside.ours.get()) == Wait::beside);
  transport.write("unsent");
  pair.say("y");
  CHECK(transport.wait(soon(), beside.ours.get()) == Wait::readable);  // the peer comes first
  CHECK(transport.output().empty());
  transport.fill(1, soon());
  transport.consume(1);
  pair.other.reset();
  CHECK(transport.wait(soon()) == Wait::readable);
}

TEST_CASE("Nagle's algorithm is off on every connection") {
  RawScp scp([](RawPeer& peer, int) { peer.receive(1); });
  auto peer = RawPeer::connect(scp.port());
  const Transport transport(peer.descriptor());
  int on = 0;
  socklen_t size = sizeof on;
  REQUIRE(::getsockopt(peer.descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
  CHECK(on != 0);
}

TEST_CASE("Closing gracefully lets the last words arrive, whatever the peer still sends") {
  Pair pair;
  pair.say(std::string(1000, 'x'));  // never read by us
  pair.transport->write("last words");
  std::thread closing([&] { pair.transport->close_gracefully(20s); });
  RawPeer other(std::move(pair.other));
  CHECK(other.receive(100) == "last words");
  other.close();
  closing.join();
}

TEST_CASE("A deadline becomes a timeout of poll: rounded up, none in the past, a day at most") {
  CHECK(dimse::poll_timeout(at_once() - 1s) == 0);
  CHECK(dimse::poll_timeout(at_once() + 1us) >= 0);
  CHECK(dimse::poll_timeout(Transport::Clock::time_point::max()) == 24 * 3600 * 1000);
}
