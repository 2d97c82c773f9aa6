// The front met by raw sockets: odd, broken and hostile peers. After each of them a good one is
// served.
#include <future>
#include <random>

#include "raw_modality.h"

using namespace loopback;  // NOLINT: test code

namespace {

dimse::Command cancel(std::uint16_t id) {
  dimse::Command command;
  command.field = command_field::c_cancel_rq;
  command.message_id_being_responded_to = id;
  return command;
}

/// An A-ABORT of the service provider.
bool is_provider_abort(const std::string& got) {
  return got.size() == 10 && got[0] == 7 && got[8] == 2;
}

}  // namespace

TEST_CASE("What is no DICOM costs one line in the log") {
  struct {
    std::string sent;
    std::string line;
  } const cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it looks like HTTP"},
      {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), "it looks like a TLS client hello"},
      {"SSH-2.0-OpenSSH_9.2\r\n", "it looks like SSH"},
      {std::string(5000, '\xFF'), "it looks like something unknown"},
      {pdu(4, "xxxx"), "it looks like another PDU"},
      {std::string("\x01\x00\xFF\xFF\xFF\xFF", 6), "the A-ASSOCIATE-RQ is too long"},
      {std::string("\x01\x00\x00\x00", 4), "closed in its A-ASSOCIATE-RQ"},
      {associate_rq({{verification}}).substr(0, 100), "closed in its A-ASSOCIATE-RQ"},
      {pdu(1, "short"), "broken A-ASSOCIATE-RQ"},
      {pdu(1, std::string(68, '\0') + std::string("\x20\x00\xFF\xFF\x01\x00", 6)),
       "broken A-ASSOCIATE-RQ"},
  };
  for (const auto& odd : cases) {
    INFO(odd.line);
    Front front;
    auto peer = RawPeer::connect(front.port);
    peer.send(odd.sent);
    ::shutdown(peer.descriptor(), SHUT_WR);
    while (!peer.receive_pdu().empty()) {
    }
    CHECK(eventually([&] { return front.lines.hold(odd.line); }));
    check_served(front);
    front.scp->stop(20s);  // whatever else it has to say is said
    CHECK(front.lines.warnings() == 1);
  }
}

TEST_CASE("A load balancer's empty probes are nothing to warn of") {
  Front front;
  for (int i = 0; i < 20; ++i) RawPeer::connect(front.port).close();
  CHECK(eventually([&] { return front.lines.count() == 20; }));
  CHECK(front.lines.hold("127.0.0.1: connection refused: closed without a word"));
  CHECK(front.lines.warnings() == 0);
  check_served(front);
}

TEST_CASE("Silent clients, empty probes and half requests hold nobody up (rule H12)") {
  dimse::ScpOptions options;
  options.acse_timeout = 300ms;
  Front front(options);
  std::vector<RawPeer> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(RawPeer::connect(front.port));
  for (int i = 0; i < 20; ++i) RawPeer::connect(front.port).close();
  auto half = RawPeer::connect(front.port);
  half.send(associate_rq({{verification}}).substr(0, 40));
  check_served(front);
  CHECK(half.closed());
  for (auto& peer : silent) CHECK(peer.closed());
  CHECK(front.lines.hold("no A-ASSOCIATE-RQ in time"));
}

TEST_CASE(
    "PDUs that may not be here end in a provider's abort, nothing is allocated for them (H5)") {
  Front front;
  std::string find;
  dimse::encode_command(request(command_field::c_find_rq), find);
  auto with_data = request(command_field::c_find_rq);
  with_data.data_set_type = dimse::Command::data_set_follows;
  std::string find_with_data;
  dimse::encode_command(with_data, find_with_data);
  struct {
    std::string sent;
    std::string_view why;
  } const cases[] = {
      {std::string("\x04\x00\xFF\xFF\xFF\xFF", 6), "a PDU of 4 GiB"},
      {std::string("\x04\x00\x00\x02\x00\x01", 6), "a PDU over our limit"},
      {std::string("\x05\x00\xFF\xFF\xFF\xFF", 6), "a release of 4 GiB"},
      {pdu(4, ""), "no PDV"},
      {pdu(4, std::string("\x00\x00\x00\x01\x01", 5)), "a PDV of one byte"},
      {pdu(4, std::string("\x7F\xFF\xFF\xFF\x01\x03", 6)), "a PDV longer than its PDU"},
      {pdu(4, std::string("\x00\x00", 2)), "half a PDV header"},
      {pdu(9, "xxxx"), "an unknown PDU"},
      {associate_rq({{verification}}), "a second association request"},
      {release_rp, "a release nobody waits for"},
      {pdu(4, pdv(99, 3, find)), "a context that was not accepted"},
      {pdu(4, pdv(3, 2, find)), "a data set without a command"},
      {pdu(4, pdv(3, 3, "rubbish!")), "no command set"},
      {pdu(4, pdv(3, 3, find_with_data)) + pdu(4, pdv(5, 2, "")), "another context in a message"},
      {pdu(4, pdv(3, 3, find_with_data)) + pdu(4, pdv(3, 3, find)), "a command in a data set"},
      {pdu(4, pdv(3, 1, find.substr(0, 8))) + pdu(4, pdv(3, 0, "")), "a data set in a command"},
      {pdu(4, pdv(3, 1, find.substr(0, 8))) + release_rq, "a release in a message"},
  };
  for (const auto& odd : cases) {
    INFO(odd.why);
    auto peer = associate(front.port);
    peer.send(odd.sent);
    CHECK(is_provider_abort(peer.receive_pdu()));
    CHECK(peer.closed());
  }
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
  check_served(front);
}

TEST_CASE("A data set over the limit is aborted before it is taken in") {
  dimse::ScpOptions options;
  options.max_data_set_bytes = 100'000;
  Front front(options);
  auto peer = associate(front.port);
  auto command = request(command_field::c_find_rq);
  command.data_set_type = dimse::Command::data_set_follows;
  peer.send(message(3, command));
  for (int i = 0; i < 11; ++i) peer.send(pdu(4, pdv(3, 0, std::string(10'000, 'x'))));
  CHECK(is_provider_abort(peer.receive_pdu()));
  check_served(front);
}

TEST_CASE("A message that drips is given up, and so is an idle association (rule H12)") {
  dimse::ScpOptions options;
  options.dimse_timeout = 200ms;
  options.idle_timeout = 400ms;
  Front front(options);
  auto dripping = associate(front.port);
  std::atomic<bool> over{false};
  std::thread drip([&] {
    const auto bytes = message(1, request(command_field::c_echo_rq));
    for (std::size_t i = 0; i + 1 < bytes.size() && !over; ++i) {
      dripping.send(bytes.substr(i, 1));
      std::this_thread::sleep_for(20ms);
    }
  });
  CHECK(is_provider_abort(dripping.receive_pdu()));
  over = true;
  drip.join();
  auto idle = associate(front.port);
  CHECK(is_provider_abort(idle.receive_pdu()));
  check_served(front);
}

TEST_CASE("A modality that stops reading ends its search, and memory does not grow") {
  dimse::ScpOptions options;
  options.dimse_timeout = 300ms;
  Front front(options);
  std::atomic<bool> ended{false};
  std::atomic<std::size_t> produced{0};
  front.services.on_search = [&](const auto&, const auto& on_match, const auto&) {
    while (on_match({item("A1", std::string(10'000, 'x'))})) ++produced;
    ended = true;
    return Outcome::answered(status::cancel);
  };
  auto peer = associate(front.port);
  peer.send(message(3, request(command_field::c_find_rq), explicit_bytes(identifier())));
  CHECK(eventually([&] { return ended.load(); }));
  CHECK(produced < 5000);  // what the two sockets' buffers hold, and no more
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
  check_served(front);
}

TEST_CASE("A modality that vanishes, aborts or releases in mid search cancels it") {
  Front front;
  std::atomic<int> ended{0};
  front.services.on_search = [&](const auto&, const auto& on_match, const Context& context) {
    on_match({item("A1")});
    pollfd ready{context.cancellation->descriptor(), POLLIN, 0};
    while (!context.cancelled()) ::poll(&ready, 1, 20000);
    ++ended;
    return Outcome::answered(status::cancel);
  };
  for (const std::string& last : {std::string(), abort_pdu, release_rq}) {
    auto peer = associate(front.port);
    peer.send(message(3, request(command_field::c_find_rq), explicit_bytes(identifier())));
    CHECK(peer.receive_message());
    const int before = ended;
    peer.send(last);
    if (last.empty()) peer.close();
    CHECK(eventually([&] { return ended == before + 1; }));
    if (last == release_rq) CHECK(peer.receive_pdu() == release_rp);
  }
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
}

TEST_CASE("A C-CANCEL while the service waits wakes it by the descriptor (rule F11)") {
  Front front;
  front.services.on_search = [&](const auto&, const auto&, const Context& context) {
    pollfd ready{context.cancellation->descriptor(), POLLIN, 0};
    while (!context.cancelled()) {
      if (::poll(&ready, 1, 20000) == 0) break;
    }
    return Outcome::answered(status::cancel);
  };
  auto peer = associate(front.port);
  peer.send(message(3, cancel(5)));  // before its request: ignored
  peer.send(message(3, request(command_field::c_find_rq, 5), explicit_bytes(identifier())));
  peer.send(message(3, cancel(4)));  // another's
  peer.send(message(3, cancel(5)));
  auto response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->status == status::cancel);
  CHECK_FALSE(response->has_data_set());
  peer.send(message(3, cancel(5)));  // too late
  peer.send(message(1, request(command_field::c_echo_rq, 6)));
  response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->message_id_being_responded_to == 6);
}

TEST_CASE("A second request while one runs waits its turn (rule H7)") {
  Front front;
  auto peer = associate(front.port);
  std::string burst;
  for (std::uint16_t id = 1; id <= 10; ++id) {
    burst += id % 2 == 0
                 ? message(3, request(command_field::c_find_rq, id), explicit_bytes(identifier()))
                 : message(1, request(command_field::c_echo_rq, id));
  }
  peer.send(burst);
  for (std::uint16_t id = 1; id <= 10; ++id) {
    auto response = peer.receive_message();
    REQUIRE(response);
    CHECK(response->message_id_being_responded_to == id);
    if (id % 2 != 0) continue;
    CHECK(response->status == status::pending);
    response = peer.receive_message();
    REQUIRE(response);
    CHECK(response->status == status::success);
  }
}

TEST_CASE("No PDU is longer than the peer's limit (rule H6)") {
  Front front;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("A1", std::string(2000, 'x'))});
    return Outcome::answered(status::success);
  };
  for (std::size_t max_pdu : {128u, 129u, 4096u, 0u}) {
    INFO(max_pdu);
    auto peer = associate(front.port, max_pdu);
    peer.send(message(3, request(command_field::c_find_rq), explicit_bytes(identifier())));
    std::string data;
    bool last = false;
    while (!last) {
      auto got = peer.receive_pdu();
      REQUIRE(got.size() > 12);
      if (max_pdu != 0) CHECK(got.size() - 6 <= max_pdu);
      if ((got[11] & 1) == 0) data += got.substr(12);
      last = got[11] == 2;
    }
    auto match = mapping::read_data_set(data, mapping::TransferSyntax::explicit_vr_little_endian);
    REQUIRE(match);
    CHECK(match.value().data_set.view().text(tags::PatientName).size() == 2000);
  }
}

TEST_CASE("Requests in fragments of any size are put together") {
  Front front;
  auto peer = associate(front.port);
  auto find = request(command_field::c_find_rq);
  find.data_set_type = dimse::Command::data_set_follows;
  std::string command;
  dimse::encode_command(find, command);
  const auto data = explicit_bytes(identifier());
  std::string sent;
  for (std::size_t i = 0; i < command.size(); i += 2) {
    sent += pdu(4, pdv(3, i + 2 >= command.size() ? 3 : 1, command.substr(i, 2)));
  }
  std::string pdvs;  // several in one PDU, the last one empty
  for (std::size_t i = 0; i < data.size(); i += 7) pdvs += pdv(3, 0, data.substr(i, 7));
  sent += pdu(4, pdvs + pdv(3, 2, ""));
  peer.send(sent);
  auto response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->status == status::pending);
}

TEST_CASE("Mutated PDUs never hurt: each connection ends or goes on, and the next one is served") {
  dimse::ScpOptions options;
  options.acse_timeout = 50ms;
  options.dimse_timeout = 50ms;
  options.idle_timeout = 50ms;
  Front front(options);
  const auto association = associate_rq({{verification}, {mwl}, {mpps_class}});
  const auto find = message(3, request(command_field::c_find_rq), explicit_bytes(identifier("A1")));
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    auto sent = round % 2 == 0 ? association + find : find;
    auto mutate = [&](std::string& bytes, std::size_t from) {
      for (int i = 0; i < 3; ++i) {
        bytes[from + random() % (bytes.size() - from)] = static_cast<char>(random());
      }
    };
    if (round % 2 == 0) {
      mutate(sent, 0);
      auto peer = RawPeer::connect(front.port);
      peer.send(sent);
    } else {
      auto peer = associate(front.port);
      mutate(sent, 0);
      peer.send(sent);
    }
  }
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
  Front good;
  check_served(good);
}
