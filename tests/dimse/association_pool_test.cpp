// Associations that are kept, shared and given up.
#include "dimse/association_pool.h"

#include <future>

#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

TEST_CASE("A pooled association that the peer closed is noticed and replaced") {
  std::atomic<int> connections{0};
  std::atomic<bool> closed{false};
  RawScp scp([&](RawPeer& peer, int connection) {
    ++connections;
    accept(peer);
    auto request = peer.receive_message();
    if (!request) return;
    peer.send(message(5, success(*request)));
    if (connection == 0) {
      peer.close();  // after one request
      closed = true;
      return;
    }
    while (auto next = peer.receive_message()) peer.send(message(5, success(*next)));
    peer.send(release_rp);
  });
  dimse::Scu scu(options_for(scp.port()), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).good());
  REQUIRE(eventually([&] { return closed.load(); }));
  auto outcome = scu.update(uid("1.2.3"), mpps("COMPLETED"), context());
  CHECK(outcome.good());
  CHECK(scu.update(uid("1.2.3"), mpps("COMPLETED"), context()).good());
  CHECK(connections == 2);
  CHECK(scu.pool().taken() == 1);
}

TEST_CASE("Lost on a reused association: a search is repeated once, a create never") {
  std::atomic<int> connections{0}, creates{0};
  RawScp scp([&](RawPeer& peer, int) {
    ++connections;
    accept(peer);
    auto request = peer.receive_message();
    if (!request) return;
    peer.send(message(1, success(*request)));
    request = peer.receive_message();  // the second one is swallowed, and the connection closed
    if (request && request->field == command_field::n_create_rq) ++creates;
  });
  dimse::Scu scu(options_for(scp.port()), {});
  CHECK(scu.echo(context()).good());
  std::vector<std::string> found;
  auto outcome = search(scu, found);  // on the new association the SCP answers on a wrong context
  CHECK(connections == 2);
  CHECK(outcome.event == NetworkEvent::protocol_error);

  CHECK(scu.echo(context()).good());
  CHECK(connections == 3);
  outcome = scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context());
  CHECK(outcome.how == Outcome::How::unknown);
  CHECK(outcome.event == NetworkEvent::connection_lost);
  CHECK(creates == 1);
}

TEST_CASE("Callers wait their turn for an association, and leave at their deadline") {
  Front front;
  std::mutex order_mutex;
  std::vector<std::string> order;
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  front.services.on_search = [&](const mapping::Search& asked, const auto&, const Context&) {
    const std::string accession(asked.identifier.view().text(tags::AccessionNumber));
    if (accession == "0") gate.wait_for(20s);
    std::lock_guard lock(order_mutex);
    order.push_back(accession);
    return Outcome::answered(status::success);
  };
  auto options = options_for(front.port);
  options.max_associations = 1;
  dimse::Scu scu(options, {});
  auto ask = [&](const std::string& accession, std::chrono::milliseconds limit,
                 mapping::Cancellation* cancellation = nullptr) {
    auto with = context(limit);
    with.cancellation = cancellation;
    return scu.search(
        search_for(identifier(accession)), [](mapping::Match&&) { return true; }, with);
  };
  auto first = std::async(std::launch::async, [&] { return ask("0", 20s); });
  REQUIRE(eventually([&] { return front.scp->associations() == 1; }));
  REQUIRE(eventually([&] { return !front.services.last_search().identifier.empty(); }));
  auto late = ask("late", 50ms);
  CHECK(late.how == Outcome::How::unreachable);
  CHECK(late.event == NetworkEvent::busy);
  struct Asked : mapping::Cancellation {  // by a caller that waits its turn
    std::atomic<bool> asked{false};
    bool requested() override {
      asked = true;
      return false;
    }
  } in_line[5];
  std::vector<std::future<Outcome>> waiting;
  for (int i = 1; i <= 4; ++i) {
    waiting.push_back(std::async(std::launch::async,
                                 [&, i] { return ask(std::to_string(i), 20s, &in_line[i]); }));
    REQUIRE(eventually([&] { return in_line[i].asked.load(); }));
  }
  go_on.set_value();
  CHECK(first.get().good());
  for (auto& outcome : waiting) CHECK(outcome.get().good());
  CHECK(order == std::vector<std::string>{"0", "1", "2", "3", "4"});
  CHECK(front.scp->associations() == 1);
}

TEST_CASE("Up to max_associations are used at once") {
  Front front;
  std::atomic<int> at_once{0}, most{0};
  std::atomic<bool> release{false};
  front.services.on_search = [&](const auto&, const auto&, const Context&) {
    const int now = ++at_once;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    eventually([&] { return release.load(); });
    --at_once;
    return Outcome::answered(status::success);
  };
  auto options = options_for(front.port);
  options.max_associations = 4;
  dimse::Scu scu(options, {});
  std::vector<std::future<Outcome>> calls;
  for (int i = 0; i < 12; ++i) {
    calls.push_back(std::async(std::launch::async, [&] {
      std::vector<std::string> found;
      return search(scu, found);
    }));
  }
  CHECK(eventually([&] { return at_once == 4 && scu.pool().waiting == 8; }));
  CHECK(scu.pool().in_use == 4);
  CHECK(scu.pool().idle == 0);
  CHECK(scu.pool().limit == 4);
  release = true;
  for (auto& call : calls) CHECK(call.get().good());
  CHECK(most == 4);
  CHECK(scu.pool().in_use == 0);
  CHECK(scu.pool().idle == 4);
  CHECK(scu.pool().waiting == 0);
}

TEST_CASE("Idle associations are released before the peer does it") {
  Front front;
  auto options = options_for(front.port);
  options.idle_release = 30ms;
  dimse::Scu scu(options, {});
  CHECK(scu.echo(context()).good());
  CHECK(eventually([&] { return scu.pool().taken() == 0; }));
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
  CHECK_FALSE(front.lines.hold("aborted"));
  CHECK(scu.echo(context()).good());
}

TEST_CASE("Without reuse every operation has its own association, released after it") {
  std::atomic<int> connections{0}, released{0};
  RawScp scp([&](RawPeer& peer, int) {
    ++connections;
    accept(peer);
    auto request = peer.receive_message();
    if (!request) return;
    peer.send(message(1, success(*request)));
    if (peer.receive_pdu() == release_rq) {
      ++released;
      peer.send(release_rp);
    }
  });
  auto options = options_for(scp.port());
  options.reuse_associations = false;
  dimse::Scu scu(options, {});
  for (int i = 1; i <= 3; ++i) {
    CHECK(scu.echo(context()).good());
    CHECK(eventually([&] { return released == i; }));
  }
  CHECK(connections == 3);
}

TEST_CASE("A stalled connection attempt to one SCP does not stall others") {
  std::promise<void> over;
  auto wait = over.get_future().share();
  RawScp silent([&](RawPeer& peer, int) {
    peer.receive_pdu();
    wait.wait_for(20s);
  });
  Front front;
  dimse::Scu stalled(options_for(silent.port()), {}), good(options_for(front.port), {});
  auto waiting = std::async(std::launch::async, [&] { return stalled.echo(context()); });
  for (int i = 0; i < 20; ++i) CHECK(good.echo(context()).good());
  over.set_value();
  CHECK_FALSE(waiting.get().good());
}
