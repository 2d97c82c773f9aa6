// A search, or what waits for one, that nobody wants any more. rule F11
#include <future>

#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

TEST_CASE("A full page sends one C-CANCEL, and the association is used again (rule F11)") {
  Front front;
  std::atomic<int> cancelled{0};
  front.services.on_search = [&](const auto&, const auto& on_match, const Context&) {
    for (int i = 0; i < 1'000'000; ++i) {
      if (!on_match({item("A" + std::to_string(i))})) {
        ++cancelled;
        return Outcome::answered(status::cancel);
      }
    }
    return Outcome::answered(status::success);
  };
  dimse::Scu scu(options_for(front.port), {});
  for (int round = 1; round <= 3; ++round) {
    int seen = 0;
    auto outcome = scu.search(
        search_for(identifier()), [&](mapping::Match&&) { return ++seen < 10; }, context());
    CHECK(outcome.status == status::cancel);
    CHECK(seen == 10);
    CHECK(cancelled == round);
    CHECK(scu.pool().taken() == 1);
    CHECK(front.scp->associations() == 1);
  }
  CHECK(scu.echo(context()).good());
}

TEST_CASE("A cancellation during the waiting ends the search, with and without a descriptor") {
  Front front;
  std::promise<void> begun[2];
  std::atomic<int> round{0};
  front.services.on_search = [&](const auto&, const auto&, const Context& with) {
    begun[round].set_value();
    while (!with.cancelled()) std::this_thread::sleep_for(1ms);
    return Outcome::answered(status::cancel);
  };
  dimse::Scu scu(options_for(front.port), {});
  struct PipeToken : Token {
    PipeToken() { REQUIRE(::pipe(ends) == 0); }
    ~PipeToken() override {
      ::close(ends[0]);
      ::close(ends[1]);
    }
    int descriptor() const override { return ends[0]; }
    int ends[2];
  } by_pipe;
  Token plain;
  for (Token* token : {&plain, static_cast<Token*>(&by_pipe)}) {
    auto with = context();
    with.cancellation = token;
    auto answer = std::async(std::launch::async, [&] {
      std::vector<std::string> found;
      return search(scu, found, with);
    });
    begun[round].get_future().wait_for(20s);
    token->fired = true;
    if (token == &by_pipe) CHECK(::write(by_pipe.ends[1], "x", 1) == 1);
    CHECK(answer.get().status == status::cancel);
    ++round;
  }
  CHECK(scu.pool().taken() == 1);
}

TEST_CASE(
    "A descriptor that is readable without a cancellation does not keep the search from ending") {
  RawScp scp([](RawPeer& peer, int) {
    accept(peer);
    auto find = peer.receive_message();
    if (!find) return;
    std::this_thread::sleep_for(30ms);
    peer.send(message(3, success(*find)));
    peer.receive_pdu();
    peer.send(release_rp);
  });
  struct Wolf : Token {
    Wolf() { REQUIRE(::pipe(ends) == 0); }
    ~Wolf() override {
      ::close(ends[0]);
      ::close(ends[1]);
    }
    int descriptor() const override { return ends[0]; }
    int ends[2];
  } wolf;
  REQUIRE(::write(wolf.ends[1], "x", 1) == 1);
  dimse::Scu scu(options_for(scp.port()), {});
  auto with = context();
  with.cancellation = &wolf;
  std::vector<std::string> found;
  CHECK(search(scu, found, with).status == status::success);
}

TEST_CASE("An SCP that goes on sending after a C-CANCEL is aborted") {
  std::atomic<bool> gone{false};
  RawScp scp([&](RawPeer& peer, int) {
    accept(peer);
    auto find = peer.receive_message();
    if (!find) return;
    const auto match = message(3, pending(*find), explicit_bytes(item("A1")));
    for (int i = 0; i < 20000; ++i) peer.send(match);
    while (!peer.receive_pdu().empty()) {
    }
    gone = true;
  });
  auto options = options_for(scp.port());
  options.dimse_timeout = 300ms;
  dimse::Scu scu(options, {});
  auto outcome = scu.search(
      search_for(identifier()), [](mapping::Match&&) { return false; }, context());
  CHECK(outcome.status == status::cancel);
  CHECK(scu.pool().taken() == 0);
  CHECK(eventually([&] { return gone.load(); }));
}

TEST_CASE("Lost on a reused association, what nobody waits for any more is not asked again") {
  std::atomic<int> connections{0};
  Token token;
  RawScp scp([&](RawPeer& peer, int) {
    ++connections;
    accept(peer);
    auto request = peer.receive_message();
    if (!request) return;
    peer.send(message(1, success(*request)));
    if (!peer.receive_message()) return;
    token.fired = true;
    peer.receive_pdu();  // the C-CANCEL of a search, the A-ABORT of an N-GET; then closes
  });
  dimse::Scu scu(options_for(scp.port()), {});
  auto with = context();
  with.cancellation = &token;
  std::vector<std::string> found;
  DataSet attributes;
  CHECK(scu.echo(context()).good());
  CHECK(search(scu, found, with).status == status::cancel);
  CHECK(connections == 1);
  token.fired = false;
  CHECK(scu.echo(context()).good());
  CHECK(scu.retrieve(uid("1.2.3"), {}, attributes, with).how == Outcome::How::unknown);
  CHECK(connections == 2);
}
