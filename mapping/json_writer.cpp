// DataSet → DICOM JSON, straight from the bytes: no tree in between. Text is copied sixteen bytes
// at a time and looked at on the way, in a buffer that stays in the processor's cache: a worklist
// is long, and there is little else to do with it than this.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "mapping/base64.h"
#include "mapping/character_set.h"
#include "mapping/json.h"
#include "mapping/number_text.h"

namespace mapping {
namespace {

static_assert(std::endian::native == std::endian::little, "the first byte of a word is its lowest");

constexpr std::string_view character_set_member =
    R"("00080005":{"vr":"CS","Value":["ISO_IR 192"]},)";

// A number that reading and writing as a double gives back to the letter: no exponent, no trailing
// zeros, no "+", at most 15 digits. Everything else goes out as a string. rule D8
bool survives_as_number(std::string_view text, bool fraction_allowed) {
  if (!text.empty() && text[0] == '-') {
    text.remove_prefix(1);
    if (text == "0") return false;
  }
  if (text.empty() || text.size() > 16) return false;
  std::size_t digits = 0;
  std::size_t point = std::string_view::npos;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] >= '0' && text[i] <= '9')
      ++digits;
    else if (text[i] == '.' && point == std::string_view::npos && fraction_allowed)
      point = i;
    else
      return false;
  }
  const std::string_view whole = text.substr(0, point);
  if (digits > 15 || whole.empty() || (whole.size() > 1 && whole[0] == '0')) return false;
  if (point == std::string_view::npos) return true;
  // 0.00001 would come back as 1e-5.
  return text.back() >= '1' && text.back() <= '9' && !text.starts_with("0.00000");
}

// Delimiters without a name between them, which JSON has no form for but the empty value.
constexpr bool is_nothing_in_a_name(char c) {
  return c == '^' || c == '=' || c == ' ' || c == '\0';
}
// The name without what is nothing at its end.
std::string_view trim_name(std::string_view text) {
  while (!text.empty() && is_nothing_in_a_name(text.back())) text.remove_suffix(1);
  return text;
}

// Sixteen characters, on which g++ and clang++ calculate side by side.
using Characters [[gnu::vector_size(16)]] = unsigned char;
constexpr std::size_t step = sizeof(Characters);

Characters load(const char* from) {
  Characters characters;
  std::memcpy(&characters, from, step);
  return characters;
}
// Zeros from this place on.
Characters first(Characters characters, std::size_t count) {
  static constexpr std::array<unsigned char, 2 * step> mask = [] {
    std::array<unsigned char, 2 * step> ones_and_zeros{};
    for (std::size_t i = 0; i < step; ++i) ones_and_zeros[i] = 0xFF;
    return ones_and_zeros;
  }();
  return characters & load(reinterpret_cast<const char*>(mask.data() + step - count));
}
// How many there are before the first that a JSON string cannot hold as it is.
std::size_t count_plain(Characters characters) {
  const auto escaped = (characters < 0x20) | (characters == '"') | (characters == '\\');
  std::array<std::uint64_t, 2> halves;
  std::memcpy(halves.data(), &escaped, sizeof halves);
  const auto low = static_cast<std::size_t>(std::countr_zero(halves[0])) / 8;
  const auto high = static_cast<std::size_t>(std::countr_zero(halves[1])) / 8;
  return low + (high & (0 - low / 8));  // no branch: lengths of values are hard to guess
}

bool is_any_non_ascii(Characters characters) {
  std::array<std::uint64_t, 2> halves;
  std::memcpy(halves.data(), &characters, sizeof halves);
  return ((halves[0] | halves[1]) & 0x8080808080808080u) != 0;
}

// Put something where there is room for it, and say where it ends.
char* put(char* at, char c) {
  *at = c;
  return at + 1;
}
char* put(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}
char* put(char* at, Tag tag) {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  std::uint64_t digits = tag.value;  // one a byte, side by side
  digits = (digits | digits << 16) & 0x0000FFFF0000FFFFu;
  digits = (digits | digits << 8) & 0x00FF00FF00FF00FFu;
  digits = (digits | digits << 4) & 0x0F0F0F0F0F0F0F0Fu;
  const std::uint64_t letters = (digits + ones * 6) >> 4 & ones;
  digits += ones * '0' + letters * ('A' - '9' - 1);
  digits = __builtin_bswap64(digits);
  std::memcpy(at, &digits, sizeof digits);
  return at + sizeof digits;
}
char* put_escaped(char* at, char c) {
  switch (c) {
    case '"':
      return put(at, "\\\"");
    case '\\':
      return put(at, "\\\\");
    case '\n':
      return put(at, "\\n");
    case '\r':
      return put(at, "\\r");
    case '\t':
      return put(at, "\\t");
    default:
      return fmt::format_to(at, "\\u{:04x}", static_cast<unsigned char>(c));
  }
}

// Gathers the text in a buffer. Where the next character goes is handed from function to function
// instead of kept: a member would be stored and loaded again with each character.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  std::optional<Fault> write(DataSetView data_set) {
    const std::size_t start = out_.size();
    readable_ = data_set.bytes().data() + data_set.bytes().size();
    flush(write_object(buffer_.data(), data_set));
    // First: nothing below it stands in a data set. rule D17
    if (!fault_ && is_any_non_ascii(text_)) out_.insert(start + 1, character_set_member);
    return std::move(fault_);
  }

 private:
  char* flush(const char* at) {
    out_.append(buffer_.data(), static_cast<std::size_t>(at - buffer_.data()));
    return buffer_.data();
  }
  /// A place with room for whatever one of the functions below puts until it asks again.
  char* need_room(char* at) { return at > last_place_ ? flush(at) : at; }

  char* write_object(char* at, DataSetView data_set) {
    char before = '{';
    for (const Element& element : data_set) {
      at = write_attribute(need_room(at), before, element);
      before = ',';
    }
    at = need_room(at);
    if (before == '{') at = put(at, '{');
    return put(at, '}');
  }

  char* write_attribute(char* at, char before, const Element& element) {
    // Put as a whole, and over it what is of this attribute.
    constexpr std::string_view frame = R"(,"00000000":{"vr":"  ","Value":[)";
    constexpr std::size_t tag_at = 2;
    constexpr std::size_t vr_at = 19;
    static_assert(frame.size() == 32);
    put(at, frame);
    put(at, before);
    put(at + tag_at, element.tag);
    const auto vr = static_cast<std::uint16_t>(element.vr);
    std::memcpy(at + vr_at, &vr, sizeof vr);
    char* const after_vr = at + vr_at + sizeof vr;
    at += frame.size();
    if (element.empty()) return put(after_vr, "\"}");
    switch (facts(element.vr).kind) {
      case VrKind::text:
        if (element.vr == Vr::PN && trim_name(element.text()).empty()) return put(after_vr, "\"}");
        at = write_text_values(at, element);
        break;
      case VrKind::number:
        at = write_numbers(at, element);
        break;
      case VrKind::sequence:
        at = write_items(at, element);
        break;
      case VrKind::bytes:
        at = flush(put(after_vr, R"(","InlineBinary":")"));
        append_base64(element.value, out_);
        return put(at, "\"}");
    }
    return put(at, "]}");
  }

  char* write_items(char* at, const Element& sequence) {
    for (const DataSetView item : sequence.items()) at = put(write_object(at, item), ',');
    return at - 1;
  }

  char* write_text_values(char* at, const Element& element) {
    const VrFacts& vr_facts = facts(element.vr);
    const bool many = vr_facts.many_values;
    const char* from = element.value.data();
    const char* end = from + element.value.size();
    if (end[-1] == vr_facts.padding) --end;
    const bool whole = element.vr == Vr::PN || element.vr == Vr::IS || element.vr == Vr::DS;
    for (;; ++from) {
      at = need_room(at);
      if (from == end || (many && *from == '\\')) {
        at = put(at, "null");
      } else if (whole) {
        const std::string_view rest(from, end);
        const std::string_view value = rest.substr(0, rest.find('\\'));
        at = element.vr == Vr::PN ? write_person_name(at, value)
                                  : write_decimal(at, value, element.vr == Vr::DS);
        from += value.size();
      } else {
        const Written written = write_text(put(at, '"'), from, end, many);
        at = put(written.at, '"');
        from = written.from;
      }
      if (from == end) return at;
      at = put(at, ',');
    }
  }

  char* write_decimal(char* at, std::string_view value, bool fraction_allowed) {
    return survives_as_number(value, fraction_allowed) ? put(at, value) : write_string(at, value);
  }

  // rule D11: only component groups that are not empty, without trailing carets and what pads
  // before them.
  char* write_person_name(char* at, std::string_view value) {
    constexpr std::string_view groups[] = {R"({"Alphabetic":)", R"({"Ideographic":)",
                                           R"({"Phonetic":)"};
    if (trim_name(value).empty()) return put(at, "null");
    char before = '{';
    for (const std::string_view& group : groups) {
      const bool last = &group == std::end(groups) - 1;
      const std::size_t end = last ? value.size() : std::min(value.find('='), value.size());
      const std::string_view text = trim_name(value.substr(0, end));
      value.remove_prefix(std::min(end + 1, value.size()));
      if (text.empty()) continue;
      at = need_room(at);
      put(at, group);
      put(at, before);
      at = write_string(at + group.size(), text);
      before = ',';
    }
    return put(at, '}');
  }

  char* write_string(char* at, std::string_view text) {
    const char* const from = text.data();
    return put(write_text(put(at, '"'), from, from + text.size(), false).at, '"');
  }

  struct Written {
    char* at;          ///< its end
    const char* from;  ///< what follows
  };
  /// Escapes text up to its end or, if told so, to the next backslash, which then follows.
  Written write_text(char* at, const char* from, const char* const end, bool to_backslash) {
    while (from != end) {
      at = need_room(at);
      const auto left = static_cast<std::size_t>(end - from);
      Characters characters{};
      if (readable_ - from >= static_cast<std::ptrdiff_t>(step)) {
        characters = load(from);
      } else {
        std::memcpy(&characters, from, left);
      }
      if (left < step) characters = first(characters, left);
      text_ |= characters;
      std::memcpy(at, &characters, step);
      const std::size_t plain = count_plain(characters);
      at += plain;
      from += plain;
      if (plain == step || from == end) continue;
      if (to_backslash && *from == '\\') return {at, from};
      at = put_escaped(at, *from++);
    }
    return {at, from};
  }

  char* write_numbers(char* at, const Element& element) {
    const std::size_t width = number_width(element.vr);
    for (std::size_t i = 0; i + width <= element.value.size(); i += width) {
      at = need_room(at);
      if (i != 0) at = put(at, ',');
      const char* const number = element.value.data() + i;
      const bool quoted = element.vr == Vr::AT || !exact_as_double(element.vr, number);
      if (quoted) at = put(at, '"');
      if (char* const end = write_number_text(element.vr, number, at)) {
        at = end;
      } else {
        refuse(element.tag);
      }
      if (quoted) at = put(at, '"');
    }
    return at;
  }

  void refuse(Tag tag) {
    if (fault_) return;
    fault_ = Fault{Fault::Kind::invalid_value,
                   fmt::format("{}: expected a finite number, JSON has no other", to_string(tag)),
                   {tag}};
  }

  std::string& out_;
  std::array<char, 4096> buffer_;  ///< what goes to out_ next
  const char* const last_place_ = buffer_.data() + buffer_.size() - 128;
  const char* readable_ = nullptr;  ///< the end of what may be read
  Characters text_{};               ///< the bits of all of it
  std::optional<Fault> fault_;
};

}  // namespace

Result<bool> write_json(DataSetView data_set, std::string& out) {
  const std::size_t before = out.size();
  if (auto fault = Writer(out).write(data_set)) {
    out.resize(before);
    return *fault;
  }
  return true;
}

}  // namespace mapping
