// Specific Character Set (0008,0005) ⇄ UTF-8. PS3.5, 6.1; PS3.3, C.12.1.1.2; rules G.
// Every defined term of the standard: single-byte sets, code extensions (ISO/IEC 2022), GB18030,
// GBK, UTF-8.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "mapping/result.h"
#include "mapping/vr.h"

namespace mapping {

/// What text is decoded from or encoded to: one set, or several that escape sequences switch
/// between. Immutable and cheap to copy; safe from any thread.
class CharacterSet {
 public:
  /// The default repertoire, ISO-IR 6 (US ASCII).
  CharacterSet() = default;

  /// value: of (0008,0005), such as "ISO_IR 100" or "\ISO 2022 IR 87"; empty or "ISO_IR 6" is the
  /// default repertoire. Fault (character_set): a term that is none, or that cannot stand there.
  static Result<CharacterSet> parse(std::string_view value);

  static CharacterSet utf_8();

  /// The value for (0008,0005); empty for the default repertoire.
  std::string value() const;
  bool is_default_repertoire() const { return kind_ == Kind::coded && count_ == 0; }
  bool is_utf_8() const { return kind_ == Kind::utf_8; }

  /// Appends the text of a whole value field in UTF-8. vr says which characters delimit and so
  /// bring back the first set (rule G5); where that has no right half, the last set named there, or
  /// the only one that was declared, is meant. False if bytes stand for nothing; out is then as it
  /// was.
  bool decode(std::string_view encoded, Vr vr, std::string& out) const;
  /// Appends the UTF-8 text of a whole value field in this set. False if it does not hold a
  /// character; out is then as it was.
  bool encode(std::string_view utf_8, Vr vr, std::string& out) const;

  /// The same with a question mark for each character that this set does not hold; returns how
  /// many. A loss: only where the configuration asks for it (rule G11).
  std::size_t encode_replacing(std::string_view utf_8, Vr vr, std::string& out) const;

  /// Every set of one value that holds ASCII: the default repertoire first, then single-byte sets,
  /// ISO_IR 192 last.
  static std::span<const CharacterSet> smallest_first();

  bool operator==(const CharacterSet&) const = default;

 private:
  enum class Kind : std::uint8_t { coded, utf_8, gb18030, gbk };
  static constexpr std::size_t max_terms = 8;

  explicit CharacterSet(Kind kind) : kind_(kind) {}
  bool add(std::uint8_t term);

  Kind kind_ = Kind::coded;
  bool extended_ = false;  ///< code extensions: terms are written ISO 2022 …
  std::uint8_t count_ = 0;
  std::array<std::uint8_t, max_terms> terms_{};  ///< places in character_terms, first value first
};

bool is_ascii(std::string_view text);
/// Well-formed UTF-8 without surrogates.
bool is_utf_8(std::string_view text);
/// code: of a Unicode character, at most 10FFFF.
void append_utf_8(std::uint32_t code, std::string& out);

}  // namespace mapping
