// The tables. iconv knows the sets by their EUC or ISO 8859 names; G0 sets of two bytes are asked
// for with the high bits set.
#include "mapping/character_tables.h"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>

namespace mapping {
namespace {

constexpr std::size_t row = 94;

class Converter {
 public:
  explicit Converter(const char* from) : handle_(iconv_open("UTF-8", from)) {}
  ~Converter() {
    if (handle_ != iconv_t(-1)) iconv_close(handle_);
  }
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;

  /// Empty if the bytes are no character of the set.
  std::string convert(std::string bytes) const {
    if (handle_ == iconv_t(-1)) return {};
    char out[16];
    char* from = bytes.data();
    char* to = out;
    std::size_t in_left = bytes.size();
    std::size_t out_left = sizeof out;
    iconv(handle_, nullptr, nullptr, nullptr, nullptr);
    if (iconv(handle_, &from, &in_left, &to, &out_left) == std::size_t(-1)) return {};
    return {out, static_cast<std::size_t>(to - out)};
  }

 private:
  const iconv_t handle_;
};

constexpr char high(std::size_t code) { return static_cast<char>(0xA1 + code); }

constexpr std::array<CharacterTerm, 17> terms{{
    {"100", "-A", true, {}},
    {"101", "-B", true, {}},
    {"109", "-C", true, {}},
    {"110", "-D", true, {}},
    {"144", "-L", true, {}},
    {"127", "-G", true, {}},
    {"126", "-F", true, {}},
    {"138", "-H", true, {}},
    {"148", "-M", true, {}},
    {"203", "-b", true, {}},
    {"166", "-T", true, {}},
    {"13", ")I", true, "(J"},
    {"87", "$B", false, {}},
    {"159", "$(D", false, {}},
    {"149", "$)C", false, {}},
    {"58", "$)A", false, {}},
    {"6", "(B", true, "(B"},
}};

struct Source {
  const char* iconv_name;
  int bytes;
  CodedSet::Half half;
  std::string_view prefix;
};
constexpr std::array<Source, terms.size()> sources{{
    {"ISO-8859-1", 1, CodedSet::Half::right, {}},
    {"ISO-8859-2", 1, CodedSet::Half::right, {}},
    {"ISO-8859-3", 1, CodedSet::Half::right, {}},
    {"ISO-8859-4", 1, CodedSet::Half::right, {}},
    {"ISO-8859-5", 1, CodedSet::Half::right, {}},
    {"ISO-8859-6", 1, CodedSet::Half::right, {}},
    {"ISO-8859-7", 1, CodedSet::Half::right, {}},
    {"ISO-8859-8", 1, CodedSet::Half::right, {}},
    {"ISO-8859-9", 1, CodedSet::Half::right, {}},
    {"ISO-8859-15", 1, CodedSet::Half::right, {}},
    {"TIS-620", 1, CodedSet::Half::right, {}},
    {"SHIFT_JIS", 1, CodedSet::Half::right, {}},  // its single bytes are JIS X 0201
    {"EUC-JP", 2, CodedSet::Half::left, {}},      // JIS X 0208
    {"EUC-JP", 2, CodedSet::Half::left, "\x8F"},  // JIS X 0212
    {"EUC-KR", 2, CodedSet::Half::right, {}},     // KS X 1001
    {"EUC-CN", 2, CodedSet::Half::right, {}},     // GB 2312
    {"ASCII", 1, CodedSet::Half::left, {}},
}};

}  // namespace

CodedSet::CodedSet(const char* iconv_name, int bytes, Half half, std::string_view iconv_prefix)
    : bytes_(bytes), half_(half) {
  const Converter converter(iconv_name);
  const std::size_t codes = bytes == 1 ? 128 : row * row;
  utf_8_.resize(codes);
  for (std::size_t code = 0; code < codes; ++code) {
    std::string encoded(iconv_prefix);
    if (bytes == 1) {
      encoded.push_back(static_cast<char>(half == Half::left ? code : 0x80 + code));
    } else {
      encoded.append({high(code / row), high(code % row)});
    }
    utf_8_[code] = converter.convert(std::move(encoded));
  }
  for (std::size_t code = 0; code < codes; ++code) {
    if (utf_8_[code].empty()) continue;
    std::string wire;
    if (bytes == 1) {
      wire.push_back(static_cast<char>(half == Half::left ? code : 0x80 + code));
    } else {
      const int shift = half == Half::left ? 0x80 : 0;
      wire.push_back(static_cast<char>(0xA1 + code / row - static_cast<std::size_t>(shift)));
      wire.push_back(static_cast<char>(0xA1 + code % row - static_cast<std::size_t>(shift)));
    }
    reverse_.emplace_back(utf_8_[code], std::move(wire));
  }
  std::sort(reverse_.begin(), reverse_.end());
}

std::size_t CodedSet::index(const char* bytes) const {
  const auto at = [&](int i) { return static_cast<unsigned char>(bytes[i]) & 0x7Fu; };
  if (bytes_ == 1) return at(0);
  if (at(0) < 0x21 || at(1) < 0x21 || at(0) > 0x7E || at(1) > 0x7E) return utf_8_.size();
  return (at(0) - 0x21) * row + (at(1) - 0x21);
}

std::string_view CodedSet::decode(const char* bytes) const {
  const std::size_t code = index(bytes);
  return code < utf_8_.size() ? std::string_view(utf_8_[code]) : std::string_view();
}

std::string_view CodedSet::encode(std::string_view character) const {
  const auto it =
      std::lower_bound(reverse_.begin(), reverse_.end(), character,
                       [](const auto& one, std::string_view c) { return one.first < c; });
  return it != reverse_.end() && it->first == character ? std::string_view(it->second)
                                                        : std::string_view();
}

std::span<const CharacterTerm> character_terms() { return terms; }

const CodedSet& coded_set(std::size_t term) {
  static std::array<std::once_flag, terms.size()> made;
  static std::array<std::unique_ptr<const CodedSet>, terms.size()> all;
  std::call_once(made[term], [&] {
    const Source& source = sources[term];
    all[term] = std::make_unique<const CodedSet>(source.iconv_name, source.bytes, source.half,
                                                 source.prefix);
  });
  return *all[term];
}

std::size_t utf_8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (text.empty()) return 0;
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

}  // namespace mapping
