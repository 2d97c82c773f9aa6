// DataSet → the wire's forms. Lengths are defined; one character set for the whole data set.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "mapping/dictionary.h"
#include "mapping/tags.h"
#include "mapping/uids.h"
#include "mapping/wire.h"

namespace mapping {
namespace {

/// A text element that is affected by the character set and not ASCII.
struct NonAscii {
  Element element;
  Tag outermost;  ///< the top-level element it stands in
};

void collect_non_ascii(DataSetView data_set, Tag outermost, std::vector<NonAscii>& found) {
  for (const Element& element : data_set) {
    const Tag top = outermost.value != 0 ? outermost : element.tag;
    if (element.vr == Vr::SQ) {
      for (const DataSetView item : element.items()) collect_non_ascii(item, top, found);
    } else if (facts(element.vr).in_character_set && !is_ascii(element.value)) {
      found.push_back({element, top});
    }
  }
}

/// The texts of a data set in the chosen set, in the order of their elements: choosing has encoded
/// them, writing needs not do it again.
struct EncodedTexts {
  std::string bytes;
  std::vector<std::size_t> ends;  ///< of each text in bytes
};

// The first text that the set does not hold; null if it holds all, which are then in encoded.
const NonAscii* find_unencodable(const CharacterSet& set, const std::vector<NonAscii>& texts,
                                 EncodedTexts& encoded) {
  encoded.bytes.clear();
  encoded.ends.clear();
  for (const NonAscii& text : texts) {
    if (!set.encode(text.element.text(), text.element.vr, encoded.bytes)) {
      encoded.ends.clear();
      return &text;
    }
    encoded.ends.push_back(encoded.bytes.size());
  }
  return nullptr;
}

Result<CharacterSet> choose(DataSetView data_set, const WireWriteOptions& options,
                            EncodedTexts& encoded) {
  std::vector<NonAscii> texts;
  collect_non_ascii(data_set, Tag(), texts);
  if (texts.empty() && !options.declare_always) return CharacterSet();
  if (options.configured) {
    const NonAscii* const refused = find_unencodable(*options.configured, texts, encoded);
    if (refused == nullptr || options.count_replaced != nullptr) return *options.configured;
    const std::string set = options.configured->value();
    return Fault{Fault::Kind::character_set,
                 fmt::format("{}: expected text that {} holds", to_string(refused->element.tag),
                             set.empty() ? "ISO-IR 6" : set),
                 {refused->outermost}};
  }
  if (options.used_by_peer && find_unencodable(*options.used_by_peer, texts, encoded) == nullptr) {
    return *options.used_by_peer;
  }
  for (const CharacterSet& set : CharacterSet::smallest_first()) {
    if (!texts.empty() && set.is_default_repertoire()) continue;  // it holds ASCII only
    if (find_unencodable(set, texts, encoded) == nullptr) return set;
  }
  // ISO_IR 192, the last of them, holds every character but this one.
  const NonAscii* const refused = find_unencodable(CharacterSet::utf_8(), texts, encoded);
  return Fault{
      Fault::Kind::character_set,
      fmt::format("{}: expected text without escape sequences", to_string(refused->element.tag)),
      {refused->outermost}};
}

constexpr std::size_t undefined_length = 0xFFFFFFFF;

class Writer {
 public:
  /// encoded: all texts that are not ASCII, or none where the set does not hold all of them;
  /// count_replaced may be null where it does.
  Writer(TransferSyntax syntax, const CharacterSet& character_set, const EncodedTexts& encoded,
         std::size_t* count_replaced, std::size_t size_hint)
      : encoded_(encoded),
        count_replaced_(count_replaced),
        explicit_(syntax != TransferSyntax::implicit_vr_little_endian),
        big_endian_(syntax == TransferSyntax::explicit_vr_big_endian),
        character_set_(character_set),
        as_stored_(syntax == TransferSyntax::explicit_vr_little_endian &&
                   (character_set.is_utf_8() || character_set.is_default_repertoire())) {
    out_.reserve(size_hint + size_hint / 8 + 64);
  }

  Result<std::string> write(DataSetView data_set) {
    // First: nothing below it stands in a data set.
    if (!character_set_.is_default_repertoire()) write_character_set();
    for (const Element& element : data_set) {
      write(element);
      if (too_long_) return refuse(*too_long_, element.tag);
    }
    return std::move(out_);
  }

 private:
  Fault refuse(Tag tag, Tag outermost) const {
    return {Fault::Kind::character_set,
            fmt::format("{}: expected text of at most 65534 bytes in {}", to_string(tag),
                        character_set_.value()),
            {outermost}};
  }

  void write_character_set() {
    write_header(tags::SpecificCharacterSet, facts(Vr::CS), 0);
    const std::size_t start = out_.size();
    out_.append(character_set_.value());
    end_value(start, facts(Vr::CS));
  }

  void write(const Element& element) {
    if (as_stored_) {
      out_.append(element.bytes);
      return;
    }
    const VrFacts& vr = facts(element.vr);
    const bool swapped = big_endian_ && vr.unit > 1;
    const bool encoded = vr.in_character_set && !is_ascii(element.value);
    if (element.vr != Vr::SQ && !swapped && !encoded) {  // most elements: the value as it is
      if (explicit_)
        write_header(element.tag, vr, element.value.size());
      else
        append_implicit_header(element);
      out_.append(element.value);
      return;
    }
    if (element.vr == Vr::SQ && needs_delimitation(element.tag)) {
      write_header(element.tag, vr, undefined_length);
      write_items(element);
      append_item_header(0xE0DD);
      return;
    }
    write_header(element.tag, vr, 0);  // end_value writes the length
    const std::size_t start = out_.size();
    if (element.vr == Vr::SQ)
      write_items(element);
    else if (encoded)
      encode(element);
    else
      out_.append(element.value);
    if (swapped) swap(start, vr.unit);
    // Only encoded text becomes longer than it was.
    if (explicit_ && !vr.long_header && out_.size() - start > 0xFFFE) too_long_ = element.tag;
    end_value(start, vr);
  }

  void encode(const Element& element) {
    if (!encoded_.ends.empty()) {
      const std::size_t start = next_text_ == 0 ? 0 : encoded_.ends[next_text_ - 1];
      const std::size_t end = encoded_.ends[next_text_++];
      out_.append(encoded_.bytes, start, end - start);
      return;
    }
    if (character_set_.encode(element.text(), element.vr, out_) || count_replaced_ == nullptr)
      return;
    *count_replaced_ += character_set_.encode_replacing(element.text(), element.vr, out_);
  }

  /// Implicit VR shows that an attribute is a sequence only by its undefined length, where the
  /// dictionary of the reader may not have it.
  bool needs_delimitation(Tag tag) const {
    if (explicit_) return false;
    const DictionaryEntry* entry = find_attribute(tag);
    return entry == nullptr || entry->vr != Vr::SQ;
  }

  /// Of length 0. Items and delimitations have no VR in any transfer syntax.
  void append_item_header(std::size_t element) {
    char head[8] = {};
    set16(head, 0xFFFE);
    set16(head + 2, element);
    out_.append(head, sizeof head);
  }

  void write_items(const Element& sequence) {
    for (const DataSetView item : sequence.items()) {
      append_item_header(0xE000);
      const std::size_t start = out_.size();
      for (const Element& element : item) write(element);
      set32(out_.data() + start - 4, out_.size() - start);
    }
  }

  void write_header(Tag tag, const VrFacts& vr, std::size_t length) {
    char head[12] = {};
    set16(head, tag.group());
    set16(head + 2, tag.element());
    std::size_t size = 8;
    if (!explicit_) {
      set32(head + 4, length);
    } else {
      head[4] = static_cast<char>(static_cast<std::uint16_t>(vr.vr) & 0xFF);
      head[5] = static_cast<char>(static_cast<std::uint16_t>(vr.vr) >> 8);
      if (vr.long_header) {
        size = 12;
        set32(head + 8, length);
      } else {
        set16(head + 6, length);
      }
    }
    out_.append(head, size);
  }

  /// The stored tag, and the length in place of the VR and its length.
  void append_implicit_header(const Element& element) {
    const auto length = static_cast<std::uint32_t>(element.value.size());
    const char head[8] = {element.bytes[0],
                          element.bytes[1],
                          element.bytes[2],
                          element.bytes[3],
                          static_cast<char>(length & 0xFF),
                          static_cast<char>(length >> 8 & 0xFF),
                          static_cast<char>(length >> 16 & 0xFF),
                          static_cast<char>(length >> 24)};
    out_.append(head, sizeof head);
  }

  // Pads the value field that began at start and writes its length before it.
  void end_value(std::size_t start, const VrFacts& vr) {
    if ((out_.size() - start) % 2 != 0) out_.push_back(vr.padding);
    const std::size_t length = out_.size() - start;
    char* const value = out_.data() + start;
    if (explicit_ && !vr.long_header)
      set16(value - 2, length);
    else
      set32(value - 4, length);
  }

  void swap(std::size_t start, std::size_t unit) {
    for (std::size_t i = start; i + unit <= out_.size(); i += unit) {
      std::reverse(out_.begin() + static_cast<std::ptrdiff_t>(i),
                   out_.begin() + static_cast<std::ptrdiff_t>(i + unit));
    }
  }

  void set16(char* at, std::size_t value) const {
    at[big_endian_ ? 1 : 0] = static_cast<char>(value & 0xFF);
    at[big_endian_ ? 0 : 1] = static_cast<char>(value >> 8 & 0xFF);
  }
  void set32(char* at, std::size_t value) const {
    set16(at, big_endian_ ? value >> 16 : value & 0xFFFF);
    set16(at + 2, big_endian_ ? value & 0xFFFF : value >> 16);
  }

  const EncodedTexts& encoded_;
  std::size_t next_text_ = 0;  ///< of encoded_
  std::size_t* const count_replaced_;
  const bool explicit_;
  const bool big_endian_;
  const CharacterSet character_set_;
  const bool as_stored_;         // the canonical form is the wire form
  std::optional<Tag> too_long_;  // for the length field of its VR, in this set
  std::string out_;
};

constexpr std::array<std::string_view, 3> transfer_syntax_uids{
    uids::implicit_vr_little_endian, uids::explicit_vr_little_endian, uids::explicit_vr_big_endian};

}  // namespace

std::string_view to_uid(TransferSyntax syntax) {
  return transfer_syntax_uids[static_cast<std::size_t>(syntax)];
}

std::optional<TransferSyntax> transfer_syntax_of(std::string_view uid) {
  const auto it = std::find(transfer_syntax_uids.begin(), transfer_syntax_uids.end(), uid);
  if (it == transfer_syntax_uids.end()) return std::nullopt;
  return static_cast<TransferSyntax>(it - transfer_syntax_uids.begin());
}

Result<std::string> write_data_set(DataSetView data_set, TransferSyntax syntax,
                                   const WireWriteOptions& options) {
  EncodedTexts encoded;
  const auto character_set = choose(data_set, options, encoded);
  if (!character_set) return character_set.fault();
  return Writer(syntax, character_set.value(), encoded, options.count_replaced,
                data_set.bytes().size())
      .write(data_set);
}

}  // namespace mapping
