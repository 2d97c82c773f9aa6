// Keys are compiled once: values split, dates read, letters of names folded. Matching then walks
// the keys and the data set side by side.
#include "mapping/matching.h"

#include <algorithm>

#include "mapping/date_time.h"
#include "mapping/tags.h"

namespace mapping {
namespace {

bool has_wildcards(Vr vr) {  // rule F2
  switch (vr) {
    case Vr::AE:
    case Vr::CS:
    case Vr::LO:
    case Vr::LT:
    case Vr::PN:
    case Vr::SH:
    case Vr::ST:
    case Vr::UC:
    case Vr::UR:
    case Vr::UT:
      return true;
    default:
      return false;
  }
}

// The lower case of a letter of two UTF-8 bytes: Latin, Greek and Cyrillic.
std::uint32_t fold(std::uint32_t code) {
  if (code >= 0xC0 && code <= 0xDE && code != 0xD7) return code + 0x20;
  if (code >= 0x100 && code <= 0x137) return code | 1u;
  if (code >= 0x139 && code <= 0x148) return code % 2 == 1 ? code + 1 : code;
  if (code >= 0x14A && code <= 0x177) return code | 1u;
  if (code == 0x178) return 0xFF;
  if (code >= 0x179 && code <= 0x17E) return code % 2 == 1 ? code + 1 : code;
  if (code >= 0x391 && code <= 0x3A9) return code + 0x20;
  if (code >= 0x410 && code <= 0x42F) return code + 0x20;
  if (code >= 0x400 && code <= 0x40F) return code + 0x50;
  return code;
}

void append_folded(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 'A' && byte <= 'Z') {
      out.push_back(static_cast<char>(byte + 0x20));
    } else if (byte >= 0xC3 && byte <= 0xD1 && i + 1 < text.size()) {
      const std::uint32_t code =
          fold((byte & 0x1Fu) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3Fu));
      out.push_back(static_cast<char>(0xC0 | code >> 6));
      out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    } else {
      out.push_back(text[i]);
    }
  }
}

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// A name without what does not matter: blanks and empty components at the end.
std::string_view trim_name(std::string_view text) {
  text = trim(text);
  while (!text.empty() && (text.back() == '^' || text.back() == '=' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  return text;
}

std::size_t character_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// "*" any characters, "?" one character. Linear but for the last "*".
bool wildcard_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      t = std::min(t + character_length(text[t]), text.size());
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      star_text = std::min(star_text + character_length(text[star_text]), text.size());
      t = star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

/// One key that can fail to match.
struct Matcher::Key {
  enum class Kind : std::uint8_t { text, wildcard, name, range, period, bytes, empty, sequence };

  Tag tag;
  Vr vr = Vr::UN;
  Kind kind = Kind::text;
  std::vector<std::string> values;  ///< one of them must match; names folded
  std::vector<TimeRange> ranges;    ///< of dates and times; one of them must match
  Keys item;                        ///< of a sequence

  static Key of(const Element& element);
  static std::optional<Key> period(DataSetView item);
  bool matches_value(std::string_view value) const;
  bool matches_name(std::string_view value) const;
};

Matcher::Key Matcher::Key::of(const Element& element) {
  Key key;
  key.tag = element.tag;
  key.vr = element.vr;
  if (facts(element.vr).kind != VrKind::text) {
    key.kind = Kind::bytes;
    key.values.emplace_back(element.value);
    return key;
  }
  const bool time = element.vr == Vr::DA || element.vr == Vr::TM || element.vr == Vr::DT;
  for (const std::string_view value : element.values()) {
    if (time) {
      const auto range = read_time_range(element.vr, value);
      const auto moment = range ? range : read_moment(element.vr, value);
      if (moment) {  // a single value is a point: "2230" is 223000, not the whole minute
        key.kind = Kind::range;
        key.ranges.push_back(range ? *range : TimeRange{moment->first, moment->first});
        continue;
      }
    }
    if (element.vr == Vr::PN) {
      key.kind = Kind::name;
      append_folded(trim_name(value), key.values.emplace_back());
    } else {
      const std::string_view trimmed = trim(value);
      if (has_wildcards(element.vr) && trimmed.find_first_of("*?") != std::string_view::npos) {
        key.kind = Kind::wildcard;
      }
      key.values.emplace_back(trimmed);
    }
  }
  return key;
}

// Both keys of the start as one period, where both are ranges. rule F4
std::optional<Matcher::Key> Matcher::Key::period(DataSetView item) {
  const auto dates = read_time_range(Vr::DA, item.text(tags::ScheduledProcedureStepStartDate));
  const auto times = read_time_range(Vr::TM, item.text(tags::ScheduledProcedureStepStartTime));
  if (!dates || !times) return std::nullopt;
  const TimeRange open;
  Key key;
  key.tag = tags::ScheduledProcedureStepStartDate;
  key.kind = Kind::period;
  TimeRange range = *dates;
  if (dates->first != open.first && times->first != open.first) range.first += times->first;
  if (dates->last != open.last && times->last != open.last) {
    range.last = dates->last + 1 - day + times->last;  // the last day begins here
  }
  key.ranges.push_back(range);
  return key;
}

Matcher::Matcher(const Search& search)
    : keys_(compile(search.identifier, search.empty_value_matching)) {}
Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;
Matcher& Matcher::operator=(Matcher&&) noexcept = default;

Matcher::Keys Matcher::compile(DataSetView identifier, bool empty_value_matching) {
  Keys keys;
  auto period = Key::period(identifier);
  for (const Element& element : identifier) {
    const bool in_period = period && (element.tag == tags::ScheduledProcedureStepStartDate ||
                                      element.tag == tags::ScheduledProcedureStepStartTime);
    if (element.empty() || in_period || element.tag == tags::TimezoneOffsetFromUTC) {
      if (in_period && element.tag == period->tag) keys.push_back(*period);
      continue;
    }
    if (element.vr == Vr::SQ) {
      Keys item = compile(*element.items().begin(), empty_value_matching);
      if (item.empty()) continue;
      Key key;
      key.tag = element.tag;
      key.vr = Vr::SQ;
      key.kind = Key::Kind::sequence;
      key.item = std::move(item);
      keys.push_back(std::move(key));
      continue;
    }
    const bool text = facts(element.vr).kind == VrKind::text;
    if (text && has_wildcards(element.vr) &&
        element.text().find_first_not_of('*') == std::string_view::npos) {
      continue;  // universal: C.2.2.2.4
    }
    Key key = Key::of(element);
    if (text && empty_value_matching && element.text() == "\"\"") key.kind = Key::Kind::empty;
    keys.push_back(std::move(key));
  }
  return keys;
}

bool Matcher::matches(DataSetView data_set) const { return match_all(keys_, data_set); }

bool Matcher::match_all(const Keys& keys, DataSetView data_set) {
  auto element = data_set.begin();
  const auto end = data_set.end();
  for (const Key& key : keys) {
    while (element != end && element->tag < key.tag) ++element;
    const bool there = element != end && element->tag == key.tag && !element->empty();
    if (key.kind == Key::Kind::empty) {
      if (there) return false;
    } else if (key.kind == Key::Kind::period) {
      const auto date = read_moment(Vr::DA, data_set.text(tags::ScheduledProcedureStepStartDate));
      const auto time = read_moment(Vr::TM, data_set.text(tags::ScheduledProcedureStepStartTime));
      if (!date || !time || !key.ranges[0].contains(date->first + time->first)) return false;
    } else if (!there || !match_element(key, *element)) {
      return false;
    }
  }
  return true;
}

bool Matcher::match_element(const Key& key, const Element& element) {
  if (key.kind == Key::Kind::sequence) {
    if (element.vr != Vr::SQ) return false;
    const ItemRange items = element.items();
    return std::any_of(items.begin(), items.end(),
                       [&](DataSetView item) { return match_all(key.item, item); });
  }
  if (key.kind == Key::Kind::bytes) return element.value == key.values[0];
  std::string_view rest = element.text();
  const bool many = facts(element.vr).many_values;
  for (;;) {  // one value of several is enough
    const std::size_t end = many ? rest.find('\\') : std::string_view::npos;
    if (key.matches_value(rest.substr(0, end))) return true;
    if (end == std::string_view::npos) return false;
    rest.remove_prefix(end + 1);
  }
}

bool Matcher::Key::matches_value(std::string_view value) const {
  if (kind == Kind::range) {
    const auto moment = read_moment(vr, value);
    if (moment && std::any_of(ranges.begin(), ranges.end(), [&](const TimeRange& range) {
          return range.contains(moment->first);
        })) {
      return true;
    }
  }
  if (kind == Kind::name) return matches_name(value);
  value = trim(value);
  return std::any_of(values.begin(), values.end(), [&](const std::string& wanted) {
    return kind == Kind::wildcard ? wildcard_match(wanted, value) : wanted == value;
  });
}

// The whole name, or one of its component groups where the key has one group only.
bool Matcher::Key::matches_name(std::string_view value) const {
  std::string folded;
  append_folded(trim_name(value), folded);
  for (const std::string& wanted : values) {
    if (wildcard_match(wanted, folded)) return true;
    if (wanted.find('=') != std::string::npos) continue;
    std::string_view rest = folded;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('='), rest.size());
      if (wildcard_match(wanted, trim_name(rest.substr(0, end)))) return true;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return false;
}

DataSet without_period_times(DataSetView identifier) {
  DataSetBuilder builder;
  const bool period =
      read_time_range(Vr::DA, identifier.text(tags::ScheduledProcedureStepStartDate)) &&
      read_time_range(Vr::TM, identifier.text(tags::ScheduledProcedureStepStartTime));
  for (const Element& element : identifier) {
    if (period && element.tag == tags::ScheduledProcedureStepStartTime) {
      builder.add(element.tag, element.vr, {});
    } else if (element.vr == Vr::SQ && element.items().size() == 1) {
      const DataSet item = without_period_times(*element.items().begin());
      builder.begin_sequence(element.tag).add_item(item).end_sequence();
    } else {
      builder.add(element);
    }
  }
  return builder.build().value();  // it was a data set: nothing can fail
}

}  // namespace mapping
