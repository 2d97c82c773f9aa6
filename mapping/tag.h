// A data element tag. PS3.5, 7.1. Named tags stand in mapping/tags.h.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace mapping {

struct Tag {
  std::uint32_t value = 0;  ///< group in the upper, element in the lower 16 bits

  constexpr Tag() = default;
  constexpr explicit Tag(std::uint32_t group_and_element) : value(group_and_element) {}
  constexpr Tag(std::uint16_t group, std::uint16_t element)
      : value(static_cast<std::uint32_t>(group) << 16 | element) {}

  constexpr std::uint16_t group() const { return static_cast<std::uint16_t>(value >> 16); }
  constexpr std::uint16_t element() const { return static_cast<std::uint16_t>(value & 0xFFFF); }
  constexpr bool is_private() const { return (group() & 1) != 0; }
  /// (gggg,0010-00FF) of an odd group names the owner of a block. PS3.5, 7.8.1.
  constexpr bool is_private_creator() const {
    return is_private() && element() >= 0x10 && element() <= 0xFF;
  }
  /// The element that names the owner of a private attribute's block.
  constexpr Tag private_creator() const {
    return {group(), static_cast<std::uint16_t>(element() >> 8)};
  }
  constexpr bool is_group_length() const { return element() == 0; }

  constexpr auto operator<=>(const Tag&) const = default;
};

/// Whether a tag may stand in a data set, as against a command set or file meta information.
enum class TagPlace : std::uint8_t {
  attribute,
  ignored,    ///< group lengths, file meta information, Length to End, Specific Character Set: they
              ///< say how something is encoded and never stand in a DataSet (rules D3, D17)
  misplaced,  ///< the command group, the directory group, what is below (0008,0005) otherwise
};
constexpr TagPlace place_of(Tag tag) {
  constexpr Tag specific_character_set{0x0008, 0x0005};
  constexpr Tag length_to_end{0x0008, 0x0001};
  if (tag > specific_character_set) {
    return tag.is_group_length() ? TagPlace::ignored : TagPlace::attribute;
  }
  const bool ignored = tag == specific_character_set || tag == length_to_end ||
                       tag.group() == 0x0002 || tag == Tag{0x0008, 0x0000};
  return ignored ? TagPlace::ignored : TagPlace::misplaced;
}

/// Eight upper-case hexadecimal digits, as DICOM JSON and query parameters write a tag.
std::string to_string(Tag tag);

/// Reads exactly eight hexadecimal digits of either case; false otherwise, tag untouched.
bool parse_tag(std::string_view text, Tag& tag);

}  // namespace mapping
