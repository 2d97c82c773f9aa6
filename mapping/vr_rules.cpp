// The rules as one table: characters, length, form.
#include "mapping/vr_rules.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "mapping/uid.h"

namespace mapping {
namespace {

bool all_of(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}
bool digits(std::string_view text) { return !text.empty() && all_of(text, "0123456789"); }

std::string_view without_blanks(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}
bool between(std::string_view two_digits, int first, int last) {
  return digits(two_digits) && number(two_digits) >= first && number(two_digits) <= last;
}

bool is_date(std::string_view v) {
  return v.size() == 8 && digits(v) && between(v.substr(4, 2), 1, 12) &&
         between(v.substr(6, 2), 1, 31);
}

// HH, HHMM, HHMMSS, HHMMSS.F to .FFFFFF
bool is_time(std::string_view v) {
  const std::size_t point = v.find('.');
  const std::string_view whole = v.substr(0, point);
  if (whole.size() != 2 && whole.size() != 4 && whole.size() != 6) return false;
  if (!between(whole.substr(0, 2), 0, 23)) return false;
  if (whole.size() >= 4 && !between(whole.substr(2, 2), 0, 59)) return false;
  if (whole.size() == 6 && !between(whole.substr(4, 2), 0, 60)) return false;
  if (point == std::string_view::npos) return true;
  const std::string_view fraction = v.substr(point + 1);
  return whole.size() == 6 && digits(fraction) && fraction.size() <= 6;
}

// YYYY[MM[DD[HH[MM[SS[.F…]]]]]][&ZZXX]
bool is_date_time(std::string_view v) {
  const std::size_t zone = v.find_first_of("+-");
  if (zone != std::string_view::npos) {
    if (v.size() - zone != 5 || !digits(v.substr(zone + 1))) return false;
    v = v.substr(0, zone);
  }
  const std::string_view date = v.substr(0, 8);
  if (date.size() < 4 || date.size() % 2 != 0 || !digits(date)) return false;
  if (date.size() >= 6 && !between(date.substr(4, 2), 1, 12)) return false;
  if (date.size() == 8 && !between(date.substr(6, 2), 1, 31)) return false;
  return v.size() <= 8 || is_time(v.substr(8));
}

bool is_integer_string(std::string_view v) {
  if (v.size() > 12) return false;
  v = without_blanks(v);
  if (v.starts_with('+')) v.remove_prefix(1);
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), value);
  return error == std::errc() && end == v.data() + v.size();
}

bool is_decimal_string(std::string_view v) {
  if (v.size() > 16) return false;
  v = without_blanks(v);
  if (v.starts_with('+') || v.starts_with('-')) v.remove_prefix(1);
  const std::size_t exponent = v.find_first_of("eE");
  if (exponent != std::string_view::npos) {
    std::string_view power = v.substr(exponent + 1);
    if (power.starts_with('+') || power.starts_with('-')) power.remove_prefix(1);
    if (!digits(power)) return false;
    v = v.substr(0, exponent);
  }
  const std::size_t point = v.find('.');
  if (point == std::string_view::npos) return digits(v);
  const std::string_view whole = v.substr(0, point);
  const std::string_view fraction = v.substr(point + 1);
  return (!whole.empty() || !fraction.empty()) && all_of(whole, "0123456789") &&
         all_of(fraction, "0123456789");
}

bool is_age(std::string_view v) {
  return v.size() == 4 && digits(v.substr(0, 3)) && all_of(v.substr(3), "DWMY");
}

// No control characters but those that the text VRs with lines allow. PS3.5, 6.1.3.
bool printable(std::string_view v, bool lines) {
  return std::all_of(v.begin(), v.end(), [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7F) ||
           (lines && (c == '\t' || c == '\n' || c == '\r' || c == '\f'));
  });
}

}  // namespace

std::size_t utf_8_length(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
  }));
}

bool fits_vr(Vr vr, std::string_view value) {
  switch (vr) {
    case Vr::AE:
      return value.size() <= 16 && printable(value, false) && !without_blanks(value).empty();
    case Vr::AS:
      return is_age(value);
    case Vr::CS:
      return value.size() <= 16 && all_of(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _");
    case Vr::DA:
      return is_date(value);
    case Vr::DS:
      return is_decimal_string(value);
    case Vr::DT:
      return is_date_time(without_blanks(value));
    case Vr::IS:
      return is_integer_string(value);
    case Vr::TM:
      return is_time(without_blanks(value));
    case Vr::UI:
      return Uid::parse(value).has_value();
    case Vr::PN:
    case Vr::LO:
      return utf_8_length(value) <= 64 && printable(value, false);
    case Vr::SH:
      return utf_8_length(value) <= 16 && printable(value, false);
    case Vr::LT:
      return utf_8_length(value) <= 10240 && printable(value, true);
    case Vr::ST:
      return utf_8_length(value) <= 1024 && printable(value, true);
    case Vr::UC:
      return printable(value, false);
    case Vr::UT:
      return printable(value, true);
    case Vr::UR:
      return printable(value, false) && !value.starts_with(' ');
    default:
      return true;
  }
}

std::string_view expectation(Vr vr) {
  switch (vr) {
    case Vr::AE:
      return "at most 16 characters, not all blank";
    case Vr::AS:
      return "three digits and one of D, W, M, Y";
    case Vr::CS:
      return "at most 16 of A-Z, 0-9, blank and underscore";
    case Vr::DA:
      return "a date as YYYYMMDD";
    case Vr::DS:
      return "a decimal number of at most 16 characters";
    case Vr::DT:
      return "a date and time as YYYYMMDDHHMMSS.FFFFFF&ZZXX";
    case Vr::IS:
      return "an integer of at most 12 characters, within 32 bits";
    case Vr::TM:
      return "a time as HHMMSS.FFFFFF";
    case Vr::UI:
      return "a UID of at most 64 digits and dots";
    case Vr::PN:
      return "at most 64 characters in a component group, no control characters";
    case Vr::LO:
      return "at most 64 characters, no control characters";
    case Vr::SH:
      return "at most 16 characters, no control characters";
    case Vr::LT:
      return "at most 10240 characters, no control characters but line ends";
    case Vr::ST:
      return "at most 1024 characters, no control characters but line ends";
    case Vr::UT:
      return "no control characters but line ends";
    default:
      return "no control characters";
  }
}

}  // namespace mapping
