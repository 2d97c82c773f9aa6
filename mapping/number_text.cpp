// Numbers and their text.
#include "mapping/number_text.h"

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
bool write(const char* at, std::string& text) {
  const auto number = load<Number>(at);
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return false;
  }
  char digits[40];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  return true;
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

bool append_number_text(Vr vr, const char* number, std::string& text) {
  switch (vr) {
    case Vr::US:
      return write<std::uint16_t>(number, text);
    case Vr::SS:
      return write<std::int16_t>(number, text);
    case Vr::UL:
      return write<std::uint32_t>(number, text);
    case Vr::SL:
      return write<std::int32_t>(number, text);
    case Vr::UV:
      return write<std::uint64_t>(number, text);
    case Vr::SV:
      return write<std::int64_t>(number, text);
    case Vr::FL:
      return write<float>(number, text);
    case Vr::FD:
      return write<double>(number, text);
    default:
      break;
  }
  text.append(to_string(Tag(load<std::uint16_t>(number), load<std::uint16_t>(number + 2))));
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
