// Specific Character Set (0008,0005) ⇄ UTF-8. PS3.5, 6.1; PS3.3, C.12.1.1.2; rules G.
// Single-byte sets and ISO_IR 192; code extensions are refused for now.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "mapping/result.h"

namespace mapping {

/// One character repertoire that text is decoded from or encoded to. Immutable and cheap to copy;
/// safe from any thread.
class CharacterSet {
 public:
  /// The default repertoire, ISO-IR 6 (US ASCII).
  CharacterSet() = default;

  /// defined_term: a value of (0008,0005), such as "ISO_IR 100"; empty or "ISO_IR 6" is the default
  /// repertoire. Fault (character_set): not a term this gateway can read.
  static Result<CharacterSet> parse(std::string_view defined_term);

  static CharacterSet utf_8();

  /// The value for (0008,0005); empty for the default repertoire.
  std::string_view defined_term() const;
  bool is_utf_8() const;

  /// Appends the text in UTF-8. False if a byte stands for nothing in this set; out is then as it
  /// was.
  bool decode(std::string_view encoded, std::string& out) const;
  /// Appends UTF-8 text in this set. False if it does not hold a character; out is then as it was.
  bool encode(std::string_view utf_8, std::string& out) const;

  /// Every set, the default repertoire first, then single-byte sets, ISO_IR 192 last.
  static std::span<const CharacterSet> smallest_first();

  bool operator==(const CharacterSet&) const = default;

 private:
  explicit CharacterSet(int index) : index_(index) {}
  int index_ = 0;  ///< row of the table of sets
};

bool is_ascii(std::string_view text);
/// Well-formed UTF-8 without surrogates.
bool is_utf_8(std::string_view text);

}  // namespace mapping
