// DataSet → the wire's forms. Lengths are defined; one character set for the whole data set.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "mapping/tags.h"
#include "mapping/uids.h"
#include "mapping/wire.h"

namespace mapping {
namespace {

// Calls visit for every text element that is affected by the character set and not ASCII, at every
// depth, with the top-level tag it stands in; stops when visit returns false.
template <class Visit>
bool for_each_non_ascii(DataSetView data_set, Tag outermost, const Visit& visit) {
  for (const Element& element : data_set) {
    const Tag top = outermost.value != 0 ? outermost : element.tag;
    if (element.vr == Vr::SQ) {
      for (const DataSetView item : element.items()) {
        if (!for_each_non_ascii(item, top, visit)) return false;
      }
    } else if (facts(element.vr).in_character_set && !is_ascii(element.value)) {
      if (!visit(element, top)) return false;
    }
  }
  return true;
}

// The first text that the set does not hold; nothing if it holds all.
std::optional<Fault> check_holds(const CharacterSet& set, DataSetView data_set) {
  std::optional<Fault> fault;
  std::string scratch;
  for_each_non_ascii(data_set, Tag(), [&](const Element& element, Tag top) {
    scratch.clear();
    if (set.encode(element.text(), scratch)) return true;
    fault = Fault{Fault::Kind::character_set,
                  fmt::format("{}: expected text that {} holds", to_string(element.tag),
                              set.defined_term().empty() ? "ISO-IR 6" : set.defined_term()),
                  {top}};
    return false;
  });
  return fault;
}

Result<CharacterSet> choose(DataSetView data_set, const WireWriteOptions& options) {
  const bool ascii = for_each_non_ascii(data_set, Tag(), [](const Element&, Tag) { return false; });
  if (ascii) return CharacterSet();
  if (options.configured) {
    if (auto fault = check_holds(*options.configured, data_set)) return *fault;
    return *options.configured;
  }
  if (options.used_by_peer && !check_holds(*options.used_by_peer, data_set)) {
    return *options.used_by_peer;
  }
  for (const CharacterSet& set : CharacterSet::smallest_first()) {
    if (!check_holds(set, data_set)) return set;
  }
  return CharacterSet::utf_8();
}

class Writer {
 public:
  Writer(TransferSyntax syntax, const CharacterSet& character_set, std::size_t size_hint)
      : explicit_(syntax != TransferSyntax::implicit_vr_little_endian),
        big_endian_(syntax == TransferSyntax::explicit_vr_big_endian),
        character_set_(character_set),
        as_stored_(syntax == TransferSyntax::explicit_vr_little_endian &&
                   (character_set.is_utf_8() || character_set == CharacterSet())) {
    out_.reserve(size_hint + size_hint / 8 + 64);
  }

  std::string write(DataSetView data_set) {
    bool declared = character_set_.defined_term().empty();
    for (const Element& element : data_set) {
      if (!declared && element.tag > tags::SpecificCharacterSet) {
        write_character_set();
        declared = true;
      }
      write(element);
    }
    return std::move(out_);
  }

 private:
  void write_character_set() {
    write_header(tags::SpecificCharacterSet, Vr::CS);
    const std::size_t start = out_.size();
    out_.append(character_set_.defined_term());
    end_value(start, Vr::CS);
  }

  void write(const Element& element) {
    if (as_stored_) {
      out_.append(element.bytes);
      return;
    }
    write_header(element.tag, element.vr);
    const std::size_t start = out_.size();
    const VrFacts& vr = facts(element.vr);
    if (element.vr == Vr::SQ)
      write_items(element);
    else if (vr.in_character_set)
      character_set_.encode(element.text(), out_);
    else
      out_.append(element.value);
    if (big_endian_ && vr.unit > 1) swap(start, vr.unit);
    end_value(start, element.vr);
  }

  void write_items(const Element& sequence) {
    for (const DataSetView item : sequence.items()) {
      put16(0xFFFE);
      put16(0xE000);
      put32(0);
      const std::size_t start = out_.size();
      for (const Element& element : item) write(element);
      patch32(start - 4, static_cast<std::uint32_t>(out_.size() - start));
    }
  }

  // The length is left open; end_value writes it.
  void write_header(Tag tag, Vr vr) {
    put16(tag.group());
    put16(tag.element());
    if (!explicit_) return put32(0);
    out_.append(to_string(vr));
    put16(0);
    if (facts(vr).long_header) put32(0);
  }

  // Pads the value field that began at start and writes its length before it.
  void end_value(std::size_t start, Vr vr) {
    if ((out_.size() - start) % 2 != 0) out_.push_back(facts(vr).padding);
    const auto length = static_cast<std::uint32_t>(out_.size() - start);
    if (explicit_ && !facts(vr).long_header)
      patch16(start - 2, length);
    else
      patch32(start - 4, length);
  }

  void swap(std::size_t start, std::size_t unit) {
    for (std::size_t i = start; i + unit <= out_.size(); i += unit) {
      std::reverse(out_.begin() + static_cast<std::ptrdiff_t>(i),
                   out_.begin() + static_cast<std::ptrdiff_t>(i + unit));
    }
  }

  void put16(std::uint32_t value) {
    const char low = static_cast<char>(value & 0xFF);
    const char high = static_cast<char>(value >> 8 & 0xFF);
    out_.push_back(big_endian_ ? high : low);
    out_.push_back(big_endian_ ? low : high);
  }
  void put32(std::uint32_t value) {
    put16(big_endian_ ? value >> 16 : value & 0xFFFF);
    put16(big_endian_ ? value & 0xFFFF : value >> 16);
  }

  void patch16(std::size_t at, std::uint32_t value) {
    out_[at] = static_cast<char>((big_endian_ ? value >> 8 : value) & 0xFF);
    out_[at + 1] = static_cast<char>((big_endian_ ? value : value >> 8) & 0xFF);
  }
  void patch32(std::size_t at, std::uint32_t value) {
    patch16(at, big_endian_ ? value >> 16 : value & 0xFFFF);
    patch16(at + 2, big_endian_ ? value & 0xFFFF : value >> 16);
  }

  const bool explicit_;
  const bool big_endian_;
  const CharacterSet character_set_;
  const bool as_stored_;  // the canonical form is the wire form
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
  const auto character_set = choose(data_set, options);
  if (!character_set) return character_set.fault();
  return Writer(syntax, character_set.value(), data_set.bytes().size()).write(data_set);
}

}  // namespace mapping
