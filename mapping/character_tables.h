// Coded character sets as tables, made once from iconv(3), and the escape sequences that designate
// them. PS3.3, Tables C.12-2 to C.12-5; ISO/IEC 2022. Read by mapping/character_set only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mapping {

/// One coded set: 94 or 96 single bytes, or 94 x 94 pairs, in the left (G0) or right (G1) half.
class CodedSet {
 public:
  enum class Half : std::uint8_t { left, right };

  /// iconv_prefix: what stands before the bytes so that iconv reads them in this set (as
  /// EUC-JP reads JIS X 0212 behind 8F).
  CodedSet(const char* iconv_name, int bytes, Half half, std::string_view iconv_prefix = {});

  int bytes() const { return bytes_; }  ///< of one character: 1 or 2
  Half half() const { return half_; }

  /// UTF-8 of the character with these bytes; empty if there is none. Bytes as on the wire.
  std::string_view decode(const char* bytes) const;
  /// Bytes on the wire; empty if the set does not hold the character.
  std::string_view encode(std::string_view character) const;

 private:
  std::size_t index(const char* bytes) const;

  const int bytes_;
  const Half half_;
  std::vector<std::string> utf_8_;  // by code; constant after construction, as all here
  std::vector<std::pair<std::string_view, std::string>> reverse_;  // ascending
};

/// One defined term. rule G2, G4
struct CharacterTerm {
  std::string_view number;           ///< "100" of ISO_IR 100 and ISO 2022 IR 100
  std::string_view escape_sequence;  ///< that designates the set, after ESC
  bool alone;                        ///< may be the only value: ISO_IR …
  std::string_view escape_left;      ///< back to the left half, after ESC
};

/// Every term with a table; single-byte sets first.
std::span<const CharacterTerm> character_terms();

/// The set of a term, by its place in character_terms.
const CodedSet& coded_set(std::size_t term);

/// Length of the well-formed UTF-8 sequence at the start of text; 0 if there is none.
/// Unicode, Table 3-7.
std::size_t utf_8_sequence(std::string_view text);

}  // namespace mapping
