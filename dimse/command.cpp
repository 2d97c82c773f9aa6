// The command set's codec. Never trusts a length.
#include "dimse/command.h"

#include <fmt/format.h>

#include <algorithm>

#include "mapping/status.h"
#include "mapping/tags.h"

namespace dimse {
namespace {

using mapping::Fault;
using mapping::Tag;
namespace tags = mapping::tags;

std::uint16_t read_16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) |
                                    static_cast<unsigned char>(bytes[at + 1]) << 8);
}

std::uint32_t read_32(std::string_view bytes, std::size_t at) {
  return read_16(bytes, at) | static_cast<std::uint32_t>(read_16(bytes, at + 2)) << 16;
}

void write_16(std::string& out, std::uint16_t value) {
  out.push_back(static_cast<char>(value & 0xFF));
  out.push_back(static_cast<char>(value >> 8));
}

void write_32(std::string& out, std::uint32_t value) {
  write_16(out, static_cast<std::uint16_t>(value & 0xFFFF));
  write_16(out, static_cast<std::uint16_t>(value >> 16));
}

void write_header(std::string& out, Tag tag, std::size_t length) {
  write_16(out, tag.group());
  write_16(out, tag.element());
  write_32(out, static_cast<std::uint32_t>(length));
}

void write_number(std::string& out, Tag tag, std::uint16_t value) {
  write_header(out, tag, 2);
  write_16(out, value);
}

void write_number(std::string& out, Tag tag, std::optional<std::uint16_t> value) {
  if (value) write_number(out, tag, *value);
}

void write_text(std::string& out, Tag tag, std::string_view text, char padding) {
  if (text.empty()) return;
  write_header(out, tag, text.size() + text.size() % 2);
  out.append(text);
  if (text.size() % 2 != 0) out.push_back(padding);
}

void write_tags(std::string& out, Tag tag, const std::vector<Tag>& values) {
  if (values.empty()) return;
  auto count = std::min(values.size(), Command::max_tags);
  write_header(out, tag, 4 * count);
  for (std::size_t i = 0; i < count; ++i) {
    write_16(out, values[i].group());
    write_16(out, values[i].element());
  }
}

std::string without_padding(std::string_view value) {
  auto first = value.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  auto last = value.find_last_not_of(std::string_view(" \0", 2));
  if (last == std::string_view::npos || last < first) return {};
  return std::string(value.substr(first, last - first + 1));
}

/// Where a numeric element goes; null for elements that are no US of ours.
using Number = std::optional<std::uint16_t>;
Number* number_field(Command& command, Tag tag, Number& field, Number& data_set_type) {
  switch (tag.value) {
    case tags::CommandField.value:
      return &field;
    case tags::CommandDataSetType.value:
      return &data_set_type;
    case tags::MessageID.value:
      return &command.message_id;
    case tags::MessageIDBeingRespondedTo.value:
      return &command.message_id_being_responded_to;
    case tags::Priority.value:
      return &command.priority;
    case tags::Status.value:
      return &command.status;
    case tags::ErrorID.value:
      return &command.error_id;
    default:
      return nullptr;
  }
}

std::string* text_field(Command& command, Tag tag) {
  switch (tag.value) {
    case tags::AffectedSOPClassUID.value:
      return &command.affected_sop_class;
    case tags::RequestedSOPClassUID.value:
      return &command.requested_sop_class;
    case tags::AffectedSOPInstanceUID.value:
      return &command.affected_sop_instance;
    case tags::RequestedSOPInstanceUID.value:
      return &command.requested_sop_instance;
    case tags::ErrorComment.value:
      return &command.error_comment;
    default:
      return nullptr;
  }
}

std::vector<Tag>* tags_field(Command& command, Tag tag) {
  switch (tag.value) {
    case tags::OffendingElement.value:
      return &command.offending_elements;
    case tags::AttributeIdentifierList.value:
      return &command.attribute_identifier_list;
    default:
      return nullptr;
  }
}

Fault malformed(Tag tag, std::string_view what) {
  return {Fault::Kind::malformed, fmt::format("command element {} {}", to_string(tag), what), {}};
}

std::optional<Fault> read_tags(Tag tag, std::string_view value, std::vector<Tag>& out) {
  if (value.size() % 4 != 0) return malformed(tag, "holds no whole tags");
  if (value.size() / 4 > Command::max_tags) {
    return Fault{Fault::Kind::too_large, "a list of attributes in the command is too long", {}};
  }
  out.clear();
  for (std::size_t at = 0; at < value.size(); at += 4) {
    out.emplace_back(read_16(value, at), read_16(value, at + 2));
  }
  return std::nullopt;
}

}  // namespace

mapping::Result<Command> decode_command(std::string_view encoded) {
  if (encoded.size() > Command::max_bytes) {
    return Fault{Fault::Kind::too_large, "the command set is too long", {}};
  }
  Command command;
  Number field, data_set_type;
  for (std::size_t at = 0; at < encoded.size();) {
    if (encoded.size() - at < 8) return Fault{Fault::Kind::malformed, "truncated command set", {}};
    Tag tag(read_16(encoded, at), read_16(encoded, at + 2));
    std::size_t length = read_32(encoded, at + 4);
    at += 8;
    if (tag.group() != 0) return malformed(tag, "is not of group 0000");
    if (length > encoded.size() - at) return malformed(tag, "is longer than the command set");
    auto value = encoded.substr(at, length);
    at += length;
    if (auto* number = number_field(command, tag, field, data_set_type)) {
      if (length == 0) continue;  // as if absent
      if (length != 2) return malformed(tag, "is no 16-bit number");
      *number = read_16(value, 0);
    } else if (auto* text = text_field(command, tag)) {
      *text = without_padding(value);
    } else if (auto* list = tags_field(command, tag)) {
      if (auto fault = read_tags(tag, value, *list)) return *fault;
    }
  }
  if (!field) return Fault{Fault::Kind::malformed, "the command set has no Command Field", {}};
  command.field = *field;
  command.data_set_type = data_set_type.value_or(Command::no_data_set);
  return command;
}

void encode_command(const Command& command, std::string& out) {
  const auto start = out.size();
  write_header(out, tags::CommandGroupLength, 4);
  write_32(out, 0);
  const auto elements = out.size();
  write_text(out, tags::AffectedSOPClassUID, command.affected_sop_class, '\0');
  write_text(out, tags::RequestedSOPClassUID, command.requested_sop_class, '\0');
  write_number(out, tags::CommandField, command.field);
  write_number(out, tags::MessageID, command.message_id);
  write_number(out, tags::MessageIDBeingRespondedTo, command.message_id_being_responded_to);
  write_number(out, tags::Priority, command.priority);
  write_number(out, tags::CommandDataSetType, command.data_set_type);
  write_number(out, tags::Status, command.status);
  write_tags(out, tags::OffendingElement, command.offending_elements);
  write_text(out, tags::ErrorComment, command.error_comment, ' ');
  write_number(out, tags::ErrorID, command.error_id);
  write_text(out, tags::AffectedSOPInstanceUID, command.affected_sop_instance, '\0');
  write_text(out, tags::RequestedSOPInstanceUID, command.requested_sop_instance, '\0');
  write_tags(out, tags::AttributeIdentifierList, command.attribute_identifier_list);
  std::string length;
  write_32(length, static_cast<std::uint32_t>(out.size() - elements));
  out.replace(start + 8, 4, length);
}

Command response_to(const Command& request, std::uint16_t status) {
  Command response;
  response.field = request.field | command_field::response;
  response.message_id_being_responded_to = request.message_id.value_or(0);
  response.status = status;
  return response;
}

void add_response_fields(Command& response, mapping::Transaction transaction,
                         const mapping::Outcome& outcome, std::string_view sop_class,
                         std::string_view sop_instance) {
  const auto fields = mapping::response_fields(transaction, response.status.value_or(0));
  if (fields.affected_sop_class) response.affected_sop_class = sop_class;
  if (fields.affected_sop_instance) response.affected_sop_instance = sop_instance;
  if (fields.error_comment) {
    response.error_comment = mapping::to_error_comment(outcome.error_comment);
  }
  if (fields.error_id) response.error_id = outcome.error_id;
  if (fields.offending_element) response.offending_elements = outcome.attributes;
  if (fields.attribute_identifier_list) response.attribute_identifier_list = outcome.attributes;
}

}  // namespace dimse
