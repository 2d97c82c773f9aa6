// The wire's forms → DataSet. Bounds are checked before every step; recursion is bounded by
// DataSetBuilder's depth.
#include <fmt/format.h>

#include <algorithm>

#include "mapping/dictionary.h"
#include "mapping/number_text.h"
#include "mapping/tags.h"
#include "mapping/wire.h"

namespace mapping {
namespace {

constexpr Tag item_tag{0xFFFE, 0xE000};
constexpr Tag item_delimitation{0xFFFE, 0xE00D};
constexpr Tag sequence_delimitation{0xFFFE, 0xE0DD};
constexpr std::uint32_t undefined_length = 0xFFFFFFFF;

class Reader {
 public:
  Reader(std::string_view bytes, TransferSyntax syntax, const WireReadOptions& options)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()), options_(options) {
    set_syntax(syntax);
  }

  Result<ReadDataSet> read() {
    CharacterSet character_set;
    read_elements(end_, false, character_set);
    if (fault_) return *fault_;
    auto built = builder_.build();
    if (!built) return built.fault();
    return ReadDataSet{std::move(built).value(), character_set};
  }

 private:
  struct Header {
    Tag tag;
    Vr vr = Vr::UN;
    std::uint32_t length = 0;
  };

  void set_syntax(TransferSyntax syntax) {
    explicit_ = syntax != TransferSyntax::implicit_vr_little_endian;
    big_endian_ = syntax == TransferSyntax::explicit_vr_big_endian;
  }
  std::size_t left(const char* end) const { return static_cast<std::size_t>(end - at_); }

  std::uint16_t u16(const char* at) const {
    const auto low = static_cast<unsigned char>(at[big_endian_ ? 1 : 0]);
    const auto high = static_cast<unsigned char>(at[big_endian_ ? 0 : 1]);
    return static_cast<std::uint16_t>(low | high << 8);
  }
  std::uint32_t u32(const char* at) const {
    const std::uint32_t first = u16(at);
    const std::uint32_t second = u16(at + 2);
    return big_endian_ ? first << 16 | second : second << 16 | first;
  }

  void fail(Fault::Kind kind, Tag tag, std::string_view expected) {
    if (fault_) return;
    fault_ = Fault{kind, fmt::format("{}: {}", to_string(tag), expected), {}};
    fault_->attributes.push_back(outermost_.value != 0 ? outermost_ : tag);
  }

  static bool is_undefined(const Header& head) { return head.length == undefined_length; }

  // Reads elements up to end, or up to an item delimitation where delimited.
  void read_elements(const char* end, bool delimited, CharacterSet& character_set) {
    bool character_set_too_late = false;
    while (!fault_ && at_ != end) {
      Header head;
      if (!read_header(end, head)) return;
      if (delimited && head.tag == item_delimitation) return;
      if (head.tag == tags::SpecificCharacterSet) {
        read_character_set(head, character_set, character_set_too_late);
        continue;
      }
      const TagPlace place = place_of(head.tag);
      if (place == TagPlace::misplaced || (place == TagPlace::ignored && is_undefined(head))) {
        return fail(Fault::Kind::malformed, head.tag, "expected no such element in a data set");
      }
      if (place == TagPlace::ignored) {
        at_ += head.length;
        continue;
      }
      character_set_too_late = character_set_too_late || head.tag > tags::SpecificCharacterSet;
      const bool root = outermost_.value == 0;
      if (root) outermost_ = head.tag;
      read_value(end, head, character_set);
      if (root) outermost_ = Tag();
    }
    if (delimited && !fault_) {
      fail(Fault::Kind::malformed, item_delimitation, "expected before the end of the data set");
    }
  }

  // Leaves at_ on the value field. Lengths are checked against end.
  bool read_header(const char* end, Header& head) {
    if (left(end) < 8) return truncated();
    head.tag = Tag(u16(at_), u16(at_ + 2));
    if (head.tag.group() == 0xFFFE) {  // delimiters have no VR in any transfer syntax
      head.length = u32(at_ + 4);
      at_ += 8;
      if (head.tag == item_delimitation && head.length == 0) return true;
      fail(Fault::Kind::malformed, head.tag, "expected no item or delimitation here");
      return false;
    }
    if (!(explicit_ ? read_explicit(end, head) : read_implicit(head))) return false;
    if (head.length != undefined_length && head.length > left(end)) {
      fail(Fault::Kind::malformed, head.tag, "expected a length within the data set");
      return false;
    }
    return true;
  }

  bool read_implicit(Header& head) {
    const DictionaryEntry* entry = find_attribute(head.tag);
    head.length = u32(at_ + 4);
    if (entry != nullptr)
      head.vr = entry->vr;
    else if (head.tag.is_private_creator())
      head.vr = Vr::LO;
    else if (head.tag.is_group_length())
      head.vr = Vr::UL;
    else if (is_undefined(head))
      head.vr = Vr::SQ;
    at_ += 8;
    return true;
  }

  bool read_explicit(const char* end, Header& head) {
    const auto vr = parse_vr(std::string_view(at_ + 4, 2));
    if (!vr) {
      fail(Fault::Kind::malformed, head.tag, "expected a VR of PS3.5, 6.2");
      return false;
    }
    head.vr = *vr;
    if (!facts(*vr).long_header) {
      head.length = u16(at_ + 6);
      at_ += 8;
      return true;
    }
    if (left(end) < 12) return truncated();
    head.length = u32(at_ + 8);
    at_ += 12;
    return true;
  }

  bool truncated() {
    fail(Fault::Kind::malformed, outermost_, "expected a whole element header at the end");
    return false;
  }

  void read_character_set(const Header& head, CharacterSet& character_set, bool too_late) {
    if (too_late || is_undefined(head)) {
      fail(Fault::Kind::malformed, head.tag, "expected before any text, with a defined length");
      return;
    }
    auto parsed = CharacterSet::parse(std::string_view(at_, head.length));
    at_ += head.length;
    if (parsed)
      character_set = parsed.value();
    else
      fault_ = parsed.fault();
  }

  void read_value(const char* end, const Header& head, const CharacterSet& character_set) {
    if (head.vr == Vr::UN) return read_unknown(end, head, character_set);
    if (head.vr == Vr::SQ) return read_sequence(end, head, character_set);
    if (is_undefined(head)) {
      return fail(Fault::Kind::malformed, head.tag, "expected a defined length");
    }
    const std::string_view value(at_, head.length);
    at_ += head.length;
    add_value(head, value, character_set);
  }

  // A standard attribute sent as UN is read by its VR, as Implicit VR Little Endian; so is an
  // undefined length, which can only be a sequence. PS3.5, 6.2.2, note 2 and 4.
  void read_unknown(const char* end, Header head, const CharacterSet& character_set) {
    const DictionaryEntry* entry = find_attribute(head.tag);
    if (is_undefined(head))
      head.vr = Vr::SQ;
    else if (entry != nullptr)
      head.vr = entry->vr;
    if (head.vr == Vr::UN) {
      builder_.add(head.tag, Vr::UN, std::string_view(at_, head.length));
      at_ += head.length;
      return;
    }
    const bool was_explicit = explicit_;
    const bool was_big_endian = big_endian_;
    set_syntax(TransferSyntax::implicit_vr_little_endian);
    read_value(end, head, character_set);
    explicit_ = was_explicit;
    big_endian_ = was_big_endian;
  }

  void read_sequence(const char* end, const Header& head, const CharacterSet& character_set) {
    const bool delimited = is_undefined(head);
    const char* const sequence_end = delimited ? end : at_ + head.length;
    builder_.begin_sequence(head.tag);
    while (!fault_ && (delimited || at_ != sequence_end)) {
      if (left(sequence_end) < 8) {
        return fail(Fault::Kind::malformed, head.tag, "expected an item or the sequence's end");
      }
      const Tag tag(u16(at_), u16(at_ + 2));
      const std::uint32_t length = u32(at_ + 4);
      at_ += 8;
      if (delimited && tag == sequence_delimitation) break;
      if (tag != item_tag || (length != undefined_length && length > left(sequence_end))) {
        return fail(Fault::Kind::malformed, head.tag, "expected an item within the sequence");
      }
      read_item(sequence_end, length, head.tag, character_set);
    }
    if (!fault_) builder_.end_sequence();
  }

  void read_item(const char* end, std::uint32_t length, Tag sequence, CharacterSet character_set) {
    builder_.begin_item();
    if (builder_.failed()) return fail(Fault::Kind::too_large, sequence, "nested too deeply");
    const bool delimited = length == undefined_length;
    read_elements(delimited ? end : at_ + length, delimited, character_set);
    if (!fault_) builder_.end_item();  // a fault leaves sequences open: nothing may be ended then
  }

  void add_value(const Header& head, std::string_view value, const CharacterSet& character_set) {
    const VrFacts& vr = facts(head.vr);
    if (vr.kind == VrKind::text) return add_text(head, vr, value, character_set);
    const std::size_t width = number_width(head.vr);
    if (value.size() % width != 0) {
      return fail(
          Fault::Kind::malformed, head.tag,
          fmt::format("expected a multiple of {} bytes (VR {})", width, to_string(head.vr)));
    }
    if (!big_endian_ || vr.unit == 1) {
      builder_.add(head.tag, head.vr, value);
      return;
    }
    scratch_.assign(value);
    for (std::size_t i = 0; i < scratch_.size(); i += vr.unit) {
      std::reverse(scratch_.begin() + static_cast<std::ptrdiff_t>(i),
                   scratch_.begin() + static_cast<std::ptrdiff_t>(i + vr.unit));
    }
    builder_.add(head.tag, head.vr, scratch_);
  }

  void add_text(const Header& head, const VrFacts& vr, std::string_view value,
                const CharacterSet& character_set) {
    while (!value.empty() && (value.back() == ' ' || value.back() == '\0')) value.remove_suffix(1);
    if (is_ascii(value) && value.find('\x1B') == std::string_view::npos) {
      builder_.add(head.tag, head.vr, value);
      return;
    }
    scratch_.clear();
    const CharacterSet& used = character_set == CharacterSet() && options_.assume_character_set
                                   ? *options_.assume_character_set
                                   : character_set;
    if (!vr.in_character_set || !used.decode(value, head.vr, scratch_)) {
      const bool declared = vr.in_character_set && !used.is_default_repertoire();
      return fail(Fault::Kind::character_set, head.tag,
                  fmt::format("expected text in {} (VR {})",
                              declared ? used.value() : "the default repertoire, ISO-IR 6",
                              to_string(head.vr)));
    }
    // An escape sequence may have stood behind the padding.
    while (scratch_.ends_with(' ') || scratch_.ends_with('\0')) scratch_.pop_back();
    builder_.add(head.tag, head.vr, scratch_);
  }

  const char* at_;
  const char* const end_;
  const WireReadOptions& options_;
  bool explicit_ = false;
  bool big_endian_ = false;
  DataSetBuilder builder_;
  std::string scratch_;  // of one value
  Tag outermost_;        // the top-level element being read, for faults; 0 = none
  std::optional<Fault> fault_;
};

}  // namespace

Result<ReadDataSet> read_data_set(std::string_view encoded, TransferSyntax syntax,
                                  const WireReadOptions& options) {
  if (encoded.size() > options.max_bytes) {
    return Fault{Fault::Kind::too_large,
                 fmt::format("expected a data set of at most {} bytes", options.max_bytes),
                 {}};
  }
  return Reader(encoded, syntax, options).read();
}

}  // namespace mapping
