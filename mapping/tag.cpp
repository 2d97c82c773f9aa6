// Text form of tags.
#include "mapping/tag.h"

#include <array>

namespace mapping {

std::string to_string(Tag tag) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string text(8, '0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = digits[tag.value >> (28 - 4 * i) & 0xF];
  return text;
}

bool parse_tag(std::string_view text, Tag& tag) {
  if (text.size() != 8) return false;
  std::uint32_t value = 0;
  for (const char c : text) {
    std::uint32_t digit = 0;
    if (c >= '0' && c <= '9')
      digit = static_cast<std::uint32_t>(c - '0');
    else if (c >= 'A' && c <= 'F')
      digit = static_cast<std::uint32_t>(c - 'A' + 10);
    else if (c >= 'a' && c <= 'f')
      digit = static_cast<std::uint32_t>(c - 'a' + 10);
    else
      return false;
    value = value << 4 | digit;
  }
  tag = Tag(value);
  return true;
}

}  // namespace mapping
