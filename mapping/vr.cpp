// The table of value representations. PS3.5, Table 6.2-1 and 7.1.2.
#include "mapping/vr.h"

#include <array>
#include <cstddef>

namespace mapping {
namespace {

using enum VrKind;

constexpr std::size_t table_size = 34;
constexpr std::array<VrFacts, table_size> table{{
    // vr, kind, 32-bit length, character set, many values, padding, unit, characters
    {Vr::AE, text, false, false, true, ' ', 1, 16},
    {Vr::AS, text, false, false, true, ' ', 1, 4},
    {Vr::AT, number, false, false, true, '\0', 2, 0},  // two 16-bit numbers: swapped by 2
    {Vr::CS, text, false, false, true, ' ', 1, 16},
    {Vr::DA, text, false, false, true, ' ', 1, 18},  // 18: a range in a query
    {Vr::DS, text, false, false, true, ' ', 1, 16},
    {Vr::DT, text, false, false, true, ' ', 1, 54},  // 54: a range in a query
    {Vr::FD, number, false, false, true, '\0', 8, 0},
    {Vr::FL, number, false, false, true, '\0', 4, 0},
    {Vr::IS, text, false, false, true, ' ', 1, 12},
    {Vr::LO, text, false, true, true, ' ', 1, 64},
    {Vr::LT, text, false, true, false, ' ', 1, 10240},
    {Vr::OB, bytes, true, false, false, '\0', 1, 0},
    {Vr::OD, bytes, true, false, false, '\0', 8, 0},
    {Vr::OF, bytes, true, false, false, '\0', 4, 0},
    {Vr::OL, bytes, true, false, false, '\0', 4, 0},
    {Vr::OV, bytes, true, false, false, '\0', 8, 0},
    {Vr::OW, bytes, true, false, false, '\0', 2, 0},
    {Vr::PN, text, false, true, true, ' ', 1, 0},  // 64 for each component group
    {Vr::SH, text, false, true, true, ' ', 1, 16},
    {Vr::SL, number, false, false, true, '\0', 4, 0},
    {Vr::SQ, sequence, true, false, false, '\0', 1, 0},
    {Vr::SS, number, false, false, true, '\0', 2, 0},
    {Vr::ST, text, false, true, false, ' ', 1, 1024},
    {Vr::SV, number, true, false, true, '\0', 8, 0},
    {Vr::TM, text, false, false, true, ' ', 1, 28},  // 28: a range in a query
    {Vr::UC, text, true, true, true, ' ', 1, 0},
    {Vr::UI, text, false, false, true, '\0', 1, 64},
    {Vr::UL, number, false, false, true, '\0', 4, 0},
    {Vr::UN, bytes, true, false, false, '\0', 1, 0},
    {Vr::UR, text, true, false, false, ' ', 1, 0},
    {Vr::US, number, false, false, true, '\0', 2, 0},
    {Vr::UT, text, true, true, false, ' ', 1, 0},
    {Vr::UV, number, true, false, true, '\0', 8, 0},
}};

constexpr std::size_t slot(std::uint16_t letters) {
  return static_cast<std::size_t>((letters & 0xFF) - 'A') * 26 +
         static_cast<std::size_t>((letters >> 8) - 'A');
}

// Index by both letters: reading a data set asks for every element.
constexpr std::array<std::uint8_t, 26 * 26> make_index() {
  std::array<std::uint8_t, 26 * 26> index{};
  for (auto& i : index) i = table_size;
  for (std::uint8_t i = 0; i < table_size; ++i) {
    index[slot(static_cast<std::uint16_t>(table[i].vr))] = i;
  }
  return index;
}
constexpr auto index_of = make_index();

struct Names {
  std::array<char, 2 * table_size> letters{};
};
constexpr Names make_names() {
  Names names;
  for (std::size_t i = 0; i < table_size; ++i) {
    names.letters[2 * i] = static_cast<char>(static_cast<std::uint16_t>(table[i].vr) & 0xFF);
    names.letters[2 * i + 1] = static_cast<char>(static_cast<std::uint16_t>(table[i].vr) >> 8);
  }
  return names;
}
constexpr Names names = make_names();

}  // namespace

const VrFacts& facts(Vr vr) { return table[index_of[slot(static_cast<std::uint16_t>(vr))]]; }

std::optional<Vr> parse_vr(std::string_view two_letters) {
  if (two_letters.size() != 2) return std::nullopt;
  for (const char c : two_letters) {
    if (c < 'A' || c > 'Z') return std::nullopt;
  }
  const auto letters = static_cast<std::uint16_t>(two_letters[0] | two_letters[1] << 8);
  const std::size_t row = index_of[slot(letters)];
  if (row == table_size) return std::nullopt;
  return table[row].vr;
}

std::string_view to_string(Vr vr) {
  const std::size_t row = index_of[slot(static_cast<std::uint16_t>(vr))];
  return {names.letters.data() + 2 * row, 2};
}

}  // namespace mapping
