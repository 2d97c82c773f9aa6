// The backend against our own front, and against scripted SCPs that abort, stall, lie or leave.
#include "dimse/scu.h"

#include <future>

#include "loopback.h"

using namespace loopback;  // NOLINT: test code
using mapping::NetworkEvent;
namespace command_field = dimse::command_field;

namespace {

dimse::ScuOptions options_for(std::uint16_t port) {
  dimse::ScuOptions options;
  options.ae_title = "MODGATE";
  options.calling_ae_title = "GATE";
  options.host = "127.0.0.1";
  options.port = port;
  return options;
}

Context context(std::chrono::milliseconds limit = 20s) {
  Context context;
  context.transaction = "t1";
  context.deadline = std::chrono::steady_clock::now() + limit;
  return context;
}

mapping::Search search_for(const DataSet& identifier) {
  mapping::Search search;
  search.identifier = identifier;
  return search;
}

Uid uid(std::string_view text) { return Uid::parse(text).value(); }

/// Searches and collects accession numbers.
Outcome search(dimse::Scu& scu, std::vector<std::string>& found, const Context& with = context()) {
  return scu.search(
      search_for(identifier()),
      [&](mapping::Match&& match) {
        found.emplace_back(match.data_set.view().text(tags::AccessionNumber));
        return true;
      },
      with);
}

void accept(RawPeer& peer, std::size_t max_pdu = 16384) {
  peer.receive_pdu();
  peer.send(associate_ac(4, max_pdu));
}

dimse::Command pending(const dimse::Command& request) {
  return dimse::response_to(request, status::pending);
}
dimse::Command success(const dimse::Command& request) {
  return dimse::response_to(request, status::success);
}

struct Token : mapping::Cancellation {
  std::atomic<bool> fired{false};
  bool requested() override { return fired; }
};

}  // namespace

TEST_CASE("All operations cross an association and come back as the SCP answered") {
  Front front;
  dimse::Scu scu(options_for(front.port), {});
  CHECK(scu.echo(context()).status == status::success);

  std::vector<std::string> found;
  auto outcome = search(scu, found);
  CHECK(outcome.how == Outcome::How::answered);
  CHECK(outcome.status == status::success);
  CHECK(found == std::vector<std::string>{"A1"});
  CHECK(front.services.last_search().identifier == identifier());
  CHECK(front.services.last_caller().name == "GATE");

  const auto created = mpps("IN PROGRESS", "M\u00fcller^J\u00f6rg");
  CHECK(scu.create(uid("1.2.3"), created, context()).status == status::success);
  CHECK(front.services.stored("1.2.3") == created);
  CHECK(scu.create(uid("1.2.3"), created, context()).status == status::duplicate_sop_instance);
  const auto completed = mpps("COMPLETED", "\u738b^\u5c0f\u6771");
  CHECK(scu.update(uid("1.2.3"), completed, context()).status == status::success);
  CHECK(scu.update(uid("1.2.4"), completed, context()).status == status::no_such_sop_instance);
  DataSet back;
  CHECK(scu.retrieve(uid("1.2.3"), {}, back, context()).status == status::success);
  CHECK(back == completed);
  CHECK(scu.retrieve(uid("1.2.3"), {tags::PerformedProcedureStepID}, back, context()).good());
  CHECK(back.view().text(tags::PerformedProcedureStepID) == "PPS1");
  CHECK_FALSE(back.view().find(tags::PatientName));
  CHECK(scu.associations() == 1);  // all of it on one
}

TEST_CASE("Status, Error Comment, Error ID and tags of a failure arrive in the outcome") {
  Front front;
  dimse::Scu scu(options_for(front.port), {});
  front.services.on_mpps = [] { return Outcome::may_no_longer_be_updated(); };
  auto outcome = scu.update(uid("1.2.3"), mpps("COMPLETED"), context());
  CHECK(outcome.status == status::processing_failure);
  CHECK(outcome.error_id == status::error_id_may_no_longer_be_updated);
  CHECK(outcome.error_comment == "Performed Procedure Step Object may no longer be updated");

  for (auto refusal : {status::missing_attribute, status::missing_attribute_value}) {
    INFO(refusal);
    front.services.on_mpps = [&] {
      auto missing = Outcome::answered(refusal);
      missing.attributes = {tags::PerformedProcedureStepID};
      return missing;
    };
    outcome = scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context());
    CHECK(outcome.status == refusal);
    CHECK(outcome.attributes == std::vector{tags::PerformedProcedureStepID});
  }
}

TEST_CASE("Matching that is not negotiated is said to be ignored (rule A16)") {
  Front front;
  dimse::Scu scu(options_for(front.port), {});
  auto fuzzy = search_for(identifier());
  fuzzy.fuzzy_matching = true;
  auto outcome = scu.search(
      fuzzy, [](mapping::Match&&) { return true; }, context());
  CHECK(outcome.good());
  CHECK(outcome.fuzzy_matching_ignored);
  CHECK_FALSE(outcome.multiple_value_matching_ignored);
}

TEST_CASE("A match with FF01 says that optional keys were not supported") {
  Front front;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("A1"), false});
    return Outcome::answered(status::success);
  };
  dimse::Scu scu(options_for(front.port), {});
  bool supported = true;
  scu.search(
      search_for(identifier()),
      [&](mapping::Match&& match) {
        supported = match.optional_keys_supported;
        return true;
      },
      context());
  CHECK_FALSE(supported);
}

TEST_CASE("The configured set is sent, and text that it does not hold is refused before sending") {
  Front front;
  auto options = options_for(front.port);
  options.character_set = mapping::CharacterSet::parse("ISO_IR 100").value();
  dimse::Scu scu(options, {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS", "M\u00fcller"), context()).good());
  CHECK(front.services.stored("1.2.3") == mpps("IN PROGRESS", "M\u00fcller"));
  auto refused = scu.create(uid("1.2.4"), mpps("IN PROGRESS", "\u738b"), context());
  CHECK(refused.how == Outcome::How::local);
  CHECK(refused.status == status::invalid_attribute_value);
  CHECK(front.services.stored_count() == 1);
  CHECK(scu.associations() == 1);
}

TEST_CASE("Text is replaced by question marks where the configuration says so (G11)") {
  Front front;
  auto options = options_for(front.port);
  options.character_set = mapping::CharacterSet::parse("ISO_IR 100").value();
  options.replace_unencodable = true;
  std::string logged;
  dimse::Scu scu(options, [&](mapping::LogLevel, std::string_view line) { logged += line; });
  CHECK(scu.create(uid("1.2.4"), mpps("IN PROGRESS", "\u738b^M\u00fcller"), context()).good());
  CHECK(front.services.stored("1.2.4") == mpps("IN PROGRESS", "?^M\u00fcller"));
  CHECK(logged.find("1 characters replaced by question marks") != std::string::npos);
}

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
    CHECK(scu.associations() == 1);
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
  CHECK(scu.associations() == 1);
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
  CHECK(scu.associations() == 0);
  CHECK(eventually([&] { return gone.load(); }));
}

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
    CHECK(scu.associations() == 0);
    good = true;
    CHECK(search(scu, found).status == status::success);
    CHECK(eventually([&] { return scu.associations() == 0; }));
  }
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
  CHECK(scu.associations() == 0);
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

TEST_CASE("An N-GET's statuses with and without an Attribute List (rule F28; mapping.md, 4a)") {
  const auto found_there = explicit_bytes(mpps("COMPLETED"));
  struct {
    std::uint16_t status;
    bool data;
    std::uint16_t told;
    bool good;
  } const cases[] = {
      {0x0000, true, 0x0000, true},   {0x0001, true, 0x0001, true},
      {0x0107, true, 0x0107, true},   {0x0116, true, 0x0116, true},
      {0x0106, true, 0x0107, true},   {0x0106, false, 0x0106, false},
      {0x0112, false, 0x0112, false}, {0x0000, false, 0x0110, false},
  };
  std::atomic<std::size_t> current{0}, named_right{0};
  RawScp scp([&](RawPeer& peer, int) {
    accept(peer);
    while (auto get = peer.receive_message()) {
      const auto& row = cases[current];
      named_right +=
          get->requested_sop_class == uids::mpps_retrieve && get->requested_sop_instance == "1.2.3";
      auto data = row.data ? std::optional(found_there) : std::nullopt;
      peer.send(message(7, dimse::response_to(*get, row.status), data));
    }
    peer.send(release_rp);
  });
  dimse::Scu scu(options_for(scp.port()), {});
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    INFO("status " << cases[i].status << " data " << cases[i].data);
    current = i;
    DataSet found;
    auto outcome = scu.retrieve(uid("1.2.3"), {}, found, context());
    CHECK(outcome.status == cases[i].told);
    CHECK(outcome.good() == cases[i].good);
    CHECK(found.empty() != cases[i].good);
    CHECK(named_right == i + 1);
  }
}

TEST_CASE("N-SET names Requested UIDs, N-CREATE Affected ones (rule F13)") {
  std::promise<dimse::Command> create, set;
  RawScp scp([&](RawPeer& peer, int) {
    accept(peer);
    auto first = peer.receive_message();
    if (!first) return;
    peer.send(message(5, success(*first)));
    auto second = peer.receive_message();
    if (!second) return;
    peer.send(message(5, success(*second)));
    create.set_value(*first);
    set.set_value(*second);
    peer.receive_pdu();
    peer.send(release_rp);
  });
  dimse::Scu scu(options_for(scp.port()), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).good());
  CHECK(scu.update(uid("1.2.3"), mpps("COMPLETED"), context()).good());
  const auto created = create.get_future().get();
  CHECK(created.affected_sop_class == uids::mpps);
  CHECK(created.affected_sop_instance == "1.2.3");
  CHECK(created.requested_sop_class.empty());
  const auto was_set = set.get_future().get();
  CHECK(was_set.requested_sop_class == uids::mpps);
  CHECK(was_set.requested_sop_instance == "1.2.3");
  CHECK(was_set.affected_sop_instance.empty());
  CHECK(*was_set.message_id > *created.message_id);
}

TEST_CASE("No association: the outcome says why, and that nothing was sent (mapping.md, 5a)") {
  std::atomic<int> kind{0};
  RawScp scp([&](RawPeer& peer, int) {
    peer.receive_pdu();
    switch (kind) {
      case 0:
        return peer.send(pdu(3, std::string("\0\1\1\7", 4)));
      case 1:
        return peer.send(pdu(3, std::string("\0\2\3\2", 4)));
      case 2:
        return peer.send(abort_pdu);
      case 3:
        return;  // closes
      case 4:
        peer.receive_pdu();  // says nothing
        return;
      case 5:
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.receive_pdu();
        return;
      case 6: {
        auto broken = associate_ac(4);
        broken[80] = '\x7F';  // an item longer than the PDU
        broken[76] = '\x7F';
        peer.send(broken);
        peer.receive_pdu();
        return;
      }
      default:
        peer.send(std::string("\x02\x00\xFF\xFF\xFF\xFF", 6));
        peer.receive_pdu();
    }
  });
  auto options = options_for(scp.port());
  options.acse_timeout = 300ms;
  dimse::Scu scu(options, {});
  const NetworkEvent expected[] = {
      NetworkEvent::rejected_permanent, NetworkEvent::rejected_transient,
      NetworkEvent::connection_lost,    NetworkEvent::connection_lost,
      NetworkEvent::acse_timeout,       NetworkEvent::protocol_error,
      NetworkEvent::protocol_error,     NetworkEvent::protocol_error};
  for (kind = 0; kind < int(std::size(expected)); ++kind) {
    INFO("kind " << kind);
    std::vector<std::string> found;
    auto outcome = search(scu, found);
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == expected[kind]);
    CHECK(outcome.status == status::out_of_resources);
    CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).status ==
          status::resource_limitation);
    CHECK(scu.associations() == 0);
  }
}

TEST_CASE("Nobody listening, and an unknown host, are connect_failed") {
  std::uint16_t free_port = 0;
  {
    free_port = RawScp([](RawPeer&, int) {}).port();
  }
  dimse::Scu nobody(options_for(free_port), {});
  CHECK(nobody.echo(context()).event == NetworkEvent::connect_failed);
  auto options = options_for(104);
  options.host = "no-such-host.invalid";
  dimse::Scu unknown(options, {});
  CHECK(unknown.echo(context()).event == NetworkEvent::connect_failed);
}

TEST_CASE("Refused presentation contexts are told per operation, and the association is kept") {
  Front front;
  front.offered.mpps = nullptr;
  dimse::Scu scu(options_for(front.port), {});
  CHECK(scu.offers_retrieve());
  auto outcome = scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context());
  CHECK(outcome.how == Outcome::How::unreachable);
  CHECK(outcome.event == NetworkEvent::abstract_syntax_refused);
  CHECK_FALSE(scu.offers_retrieve());
  std::vector<std::string> found;
  CHECK(search(scu, found).good());
  CHECK(scu.associations() == 1);
}

TEST_CASE("An SCP that knows only Implicit VR Little Endian is spoken to in it (rule H4)") {
  RawScp scp([](RawPeer& peer, int) {
    peer.receive_pdu();
    peer.send(associate_ac(4, 16384, uids::implicit_vr_little_endian));
    std::string data;
    auto find = peer.receive_message(&data);
    if (!find) return;
    auto asked = mapping::read_data_set(data, mapping::TransferSyntax::implicit_vr_little_endian);
    const bool right = asked && asked.value().data_set == identifier();
    peer.send(message(3, dimse::response_to(*find, right ? 0x0000 : 0xC000)));
    peer.receive_pdu();
    peer.send(release_rp);
  });
  dimse::Scu scu(options_for(scp.port()), {});
  std::vector<std::string> found;
  CHECK(search(scu, found).status == status::success);
}

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
  CHECK(scu.associations() == 1);
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
  front.services.on_search = [&](const auto&, const auto&, const Context&) {
    const int now = ++at_once;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    eventually([&] { return most == 4; });
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
  for (auto& call : calls) CHECK(call.get().good());
  CHECK(most == 4);
  CHECK(scu.associations() == 4);
}

TEST_CASE("Idle associations are released before the peer does it") {
  Front front;
  auto options = options_for(front.port);
  options.idle_release = 30ms;
  dimse::Scu scu(options, {});
  CHECK(scu.echo(context()).good());
  CHECK(eventually([&] { return scu.associations() == 0; }));
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

TEST_CASE("From DIMSE to DIMSE: the two boxes back to back, cancelled from end to end") {
  Front ris;
  std::atomic<int> ended{0};
  ris.services.on_search = [&](const mapping::Search& asked, const auto& on_match,
                               const Context& with) {
    if (asked.identifier.view().text(tags::AccessionNumber) != "ALL") {
      on_match({item("A1", "M\u00fcller")});
      return Outcome::answered(status::success);
    }
    on_match({item("A1")});
    pollfd ready{with.cancellation->descriptor(), POLLIN, 0};
    while (!with.cancelled()) ::poll(&ready, 1, 20000);
    ++ended;
    return Outcome::answered(status::cancel);
  };
  dimse::Scu backend(options_for(ris.port), {});
  dimse::ScpOptions options;
  options.bind = "127.0.0.1";
  options.port = 0;
  dimse::Scp gate(options,
                  [&](const mapping::Caller&) {
                    return mapping::Services{&backend, &backend};
                  },
                  {});
  auto started = gate.start();
  REQUIRE(started);
  dimse::Scu modality(options_for(started.value()), {});

  std::vector<std::string> found;
  CHECK(search(modality, found).good());
  CHECK(found == std::vector<std::string>{"A1"});
  CHECK(modality.create(uid("1.2.3"), mpps("IN PROGRESS", "M\u00fcller"), context()).good());
  CHECK(ris.services.stored("1.2.3") == mpps("IN PROGRESS", "M\u00fcller"));

  // The first match comes through while the RIS is still searching; then it is cancelled.
  auto outcome = modality.search(
      search_for(identifier("ALL")), [](mapping::Match&&) { return false; }, context());
  CHECK(outcome.status == status::cancel);
  CHECK(ended == 1);
  CHECK(modality.echo(context()).good());
  CHECK(modality.associations() == 1);
  CHECK(backend.associations() == 1);
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
    CHECK(eventually([&] { return scu.associations() == 0; }));
  }
  CHECK(eventually([&] { return open_descriptors() <= descriptors; }));
}

TEST_CASE("Thousands of matches in bursts arrive all, in order") {
  Front front;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    for (int i = 0; i < 5000; ++i) {
      if (!on_match({item("A" + std::to_string(i))})) break;
    }
    return Outcome::answered(status::success);
  };
  dimse::Scu scu(options_for(front.port), {});
  std::vector<std::string> found;
  CHECK(search(scu, found).status == status::success);
  REQUIRE(found.size() == 5000);
  for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(found[i] == "A" + std::to_string(i));
}
