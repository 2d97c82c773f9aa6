// What a request with a fault is answered: the status that names it, on an association that goes
// on.
#include "raw_modality.h"

using namespace loopback;  // NOLINT: test code

namespace {

std::string element(std::string_view hex_tag_and_vr, std::string value) {
  std::string bytes(hex_tag_and_vr);
  bytes.push_back(static_cast<char>(value.size()));
  bytes.push_back('\0');
  return bytes + value;
}

const std::string patient_name_header("\x10\x00\x10\x00PN", 6);
const std::string character_set_header(
    "\x08\x00\x05\x00"
    "CS",
    6);

}  // namespace

TEST_CASE("Commands that are unknown or not of the context's class answer 0211 (mapping.md, 5b)") {
  Front front;
  auto peer = associate(front.port);
  struct {
    std::uint8_t context;
    std::uint16_t field;
    bool data;
  } const cases[] = {
      {3, 0x0001, true},                      // C-STORE
      {3, 0x0999, false},                     // no command at all
      {5, 0x0150, false},                     // N-DELETE
      {5, command_field::n_get_rq, false},    // belongs to the Retrieve class
      {7, command_field::n_create_rq, true},  // the reverse
      {7, command_field::n_set_rq, true},
      {3, command_field::c_echo_rq, false},
      {1, command_field::c_find_rq, true},
  };
  std::uint16_t id = 0;
  for (const auto& odd : cases) {
    INFO("command " << odd.field << " on context " << int(odd.context));
    auto data = odd.data ? std::optional(explicit_bytes(identifier())) : std::nullopt;
    peer.send(message(odd.context, request(odd.field, ++id), data));
    auto response = peer.receive_message();
    REQUIRE(response);
    CHECK(response->field == (odd.field | command_field::response));
    CHECK(response->message_id_being_responded_to == id);
    CHECK(response->status == status::unrecognized_operation);
  }
}

TEST_CASE("Requests with faults get the status that names them (mapping.md, 5b)") {
  Front front;
  auto peer = associate(front.port);
  const auto good = explicit_bytes(mpps("IN PROGRESS"));
  const std::string broken(
      "\x10\x00\x10\x00PN\xFF\x7F"
      "abc",
      11);
  const auto unknown_set =
      element(character_set_header, "ISO_IR 999") + element(patient_name_header, "M\xFCll");
  auto create = request(command_field::n_create_rq);
  create.affected_sop_class = mpps_class;
  create.affected_sop_instance = "1.2.3";
  auto set = request(command_field::n_set_rq);
  set.requested_sop_class = mpps_class;
  set.requested_sop_instance = "1.2.3";
  auto get = request(command_field::n_get_rq);
  get.requested_sop_class = mpps_retrieve;
  get.requested_sop_instance = "1.2.3";
  auto find = request(command_field::c_find_rq);
  find.affected_sop_class = mwl;
  auto with = [](dimse::Command command, auto change) {
    change(command);
    return command;
  };
  auto wrong_class = [](auto& c) { c.affected_sop_class = c.requested_sop_class = "1.2"; };
  auto wrong_uid = [](auto& c) { c.affected_sop_instance = c.requested_sop_instance = "1..2"; };
  struct {
    std::uint8_t context;
    dimse::Command command;
    std::optional<std::string> data;
    std::uint16_t status;
    std::string_view why;
  } const cases[] = {
      {3, find, std::nullopt, 0xA900, "no identifier"},
      {3, find, broken, 0xA900, "broken identifier"},
      {3, find, unknown_set, 0xC004, "unknown character set"},
      {3, with(find, [](auto& c) { c.affected_sop_class = "1.2"; }), good, 0x0122, "class"},
      {5, with(create, wrong_class), good, 0x0118, "class"},
      {5, with(create, wrong_uid), good, 0x0117, "instance UID"},
      {5, create, std::nullopt, 0x0110, "no data set"},
      {5, create, broken, 0x0110, "broken data set"},
      {5, create, unknown_set, 0x0106, "unknown character set"},
      {5, with(set, wrong_class), good, 0x0118, "class"},
      {5, with(set, wrong_uid), good, 0x0117, "instance UID"},
      {5, with(set, [](auto& c) { c.requested_sop_instance.clear(); }), good, 0x0117, "no UID"},
      {5, set, std::nullopt, 0x0110, "no data set"},
      {5, set, broken, 0x0110, "broken data set"},
      {5, set, unknown_set, 0x0106, "unknown character set"},
      {7, with(get, wrong_class), std::nullopt, 0x0118, "class"},
      {7, with(get, wrong_uid), std::nullopt, 0x0117, "instance UID"},
      {7, get, std::nullopt, 0x0112, "unknown instance"},
      {5, set, good, 0x0112, "unknown instance"},
      {5, create, good, 0x0000, "a good one"},
      {7, get, std::nullopt, 0x0000, "a good one"},
  };
  for (const auto& faulty : cases) {
    INFO("command " << faulty.command.field << ": " << faulty.why);
    peer.send(message(faulty.context, faulty.command, faulty.data));
    auto response = peer.receive_message();
    REQUIRE(response);
    CHECK(response->status == faulty.status);
    CHECK(response->field == (faulty.command.field | command_field::response));
  }
}

TEST_CASE("A response names the attributes at fault by the request's own (PS3.7, C.5.14)") {
  Front front;
  front.services.on_mpps = []() -> std::optional<Outcome> {
    auto outcome = Outcome::answered(status::missing_attribute_value);
    outcome.attributes = {tags::PerformedProcedureStepID};
    return outcome;
  };
  auto peer = associate(front.port);
  auto create = request(command_field::n_create_rq);
  create.affected_sop_instance = "1.2.3";
  peer.send(message(5, create, explicit_bytes(mpps("IN PROGRESS"))));
  std::string data;
  auto response = peer.receive_message(&data);
  REQUIRE(response);
  CHECK(response->status == status::missing_attribute_value);
  auto offending = mapping::read_data_set(data, mapping::TransferSyntax::explicit_vr_little_endian);
  REQUIRE(offending);
  CHECK(offending.value().data_set.view().text(tags::PerformedProcedureStepID) == "PPS1");
  CHECK_FALSE(offending.value().data_set.view().find(tags::PatientName));
}
