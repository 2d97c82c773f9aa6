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
#include <span>

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
  // 0.00005 would come back as 5e-05.
  return text.back() >= '1' && text.back() <= '9' && !text.starts_with("0.0000");
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
// Ones in so many of the first, zeros in the others.
Characters first(std::size_t count) {
  static constexpr std::array<unsigned char, 2 * step> ones_and_zeros = [] {
    std::array<unsigned char, 2 * step> bytes{};
    for (std::size_t i = 0; i < step; ++i) bytes[i] = 0xFF;
    return bytes;
  }();
  return load(reinterpret_cast<const char*>(ones_and_zeros.data() + step - count));
}
// Ones for what a JSON string cannot hold as it is.
Characters is_escaped(Characters characters) {
  return (characters < 0x20) | (characters == '"') | (characters == '\\');
}
// How many there are before the first of these.
std::size_t count_plain(Characters characters) {
  const Characters escaped = is_escaped(characters);
  std::array<std::uint64_t, 2> halves;
  std::memcpy(halves.data(), &escaped, sizeof halves);
  const auto low = static_cast<std::size_t>(std::countr_zero(halves[0])) / 8;
  const auto high = static_cast<std::size_t>(std::countr_zero(halves[1])) / 8;
  return low + (high & (0 - low / 8));  // no branch: lengths of values are hard to guess
}

bool is_any(Characters characters) {
  std::array<std::uint64_t, 2> halves;
  std::memcpy(halves.data(), &characters, sizeof halves);
  return (halves[0] | halves[1]) != 0;
}
bool is_any_non_ascii(Characters characters) { return is_any(characters & 0x80); }

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

// Puts the text where it is to stay as long as there is room for it, and otherwise, piece by piece,
// through a buffer into a string. Where the next character goes is handed from function to function
// instead of kept: a member would be stored and loaded again with each character.
class Writer {
 public:
  explicit Writer(std::string& out, std::span<char> place = {}) : out_(out), place_(place) {
    if (place.size() > character_set_member.size() + room) put_into(place);
  }

  /// Returns how many characters stand in the place; 0: all of them were appended to out.
  /// non_ascii: whether a value is likely not to be ASCII; replaced by whether one is.
  Result<std::size_t> write(DataSetView data_set, bool& non_ascii) {
    const std::size_t start = out_.size();
    readable_ = data_set.bytes().data() + data_set.bytes().size();
    if (is_in_place() && non_ascii) begin_ += character_set_member.size();
    const char* const end = write_object(begin_, data_set);
    if (fault_) {
      out_.resize(start);
      return *std::move(fault_);
    }
    non_ascii = is_any_non_ascii(text_);
    if (is_in_place()) {
      if (const std::size_t size = settle(end, non_ascii)) return size;
    }
    flush(end);
    if (non_ascii) out_.insert(start + 1, character_set_member);
    return std::size_t{0};
  }

 private:
  void put_into(std::span<char> area) {
    begin_ = area.data();
    last_place_ = area.data() + area.size() - room;
  }
  bool is_in_place() const { return begin_ != buffer_.data(); }
  /// Moves the text to the beginning of the place, or behind Specific Character Set, which comes
  /// first as nothing below it stands in a data set (rule D17). Returns its size; 0: no room.
  std::size_t settle(const char* end, bool non_ascii) {
    const auto size = static_cast<std::size_t>(end - begin_);
    const std::size_t before = non_ascii ? character_set_member.size() : 0;
    if (place_.size() < before + size) return 0;
    char* const object = place_.data() + before;
    if (object != begin_) std::memmove(object, begin_, size);
    if (non_ascii) put(put(place_.data(), '{'), character_set_member);  // the last one over its "{"
    return before + size;
  }
  char* flush(const char* at) {
    out_.append(begin_, static_cast<std::size_t>(at - begin_));
    put_into(buffer_);
    return begin_;
  }
  /// More than a frame, a name's braces and a plain text in quotes.
  static constexpr std::size_t room = 160;
  static constexpr std::size_t max_plain = 64;
  /// A place with room for whatever one of the functions below puts until it asks again.
  char* need_room(char* at) { return at > last_place_ ? flush(at) : at; }

  char* write_object(char* at, DataSetView data_set) {
    char before = '{';
    for (const Element& element : data_set) {
      at = write_attribute(need_room(at), before, element.tag, element.vr, element.value);
      before = ',';
    }
    at = need_room(at);
    if (before == '{') at = put(at, '{');
    return put(at, '}');
  }

  char* write_attribute(char* at, char before, Tag tag, Vr vr, std::string_view value) {
    // Put as a whole, and over it what is of this attribute.
    constexpr std::string_view frame = R"(,"00000000":{"vr":"  ","Value":[)";
    constexpr std::size_t tag_at = 2;
    constexpr std::size_t vr_at = 19;
    static_assert(frame.size() == 32);
    put(at, frame);
    put(at, before);
    put(at + tag_at, tag);
    std::memcpy(at + vr_at, &vr, sizeof vr);
    char* const after_vr = at + vr_at + sizeof vr;
    at += frame.size();
    if (value.empty()) return put(after_vr, "\"}");
    const VrFacts& vr_facts = facts(vr);
    switch (vr_facts.kind) {
      case VrKind::text:
        if (value.back() == vr_facts.padding) value.remove_suffix(1);
        if (vr == Vr::PN && trim_name(value).empty()) return put(after_vr, "\"}");
        at = write_text_values(at, vr, value, vr_facts.many_values);
        break;
      case VrKind::number:
        at = write_numbers(at, tag, vr, value);
        break;
      case VrKind::sequence:
        at = write_items(at, ItemRange(value));
        break;
      case VrKind::bytes:
        at = flush(put(after_vr, R"(","InlineBinary":")"));
        append_base64(value, out_);
        return put(at, "\"}");
    }
    return put(at, "]}");
  }

  char* write_items(char* at, ItemRange items) {
    for (const DataSetView item : items) at = put(write_object(at, item), ',');
    return at - 1;
  }

  char* write_text_values(char* at, Vr vr, std::string_view values, bool many) {
    switch (vr) {
      case Vr::PN:
        if (char* const end = put_plain_name(at, values)) return end;
        return write_values(at, values, [this](char* to, std::string_view value) {
          return write_person_name(to, value);
        });
      case Vr::IS:
      case Vr::DS:
        return write_values(at, values, [this, vr](char* to, std::string_view value) {
          return write_decimal(to, value, vr == Vr::DS);
        });
      default:
        if (char* const end = put_plain<Plain::text>(at, values)) return end;
        return write_texts(at, values, many);
    }
  }

  /// write: one that is not empty.
  template <class Write>
  char* write_values(char* at, std::string_view values, const Write& write) {
    while (true) {
      const std::size_t end = std::min(values.find('\\'), values.size());
      at = need_room(at);
      at = end == 0 ? put(at, "null") : write(at, values.substr(0, end));
      if (end == values.size()) return at;
      at = put(at, ',');
      values.remove_prefix(end + 1);
    }
  }

  char* write_texts(char* at, std::string_view values, bool many) {
    const char* from = values.data();
    const char* const end = from + values.size();
    for (;; ++from) {
      at = need_room(at);
      if (from == end || (many && *from == '\\')) {
        at = put(at, "null");
      } else {
        const Written written = write_text(put(at, '"'), from, end, many);
        at = put(written.at, '"');
        from = written.from;
      }
      if (from == end) return at;
      at = put(at, ',');
    }
  }

  enum class Plain : std::uint8_t { text, name };
  /// Puts text in quotes; null if it is none of the usual kind: one value, short, to be written as
  /// it is, and no name of several component groups. Where it ends does not depend on what it
  /// holds, so the processor need not wait for one value to begin with the next.
  template <Plain plain>
  char* put_plain(char* at, std::string_view text) {
    const char* from = text.data();
    std::size_t left = text.size();
    if (left - 1 >= max_plain || readable_ - from < static_cast<std::ptrdiff_t>(left + step)) {
      return nullptr;
    }
    char* to = put(at, '"');
    char* const end = to + left;
    Characters all{};
    Characters special{};
    for (bool more = true; more; from += step, to += step, left -= step) {
      more = left > step;
      const Characters mask = first(more ? step : left);
      const Characters characters = load(from) & mask;
      std::memcpy(to, &characters, step);
      all |= characters;
      special |= is_escaped(characters) & mask;
      if constexpr (plain == Plain::name) special |= characters == '=';
    }
    if (is_any(special)) return nullptr;
    text_ |= all;
    return put(end, '"');
  }
  char* put_plain_name(char* at, std::string_view name) {
    constexpr std::string_view group = R"({"Alphabetic":)";
    char* const end = put_plain<Plain::name>(put(at, group), trim_name(name));
    return end == nullptr ? nullptr : put(end, '}');
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
      if (left < step) characters &= first(left);
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

  char* write_numbers(char* at, Tag tag, Vr vr, std::string_view value) {
    const std::size_t width = number_width(vr);
    for (std::size_t i = 0; i + width <= value.size(); i += width) {
      at = need_room(at);
      if (i != 0) at = put(at, ',');
      const char* const number = value.data() + i;
      const bool quoted = vr == Vr::AT || !exact_as_double(vr, number);
      if (quoted) at = put(at, '"');
      if (char* const end = write_number_text(vr, number, at)) {
        at = end;
      } else {
        refuse(tag);
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
  const std::span<char> place_;
  std::array<char, 4096> buffer_;  ///< what goes to out_ next
  char* begin_ = buffer_.data();   ///< of the text, or of what of it is in buffer_
  const char* last_place_ = buffer_.data() + buffer_.size() - room;
  const char* readable_ = nullptr;  ///< the end of what may be read
  Characters text_{};               ///< the bits of all of it
  std::optional<Fault> fault_;
};

}  // namespace

Result<bool> write_json(DataSetView data_set, std::string& out) {
  bool non_ascii = false;
  const auto written = Writer(out).write(data_set, non_ascii);
  if (!written) return written.fault();
  return true;
}

Result<std::size_t> JsonWriter::write(DataSetView data_set, std::span<char> place,
                                      std::string& instead) {
  return Writer(instead, place).write(data_set, non_ascii_);
}

}  // namespace mapping
