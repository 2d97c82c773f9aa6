// A DIMSE command set: group 0000 in Implicit VR Little Endian. PS3.7, 9.3, 10.3 and Annex E.
// Bytes to a struct and back; knows no association and no service.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/outcome.h"
#include "mapping/result.h"
#include "mapping/tag.h"

namespace dimse {

/// Command Field (0000,0100). PS3.7, E.1. A response has the highest bit set.
namespace command_field {
inline constexpr std::uint16_t c_find_rq = 0x0020;
inline constexpr std::uint16_t c_echo_rq = 0x0030;
inline constexpr std::uint16_t n_get_rq = 0x0110;
inline constexpr std::uint16_t n_set_rq = 0x0120;
inline constexpr std::uint16_t n_create_rq = 0x0140;
inline constexpr std::uint16_t c_cancel_rq = 0x0FFF;
inline constexpr std::uint16_t response = 0x8000;
}  // namespace command_field

struct Command {
  static constexpr std::uint16_t no_data_set = 0x0101;
  static constexpr std::uint16_t data_set_follows = 0x0102;  ///< what old peers expect; rule F12
  static constexpr std::size_t max_bytes = 64u << 10;        ///< of an encoded command set
  static constexpr std::size_t max_tags = 4096;              ///< of a list of attributes

  std::uint16_t field = 0;
  std::optional<std::uint16_t> message_id;
  std::optional<std::uint16_t> message_id_being_responded_to;
  std::optional<std::uint16_t> priority;
  std::uint16_t data_set_type = no_data_set;
  std::optional<std::uint16_t> status;
  /// Without padding, as received: not yet known to be valid UIDs. Empty = absent.
  std::string affected_sop_class, requested_sop_class;
  std::string affected_sop_instance, requested_sop_instance;
  std::string error_comment;
  std::optional<std::uint16_t> error_id;
  std::vector<mapping::Tag> offending_elements;
  std::vector<mapping::Tag> attribute_identifier_list;

  bool has_data_set() const { return data_set_type != no_data_set; }
  bool is_response() const { return (field & command_field::response) != 0; }
  bool is_request() const { return !is_response(); }
};

/// Elements that are not in Command are skipped. Fault: truncated, a number of the wrong length, an
/// element of another group, no Command Field, too large.
mapping::Result<Command> decode_command(std::string_view encoded);

/// Appends the command set, group length first. Fields at their default are left out, except the
/// Command Field and the Command Data Set Type.
void encode_command(const Command& command, std::string& out);

/// The response to a request: its field, message ID and status, nothing else.
Command response_to(const Command& request, std::uint16_t status);

/// Adds what the outcome says and its status may carry (mapping::response_fields). PS3.7, Annex C.
/// sop_class, sop_instance: of the request; left out where empty.
void add_response_fields(Command& response, mapping::Transaction transaction,
                         const mapping::Outcome& outcome, std::string_view sop_class,
                         std::string_view sop_instance);

}  // namespace dimse
