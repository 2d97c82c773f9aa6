// Value representations and the few facts about them that readers and writers need. PS3.5, 6.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mapping {

/// The two letters as they stand in Explicit VR Little Endian, first letter in the low byte.
enum class Vr : std::uint16_t {
#define MODGATE_VR(a, b) a##b = static_cast<std::uint16_t>(#a[0] | #b[0] << 8)
  MODGATE_VR(A, E),
  MODGATE_VR(A, S),
  MODGATE_VR(A, T),
  MODGATE_VR(C, S),
  MODGATE_VR(D, A),
  MODGATE_VR(D, S),
  MODGATE_VR(D, T),
  MODGATE_VR(F, D),
  MODGATE_VR(F, L),
  MODGATE_VR(I, S),
  MODGATE_VR(L, O),
  MODGATE_VR(L, T),
  MODGATE_VR(O, B),
  MODGATE_VR(O, D),
  MODGATE_VR(O, F),
  MODGATE_VR(O, L),
  MODGATE_VR(O, V),
  MODGATE_VR(O, W),
  MODGATE_VR(P, N),
  MODGATE_VR(S, H),
  MODGATE_VR(S, L),
  MODGATE_VR(S, Q),
  MODGATE_VR(S, S),
  MODGATE_VR(S, T),
  MODGATE_VR(S, V),
  MODGATE_VR(T, M),
  MODGATE_VR(U, C),
  MODGATE_VR(U, I),
  MODGATE_VR(U, L),
  MODGATE_VR(U, N),
  MODGATE_VR(U, R),
  MODGATE_VR(U, S),
  MODGATE_VR(U, T),
  MODGATE_VR(U, V),
#undef MODGATE_VR
};

/// How the value field is made.
enum class VrKind : std::uint8_t {
  text,     ///< characters; affected by Specific Character Set or not, see in_character_set
  number,   ///< fixed-width binary numbers, AT included
  bytes,    ///< opaque: OB OD OF OL OV OW UN
  sequence  ///< items
};

struct VrFacts {
  Vr vr;
  VrKind kind;
  bool long_header;          ///< Explicit VR: two reserved bytes and a 32-bit length. PS3.5, 7.1.2
  bool in_character_set;     ///< SH LO UC ST LT UT PN. rule G1
  bool many_values;          ///< text whose values stand apart by backslashes. rule D13
  char padding;              ///< ' ' or NUL
  std::uint8_t unit;         ///< bytes of one number or swap unit; 1 for text and OB, UN
  std::uint16_t max_length;  ///< characters a value may hold; 0 = no limit of the VR's own
};

namespace detail {

inline constexpr std::size_t vr_count = 34;
inline constexpr std::array<VrFacts, vr_count> vr_table{{
    // vr, kind, 32-bit length, character set, many values, padding, unit, characters
    {Vr::AE, VrKind::text, false, false, true, ' ', 1, 16},
    {Vr::AS, VrKind::text, false, false, true, ' ', 1, 4},
    {Vr::AT, VrKind::number, false, false, true, '\0', 2, 0},  // two 16-bit numbers: swapped by 2
    {Vr::CS, VrKind::text, false, false, true, ' ', 1, 16},
    {Vr::DA, VrKind::text, false, false, true, ' ', 1, 18},  // 18: a range in a query
    {Vr::DS, VrKind::text, false, false, true, ' ', 1, 16},
    {Vr::DT, VrKind::text, false, false, true, ' ', 1, 54},  // 54: a range in a query
    {Vr::FD, VrKind::number, false, false, true, '\0', 8, 0},
    {Vr::FL, VrKind::number, false, false, true, '\0', 4, 0},
    {Vr::IS, VrKind::text, false, false, true, ' ', 1, 12},
    {Vr::LO, VrKind::text, false, true, true, ' ', 1, 64},
    {Vr::LT, VrKind::text, false, true, false, ' ', 1, 10240},
    {Vr::OB, VrKind::bytes, true, false, false, '\0', 1, 0},
    {Vr::OD, VrKind::bytes, true, false, false, '\0', 8, 0},
    {Vr::OF, VrKind::bytes, true, false, false, '\0', 4, 0},
    {Vr::OL, VrKind::bytes, true, false, false, '\0', 4, 0},
    {Vr::OV, VrKind::bytes, true, false, false, '\0', 8, 0},
    {Vr::OW, VrKind::bytes, true, false, false, '\0', 2, 0},
    {Vr::PN, VrKind::text, false, true, true, ' ', 1, 0},  // 64 for each component group
    {Vr::SH, VrKind::text, false, true, true, ' ', 1, 16},
    {Vr::SL, VrKind::number, false, false, true, '\0', 4, 0},
    {Vr::SQ, VrKind::sequence, true, false, false, '\0', 1, 0},
    {Vr::SS, VrKind::number, false, false, true, '\0', 2, 0},
    {Vr::ST, VrKind::text, false, true, false, ' ', 1, 1024},
    {Vr::SV, VrKind::number, true, false, true, '\0', 8, 0},
    {Vr::TM, VrKind::text, false, false, true, ' ', 1, 28},  // 28: a range in a query
    {Vr::UC, VrKind::text, true, true, true, ' ', 1, 0},
    {Vr::UI, VrKind::text, false, false, true, '\0', 1, 64},
    {Vr::UL, VrKind::number, false, false, true, '\0', 4, 0},
    {Vr::UN, VrKind::bytes, true, false, false, '\0', 1, 0},
    {Vr::UR, VrKind::text, true, false, false, ' ', 1, 0},
    {Vr::US, VrKind::number, false, false, true, '\0', 2, 0},
    {Vr::UT, VrKind::text, true, true, false, ' ', 1, 0},
    {Vr::UV, VrKind::number, true, false, true, '\0', 8, 0},
}};

// Five bits tell two capital letters apart.
constexpr std::size_t vr_slot(std::uint16_t letters) {
  return static_cast<std::size_t>((letters & 0x1F) << 5 | (letters >> 8 & 0x1F));
}

// Index by both letters: reading a data set asks for every element.
constexpr std::array<std::uint8_t, 32 * 32> make_vr_index() {
  std::array<std::uint8_t, 32 * 32> index{};
  for (auto& i : index) i = vr_count;
  for (std::uint8_t i = 0; i < vr_count; ++i) {
    index[vr_slot(static_cast<std::uint16_t>(vr_table[i].vr))] = i;
  }
  return index;
}
inline constexpr auto vr_index = make_vr_index();

}  // namespace detail

/// Facts of one VR. Never fails for an enumerator. Inline: asked for every element of every walk.
inline const VrFacts& facts(Vr vr) {
  return detail::vr_table[detail::vr_index[detail::vr_slot(static_cast<std::uint16_t>(vr))]];
}

/// The VR with these two letters, or nothing. Inline as facts is.
inline std::optional<Vr> parse_vr(std::string_view two_letters) {
  if (two_letters.size() != 2) return std::nullopt;
  for (const char c : two_letters) {
    if (c < 'A' || c > 'Z') return std::nullopt;
  }
  const auto letters = static_cast<std::uint16_t>(two_letters[0] | two_letters[1] << 8);
  const std::size_t row = detail::vr_index[detail::vr_slot(letters)];
  if (row == detail::vr_count) return std::nullopt;
  return detail::vr_table[row].vr;
}

/// The two letters; the view lives as long as the program.
std::string_view to_string(Vr vr);

}  // namespace mapping
