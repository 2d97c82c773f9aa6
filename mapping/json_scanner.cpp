#include "mapping/json_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "mapping/character_set.h"

namespace mapping {
namespace {

static_assert(std::endian::native == std::endian::little, "the first byte of a word is its lowest");

/// The first character from here that ends the plain part of a string: a quote, a backslash, a
/// control character, or a byte that is not ASCII. Eight at a time.
const char* find_special(const char* at, const char* end) {
  constexpr std::uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  for (; end - at >= 8; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    const std::uint64_t quote = word ^ ones * '"';
    const std::uint64_t backslash = word ^ ones * '\\';
    // A borrow may mark a byte behind the first special one, but none before it.
    const std::uint64_t special =
        (((quote - ones) | (backslash - ones) | (word - ones * 0x20)) | word) & highs;
    if (special == 0) continue;
    return at + std::countr_zero(special) / 8;
  }
  for (; at != end; ++at) {
    const auto byte = static_cast<unsigned char>(*at);
    if (byte == '"' || byte == '\\' || byte < 0x20 || byte >= 0x80) break;
  }
  return at;
}

}  // namespace

void JsonScanner::begin(std::string_view text, bool whole, std::size_t offset) {
  begin_ = at_ = text.data();
  end_ = begin_ + text.size();
  whole_ = whole;
  offset_ = offset;
  incomplete_ = false;
  fault_.reset();
}

bool JsonScanner::ran_out() {
  if (whole_) return broken("the text ends too early");
  incomplete_ = true;
  return false;
}

Fault JsonScanner::broken(std::size_t at, std::string_view what) {
  return {Fault::Kind::malformed, fmt::format("expected JSON, at byte {}: {}", at, what), {}};
}

bool JsonScanner::broken(std::string_view what) {
  fault_ = broken(offset_ + consumed(), what);
  return false;
}

bool JsonScanner::skip_blanks() {
  for (; at_ != end_; ++at_) {
    if (!is_blank(*at_)) return true;
  }
  return ran_out();
}

bool JsonScanner::next_of_list(char end, bool& ended) {
  if (!more()) return false;
  ended = *at_ == end;
  if (!ended && *at_ != ',') {
    return broken(end == '}' ? "a comma or the end of an object is missing"
                             : "a comma or the end of an array is missing");
  }
  ++at_;
  return ended || more();
}

bool JsonScanner::member_name(std::string_view& name) {
  if (*at_ != '"') return broken("the name of a member is missing");
  if (!string(name) || !more()) return false;
  if (*at_ != ':') return broken("a colon is missing behind the name of a member");
  ++at_;
  return true;
}

bool JsonScanner::string(std::string_view& text) {
  const char* const start = ++at_;
  bool ascii = true;
  for (;;) {
    at_ = find_special(at_, end_);
    if (at_ == end_) return ran_out();
    if (*at_ == '"') break;
    if (*at_ == '\\') return string_with_escapes(start, ascii, text);
    if (static_cast<unsigned char>(*at_) < 0x20) return broken("a control character in a string");
    ascii = false;
    while (at_ != end_ && static_cast<unsigned char>(*at_) >= 0x80) ++at_;
  }
  text = {start, static_cast<std::size_t>(at_ - start)};
  if (!ascii && !is_utf_8(text)) return broken("a string that is not in UTF-8");
  ++at_;
  return true;
}

/// at_ is on the first escape of the string that began at start.
bool JsonScanner::string_with_escapes(const char* start, bool ascii, std::string_view& text) {
  unescaped_.assign(start, at_);
  while (*at_ != '"') {
    if (*at_ == '\\') {
      if (!escape()) return false;
    } else if (static_cast<unsigned char>(*at_) < 0x20) {
      return broken("a control character in a string");
    } else {
      ascii = false;
      unescaped_.push_back(*at_++);
    }
    const char* const plain = at_;
    at_ = find_special(at_, end_);
    if (at_ == end_) return ran_out();
    unescaped_.append(plain, at_);
  }
  if (!ascii && !is_utf_8(unescaped_)) return broken("a string that is not in UTF-8");
  ++at_;
  text = unescaped_;
  return true;
}

bool JsonScanner::escape() {
  if (left() < 2) return ran_out();
  constexpr std::string_view letters = "\"\\/bfnrt", characters = "\"\\/\b\f\n\r\t";
  const std::size_t simple = letters.find(at_[1]);
  if (simple != std::string_view::npos) {
    unescaped_.push_back(characters[simple]);
    at_ += 2;
    return true;
  }
  std::uint32_t code = 0;
  if (!code_unit(code)) return false;
  if (code >= 0xDC00 && code <= 0xDFFF) return broken("half of a surrogate pair");
  if (code >= 0xD800 && code <= 0xDBFF) {
    if (left() < 2) return ran_out();
    std::uint32_t low = 0;
    if (at_[0] != '\\' || at_[1] != 'u') return broken("half of a surrogate pair");
    if (!code_unit(low)) return false;
    if (low < 0xDC00 || low > 0xDFFF) return broken("half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
  }
  append_utf_8(code, unescaped_);
  return true;
}

/// \uXXXX
bool JsonScanner::code_unit(std::uint32_t& unit) {
  if (at_[1] != 'u') return broken("an escape that JSON does not know");
  const char* const end = at_ + std::min<std::size_t>(left(), 6);
  const char* const last = std::from_chars(at_ + 2, end, unit, 16).ptr;
  if (last == end_ && last != at_ + 6) return ran_out();
  if (last != at_ + 6) return broken("an escape without four hexadecimal digits");
  at_ = last;
  return true;
}

/// At least one.
bool JsonScanner::digits() {
  if (at_ == end_) return ran_out();
  if (*at_ < '0' || *at_ > '9') return broken("a number without digits");
  while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
  return true;
}

bool JsonScanner::number(std::string_view& text) {
  const char* const start = at_;
  if (*at_ == '-') ++at_;
  if (at_ != end_ && *at_ == '0') {
    ++at_;
  } else if (!digits()) {
    return false;
  }
  if (at_ != end_ && *at_ == '.') {
    ++at_;
    if (!digits()) return false;
  }
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    if (!digits()) return false;
  }
  if (at_ == end_ && !whole_) return ran_out();  // it may go on
  text = {start, static_cast<std::size_t>(at_ - start)};
  if (text.size() > max_number) return broken("a number that is too long");
  return true;
}

bool JsonScanner::word(std::string_view word) {
  const std::string_view here(at_, std::min(left(), word.size()));
  if (!word.starts_with(here)) return broken("a word that JSON does not know");
  at_ += here.size();
  return here.size() == word.size() || ran_out();
}

bool JsonScanner::scalar(Token& token, std::string_view& text) {
  text = {};
  switch (*at_) {
    case '"':
      token = Token::string;
      return string(text);
    case 'n':
      token = Token::null;
      return word("null");
    case 't':
      token = Token::boolean;
      return word("true");
    case 'f':
      token = Token::boolean;
      return word("false");
    default:
      token = Token::number;
      if (*at_ != '-' && (*at_ < '0' || *at_ > '9')) return broken("a value is missing");
      return number(text);
  }
}

}  // namespace mapping
