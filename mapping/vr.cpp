// Names of value representations.
#include "mapping/vr.h"

#include <array>
#include <cstddef>

namespace mapping {
namespace {

using namespace detail;

struct Names {
  std::array<char, 2 * vr_count> letters{};
};
constexpr Names make_names() {
  Names names;
  for (std::size_t i = 0; i < vr_count; ++i) {
    names.letters[2 * i] = static_cast<char>(static_cast<std::uint16_t>(vr_table[i].vr) & 0xFF);
    names.letters[2 * i + 1] = static_cast<char>(static_cast<std::uint16_t>(vr_table[i].vr) >> 8);
  }
  return names;
}
constexpr Names names = make_names();

}  // namespace

std::string_view to_string(Vr vr) {
  const std::size_t row = vr_index[vr_slot(static_cast<std::uint16_t>(vr))];
  return {names.letters.data() + 2 * row, 2};
}

}  // namespace mapping
