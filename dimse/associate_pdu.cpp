// Items within items, PS3.8, 9.3.2: type, reserved byte, length of 16 bits, value.
#include "dimse/associate_pdu.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace dimse {
namespace {

constexpr std::size_t fixed_fields = 68;  // protocol version, AE titles, reserved
constexpr std::size_t longest_uid = 64;

enum ItemType : std::uint8_t {
  application_context = 0x10,
  presentation_context_rq = 0x20,
  presentation_context_ac = 0x21,
  abstract_syntax = 0x30,
  transfer_syntax = 0x40,
  user_information = 0x50,
  maximum_length = 0x51,
  implementation_class = 0x52,
  asynchronous_operations = 0x53,
  role_selection = 0x54,
  implementation_version = 0x55,
  extended_negotiation = 0x56,
  user_identity = 0x58,
};

struct Item {
  std::uint8_t type;
  std::string_view value;
};

std::size_t read_16(std::string_view bytes, std::size_t at) {
  return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])) << 8 |
         static_cast<unsigned char>(bytes[at + 1]);
}

/// Takes the first item away; nothing if it does not fit.
std::optional<Item> take_item(std::string_view& items) {
  if (items.size() < 4) return std::nullopt;
  const auto length = read_16(items, 2);
  if (length > items.size() - 4) return std::nullopt;
  Item item{static_cast<std::uint8_t>(items[0]), items.substr(4, length)};
  items.remove_prefix(4 + length);
  return item;
}

bool is_uid_length(std::string_view value) { return !value.empty() && value.size() <= longest_uid; }

/// One abstract syntax (none in an -AC) and at least one transfer syntax.
bool check_presentation_context(std::string_view value, bool request) {
  if (value.size() < 4) return false;
  value.remove_prefix(4);
  int abstract_syntaxes = 0, transfer_syntaxes = 0;
  while (!value.empty()) {
    const auto item = take_item(value);
    if (!item) return false;
    if (item->type == abstract_syntax) {
      ++abstract_syntaxes;
    } else if (item->type == transfer_syntax) {
      ++transfer_syntaxes;
    } else {
      return false;
    }
    // A refused context of an -AC may have an empty transfer syntax; it is of no significance.
    if (request && !is_uid_length(item->value)) return false;
    if (item->value.size() > longest_uid) return false;
  }
  return request ? abstract_syntaxes == 1 && transfer_syntaxes >= 1 : abstract_syntaxes == 0;
}

/// Role selection and extended negotiation begin with the length of a UID. PS3.7, D.3.3.4, D.3.3.5
bool check_uid_and_rest(std::string_view value, std::size_t least_rest) {
  if (value.size() < 2) return false;
  const auto length = read_16(value, 0);
  return length <= longest_uid && value.size() - 2 >= length &&
         value.size() - 2 - length >= least_rest;
}

/// Type, response wanted, two fields with their lengths. PS3.7, D.3.3.7.1
bool check_user_identity(std::string_view value) {
  if (value.size() < 6) return false;
  const auto primary = read_16(value, 2);
  if (value.size() - 6 < primary) return false;
  return value.size() - 6 - primary == read_16(value, 4 + primary);
}

bool check_user_information(std::string_view value) {
  while (!value.empty()) {
    const auto item = take_item(value);
    if (!item) return false;
    const auto size = item->value.size();
    switch (item->type) {
      case maximum_length:
      case asynchronous_operations:
        if (size != 4) return false;
        break;
      case implementation_class:
        if (size > longest_uid) return false;
        break;
      case implementation_version:
        if (size > 16) return false;
        break;
      case role_selection:
        if (!check_uid_and_rest(item->value, 2)) return false;
        break;
      case extended_negotiation:
        if (!check_uid_and_rest(item->value, 0)) return false;
        break;
      case user_identity:
        if (!check_user_identity(item->value)) return false;
        break;
      default:
        break;  // whatever comes: within its bounds, and DCMTK's to read
    }
  }
  return true;
}

bool check_item(const Item& item) {
  switch (item.type) {
    case application_context:
      return is_uid_length(item.value);
    case presentation_context_rq:
      return check_presentation_context(item.value, true);
    case presentation_context_ac:
      return check_presentation_context(item.value, false);
    case user_information:
      return check_user_information(item.value);
    default:
      return true;  // unknown items are ignored: PS3.8, 9.3.1
  }
}

}  // namespace

bool is_well_formed_associate(std::string_view body) {
  if (body.size() < fixed_fields) return false;
  body.remove_prefix(fixed_fields);
  int application_contexts = 0, user_informations = 0;
  while (!body.empty()) {
    const auto item = take_item(body);
    if (!item || !check_item(*item)) return false;
    application_contexts += item->type == application_context;
    user_informations += item->type == user_information;
  }
  // Without an application context it can still be rejected for that.
  return application_contexts <= 1 && user_informations == 1;
}

}  // namespace dimse
