// Value representations and the few facts about them that readers and writers need. PS3.5, 6.2.
#pragma once

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

/// Facts of one VR. Never fails for an enumerator.
const VrFacts& facts(Vr vr);

/// The VR with these two letters, or nothing.
std::optional<Vr> parse_vr(std::string_view two_letters);

/// The two letters; the view lives as long as the program.
std::string_view to_string(Vr vr);

}  // namespace mapping
