// Which set holds the next character: the state machine of ISO/IEC 2022 as DICOM uses it.
#include "mapping/character_set.h"

#include <iconv.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "mapping/character_tables.h"
#include "mapping/tags.h"

namespace mapping {
namespace {

constexpr char escape = 0x1B;

/// The terms of the default repertoire and of the half that escapes come back to.
const std::uint8_t ascii_term = static_cast<std::uint8_t>(character_terms().size() - 1);

Fault refuse(std::string_view expected) {
  return {Fault::Kind::character_set,
          "00080005: expected " + std::string(expected),
          {tags::SpecificCharacterSet}};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

/// Characters at which the first set comes back. PS3.5, 6.1.2.5.3; rule G5
bool is_delimiter(char c, Vr vr) {
  if (c == '\r' || c == '\n' || c == '\f' || c == '\t') return true;
  if (c == '\\') return facts(vr).many_values;
  return vr == Vr::PN && (c == '^' || c == '=');
}

/// GB18030 and GBK through iconv, a converter for each thread.
class Converter {
 public:
  Converter(const char* to, const char* from) : handle_(iconv_open(to, from)) {}
  ~Converter() {
    if (handle_ != iconv_t(-1)) iconv_close(handle_);
  }
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;

  bool convert(std::string_view in, std::string& out) {
    if (handle_ == iconv_t(-1)) return false;
    const std::size_t before = out.size();
    out.resize(before + in.size() * 4);  // the longest a character gets either way
    std::string copy(in);
    char* from = copy.data();
    char* to = out.data() + before;
    std::size_t in_left = copy.size();
    std::size_t out_left = out.size() - before;
    iconv(handle_, nullptr, nullptr, nullptr, nullptr);
    // A count above 0 tells of characters that were replaced: a loss.
    const bool whole = iconv(handle_, &from, &in_left, &to, &out_left) == 0;
    out.resize(whole ? out.size() - out_left : before);
    return whole;
  }

 private:
  const iconv_t handle_;
};

bool convert_gb18030(std::string_view in, bool decode, std::string& out) {
  thread_local Converter decoder("UTF-8", "GB18030");
  thread_local Converter encoder("GB18030", "UTF-8");
  return (decode ? decoder : encoder).convert(in, out);
}
bool convert_gbk(std::string_view in, bool decode, std::string& out) {
  thread_local Converter decoder("UTF-8", "GBK");
  thread_local Converter encoder("GBK", "UTF-8");
  return (decode ? decoder : encoder).convert(in, out);
}

/// What the two halves of the code table hold at one place of the text.
struct Halves {
  const CodedSet* left = nullptr;   ///< null: ASCII
  const CodedSet* right = nullptr;  ///< null: nothing

  void designate(std::uint8_t term) {
    const CodedSet& set = coded_set(term);
    if (set.half() == CodedSet::Half::right)
      right = &set;
    else
      left = term == ascii_term ? nullptr : &set;
  }
};

/// The state before the first character: value 1 of (0008,0005). A kanji set may stand there by
/// mistake, without the backslash before it: Latin letters are Latin letters for all that.
Halves initial_halves(std::span<const std::uint8_t> terms) {
  Halves halves;
  if (terms.empty()) return halves;
  const CodedSet& first = coded_set(terms[0]);
  if (first.bytes() == 1 || first.half() == CodedSet::Half::right) halves.designate(terms[0]);
  return halves;
}

/// Takes the escape sequence behind ESC off the text and designates its set. Sets that were not
/// declared are taken too: the sequence says what is meant.
bool take_escape(std::string_view& rest, Halves& halves) {
  const auto terms = character_terms();
  for (std::uint8_t term = 0; term < terms.size(); ++term) {
    if (rest.starts_with(terms[term].escape_sequence)) {
      halves.designate(term);
      rest.remove_prefix(terms[term].escape_sequence.size());
      return true;
    }
    const std::string_view left = terms[term].escape_left;
    if (!left.empty() && rest.starts_with(left)) {  // ESC ( J: romaji, as good as ASCII
      halves.left = nullptr;
      rest.remove_prefix(left.size());
      return true;
    }
  }
  return false;
}

/// Takes one character in the left or right set off the text. False if it stands for nothing.
bool take_character(std::string_view& rest, const CodedSet* set, std::string& out) {
  if (set == nullptr || rest.size() < static_cast<std::size_t>(set->bytes())) return false;
  const auto high_bit = [](char c) { return (static_cast<unsigned char>(c) & 0x80u) != 0; };
  if (set->bytes() == 2 && high_bit(rest[0]) != high_bit(rest[1])) return false;
  const std::string_view character = set->decode(rest.data());
  if (character.empty()) return false;
  out.append(character);
  rest.remove_prefix(static_cast<std::size_t>(set->bytes()));
  return true;
}

/// Of all sets that are declared the only one with a right half; null if it is not the only one.
const CodedSet* only_right_half(std::span<const std::uint8_t> terms) {
  const CodedSet* only = nullptr;
  for (const std::uint8_t term : terms) {
    const CodedSet& set = coded_set(term);
    if (set.half() != CodedSet::Half::right) continue;
    if (only != nullptr) return nullptr;
    only = &set;
  }
  return only;
}

bool decode_extended(std::string_view rest, Vr vr, std::span<const std::uint8_t> terms,
                     std::string& out) {
  const Halves initial = initial_halves(terms);
  Halves halves = initial;
  const CodedSet* other_right = only_right_half(terms);  // or the last that a sequence has named
  while (!rest.empty()) {
    const char c = rest[0];
    if (c == escape) {
      rest.remove_prefix(1);
      if (!take_escape(rest, halves)) return false;
      if (halves.right != nullptr) other_right = halves.right;
      continue;
    }
    const bool right = (static_cast<unsigned char>(c) & 0x80u) != 0;
    const bool plain = !right && (halves.left == nullptr || static_cast<unsigned char>(c) <= 0x20);
    if (plain) {
      out.push_back(c);
      rest.remove_prefix(1);
      if (is_delimiter(c, vr)) halves = initial;
      continue;
    }
    // Some name a Korean or Chinese set once a value, or never, and not once a component or line
    // (G5). Where nothing else can be meant, that is understood.
    const CodedSet* const right_set = halves.right != nullptr ? halves.right : other_right;
    if (!take_character(rest, right ? right_set : halves.left, out)) return false;
  }
  return true;
}

/// Writes text, switching sets as it needs.
class Encoder {
 public:
  Encoder(std::span<const std::uint8_t> terms, Vr vr, std::string& out)
      : terms_(terms), vr_(vr), initial_(initial_halves(terms)), halves_(initial_), out_(out) {}

  bool encode(std::string_view utf_8) {
    while (!utf_8.empty()) {
      if (static_cast<unsigned char>(utf_8[0]) < 0x80) {
        encode_ascii(utf_8[0]);
        utf_8.remove_prefix(1);
        continue;
      }
      const std::size_t length = std::max<std::size_t>(utf_8_sequence(utf_8), 1);
      if (!encode_other(utf_8.substr(0, length))) return false;
      utf_8.remove_prefix(length);
    }
    back_to_left();
    return true;
  }

 private:
  void encode_ascii(char c) {
    back_to_left();
    out_.push_back(c);
    if (is_delimiter(c, vr_)) halves_ = initial_;
  }

  /// To the left half of value 1: ISO-IR 6, or ISO-IR 14 (romaji) for ISO_IR 13.
  void back_to_left() {
    if (halves_.left == nullptr) return;
    const std::string_view own = terms_.empty() ? "" : character_terms()[terms_[0]].escape_left;
    out_.push_back(escape);
    out_.append(own.empty() ? character_terms()[ascii_term].escape_sequence : own);
    halves_.left = nullptr;
  }

  bool encode_other(std::string_view character) {
    if (append(halves_.left, character) || append_right(character)) return true;
    for (const std::uint8_t term : terms_) {
      const CodedSet& set = coded_set(term);
      const std::string_view bytes = set.encode(character);
      if (bytes.empty()) continue;
      if (set.half() == CodedSet::Half::right) back_to_left();
      out_.push_back(escape);
      out_.append(character_terms()[term].escape_sequence);
      halves_.designate(term);
      out_.append(bytes);
      return true;
    }
    return false;
  }

  bool append_right(std::string_view character) {
    if (halves_.right == nullptr) return false;
    const std::string_view bytes = halves_.right->encode(character);
    if (bytes.empty()) return false;
    back_to_left();
    out_.append(bytes);
    return true;
  }

  bool append(const CodedSet* set, std::string_view character) {
    const std::string_view bytes = set == nullptr ? std::string_view() : set->encode(character);
    out_.append(bytes);
    return !bytes.empty();
  }

  const std::span<const std::uint8_t> terms_;
  const Vr vr_;
  const Halves initial_;
  Halves halves_;
  std::string& out_;
};

/// The place of a term in character_terms, or nothing. extended: it is written ISO 2022 IR ….
std::optional<std::uint8_t> find_term(std::string_view text, bool& extended) {
  constexpr std::string_view plain = "ISO_IR ";
  constexpr std::string_view extension = "ISO 2022 IR ";
  extended = text.starts_with(extension);
  if (!extended && !text.starts_with(plain)) return std::nullopt;
  const std::string_view number = text.substr(extended ? extension.size() : plain.size());
  const auto terms = character_terms();
  for (std::uint8_t term = 0; term < terms.size(); ++term) {
    if (terms[term].number == number && (extended || terms[term].alone)) return term;
  }
  return std::nullopt;
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
    const std::size_t length = utf_8_sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void append_utf_8(std::uint32_t code, std::string& out) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

bool CharacterSet::add(std::uint8_t term) {
  if (count_ == max_terms) return false;
  terms_[count_++] = term;
  return true;
}

Result<CharacterSet> CharacterSet::parse(std::string_view value) {
  value = trim(value);
  if (value == "ISO_IR 192") return utf_8();  // these three stand alone, rule G3
  if (value == "GB18030") return CharacterSet(Kind::gb18030);
  if (value == "GBK") return CharacterSet(Kind::gbk);
  CharacterSet set;
  set.extended_ = value.find('\\') != std::string_view::npos;
  for (bool first = true; first || !value.empty(); first = false) {
    const std::size_t end = std::min(value.find('\\'), value.size());
    const std::string_view text = trim(value.substr(0, end));
    value.remove_prefix(std::min(end + 1, value.size()));
    if (text.empty() && first) {  // the default repertoire as value 1
      if (set.extended_) set.add(ascii_term);
      continue;
    }
    bool extension = false;
    const auto term = find_term(text, extension);
    if (!term || !set.add(*term)) {
      return refuse(
          "defined terms of PS3.3, C.12.1.1.2: ISO_IR 192, GB18030 or GBK alone, others "
          "alone or several as ISO 2022 IR …");
    }
    set.extended_ = set.extended_ || (extension && !character_terms()[*term].alone);
  }
  if (set.count_ == 1 && set.terms_[0] == ascii_term) return CharacterSet();
  return set;
}

CharacterSet CharacterSet::utf_8() { return CharacterSet(Kind::utf_8); }

std::string CharacterSet::value() const {
  switch (kind_) {
    case Kind::utf_8:
      return "ISO_IR 192";
    case Kind::gb18030:
      return "GB18030";
    case Kind::gbk:
      return "GBK";
    case Kind::coded:
      break;
  }
  std::string value;
  for (std::size_t i = 0; i < count_; ++i) {
    if (i != 0) value.push_back('\\');
    if (terms_[i] == ascii_term && i == 0) continue;
    value.append(extended_ ? "ISO 2022 IR " : "ISO_IR ");
    value.append(character_terms()[terms_[i]].number);
  }
  return value;
}

bool CharacterSet::decode(std::string_view encoded, Vr vr, std::string& out) const {
  const bool escapes = encoded.find(escape) != std::string_view::npos;
  const std::size_t before = out.size();
  bool done = false;
  switch (kind_) {
    case Kind::utf_8:
      done = !escapes && mapping::is_utf_8(encoded);
      if (done) out.append(encoded);
      break;
    case Kind::gb18030:
      done = !escapes && convert_gb18030(encoded, true, out);
      break;
    case Kind::gbk:
      done = !escapes && convert_gbk(encoded, true, out);
      break;
    case Kind::coded:
      // One set without extensions has no escape sequences.
      done = (!escapes || extended_) &&
             decode_extended(encoded, vr, std::span(terms_).first(count_), out);
      break;
  }
  if (!done) out.resize(before);
  return done;
}

bool CharacterSet::encode(std::string_view utf_8, Vr vr, std::string& out) const {
  const std::size_t before = out.size();
  bool done = utf_8.find(escape) == std::string_view::npos;
  if (done && (kind_ == Kind::utf_8 || is_ascii(utf_8))) {
    out.append(utf_8);
  } else if (done) {
    done = kind_ == Kind::gb18030 ? convert_gb18030(utf_8, false, out)
           : kind_ == Kind::gbk   ? convert_gbk(utf_8, false, out)
                                  : Encoder(std::span(terms_).first(count_), vr, out).encode(utf_8);
  }
  if (!done) out.resize(before);
  return done;
}

std::size_t CharacterSet::encode_replacing(std::string_view utf_8, Vr vr, std::string& out) const {
  std::string held;
  std::string scratch;
  std::size_t replaced = 0;
  while (!utf_8.empty()) {
    const std::size_t length = std::max<std::size_t>(utf_8_sequence(utf_8), 1);
    scratch.clear();
    if (encode(utf_8.substr(0, length), vr, scratch)) {
      held.append(utf_8.substr(0, length));
    } else {
      held.push_back('?');
      ++replaced;
    }
    utf_8.remove_prefix(length);
  }
  encode(held, vr, out);
  return replaced;
}

std::span<const CharacterSet> CharacterSet::smallest_first() {
  static const std::vector<CharacterSet> all = [] {
    std::vector<CharacterSet> made{CharacterSet()};
    for (std::uint8_t term = 0; term < character_terms().size(); ++term) {
      if (!character_terms()[term].alone || term == ascii_term) continue;
      made.emplace_back().add(term);
    }
    made.push_back(utf_8());
    return made;
  }();
  return all;
}

}  // namespace mapping
