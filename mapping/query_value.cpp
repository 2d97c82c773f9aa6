// Text keys are checked with the rules of their VR, wildcards and ranges set aside; binary numbers
// are written in decimal and AT as a tag, since PS3.18 gives them no form of their own.
#include "mapping/query_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>

#include "mapping/character_set.h"
#include "mapping/query.h"
#include "mapping/vr_rules.h"

namespace mapping {
namespace {

Fault invalid(std::string_view expected) {
  return {Fault::Kind::invalid_value, fmt::format("expected {}", expected)};
}

// ---- Text ---------------------------------------------------------------------------------------

/// PS3.4, C.2.2.2.4.
bool takes_wildcards(Vr vr) {
  constexpr std::array vrs = {Vr::AE, Vr::CS, Vr::LO, Vr::LT, Vr::PN,
                              Vr::SH, Vr::ST, Vr::UC, Vr::UR, Vr::UT};
  return std::find(vrs.begin(), vrs.end(), vr) != vrs.end();
}

std::string_view trim_padding(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  return text;
}

/// The value of an attribute whose VR nobody knows, private ones among them: text is the only form
/// that a query has.
bool is_plain_text(std::string_view text) {
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7F && c != '\\';
  });
  return printable && is_utf_8(text);
}

/// A value, or a range with one end or both. A hyphen may also begin the zone of a DT, so each one
/// is tried as the middle. PS3.4, C.2.2.2.5; rule F3.
bool is_value_or_range(Vr vr, std::string_view text) {
  if (fits_vr(vr, text)) return true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '-') continue;
    const std::string_view from = text.substr(0, i);
    const std::string_view to = text.substr(i + 1);
    if (from.empty() && to.empty()) return false;
    if ((from.empty() || fits_vr(vr, from)) && (to.empty() || fits_vr(vr, to))) return true;
  }
  return false;
}

/// A comma or, in old QIDO-RS, a backslash separates UIDs (rule A7).
Result<std::string> read_uid_list(std::string_view text) {
  std::string list;
  while (true) {
    const std::size_t end = std::min(text.find_first_of(",\\"), text.size());
    const std::string_view uid = text.substr(0, end);
    const bool fits = !uid.empty() && uid.size() <= 64 &&
                      uid.find_first_not_of("0123456789.") == std::string_view::npos;
    if (!fits) return invalid("UIDs of at most 64 digits and dots, separated by commas");
    list += uid;
    if (end == text.size()) return list;
    list += '\\';
    text.remove_prefix(end + 1);
  }
}

/// Whether text that may hold wildcards could match a value of this VR. An asterisk stands for
/// nothing too, so it does not count as a character (PS3.4, C.2.2.2: keys may be longer).
bool fits_with_wildcards(Vr vr, std::string_view text) {
  std::string rest(text);
  std::erase(rest, '*');
  if (rest.find_first_not_of(' ') == std::string::npos) return true;
  // Peers do use other characters than CS allows, and then are asked for them.
  if (vr == Vr::CS) return fits_vr(Vr::AE, rest);
  if (vr != Vr::PN) return fits_vr(vr, rest);
  std::string_view name = rest;
  for (int group = 0; group < 3; ++group) {
    const std::size_t end = std::min(name.find('='), name.size());
    if (!fits_vr(Vr::PN, name.substr(0, end))) return false;
    if (end == name.size()) return true;
    name.remove_prefix(end + 1);
  }
  return false;
}

Result<std::string> read_text(Vr vr, std::string_view text, bool empty_value_matching) {
  if (vr == Vr::UI) return text == "*" ? Result<std::string>("") : read_uid_list(text);
  // Trailing blanks say nothing, but a value of blanks alone does not ask for everything either.
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  if (text.empty()) return invalid("a value that is not blank");
  if (text == "*" && !takes_wildcards(vr)) return std::string();         // universal, rule A10
  if (text == "\"\"" && empty_value_matching) return std::string(text);  // PS3.4, C.2.2.2.7
  if (!facts(vr).in_character_set && !is_ascii(text)) return invalid("ASCII characters");
  if (facts(vr).many_values && text.find('\\') != std::string_view::npos) {
    return invalid("one value: only UIDs may be a list (PS3.18, 8.3.4.1)");
  }
  switch (vr) {
    case Vr::DA:
    case Vr::DT:
    case Vr::TM:
      if (!is_value_or_range(vr, text)) {
        return invalid(fmt::format("{}, or a range of such with a hyphen", expectation(vr)));
      }
      break;
    case Vr::AS:
    case Vr::DS:
    case Vr::IS:
      if (!fits_vr(vr, text)) return invalid(expectation(vr));
      break;
    default:
      if (!fits_with_wildcards(vr, text)) return invalid(expectation(vr == Vr::CS ? Vr::AE : vr));
  }
  return std::string(text);
}

// ---- Numbers ------------------------------------------------------------------------------------

template <class Unsigned>
std::string little_endian(Unsigned bits) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(bits); ++i) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(bits) >> (8 * i) & 0xFF);
  }
  return bytes;
}

template <class Number>
using BitsOf =
    std::conditional_t<sizeof(Number) == 2, std::uint16_t,
                       std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint64_t>>;

template <class Number>
Result<std::string> read_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool fits = error == std::errc() && end == text.data() + text.size();
  if constexpr (std::is_floating_point_v<Number>) fits = fits && std::isfinite(number);
  if (!fits) return invalid("a decimal number within the range of its VR");
  return little_endian(std::bit_cast<BitsOf<Number>>(number));
}

template <class Number>
Result<std::string> write_number(std::string_view bytes) {
  if (bytes.size() != sizeof(Number)) return invalid("one number");
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bits |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  const auto number = std::bit_cast<Number>(static_cast<BitsOf<Number>>(bits));
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return invalid("a finite number");
  }
  return percent_encode(fmt::format("{}", number));
}

Result<std::string> read_tag(std::string_view text) {
  Tag tag;
  if (!parse_tag(text, tag)) return invalid("a tag of eight hexadecimal digits");
  return little_endian(tag.group()) + little_endian(tag.element());
}

Result<std::string> write_tag(std::string_view bytes) {
  if (bytes.size() != 4) return invalid("one tag");
  const auto word = [&](std::size_t at) {
    return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) |
                                      static_cast<unsigned char>(bytes[at + 1]) << 8);
  };
  return to_string(Tag(word(0), word(2)));
}

/// What to do with a VR that holds binary numbers.
struct NumberForm {
  Vr vr;
  Result<std::string> (*read)(std::string_view text);
  Result<std::string> (*write)(std::string_view bytes);
};
constexpr NumberForm number_forms[] = {
    {Vr::AT, read_tag, write_tag},
    {Vr::FD, read_number<double>, write_number<double>},
    {Vr::FL, read_number<float>, write_number<float>},
    {Vr::SL, read_number<std::int32_t>, write_number<std::int32_t>},
    {Vr::SS, read_number<std::int16_t>, write_number<std::int16_t>},
    {Vr::SV, read_number<std::int64_t>, write_number<std::int64_t>},
    {Vr::UL, read_number<std::uint32_t>, write_number<std::uint32_t>},
    {Vr::US, read_number<std::uint16_t>, write_number<std::uint16_t>},
    {Vr::UV, read_number<std::uint64_t>, write_number<std::uint64_t>},
};
const NumberForm* find_number_form(Vr vr) {
  const auto* form = std::find_if(std::begin(number_forms), std::end(number_forms),
                                  [vr](const NumberForm& candidate) { return candidate.vr == vr; });
  return form == std::end(number_forms) ? nullptr : form;
}

}  // namespace

Result<std::string> read_query_value(Vr vr, std::string_view text, bool empty_value_matching) {
  if (text.empty()) return std::string();
  if (facts(vr).kind == VrKind::text) return read_text(vr, text, empty_value_matching);
  if (vr == Vr::UN && is_plain_text(text)) return std::string(text == "*" ? "" : text);
  const NumberForm* form = find_number_form(vr);
  if (form == nullptr) return invalid("no value: opaque bytes cannot be matched");
  if (text == "*") return std::string();  // universal, rule A10
  return form->read(text);
}

Result<std::string> write_query_value(const Element& key) {
  if (const NumberForm* form = find_number_form(key.vr)) return form->write(key.value);
  const bool unknown = key.vr == Vr::UN && is_plain_text(trim_padding(key.value));
  if (unknown) return percent_encode(trim_padding(key.value));
  if (facts(key.vr).kind != VrKind::text) {
    return invalid("no value: opaque bytes have no form in a query");
  }
  const std::string_view text = key.text();
  if (text.find('\0') != std::string_view::npos) return invalid("text without NUL");
  if (key.vr != Vr::UI) {
    if (key.values().size() > 1) {
      return invalid("one value: only UIDs may be a list (PS3.18, 8.3.4.1)");
    }
    return percent_encode(text);
  }
  std::string list;
  for (const std::string_view uid : key.values()) {
    if (!list.empty()) list += ',';
    list += percent_encode(uid);
  }
  return list;
}

}  // namespace mapping
