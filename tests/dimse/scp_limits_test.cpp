// The front at its limits: associations in all and of one AE title, silent connections, Message IDs
// that are used twice; and what it says about itself.
#include <future>

#include "dimse/scp.h"
#include "dimse/scu.h"
#include "loopback.h"

using namespace loopback;  // NOLINT: test code
namespace command_field = dimse::command_field;

namespace {

const std::string verification(uids::verification);
const std::string transient_limit("\x02\x03\x02", 3);

RawPeer ask(std::uint16_t port, const std::string& calling) {
  auto peer = RawPeer::connect(port);
  peer.send(associate_rq(
      {{verification}, {std::string(uids::modality_worklist_find)}, {std::string(uids::mpps)}},
      "MODGATE", calling));
  return peer;
}

std::optional<RawPeer> associate(std::uint16_t port, const std::string& calling = "CT1") {
  auto peer = ask(port, calling);
  const auto answer = peer.receive_pdu();
  if (answer.size() < 10 || answer[0] != 2) {
    CHECK(answer.substr(7) == transient_limit);
    return std::nullopt;
  }
  return peer;
}

dimse::Command request(std::uint16_t field, std::uint16_t id) {
  dimse::Command command;
  command.field = field;
  command.message_id = id;
  return command;
}

std::uint16_t echo(RawPeer& peer, std::uint16_t id) {
  peer.send(message(1, request(command_field::c_echo_rq, id)));
  const auto response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->message_id_being_responded_to == id);
  return *response->status;
}

}  // namespace

TEST_CASE("200 associations are held and used in turn, the 201st is refused until they leave") {
  Front front;
  std::vector<RawPeer> held;
  for (int i = 0; i < 200; ++i) {
    auto peer = associate(front.port);
    REQUIRE(peer);
    held.push_back(*std::move(peer));
  }
  CHECK_FALSE(associate(front.port));
  CHECK(front.scp->associations() == 200);
  for (std::uint16_t round = 1; round <= 3; ++round) {
    for (auto& peer : held) CHECK(echo(peer, round) == status::success);
  }
  for (auto& peer : held) {
    peer.send(release_rq);
    CHECK(peer.receive_pdu() == release_rp);
  }
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
  auto after = associate(front.port);
  REQUIRE(after);
  CHECK(echo(*after, 1) == status::success);
}

TEST_CASE("One AE title gets no more associations than max_associations_per_ae") {
  dimse::ScpOptions options;
  options.max_associations_per_ae = 2;
  Front front(options);
  auto first = associate(front.port, "CT1");
  auto second = associate(front.port, "CT1");
  CHECK((first && second));
  CHECK_FALSE(associate(front.port, "CT1"));
  CHECK(associate(front.port, "CT2"));
  first->send(release_rq);
  CHECK(first->receive_pdu() == release_rp);
  CHECK(eventually([&] { return associate(front.port, "CT1").has_value(); }));
}

TEST_CASE("Silent connections without number keep no modality out") {
  dimse::ScpOptions options;
  options.max_associations = 3;
  Front front(options);
  auto held = associate(front.port);
  REQUIRE(held);
  std::vector<RawPeer> silent;
  for (int i = 0; i < 150; ++i) silent.push_back(RawPeer::connect(front.port));
  auto late = associate(front.port);
  REQUIRE(late);
  CHECK(echo(*late, 1) == status::success);
  CHECK(echo(*held, 1) == status::success);  // who has associated is not touched
  CHECK(silent.front().closed());            // the oldest had to go
}

TEST_CASE("A Message ID that is used again before its answer gets 0210 (mapping.md, 5b)") {
  Front front;
  auto held = associate(front.port);
  REQUIRE(held);
  auto& peer = *held;
  const auto again = message(1, request(command_field::c_echo_rq, 7));
  auto create = request(command_field::n_create_rq, 7);
  create.affected_sop_class = uids::mpps;
  create.affected_sop_instance = "1.2.3";
  front.services.on_mpps = [&]() -> std::optional<Outcome> {
    peer.send(again);  // while the first one runs
    return std::nullopt;
  };
  peer.send(message(5, create, explicit_bytes(mpps("IN PROGRESS"))));
  auto response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->field == (command_field::n_create_rq | command_field::response));
  CHECK(response->status == status::success);
  response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->field == (command_field::c_echo_rq | command_field::response));
  CHECK(response->status == status::duplicate_invocation);
  CHECK(echo(peer, 7) == status::success);  // answered: it may be used again
}

TEST_CASE("A C-FIND with a Message ID that is not answered yet ends the association") {
  Front front;
  auto held = associate(front.port);
  REQUIRE(held);
  auto& peer = *held;
  const auto find = message(3, request(command_field::c_find_rq, 7), explicit_bytes(identifier()));
  front.services.on_search = [&](const auto&, const auto&, const auto&) {
    peer.send(find);
    return Outcome::answered(status::success);
  };
  peer.send(find);
  std::string last;
  for (auto got = peer.receive_pdu(); !got.empty(); got = peer.receive_pdu()) last = got;
  REQUIRE(last.size() == 10);
  CHECK(last[0] == 7);  // A-ABORT
  CHECK(last[8] == 2);  // of the provider
}

TEST_CASE("Keys that are return keys only for a modality are asked for and not matched") {
  dimse::ScpOptions options;
  dimse::Modality modality;
  modality.ae_title = "CT1";
  modality.return_keys_only = {
      mapping::parse_attribute_path("AccessionNumber").value(),
      mapping::parse_attribute_path("ScheduledProcedureStepSequence.ScheduledProcedureStepID")
          .value(),
      mapping::parse_attribute_path("PatientID").value()};  // not sent: not added
  options.modalities = {modality};
  Front front(options);
  mapping::DataSetBuilder builder;
  builder.add(tags::AccessionNumber, Vr::SH, "0000")
      .add(tags::PatientName, Vr::PN, "DOE*")
      .begin_sequence(tags::ScheduledProcedureStepSequence)
      .begin_item()
      .add(tags::ScheduledProcedureStepID, Vr::SH, "*X")
      .add(tags::ScheduledStationAETitle, Vr::AE, "CT1")
      .end_item()
      .end_sequence();
  const auto sent = builder.build().value();
  for (const std::string calling : {"CT1", "CT2"}) {
    INFO(calling);
    auto peer = associate(front.port, calling);
    REQUIRE(peer);
    peer->send(message(3, request(command_field::c_find_rq, 1), explicit_bytes(sent)));
    std::string match;
    auto response = peer->receive_message(&match);
    REQUIRE(response);
    CHECK(response->status == status::pending);
    const auto asked = front.services.last_search().identifier;
    const auto step = asked.view().first_item(tags::ScheduledProcedureStepSequence);
    REQUIRE(step);
    const bool own_rules = calling == "CT1";
    REQUIRE(asked.view().find(tags::AccessionNumber));
    CHECK(asked.view().text(tags::AccessionNumber) == (own_rules ? "" : "0000"));
    REQUIRE(step->find(tags::ScheduledProcedureStepID));
    CHECK(step->text(tags::ScheduledProcedureStepID) == (own_rules ? "" : "*X"));
    CHECK(step->text(tags::ScheduledStationAETitle) == "CT1");
    CHECK(asked.view().text(tags::PatientName) == "DOE*");
    CHECK_FALSE(asked.view().find(tags::PatientID));
  }
}

TEST_CASE("Both roles name themselves by an Implementation Class UID of their own") {
  Front front;
  auto peer = ask(front.port, "CT1");
  const auto answer = peer.receive_pdu();
  const auto uid = pdu_item(0x52, "2.25.180354740498350953243325321135368477278");
  const auto version = pdu_item(0x55, "MODGATE_010");
  CHECK(answer.find(uid) != std::string::npos);
  CHECK(answer.find(version) != std::string::npos);

  std::promise<std::string> requested;
  RawScp scp([&](RawPeer& modality, int) { requested.set_value(modality.receive_pdu()); });
  dimse::ScuOptions options;
  options.ae_title = "RIS";
  options.host = "127.0.0.1";
  options.port = scp.port();
  Context context;
  context.deadline = std::chrono::steady_clock::now() + 20s;
  CHECK_FALSE(dimse::Scu(options, {}).echo(context).good());
  const auto request = requested.get_future().get();
  CHECK(request.find(uid) != std::string::npos);
  CHECK(request.find(version) != std::string::npos);
}
