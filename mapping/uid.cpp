// UIDs: the rules of PS3.5, 9.1, and new ones under 2.25.
#include "mapping/uid.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>

namespace mapping {
namespace {

__extension__ using Uint128 = unsigned __int128;

// 128 random bits with the version and variant of a random UUID. RFC 9562, 5.4.
Uint128 random_uuid() {
  static thread_local std::random_device device;
  Uint128 bits = 0;
  for (int i = 0; i < 4; ++i) bits = bits << 32 | device();
  bits &= ~(static_cast<Uint128>(0xF) << 76);
  bits |= static_cast<Uint128>(0x4) << 76;
  bits &= ~(static_cast<Uint128>(0x3) << 62);
  bits |= static_cast<Uint128>(0x2) << 62;
  return bits;
}

bool valid_component(std::string_view component) {
  if (component.empty() || (component.size() > 1 && component[0] == '0')) return false;
  return std::all_of(component.begin(), component.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<Uid> Uid::parse(std::string_view text) {
  if (text.empty() || text.size() > 64) return std::nullopt;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t dot = std::min(text.find('.', start), text.size());
    if (!valid_component(text.substr(start, dot - start))) return std::nullopt;
    start = dot + 1;
  }
  return Uid(std::string(text));
}

Uid Uid::generate() {
  std::string digits;
  for (Uint128 rest = random_uuid(); rest != 0; rest /= 10) {
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
  }
  std::reverse(digits.begin(), digits.end());
  return Uid("2.25." + digits);
}

}  // namespace mapping
