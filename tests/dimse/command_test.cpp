// The command set's codec: round trips and hostile bytes.
#include "dimse/command.h"

#include <catch2/catch.hpp>
#include <random>

#include "mapping/tags.h"
#include "mapping/uids.h"

using dimse::Command;
using dimse::decode_command;
using dimse::encode_command;
namespace command_field = dimse::command_field;
namespace tags = mapping::tags;

namespace {

std::string encoded(const Command& command) {
  std::string bytes;
  encode_command(command, bytes);
  return bytes;
}

std::string element(std::uint16_t group, std::uint16_t number, std::string value,
                    std::optional<std::uint32_t> length = {}) {
  std::string bytes;
  auto put = [&](std::uint32_t v, int count) {
    for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>(v >> 8 * i));
  };
  put(group, 2);
  put(number, 2);
  put(length.value_or(static_cast<std::uint32_t>(value.size())), 4);
  return bytes + value;
}

const std::string c_find_field = element(0, 0x0100, std::string("\x20\x00", 2));

}  // namespace

TEST_CASE("A command comes back from its bytes as it was") {
  Command command;
  command.field = command_field::n_get_rq | command_field::response;
  command.message_id = std::uint16_t{7};
  command.message_id_being_responded_to = std::uint16_t{65535};
  command.priority = std::uint16_t{2};
  command.data_set_type = Command::data_set_follows;
  command.status = std::uint16_t{0x0110};
  command.affected_sop_class = mapping::uids::mpps;
  command.requested_sop_class = mapping::uids::mpps_retrieve;
  command.affected_sop_instance = "1.2.3";
  command.requested_sop_instance = "1.2.34";
  command.error_comment = "odd";
  command.error_id = std::uint16_t{0xA710};
  command.offending_elements = {tags::PatientName};
  command.attribute_identifier_list = {tags::PatientName, tags::PatientID};
  const auto bytes = encoded(command);
  CHECK(bytes.size() % 2 == 0);
  const auto back = decode_command(bytes);
  REQUIRE(back);
  CHECK(encoded(back.value()) == bytes);
  CHECK(back.value().affected_sop_instance == "1.2.3");
  CHECK(back.value().error_comment == "odd");
  CHECK(back.value().error_id == 0xA710);
  CHECK(back.value().attribute_identifier_list == command.attribute_identifier_list);
  CHECK(back.value().has_data_set());
}

TEST_CASE("The group length counts what follows it, and UIDs are padded with NUL") {
  Command command;
  command.field = command_field::c_echo_rq;
  command.affected_sop_class = "1.2.3";
  const auto bytes = encoded(command);
  CHECK(static_cast<std::size_t>(static_cast<unsigned char>(bytes[8])) == bytes.size() - 12);
  CHECK(bytes.substr(12 + 8, 6) == std::string("1.2.3\0", 6));
}

TEST_CASE("Elements that are not ours are skipped, and odd padding is taken away") {
  const auto bytes = element(0, 0x0002, std::string("1.2.840 \0\0", 10)) + c_find_field +
                     element(0, 0x0600, "DESTINATION ") + element(0, 0x1030, "X");
  const auto command = decode_command(bytes);
  REQUIRE(command);
  CHECK(command.value().field == command_field::c_find_rq);
  CHECK(command.value().affected_sop_class == "1.2.840");
  CHECK_FALSE(command.value().has_data_set());
}

TEST_CASE("An unknown Command Field decodes, so that it can be answered") {
  const auto command = decode_command(element(0, 0x0100, std::string("\x50\x01", 2)));
  REQUIRE(command);
  CHECK(command.value().field == 0x0150);
  CHECK(command.value().is_request());
}

TEST_CASE("Broken command sets are refused") {
  struct {
    std::string bytes;
    std::string_view why;
  } const cases[] = {
      {"", "no Command Field"},
      {element(0, 0x0110, std::string("\x01\x00", 2)), "no Command Field"},
      {c_find_field + std::string("\x00\x00\x10", 3), "half a header"},
      {c_find_field + element(0, 0x0110, "\x01", 0xFFFFFFFF), "a length of 4 GiB"},
      {c_find_field + element(0, 0x0110, "\x01", 3), "longer than the set"},
      {c_find_field + element(0, 0x0110, "\x01\x02\x03\x04"), "a US of four bytes"},
      {c_find_field + element(0, 0x0110, "\x01"), "a US of one byte"},
      {c_find_field + element(8, 0x0016, "1.2"), "another group"},
      {c_find_field + element(0, 0x1005, "abcde"), "half a tag"},
      {c_find_field + element(0, 0x1005, std::string(4 * (Command::max_tags + 1), 'a')),
       "too many"},
      {c_find_field + element(0, 0x0902, std::string(Command::max_bytes, 'a')), "too long"},
  };
  for (const auto& broken : cases) {
    INFO(broken.why);
    CHECK_FALSE(decode_command(broken.bytes));
  }
}

TEST_CASE("Mutated command sets are decoded or refused, never read out of bounds") {
  Command command;
  command.field = command_field::n_create_rq;
  command.message_id = std::uint16_t{1};
  command.affected_sop_class = mapping::uids::mpps;
  command.affected_sop_instance = "1.2.3.4";
  command.attribute_identifier_list = {tags::PatientName, tags::PatientID};
  const auto good = encoded(command);
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    auto bytes = good;
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    const std::vector<char> exact(bytes.begin(), bytes.end());  // so that a sanitizer sees the end
    const auto decoded = decode_command({exact.data(), exact.size()});
    if (decoded) CHECK(encoded(decoded.value()).size() <= 2 * Command::max_bytes);
  }
}

TEST_CASE("A response carries only the fields that its status may have") {
  Command request;
  request.field = command_field::n_set_rq;
  request.message_id = std::uint16_t{9};
  auto outcome = mapping::Outcome::may_no_longer_be_updated();
  outcome.attributes = {tags::PatientName};

  auto final_already = dimse::response_to(request, outcome.status);
  dimse::add_response_fields(final_already, mapping::Transaction::update, outcome, "1.2", "1.3");
  CHECK(final_already.field == 0x8120);
  CHECK(final_already.message_id_being_responded_to == 9);
  CHECK(final_already.error_id == mapping::dimse_status::error_id_may_no_longer_be_updated);
  CHECK(final_already.error_comment == "Performed Procedure Step Object may no longer be updated");
  CHECK(final_already.attribute_identifier_list.empty());

  outcome = mapping::Outcome::answered(mapping::dimse_status::resource_limitation, "full");
  auto full = dimse::response_to(request, outcome.status);
  dimse::add_response_fields(full, mapping::Transaction::update, outcome, "1.2", "1.3");
  CHECK(full.error_comment.empty());  // status only: PS3.7, C.5.22
  CHECK(full.affected_sop_class.empty());

  outcome = mapping::Outcome::answered(mapping::dimse_status::missing_attribute, "");
  outcome.attributes = {tags::PatientName};
  auto missing = dimse::response_to(request, outcome.status);
  dimse::add_response_fields(missing, mapping::Transaction::create, outcome, "1.2", "1.3");
  CHECK(missing.attribute_identifier_list == outcome.attributes);
  CHECK(missing.offending_elements.empty());
}
