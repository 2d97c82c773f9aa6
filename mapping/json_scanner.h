// The words of a JSON text, one after the other, in a single pass: RFC 8259. Knows no DICOM.
// Internal to mapping/json_parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "mapping/result.h"

namespace mapping {

/// What reads JSON stands on it. Its functions leave at_ behind what they read; false: incomplete_
/// or fault_ says why.
class JsonScanner {
 public:
  static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
  /// What is no JSON, at a byte of all that is read.
  static Fault broken(std::size_t at, std::string_view what);

 protected:
  static constexpr std::size_t max_number = 400;  ///< characters: more than any double has

  enum class Token : std::uint8_t { null, boolean, number, string };

  /// whole: nothing follows behind text, so that its end within a value is a fault. offset: of text
  /// in all that is read, for faults.
  void begin(std::string_view text, bool whole, std::size_t offset);
  std::size_t consumed() const { return static_cast<std::size_t>(at_ - begin_); }
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  bool more() { return (at_ != end_ && *at_ > ' ') || skip_blanks(); }  ///< to what is no blank
  /// Takes the literal if it stands here.
  template <std::size_t size>
  bool take(const char (&literal)[size]) {
    constexpr std::size_t length = size - 1;
    if (left() < length || std::memcmp(at_, literal, length) != 0) return false;
    at_ += length;
    return true;
  }
  /// A member's name and the colon behind it.
  bool member_name(std::string_view& name);
  /// A value that is neither an object nor an array; at_ is on it.
  bool scalar(Token& token, std::string_view& text);
  /// at_ is on its quote. text: valid until the next.
  bool string(std::string_view& text);
  bool word(std::string_view word);
  /// Behind an entry of an object or an array: takes the comma or the end.
  bool next_of_list(char end, bool& ended);
  /// Whether the last string had escapes, so that text is no part of what is read.
  bool is_unescaped(std::string_view text) const { return text.data() == unescaped_.data(); }

  bool ran_out();
  bool broken(std::string_view what);

  const char* at_ = nullptr;
  const char* end_ = nullptr;
  bool whole_ = true;
  bool incomplete_ = false;
  std::optional<Fault> fault_;

 private:
  bool skip_blanks();
  bool string_with_escapes(const char* start, bool ascii, std::string_view& text);
  bool escape();
  bool code_unit(std::uint32_t& unit);
  bool number(std::string_view& text);
  bool digits();

  const char* begin_ = nullptr;
  std::size_t offset_ = 0;
  std::string unescaped_;  ///< the last string that had escapes
};

}  // namespace mapping
