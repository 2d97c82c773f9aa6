// Single-byte sets as tables made once by iconv(3); UTF-8 checked by hand. PS3.3, Table C.12-2.
#include "mapping/character_set.h"

#include <fmt/format.h>
#include <iconv.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace mapping {
namespace {

struct SetName {
  std::string_view defined_term;
  const char* iconv_name;  // null: no table
};

// In the order in which the smallest set that holds a text is looked for. rule G2
constexpr std::array<SetName, 14> sets{{
    {"", nullptr},
    {"ISO_IR 100", "ISO-8859-1"},
    {"ISO_IR 101", "ISO-8859-2"},
    {"ISO_IR 109", "ISO-8859-3"},
    {"ISO_IR 110", "ISO-8859-4"},
    {"ISO_IR 144", "ISO-8859-5"},
    {"ISO_IR 127", "ISO-8859-6"},
    {"ISO_IR 126", "ISO-8859-7"},
    {"ISO_IR 138", "ISO-8859-8"},
    {"ISO_IR 148", "ISO-8859-9"},
    {"ISO_IR 203", "ISO-8859-15"},
    {"ISO_IR 166", "TIS-620"},
    {"ISO_IR 13", "SHIFT_JIS"},  // its single bytes are JIS X 0201, which glibc lacks
    {"ISO_IR 192", nullptr},
}};
constexpr int default_repertoire = 0;
constexpr int utf_8_index = sets.size() - 1;

constexpr char escape = 0x1B;

struct Table {
  std::array<std::string, 128> upper;  // UTF-8 of bytes 80 to FF; empty = not in the set
  std::vector<std::pair<std::string, char>> reverse;  // ascending
};

// One table a set; the lower half is ASCII in all of them (0x5C stays the delimiter, rule G6).
Table make_table(const char* iconv_name) {
  Table table;
  const iconv_t converter = iconv_open("UTF-8", iconv_name);
  for (int byte = 0x80; byte <= 0xFF && converter != iconv_t(-1); ++byte) {
    char in = static_cast<char>(byte);
    char out[8];
    char* from = &in;
    char* to = out;
    std::size_t in_left = 1;
    std::size_t out_left = sizeof out;
    if (iconv(converter, &from, &in_left, &to, &out_left) == std::size_t(-1)) continue;
    std::string utf_8(out, static_cast<std::size_t>(to - out));
    table.reverse.emplace_back(utf_8, static_cast<char>(byte));
    table.upper[static_cast<std::size_t>(byte - 0x80)] = std::move(utf_8);
  }
  if (converter != iconv_t(-1)) iconv_close(converter);
  std::sort(table.reverse.begin(), table.reverse.end());
  return table;
}

const Table& table_of(int index) {
  static const auto tables = [] {
    std::array<Table, sets.size()> made;
    for (std::size_t i = 0; i < sets.size(); ++i) {
      if (sets[i].iconv_name != nullptr) made[i] = make_table(sets[i].iconv_name);
    }
    return made;
  }();
  return tables[static_cast<std::size_t>(index)];
}

// Length of the well-formed UTF-8 sequence at the start of text; 0 if there is none. Unicode, D92.
std::size_t utf_8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
    if (first == 0xED && byte(1) > 0x9F) return 0;  // surrogate
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

// "ISO 2022 IR 100" alone names the same repertoire as "ISO_IR 100".
std::string without_extension_prefix(std::string_view term) {
  constexpr std::string_view prefix = "ISO 2022 IR ";
  if (!term.starts_with(prefix)) return std::string(term);
  return "ISO_IR " + std::string(term.substr(prefix.size()));
}

}  // namespace

// Eight bytes at a time: every text of every data set goes through here.
bool is_ascii(std::string_view text) {
  constexpr std::uint64_t high_bits = 0x8080808080808080u;
  std::uint64_t seen = 0;
  for (; text.size() >= sizeof seen; text.remove_prefix(sizeof seen)) {
    std::uint64_t word;
    std::memcpy(&word, text.data(), sizeof word);
    seen |= word;
  }
  for (const char c : text) seen |= static_cast<std::uint64_t>(c) & 0x80u;
  return (seen & high_bits) == 0;
}

bool is_utf_8(std::string_view text) {
  constexpr std::size_t stride = 64;
  while (!text.empty()) {
    if (text.size() >= stride && is_ascii(text.substr(0, stride))) {
      text.remove_prefix(stride);
      continue;
    }
    const std::size_t length = utf_8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

Result<CharacterSet> CharacterSet::parse(std::string_view defined_term) {
  while (!defined_term.empty() && (defined_term.back() == ' ' || defined_term.back() == '\0')) {
    defined_term.remove_suffix(1);
  }
  const std::string term = without_extension_prefix(defined_term);
  if (term == "ISO_IR 6") return CharacterSet();
  for (std::size_t i = 0; i < sets.size(); ++i) {
    if (term == sets[i].defined_term) return CharacterSet(static_cast<int>(i));
  }
  const bool extended = term.find('\\') != std::string::npos;
  return Fault{Fault::Kind::character_set,
               extended ? "00080005: code extensions are not yet available, expected one value"
                        : "00080005: expected a single-byte set (ISO_IR 6 to 203) or ISO_IR 192",
               {Tag(0x0008, 0x0005)}};
}

CharacterSet CharacterSet::utf_8() { return CharacterSet(utf_8_index); }

std::string_view CharacterSet::defined_term() const {
  return sets[static_cast<std::size_t>(index_)].defined_term;
}

bool CharacterSet::is_utf_8() const { return index_ == utf_8_index; }

bool CharacterSet::decode(std::string_view encoded, std::string& out) const {
  if (encoded.find(escape) != std::string_view::npos) return false;
  if (mapping::is_ascii(encoded) || (is_utf_8() && mapping::is_utf_8(encoded))) {
    out.append(encoded);
    return true;
  }
  if (index_ == default_repertoire || is_utf_8()) return false;
  const Table& table = table_of(index_);
  const std::size_t before = out.size();
  for (const char c : encoded) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out.push_back(c);
    } else if (const std::string& utf_8 = table.upper[byte - 0x80u]; !utf_8.empty()) {
      out.append(utf_8);
    } else {
      out.resize(before);
      return false;
    }
  }
  return true;
}

bool CharacterSet::encode(std::string_view utf_8, std::string& out) const {
  if (is_utf_8() || mapping::is_ascii(utf_8)) {
    out.append(utf_8);
    return true;
  }
  if (index_ == default_repertoire) return false;
  const auto& reverse = table_of(index_).reverse;
  const std::size_t before = out.size();
  while (!utf_8.empty()) {
    const std::size_t length = std::max<std::size_t>(utf_8_length(utf_8), 1);
    const std::string_view character = utf_8.substr(0, length);
    utf_8.remove_prefix(length);
    if (length == 1 && static_cast<unsigned char>(character[0]) < 0x80) {
      out.push_back(character[0]);
      continue;
    }
    const auto it =
        std::lower_bound(reverse.begin(), reverse.end(), character,
                         [](const auto& row, std::string_view c) { return row.first < c; });
    if (it == reverse.end() || it->first != character) {
      out.resize(before);
      return false;
    }
    out.push_back(it->second);
  }
  return true;
}

std::span<const CharacterSet> CharacterSet::smallest_first() {
  static const std::vector<CharacterSet> all = [] {
    std::vector<CharacterSet> made;
    for (std::size_t i = 0; i < sets.size(); ++i) made.push_back(CharacterSet(static_cast<int>(i)));
    return made;
  }();
  return all;
}

}  // namespace mapping
