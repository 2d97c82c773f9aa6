// One request against scripted SCPs that abort, stall, lie or leave.
#include "dimse/exchange.h"

#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

TEST_CASE("An SCP that misbehaves makes the outcome unknown, and the next request is served") {
  using Script = std::function<void(RawPeer&, const dimse::Command&)>;
  struct {
    Script script;
    NetworkEvent event;
    std::string_view why;
  } const cases[] = {
      {[](RawPeer& peer, const auto&) { peer.send(abort_pdu); }, NetworkEvent::connection_lost,
       "abort"},
      {[](RawPeer& peer, const auto&) { peer.close(); }, NetworkEvent::connection_lost, "close"},
      {[](RawPeer& peer, const auto&) {
         peer.send(release_rq);
         peer.receive_pdu();
       },
       NetworkEvent::connection_lost, "release in mid operation"},
      {[](RawPeer& peer, const auto&) { peer.receive_pdu(); }, NetworkEvent::response_timeout,
       "stall"},
      {[](RawPeer& peer, const auto& request) {
         peer.send(message(3, success(request)).substr(0, 20));
         peer.receive_pdu();
       },
       NetworkEvent::response_timeout, "stall in a PDU"},
      {[](RawPeer& peer, const auto& request) {
         auto response = success(request);
         response.message_id_being_responded_to = std::uint16_t{999};
         peer.send(message(3, response));
         peer.receive_pdu();
       },
       NetworkEvent::protocol_error, "wrong message ID"},
      {[](RawPeer& peer, const auto& request) {
         auto response = success(request);
         response.field = 0x8001;
         peer.send(message(3, response));
         peer.receive_pdu();
       },
       NetworkEvent::protocol_error, "another command's response"},
      {[](RawPeer& peer, const auto& request) {
         auto response = success(request);
         response.status.reset();
         peer.send(message(3, response));
         peer.receive_pdu();
       },
       NetworkEvent::protocol_error, "no status"},
      {[](RawPeer& peer, const auto& request) {
         peer.send(message(99, success(request)));
         peer.receive_pdu();
       },
       NetworkEvent::protocol_error, "a context that is none"},
      {[](RawPeer& peer, const auto&) {
         peer.send("HTTP/1.1 200 OK\r\n\r\n");
         peer.receive_pdu();
       },
       NetworkEvent::protocol_error, "garbage"},
      {[](RawPeer& peer, const auto&) {
         peer.send(std::string("\x04\x00\xFF\xFF\xFF\xFF", 6));
         peer.receive_pdu();
       },
       NetworkEvent::protocol_error, "a PDU of 4 GiB"},
  };
  std::atomic<std::size_t> current{0};
  std::atomic<bool> good{false};
  RawScp scp([&](RawPeer& peer, int) {
    accept(peer);
    auto request = peer.receive_message();
    if (!request) return;
    if (!good) return cases[current].script(peer, *request);
    peer.send(message(3, success(*request)));
    if (peer.receive_pdu() == release_rq) peer.send(release_rp);
  });
  auto options = options_for(scp.port());
  options.dimse_timeout = 300ms;
  options.reuse_associations = false;
  dimse::Scu scu(options, {});
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    INFO(cases[i].why);
    current = i;
    good = false;
    std::vector<std::string> found;
    auto outcome = search(scu, found);
    CHECK(outcome.how == Outcome::How::unknown);
    CHECK(outcome.event == cases[i].event);
    CHECK_FALSE(outcome.good());
    CHECK(scu.pool().taken() == 0);
    good = true;
    CHECK(search(scu, found).status == status::success);
    CHECK(eventually([&] { return scu.pool().taken() == 0; }));
  }
}

TEST_CASE("A failure that comes before the data set was read is the answer (rule F29)") {
  RawScp scp([](RawPeer& peer, int) {
    accept(peer);
    for (auto refusal : {status::no_such_sop_instance, status::success}) {
      const auto request = dimse::decode_command(peer.receive_pdu().substr(12));
      if (!request) return;
      peer.send(message(5, dimse::response_to(request.value(), refusal)));
      peer.receive_pdu();  // the data set, in its own time
    }
    peer.receive_pdu();
    peer.send(release_rp);
  });
  dimse::Scu scu(options_for(scp.port()), {});
  const auto refused = scu.update(uid("1.2.3"), mpps("COMPLETED"), context());
  CHECK(refused.how == Outcome::How::answered);
  CHECK(refused.status == status::no_such_sop_instance);
  CHECK(scu.update(uid("1.2.3"), mpps("COMPLETED"), context()).good());
  CHECK(scu.pool().taken() == 1);
}

TEST_CASE("A stall in mid search discards it within the response timeout") {
  RawScp scp([](RawPeer& peer, int) {
    accept(peer);
    auto find = peer.receive_message();
    if (!find) return;
    peer.send(message(3, pending(*find), explicit_bytes(item("A1"))));
    peer.receive_pdu();
  });
  auto options = options_for(scp.port());
  options.dimse_timeout = 200ms;
  dimse::Scu scu(options, {});
  std::vector<std::string> found;
  auto outcome = search(scu, found);
  CHECK(found.size() == 1);
  CHECK(outcome.event == NetworkEvent::response_timeout);
  CHECK(outcome.status_class() == mapping::StatusClass::failure);
}

TEST_CASE("The context's deadline ends a search that the response timeout would not") {
  RawScp scp([](RawPeer& peer, int) {
    accept(peer);
    auto find = peer.receive_message();
    if (!find) return;
    const auto match = message(3, pending(*find), explicit_bytes(item("A1")));
    for (int i = 0; i < 100'000; ++i) {
      peer.send(match);
      pollfd ready{peer.descriptor(), POLLIN, 0};
      if (::poll(&ready, 1, 1) > 0) return;
    }
  });
  dimse::Scu scu(options_for(scp.port()), {});
  std::vector<std::string> found;
  auto outcome = search(scu, found, context(200ms));
  CHECK(outcome.event == NetworkEvent::response_timeout);
  CHECK(scu.pool().taken() == 0);
}

TEST_CASE("Matches that cannot be read are left out and counted; none readable is a failure (1a)") {
  std::atomic<bool> one_good{true};
  RawScp scp([&](RawPeer& peer, int) {
    accept(peer);
    while (auto find = peer.receive_message()) {
      peer.send(message(3, pending(*find), "rubbish!"));
      peer.send(message(3, pending(*find)));  // no identifier at all
      if (one_good) peer.send(message(3, pending(*find), explicit_bytes(item("A1"))));
      peer.send(message(3, success(*find)));
    }
    peer.send(release_rp);
  });
  Lines lines;
  dimse::Scu scu(options_for(scp.port()), lines.log());
  std::vector<std::string> found;
  auto outcome = search(scu, found);
  CHECK(outcome.status == status::success);
  CHECK(outcome.dropped_matches == 2);
  CHECK(lines.count() == 1);  // for a worklist of thousands too
  CHECK(found == std::vector<std::string>{"A1"});
  one_good = false;
  outcome = search(scu, found);
  CHECK(outcome.event == NetworkEvent::unreadable_answer);
  CHECK(outcome.dropped_matches == 2);
  CHECK_FALSE(outcome.good());
}

TEST_CASE(
    "Nothing is left of many failed and good operations: no thread, no descriptor, no place") {
  std::atomic<int> turn{0};
  RawScp scp([&](RawPeer& peer, int) {
    const int kind = turn++ % 4;
    peer.receive_pdu();
    if (kind == 0) return peer.send(pdu(3, std::string("\0\1\1\7", 4)));
    peer.send(associate_ac(4));
    auto request = peer.receive_message();
    if (!request || kind == 1) return;
    if (kind == 2) return peer.send(abort_pdu);
    peer.send(message(3, success(*request)));
    if (peer.receive_pdu() == release_rq) peer.send(release_rp);
  });
  auto options = options_for(scp.port());
  options.reuse_associations = false;
  std::size_t descriptors = 0;
  {
    dimse::Scu scu(options, {});
    for (int i = 0; i < 200; ++i) {
      if (i == 20) descriptors = open_descriptors();
      std::vector<std::string> found;
      search(scu, found);
    }
    CHECK(eventually([&] { return scu.pool().taken() == 0; }));
  }
  CHECK(eventually([&] { return open_descriptors() <= descriptors; }));
}

TEST_CASE("A pending answer to what has no other leaves its outcome unknown") {
  for (const auto word : {status::pending, status::pending_optional_keys_not_supported}) {
    CAPTURE(word);
    RawScp scp([&](RawPeer& peer, int) {
      accept(peer);
      while (const auto request = peer.receive_message()) {
        const std::uint8_t on = request->field == command_field::c_echo_rq  ? 1
                                : request->field == command_field::n_get_rq ? 7
                                                                            : 5;
        peer.send(message(on, dimse::response_to(*request, word)));
      }
    });
    dimse::Scu scu(options_for(scp.port()), {});
    DataSet found;
    for (const auto& outcome :
         {scu.create(uid("1.2.3"), identifier(), context(2s)),
          scu.update(uid("1.2.3"), identifier(), context(2s)),
          scu.retrieve(uid("1.2.3"), {}, found, context(2s)), scu.echo(context(2s))}) {
      CHECK(outcome.how == Outcome::How::unknown);
      CHECK(outcome.event == NetworkEvent::protocol_error);
      CHECK_FALSE(outcome.good());
    }
  }
}
