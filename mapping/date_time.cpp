// Dates and times.
#include "mapping/date_time.h"

#include <charconv>
#include <chrono>
#include <string>

namespace mapping {
namespace {

constexpr TimePoint second = 1000000;

// Takes count digits off the front; nothing if they are not there.
std::optional<int> take_number(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int number = 0;
  for (const char c : text.substr(0, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return number;
}

// HH[MM[SS[.F…]]], with colons too. Fills the moments of the shortest part given.
std::optional<TimeRange> read_time(std::string_view text) {
  constexpr TimePoint units[] = {3600 * second, 60 * second, second};
  constexpr int limits[] = {23, 59, 60};
  TimePoint first = 0;
  TimePoint width = 0;
  for (int part = 0; part < 3 && !text.empty(); ++part) {
    if (part > 0 && text[0] == ':') text.remove_prefix(1);
    if (part > 0 && text.empty()) return std::nullopt;
    const auto number = take_number(text, 2);
    if (!number || *number > limits[part]) return std::nullopt;
    first += *number * units[part];
    width = units[part];
    if (part == 2 && text.starts_with('.')) {
      text.remove_prefix(1);
      if (text.empty() || text.size() > 6) return std::nullopt;
      while (!text.empty()) {
        const auto digit = take_number(text, 1);
        if (!digit) return std::nullopt;
        width /= 10;
        first += *digit * width;
      }
    }
  }
  if (!text.empty() || width == 0) return std::nullopt;
  return TimeRange{first, first + width - 1};
}

// YYYY[MM[DD]]; least: digits that must be there.
std::optional<TimeRange> read_date(std::string_view text, std::size_t least) {
  using namespace std::chrono;
  if (text.size() < least) return std::nullopt;
  const auto y = take_number(text, 4);
  if (!y) return std::nullopt;
  int m = 1;
  int d = 1;
  int given = 1;
  for (int* part : {&m, &d}) {
    if (text.empty()) break;
    const auto number = take_number(text, 2);
    if (!number) return std::nullopt;
    *part = *number;
    ++given;
  }
  if (!text.empty()) return std::nullopt;
  const year_month_day date{year(*y), month(static_cast<unsigned>(m)),
                            std::chrono::day(static_cast<unsigned>(d))};
  if (!date.ok()) return std::nullopt;
  year_month_day next = date;
  if (given == 1)
    next = date + years(1);
  else if (given == 2)
    next = date + months(1);
  const auto start = sys_days(date).time_since_epoch().count();
  const auto end = given == 3 ? start + 1 : sys_days(next).time_since_epoch().count();
  return TimeRange{start * mapping::day, end * mapping::day - 1};
}

// &ZZXX taken off the end, in microseconds to subtract.
bool take_offset(std::string_view& text, TimePoint& offset) {
  const std::size_t at = text.find_first_of("+-");
  if (at == std::string_view::npos) return true;
  std::string_view digits = text.substr(at + 1);
  const auto hours = take_number(digits, 2);
  const auto minutes = take_number(digits, 2);
  if (!hours || !minutes || !digits.empty()) return false;
  offset = (*hours * 3600 + *minutes * 60) * second * (text[at] == '-' ? -1 : 1);
  text = text.substr(0, at);
  return true;
}

std::optional<TimeRange> read_date_time(std::string_view text) {
  TimePoint offset = 0;
  if (!take_offset(text, offset)) return std::nullopt;
  auto range = read_date(text.substr(0, 8), 4);
  if (!range) return std::nullopt;
  if (text.size() > 8) {
    const auto time = read_time(text.substr(8));
    if (!time) return std::nullopt;
    range = TimeRange{range->first + time->first, range->first + time->last};
  }
  return TimeRange{range->first - offset, range->last - offset};
}

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// The hyphen between the two ends. One of DT may belong to an offset ("2026-0500" is a value).
std::size_t find_range_hyphen(Vr vr, std::string_view key) {
  for (std::size_t at = key.find('-'); at != std::string_view::npos; at = key.find('-', at + 1)) {
    const std::string_view before = key.substr(0, at);
    const std::string_view behind = key.substr(at + 1);
    if ((before.empty() || read_moment(vr, before)) &&
        (behind.empty() || read_moment(vr, behind))) {
      return at;
    }
  }
  return std::string_view::npos;
}

}  // namespace

std::optional<TimeRange> read_moment(Vr vr, std::string_view value) {
  value = trim(value);
  if (vr == Vr::TM) return read_time(value);
  if (vr == Vr::DT) return read_date_time(value);
  if (value.size() == 10 && value[4] == '.' && value[7] == '.') {  // ACR-NEMA's form
    const std::string digits = std::string(value.substr(0, 4)) + std::string(value.substr(5, 2)) +
                               std::string(value.substr(8, 2));
    return read_date(digits, 8);
  }
  return read_date(value, 8);
}

std::optional<TimeRange> read_time_range(Vr vr, std::string_view key) {
  key = trim(key);
  if (vr == Vr::DT && read_moment(vr, key)) return std::nullopt;
  const std::size_t hyphen = find_range_hyphen(vr, key);
  if (hyphen == std::string_view::npos || key.size() == 1) return std::nullopt;
  TimeRange range;
  if (hyphen > 0) range.first = read_moment(vr, key.substr(0, hyphen))->first;
  if (hyphen + 1 < key.size()) range.last = read_moment(vr, key.substr(hyphen + 1))->last;
  return range;
}

}  // namespace mapping
