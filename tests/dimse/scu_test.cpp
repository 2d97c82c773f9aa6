// The backend against our own front, and against scripted SCPs: what is sent, and what becomes of
// the answers.
#include "dimse/scu.h"

#include <future>

#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

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
  CHECK(scu.pool().taken() == 1);  // all of it on one
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
  CHECK(scu.pool().taken() == 1);
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
  CHECK(scu.replaced_characters() == 1);
  CHECK(scu.create(uid("1.2.5"), mpps("IN PROGRESS", "\u738b\u738b"), context()).good());
  CHECK(scu.replaced_characters() == 3);
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

TEST_CASE("An N-GET with a list asks for the character set of the answer, too (rule F26)") {
  // An SCP that returns what is asked for to the letter, and has no text but in Latin 1.
  const std::string name("\x10\0\x10\0PN\6\0M\xFCller", 14);
  const std::string set("\x08\0\x05\0CS\x0A\0ISO_IR 100", 18);
  const std::string step_id("\x40\0\x53\2SH\4\0PPS1", 12);
  std::atomic<std::uint16_t> status{0x0000};
  std::atomic<bool> knows_set{true};
  std::vector<std::vector<mapping::Tag>> asked;
  RawScp scp([&](RawPeer& peer, int) {
    accept(peer);
    while (auto get = peer.receive_message()) {
      const auto& list = get->attribute_identifier_list;
      asked.push_back(list);
      const auto wants = [&](mapping::Tag tag) {
        return list.empty() || std::find(list.begin(), list.end(), tag) != list.end();
      };
      std::string found;
      if (wants(tags::SpecificCharacterSet) && knows_set) found += set;
      if (wants(tags::PatientName) && knows_set) found += name;
      if (wants(tags::PerformedProcedureStepID)) found += step_id;
      peer.send(message(7, dimse::response_to(*get, status), found));
    }
    peer.send(release_rp);
  });
  dimse::Scu scu(options_for(scp.port()), {});
  DataSet found;
  REQUIRE(scu.retrieve(uid("1.2.3"), {tags::PatientName}, found, context()).good());
  CHECK(found.view().text(tags::PatientName) == "M\u00fcller");
  REQUIRE(scu.retrieve(uid("1.2.3"), {}, found, context()).good());
  CHECK(asked == std::vector<std::vector<mapping::Tag>>{
                     {tags::SpecificCharacterSet, tags::PatientName}, {}});

  // One whose text is ASCII has no such attribute. That is no news to whoever asked for others.
  knows_set = false;
  for (auto warning :
       {status::requested_optional_attributes_not_supported, status::attribute_list_error}) {
    status = warning;
    auto outcome = scu.retrieve(uid("1.2.3"), {tags::PerformedProcedureStepID}, found, context());
    CHECK(outcome.status == status::success);
    CHECK(outcome.attributes.empty());
    outcome = scu.retrieve(uid("1.2.3"), {tags::PatientName, tags::PerformedProcedureStepID}, found,
                           context());
    CHECK(outcome.status == warning);
  }
}

TEST_CASE("N-SET names Requested UIDs, N-CREATE Affected ones (rules F12, F13)") {
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
  CHECK(created.data_set_type == 0x0102);
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
    CHECK(scu.pool().taken() == 0);
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
  CHECK(scu.pool().taken() == 1);
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
  CHECK(modality.pool().taken() == 1);
  CHECK(backend.pool().taken() == 1);
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
