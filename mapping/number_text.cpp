// Numbers and their text.
#include "mapping/number_text.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "mapping/tag.h"

namespace mapping {
namespace {

static_assert(std::endian::native == std::endian::little, "the canonical form is little endian");

template <class Number>
Number load(const char* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

template <class Number>
void store(Number number, std::string& value_field) {
  value_field.append(reinterpret_cast<const char*>(&number), sizeof number);
}

template <class Number>
bool read(std::string_view text, std::string& value_field) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return false;
  }
  store(number, value_field);
  return true;
}

template <class Number>
char* write(const char* at, char* to) {
  const auto number = load<Number>(at);
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return nullptr;
  }
  return std::to_chars(to, to + max_number_text, number).ptr;
}

}  // namespace

std::size_t number_width(Vr vr) { return vr == Vr::AT ? 4 : facts(vr).unit; }

bool append_number(Vr vr, std::string_view text, std::string& value_field) {
  switch (vr) {
    case Vr::US:
      return read<std::uint16_t>(text, value_field);
    case Vr::SS:
      return read<std::int16_t>(text, value_field);
    case Vr::UL:
      return read<std::uint32_t>(text, value_field);
    case Vr::SL:
      return read<std::int32_t>(text, value_field);
    case Vr::UV:
      return read<std::uint64_t>(text, value_field);
    case Vr::SV:
      return read<std::int64_t>(text, value_field);
    case Vr::FL:
      return read<float>(text, value_field);
    case Vr::FD:
      return read<double>(text, value_field);
    default:
      break;
  }
  Tag tag;
  if (vr != Vr::AT || !parse_tag(text, tag)) return false;
  store(tag.group(), value_field);
  store(tag.element(), value_field);
  return true;
}

char* write_number_text(Vr vr, const char* number, char* to) {
  switch (vr) {
    case Vr::US:
      return write<std::uint16_t>(number, to);
    case Vr::SS:
      return write<std::int16_t>(number, to);
    case Vr::UL:
      return write<std::uint32_t>(number, to);
    case Vr::SL:
      return write<std::int32_t>(number, to);
    case Vr::UV:
      return write<std::uint64_t>(number, to);
    case Vr::SV:
      return write<std::int64_t>(number, to);
    case Vr::FL:
      return write<float>(number, to);
    case Vr::FD:
      return write<double>(number, to);
    default:
      break;
  }
  const std::string tag = to_string({load<std::uint16_t>(number), load<std::uint16_t>(number + 2)});
  return std::copy(tag.begin(), tag.end(), to);
}

bool round_decimal(std::string_view number, std::string& rounded) {
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size()) return false;
  char text[max_number_text];
  char* last = text + max_number_text;
  for (int digits = max_decimal_string; last - text > std::ptrdiff_t{max_decimal_string};
       --digits) {
    last =
        std::to_chars(text, text + max_number_text, value, std::chars_format::general, digits).ptr;
  }
  rounded.assign(text, last);
  return true;
}

bool exact_as_double(Vr vr, const char* number) {
  constexpr std::int64_t exact = std::int64_t{1} << 53;
  if (vr == Vr::UV) return load<std::uint64_t>(number) <= static_cast<std::uint64_t>(exact);
  if (vr != Vr::SV) return true;
  const auto value = load<std::int64_t>(number);
  return value >= -exact && value <= exact;
}

}  // namespace mapping
