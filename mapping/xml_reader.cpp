// Native DICOM Model → DataSet, in one walk over the text. Only where numbers stand in another
// order than their elements is a part walked again.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <list>
#include <map>
#include <set>
#include <vector>

#include "mapping/base64.h"
#include "mapping/character_set.h"
#include "mapping/dictionary.h"
#include "mapping/number_text.h"
#include "mapping/vr_rules.h"
#include "mapping/xml.h"
#include "mapping/xml_scanner.h"

namespace mapping {
namespace {

using Token = XmlScanner::Token;

constexpr std::string_view component_groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
constexpr std::string_view components[] = {"FamilyName", "GivenName", "MiddleName", "NamePrefix",
                                           "NameSuffix"};
constexpr unsigned max_number = 65535;  // of a Value: more do not fit into a value field

Fault malformed(std::string_view expected) {
  return {Fault::Kind::malformed, fmt::format("expected {}", expected), {}};
}

bool holds_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
}

bool is_blank(const XmlText& text) {
  return text.raw.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

class Reader {
 public:
  Reader(std::string_view text, const XmlReadOptions& options)
      : options_(options), scanner_(text), size_(text.size()) {
    path_.reserve(8);
    value_field_.reserve(128);
  }

  Result<DataSet> read() {
    const Token root = next();
    if (root == Token::start && scanner_.name() != "NativeDicomModel") {
      malformed_here("the root element NativeDicomModel");
    }
    if (!fault_) read_data_set();
    if (!fault_) next();
    if (fault_) return *fault_;
    return builder_.build();
  }

 private:
  struct Attribute {
    Tag tag;
    Vr vr = Vr::UN;
  };

  bool fail(Fault::Kind kind, std::string_view expected) {
    if (fault_) return false;
    const std::string at = path_.empty() ? "data set" : path_text();
    fault_ = Fault{kind, fmt::format("{}: expected {}", at, expected), {}};
    if (!path_.empty()) fault_->attributes.push_back(path_.front().first);
    return false;
  }
  bool malformed_here(std::string_view expected) { return fail(Fault::Kind::malformed, expected); }
  std::string path_text() const {
    std::string text;
    for (std::size_t i = 0; i < path_.size(); ++i) {
      text += (i == 0 ? "" : ".") + to_string(path_[i].first);
      if (i + 1 < path_.size()) text += fmt::format("[{}]", path_[i].second);
    }
    return text;
  }

  // The next token; a document that is not well-formed becomes the fault.
  Token next() { return checked(scanner_.next(), scanner_); }
  Token checked(Token token, const XmlScanner& scanner) {
    if (token == Token::broken && !fault_) {
      fault_ = malformed("well-formed XML: " + scanner.expected());
    }
    return token;
  }
  bool skip_element() {
    if (scanner_.skip_element()) return true;
    checked(Token::broken, scanner_);
    return false;
  }

  // Private blocks of one data set: creators get the next free block of their group, if the
  // document does not hold their element (some do). rule E3
  struct PrivateBlocks {
    struct Block {
      std::uint16_t number;
      bool in_document;
    };
    std::map<std::pair<std::uint16_t, std::string>, Block> blocks;  // by group and creator
    std::set<Tag> taken;

    void note(Tag creator_element, std::string_view creator) {
      taken.insert(creator_element);
      blocks.try_emplace({creator_element.group(), std::string(creator)},
                         Block{creator_element.element(), true});
    }
    /// 0 if no block is free.
    std::uint16_t block_of(std::uint16_t group, std::string creator) {
      const auto [at, is_new] = blocks.try_emplace({group, std::move(creator)}, Block{0, false});
      for (std::uint16_t number = 0x10; is_new && number <= 0xFF; ++number) {
        if (!taken.insert(Tag(group, number)).second) continue;
        at->second.number = number;
        break;
      }
      return at->second.number;
    }
  };

  // Of the root or an item, whose start has been taken, to its end.
  void read_data_set() {
    PrivateBlocks blocks;
    for (Token token = next(); token != Token::end && !fault_; token = next()) {
      if (token == Token::start) {
        read_attribute(blocks);
      } else if (token == Token::text && !is_blank(scanner_.text())) {
        malformed_here("DicomAttribute elements and nothing else");
      }
    }
    for (const auto& [owner, block] : blocks.blocks) {
      if (!block.in_document) builder_.add(Tag(owner.first, block.number), Vr::LO, owner.second);
    }
  }

  /// The attributes of a DicomAttribute element that matter.
  struct Head {
    const XmlText* tag = nullptr;
    const XmlText* vr = nullptr;
    const XmlText* creator = nullptr;

    explicit Head(const XmlScanner& scanner) {
      for (const XmlScanner::Attribute& one : scanner.attributes()) {
        if (one.name == "tag")
          tag = &one.value;
        else if (one.name == "vr")
          vr = &one.value;
        else if (one.name == "privateCreator")
          creator = &one.value;
      }
    }
  };

  bool read_attribute(PrivateBlocks& blocks) {
    Tag tag;
    const Head head(scanner_);
    if (scanner_.name() != "DicomAttribute" || head.tag == nullptr ||
        !parse_tag(head.tag->raw, tag)) {
      return malformed_here("a DicomAttribute with a tag of eight hexadecimal digits");
    }
    path_.emplace_back(tag, 0);
    Attribute attribute{tag, Vr::UN};
    // Text is UTF-8 whatever (0008,0005) says: rule E7. With a creator, (0029,00xx) is no group
    // length but an attribute of a block yet to be found: rule E3.
    TagPlace place = place_of(tag);
    const bool in_block = tag.is_private() && head.creator != nullptr;
    if (place == TagPlace::ignored && in_block) place = TagPlace::attribute;
    if (place == TagPlace::misplaced) malformed_here("an attribute of a data set, above 00080005");
    if (place == TagPlace::ignored) skip_element();
    if (place == TagPlace::attribute && resolve_vr(head, attribute) &&
        resolve_creator(head, attribute, blocks)) {
      const bool is_creator = attribute.tag.is_private_creator() && attribute.vr == Vr::LO;
      if (read_content(attribute) && is_creator) blocks.note(attribute.tag, value_field_);
      check_builder();
    }
    path_.pop_back();
    return !fault_;
  }

  // The builder's fault, such as too much nesting or an attribute twice, ends the reading.
  bool check_builder() {
    if (builder_.failed() && !fault_) fault_ = builder_.build().fault();
    return !fault_;
  }

  bool resolve_vr(const Head& head, Attribute& attribute) {
    if (head.vr != nullptr) {
      const auto vr = parse_vr(head.vr->raw);
      if (!vr) return malformed_here("a VR of PS3.5, 6.2");
      attribute.vr = *vr;
    } else if (const DictionaryEntry* entry = find_attribute(attribute.tag)) {
      attribute.vr = entry->vr;
    }
    return true;
  }

  bool resolve_creator(const Head& head, Attribute& attribute, PrivateBlocks& blocks) {
    if (head.creator == nullptr) return true;
    std::string creator;
    head.creator->resolve(creator);
    while (creator.ends_with(' ')) creator.pop_back();
    if (creator.empty()) return true;
    const Tag tag = attribute.tag;
    if (!tag.is_private()) return malformed_here("privateCreator for private attributes only");
    if (creator.find('\\') != std::string::npos || holds_control_character(creator)) {
      return fail(Fault::Kind::invalid_value,
                  "no backslash and no control character in privateCreator");
    }
    const std::uint16_t block = blocks.block_of(tag.group(), std::move(creator));
    if (block == 0) return fail(Fault::Kind::too_large, "at most 240 creators");
    attribute.tag =
        Tag(tag.group(), static_cast<std::uint16_t>(block << 8 | (tag.element() & 0xFF)));
    return true;
  }

  std::string of_vr(Vr vr) { return fmt::format(" (VR {})", to_string(vr)); }

  // The children that hold the value: all of the kind that belongs to the VR.
  struct Children {
    VrKind kind;
    Vr vr;
    std::string_view name;
    unsigned count = 0;  // so far
  };
  struct Place {
    unsigned number = 0;
    XmlScanner::Mark mark;
    bool operator<(const Place& other) const { return number < other.number; }
  };

  bool read_content(const Attribute& attribute) {
    const VrKind kind = facts(attribute.vr).kind;
    Children children{kind, attribute.vr,
                      kind == VrKind::sequence ? "Item"
                      : kind == VrKind::bytes  ? "InlineBinary"
                      : attribute.vr == Vr::PN ? "PersonName"
                                               : "Value"};
    joined_.clear();
    return kind == VrKind::sequence ? read_items(attribute, children)
                                    : read_values(attribute, children);
  }

  // To the start of the next child; false at the end of the attribute and where there is a fault.
  bool next_child(XmlScanner& scanner, Children& children, unsigned& number) {
    while (true) {
      const Token token = checked(scanner.next(), scanner);
      if (token == Token::end || token == Token::broken) return false;
      if (token == Token::text && is_blank(scanner.text())) continue;
      if (token != Token::start || scanner.name() != children.name) {
        return malformed_here(
            fmt::format("{} elements and no others{}", children.name, of_vr(children.vr)));
      }
      number = ++children.count;  // in document order, if it says nothing else
      return children.kind == VrKind::bytes || read_number(scanner, number);
    }
  }

  bool read_number(const XmlScanner& scanner, unsigned& number) {
    for (const XmlScanner::Attribute& one : scanner.attributes()) {
      if (one.name != "number") continue;
      const std::string_view digits = one.value.raw;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), number);
      if (error == std::errc() && end == digits.data() + digits.size() && number >= 1 &&
          number <= max_number) {
        return true;
      }
      return malformed_here(fmt::format("a number from 1 to {}", max_number));
    }
    return true;
  }

  // Where the children stand that are still to come, by their numbers; last the place of the end.
  std::vector<Place> places(Children children) {
    XmlScanner ahead = scanner_;
    std::vector<Place> found;
    Place place{0, ahead.mark()};
    while (next_child(ahead, children, place.number)) {
      found.push_back(place);
      if (!ahead.skip_element()) checked(Token::broken, ahead);
      place.mark = ahead.mark();
    }
    std::sort(found.begin(), found.end());
    for (std::size_t i = 1; i < found.size() && !fault_; ++i) {
      if (found[i].number == found[i - 1].number) malformed_here("each number once");
    }
    found.push_back(place);
    return found;
  }

  // Reads the children that are still to come in the order of their numbers.
  template <class Read>
  void read_sorted(Children children, const Read& read) {
    const std::vector<Place> found = places(children);
    for (const Place& place : found) {
      if (fault_) return;
      scanner_.go_back(place.mark);
      unsigned number = 0;
      if (next_child(scanner_, children, number)) read(place.number);
    }
  }

  bool read_items(const Attribute& attribute, Children children) {
    unsigned count = 0;
    const auto read_item = [&](unsigned number) {
      if (number != ++count) return malformed_here("Items numbered from 1 without a gap");
      path_.back().second = count - 1;
      builder_.begin_item();
      if (!check_builder()) return false;
      read_data_set();
      if (!fault_) builder_.end_item();  // a fault leaves sequences open
      return !fault_;
    };
    builder_.begin_sequence(attribute.tag);
    XmlScanner::Mark before = scanner_.mark();
    unsigned number = 0;
    while (!fault_ && next_child(scanner_, children, number)) {
      if (number <= count) return malformed_here("each number once");
      if (number > count + 1) {
        scanner_.go_back(before);
        children.count = count;
        read_sorted(children, read_item);
        break;
      }
      read_item(number);
      before = scanner_.mark();
    }
    if (!fault_) builder_.end_sequence();
    return !fault_;
  }

  // Numbers that are left out are empty values. rule E5
  bool read_values(const Attribute& attribute, Children children) {
    const VrFacts& rules = facts(attribute.vr);
    const XmlScanner::Mark start = scanner_.mark();
    unsigned last = 0;
    value_field_.clear();
    const auto read_one = [&](unsigned number) {
      if (rules.kind == VrKind::text && rules.many_values) {
        if (!count_left_out(number - last - 1)) return false;
        value_field_.append(last == 0 ? number - 1 : number - last, '\\');
      } else if (rules.kind != VrKind::number && last != 0) {
        return malformed_here("one value" + of_vr(attribute.vr));
      }
      last = number;
      return read_value(attribute);
    };
    unsigned number = 0;
    while (!fault_ && next_child(scanner_, children, number)) {
      if (number <= last) {
        scanner_.go_back(start);
        value_field_.clear();
        last = children.count = 0;
        read_sorted(children, read_one);
        break;
      }
      read_one(number);
    }
    if (fault_) return false;
    if (rules.kind == VrKind::text) {
      while (value_field_.ends_with(' ')) value_field_.pop_back();
    }
    builder_.add(attribute.tag, attribute.vr, value_field_);
    return true;
  }

  // A short element may leave out thousands of values: no more than the document has bytes, so that
  // the data set is not many times as large as its text.
  bool count_left_out(std::size_t count) {
    left_out_ += count;
    return left_out_ <= size_ || fail(Fault::Kind::too_large, "fewer values left out");
  }

  bool read_value(const Attribute& attribute) {
    if (attribute.vr == Vr::PN) return read_person_name();
    std::string_view text;
    if (!read_text(text)) return false;
    switch (facts(attribute.vr).kind) {
      case VrKind::bytes:
        return read_binary(text, attribute);
      case VrKind::number:
        if (append_number(attribute.vr, text, value_field_)) return true;
        return fail(Fault::Kind::invalid_value,
                    "a number in the range of its VR" + of_vr(attribute.vr));
      default:
        break;
    }
    if (facts(attribute.vr).many_values && text.find('\\') != std::string_view::npos) {
      return fail(Fault::Kind::invalid_value,
                  "no backslash within one value" + of_vr(attribute.vr));
    }
    return check_limits(attribute.vr, text) && append(text);
  }

  bool append(std::string_view text) {
    value_field_.append(text);
    return true;
  }

  bool check_limits(Vr vr, std::string_view text) {
    if (!options_.enforce_vr_limits || text.empty() || fits_vr(vr, text)) return true;
    return fail(Fault::Kind::invalid_value, std::string(expectation(vr)) + of_vr(vr));
  }

  bool read_binary(std::string_view text, const Attribute& attribute) {
    std::string base64;
    for (const char c : text) {
      if (c != ' ' && c != '\n' && c != '\r' && c != '\t') base64.push_back(c);
    }
    if (!decode_base64(base64, value_field_)) {
      return fail(Fault::Kind::invalid_value, "base64 (RFC 4648)");
    }
    if (value_field_.size() % facts(attribute.vr).unit == 0) return true;
    return fail(Fault::Kind::invalid_value,
                fmt::format("a multiple of {} bytes", facts(attribute.vr).unit));
  }

  // All the text of an element whose start has been taken and that may hold text only, to its end.
  // The view lives until the next attribute is read.
  bool read_text(std::string_view& text) {
    const std::string_view element = scanner_.name();
    std::string* joined = nullptr;
    for (Token token = next(); token != Token::end; token = next()) {
      if (token == Token::broken) return false;
      if (token != Token::text) return malformed_here(fmt::format("text only in {}", element));
      if (text.empty() && joined == nullptr && scanner_.text().is_plain()) {
        text = scanner_.text().raw;
        continue;
      }
      if (joined == nullptr) joined = &joined_.emplace_back(text);
      scanner_.text().resolve(*joined);
      text = *joined;
    }
    if (!holds_control_character(text)) return true;
    return fail(Fault::Kind::invalid_value, "no control character but TAB, LF and CR");
  }

  // Components and groups in their order, inner empty ones kept. rule E6
  bool read_person_name() {
    std::string_view groups[3][5];
    if (!for_each_named("PersonName", component_groups,
                        [&](std::size_t i) { return read_component_group(i, groups[i]); })) {
      return false;
    }
    std::size_t delimiters = 0;  // seen since the last component with text
    for (const auto& group : groups) {
      const std::size_t group_start = value_field_.size() + delimiters;
      std::size_t carets = 0;
      for (const std::string_view component : group) {
        if (!component.empty()) {
          value_field_.append(delimiters, '=').append(carets, '^').append(component);
          delimiters = carets = 0;
        }
        ++carets;
      }
      if (value_field_.size() > group_start &&
          !check_limits(Vr::PN, std::string_view(value_field_).substr(group_start))) {
        return false;
      }
      ++delimiters;
    }
    return true;
  }

  bool read_component_group(std::size_t group, std::string_view (&parts)[5]) {
    return for_each_named(component_groups[group], components, [&](std::size_t i) {
      if (!read_text(parts[i])) return false;
      const bool inner_caret = i < 4 && parts[i].find('^') != std::string_view::npos;
      if (!inner_caret && parts[i].find_first_of("=\\") == std::string_view::npos) return true;
      return fail(Fault::Kind::invalid_value, "no delimiter within a name component");
    });
  }

  // Calls take for each child with its place in names; each name at most once.
  template <std::size_t n, class Take>
  bool for_each_named(std::string_view parent, const std::string_view (&names)[n],
                      const Take& take) {
    bool seen[n] = {};
    for (Token token = next(); token != Token::end; token = next()) {
      if (token == Token::broken) return false;
      if (token == Token::text && is_blank(scanner_.text())) continue;
      const auto* const name = token == Token::start
                                   ? std::find(std::begin(names), std::end(names), scanner_.name())
                                   : std::end(names);
      if (name == std::end(names)) {
        return malformed_here(fmt::format("{} to {} in {}", names[0], names[n - 1], parent));
      }
      const auto i = static_cast<std::size_t>(name - std::begin(names));
      if (seen[i]) return malformed_here(fmt::format("{} once", *name));
      seen[i] = true;
      if (!take(i)) return false;
    }
    return true;
  }

  const XmlReadOptions& options_;
  XmlScanner scanner_;
  const std::size_t size_;    // of the document
  std::size_t left_out_ = 0;  // values so far
  DataSetBuilder builder_;
  std::string value_field_;                        // of the attribute being read
  std::list<std::string> joined_;                  // its texts that do not stand in the document
  std::vector<std::pair<Tag, std::size_t>> path_;  // open attributes with their open item
  std::optional<Fault> fault_;
};

}  // namespace

Result<DataSet> read_xml(std::string_view text, const XmlReadOptions& options) {
  if (text.size() > options.max_bytes) {
    return Fault{Fault::Kind::too_large,
                 fmt::format("expected at most {} bytes of XML", options.max_bytes),
                 {}};
  }
  if (!is_utf_8(text) || text.find('\0') != std::string_view::npos) {
    return malformed("an XML document in UTF-8");
  }
  return Reader(text, options).read();
}

}  // namespace mapping
