// Native DICOM Model → DataSet. tinyxml2 makes the tree; what it lets pass and XML or the model
// does not (document types, unknown entities, bad characters) is refused before or while walking
// it.
#include <fmt/format.h>
#include <tinyxml2.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <vector>

#include "mapping/base64.h"
#include "mapping/character_set.h"
#include "mapping/dictionary.h"
#include "mapping/number_text.h"
#include "mapping/vr_rules.h"
#include "mapping/xml.h"

namespace mapping {
namespace {

using tinyxml2::XMLElement;
using tinyxml2::XMLNode;

constexpr std::string_view component_groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
constexpr std::string_view components[] = {"FamilyName", "GivenName", "MiddleName", "NamePrefix",
                                           "NameSuffix"};
constexpr unsigned max_number = 65535;  // of a Value: more do not fit into a value field

Fault malformed(std::string_view expected) {
  return {Fault::Kind::malformed, fmt::format("expected {}", expected), {}};
}

// A character that XML 1.0 may hold. XML, 2.2.
bool is_xml_character(std::uint32_t code) {
  return code == 0x9 || code == 0xA || code == 0xD || (code >= 0x20 && code <= 0xD7FF) ||
         (code >= 0xE000 && code <= 0xFFFD) || (code >= 0x10000 && code <= 0x10FFFF);
}

// Length of the reference at the start of text ("&amp;", "&#x41;"); 0 if it is none we take.
std::size_t reference_length(std::string_view text) {
  for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"}) {
    if (text.starts_with(entity)) return entity.size();
  }
  if (!text.starts_with("&#")) return 0;
  const bool hexadecimal = text.substr(2).starts_with('x');
  const std::size_t start = hexadecimal ? 3 : 2;
  const std::size_t end = text.substr(0, start + 9).find(';');
  if (end == std::string_view::npos || end == start) return 0;
  std::uint32_t code = 0;
  const auto [last, error] =
      std::from_chars(text.data() + start, text.data() + end, code, hexadecimal ? 16 : 10);
  const bool number = error == std::errc() && last == text.data() + end;
  return number && is_xml_character(code) ? end + 1 : 0;
}

// What tinyxml2 does not look at: encoding and references. Control characters are looked for in the
// text that is used.
std::optional<Fault> check_text(std::string_view text) {
  if (!is_utf_8(text) || text.find('\0') != std::string_view::npos) {
    return malformed("an XML document in UTF-8");
  }
  for (std::size_t i = text.find('&'); i != std::string_view::npos; i = text.find('&', i + 1)) {
    if (reference_length(text.substr(i)) == 0) {
      return malformed(
          fmt::format("one of the five predefined entities or a character, at byte {}", i));
    }
  }
  return std::nullopt;
}

bool holds_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
}

std::string_view local_name(const XMLElement& element) {
  std::string_view name = element.Name();
  const std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

class Reader {
 public:
  explicit Reader(const XmlReadOptions& options) : options_(options) {}

  Result<DataSet> read(const tinyxml2::XMLDocument& document) {
    if (const XMLElement* root = check_prolog(document)) read_data_set(*root);
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

  // Nothing but a declaration, comments and the root. rule E10
  const XMLElement* check_prolog(const tinyxml2::XMLDocument& document) {
    const XMLElement* root = nullptr;
    for (const XMLNode* node = document.FirstChild(); node != nullptr; node = node->NextSibling()) {
      if (node->ToUnknown() != nullptr) {
        malformed_here("no document type declaration");
        return nullptr;
      }
      if (const tinyxml2::XMLDeclaration* declaration = node->ToDeclaration()) {
        if (!names_utf_8(declaration->Value())) {
          malformed_here("encoding UTF-8");
          return nullptr;
        }
      }
      if (const XMLElement* element = node->ToElement()) {
        if (root != nullptr) {
          malformed_here("one root element");
          return nullptr;
        }
        root = element;
      }
    }
    if (root == nullptr || local_name(*root) != "NativeDicomModel") {
      malformed_here("the root element NativeDicomModel");
      return nullptr;
    }
    return root;
  }

  static bool names_utf_8(std::string_view declaration) {
    const std::size_t at = declaration.find("encoding");
    if (at == std::string_view::npos) return true;
    std::string rest(declaration.substr(at));
    std::transform(rest.begin(), rest.end(), rest.begin(), [](unsigned char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    });
    return rest.find("utf-8") != std::string::npos || rest.find("us-ascii") != std::string::npos;
  }

  // Private blocks of one data set: creators get the next free block of their group. rule E3
  struct PrivateBlocks {
    std::map<std::pair<std::uint16_t, std::string>, std::uint16_t> blocks;
    std::map<std::uint16_t, std::uint16_t> next;
  };

  void read_data_set(const XMLElement& parent) {
    PrivateBlocks blocks;
    for (const XMLNode* node = parent.FirstChild(); node != nullptr && !fault_;
         node = node->NextSibling()) {
      if (const XMLElement* element = node->ToElement()) {
        read_attribute(*element, blocks);
      } else if (!is_blank(*node)) {
        malformed_here("DicomAttribute elements and nothing else");
      }
    }
    for (const auto& [owner, block] : blocks.blocks) {
      builder_.add(Tag(owner.first, block), Vr::LO, owner.second);
    }
  }

  static bool is_blank(const XMLNode& node) {
    if (node.ToComment() != nullptr) return true;
    return node.ToText() != nullptr &&
           std::string_view(node.Value()).find_first_not_of(" \t\r\n") == std::string_view::npos;
  }

  /// The attributes of a DicomAttribute element that matter. Looked for in one pass: tinyxml2 would
  /// walk them for each.
  struct Head {
    const char* tag = nullptr;
    const char* vr = nullptr;
    const char* creator = nullptr;

    explicit Head(const XMLElement& element) {
      for (const auto* one = element.FirstAttribute(); one != nullptr; one = one->Next()) {
        const std::string_view name = one->Name();
        if (name == "tag")
          tag = one->Value();
        else if (name == "vr")
          vr = one->Value();
        else if (name == "privateCreator")
          creator = one->Value();
      }
    }
  };

  bool read_attribute(const XMLElement& element, PrivateBlocks& blocks) {
    Tag tag;
    const Head head(element);
    if (local_name(element) != "DicomAttribute" || head.tag == nullptr ||
        !parse_tag(head.tag, tag)) {
      return malformed_here("a DicomAttribute with a tag of eight hexadecimal digits");
    }
    path_.emplace_back(tag, 0);
    Attribute attribute{tag, Vr::UN};
    const TagPlace place = place_of(tag);  // text is UTF-8 whatever (0008,0005) says: rule E7
    if (place == TagPlace::misplaced) malformed_here("an attribute of a data set, above 00080005");
    if (place == TagPlace::attribute && resolve_vr(head, attribute) &&
        resolve_creator(head, attribute, blocks)) {
      read_content(element, attribute);
      if (builder_.failed() && !fault_) fault_ = builder_.build().fault();
    }
    path_.pop_back();
    return !fault_;
  }

  bool resolve_vr(const Head& head, Attribute& attribute) {
    if (head.vr != nullptr) {
      const auto vr = parse_vr(head.vr);
      if (!vr) return malformed_here("a VR of PS3.5, 6.2");
      attribute.vr = *vr;
    } else if (const DictionaryEntry* entry = find_attribute(attribute.tag)) {
      attribute.vr = entry->vr;
    }
    return true;
  }

  bool resolve_creator(const Head& head, Attribute& attribute, PrivateBlocks& blocks) {
    const char* const creator = head.creator;
    if (creator == nullptr || *creator == '\0') return true;
    const Tag tag = attribute.tag;
    if (!tag.is_private()) return malformed_here("privateCreator for private attributes only");
    if (std::string_view(creator).find('\\') != std::string_view::npos) {
      return fail(Fault::Kind::invalid_value, "no backslash in privateCreator");
    }
    std::uint16_t& next = blocks.next.try_emplace(tag.group(), std::uint16_t{0x10}).first->second;
    const auto [block, is_new] = blocks.blocks.try_emplace({tag.group(), creator}, next);
    if (is_new && ++next > 0x100) return fail(Fault::Kind::too_large, "at most 240 creators");
    attribute.tag =
        Tag(tag.group(), static_cast<std::uint16_t>(block->second << 8 | (tag.element() & 0xFF)));
    return true;
  }

  std::string of_vr(Vr vr) { return fmt::format(" (VR {})", to_string(vr)); }

  // The children that hold the value: all of the kind that belongs to the VR.
  bool read_content(const XMLElement& element, const Attribute& attribute) {
    const VrKind kind = facts(attribute.vr).kind;
    const std::string_view expected = kind == VrKind::sequence ? "Item"
                                      : kind == VrKind::bytes  ? "InlineBinary"
                                      : attribute.vr == Vr::PN ? "PersonName"
                                                               : "Value";
    std::vector<std::pair<unsigned, const XMLElement*>> children;
    for (const XMLNode* node = element.FirstChild(); node != nullptr; node = node->NextSibling()) {
      if (is_blank(*node)) continue;
      const XMLElement* child = node->ToElement();
      if (child == nullptr || local_name(*child) != expected) {
        return malformed_here(
            fmt::format("{} elements and no others{}", expected, of_vr(attribute.vr)));
      }
      unsigned number = static_cast<unsigned>(children.size()) + 1;
      if (kind != VrKind::bytes && !read_number(*child, number)) return false;
      children.emplace_back(number, child);
    }
    std::stable_sort(children.begin(), children.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 1; i < children.size(); ++i) {
      if (children[i].first == children[i - 1].first) return malformed_here("each number once");
    }
    if (kind == VrKind::sequence) return read_items(attribute, children);
    return read_values(attribute, children);
  }

  bool read_number(const XMLElement& child, unsigned& number) {
    const char* const text = child.Attribute("number");
    if (text == nullptr) return true;  // in document order then
    const std::string_view digits(text);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc() && end == digits.data() + digits.size() && number >= 1 &&
        number <= max_number) {
      return true;
    }
    return malformed_here(fmt::format("a number from 1 to {}", max_number));
  }

  using Children = std::vector<std::pair<unsigned, const XMLElement*>>;

  bool read_items(const Attribute& attribute, const Children& items) {
    builder_.begin_sequence(attribute.tag);
    for (std::size_t i = 0; i < items.size() && !fault_; ++i) {
      if (items[i].first != i + 1) return malformed_here("Items numbered from 1 without a gap");
      path_.back().second = i;
      builder_.begin_item();
      if (builder_.failed()) return fail(Fault::Kind::too_large, "less nesting");
      read_data_set(*items[i].second);
      builder_.end_item();
    }
    builder_.end_sequence();
    return !fault_;
  }

  // Numbers that are left out are empty values. rule E5
  bool read_values(const Attribute& attribute, const Children& values) {
    const VrFacts& rules = facts(attribute.vr);
    value_field_.clear();
    unsigned expected = 1;
    for (const auto& [number, element] : values) {
      if (rules.kind == VrKind::text && rules.many_values) {
        value_field_.append(number - expected + (expected > 1 ? 1u : 0u), '\\');
        expected = number + 1;
      } else if (rules.kind != VrKind::number && element != values.front().second) {
        return malformed_here("one value" + of_vr(attribute.vr));
      }
      if (!read_value(*element, attribute)) return false;
    }
    if (rules.kind == VrKind::text) {
      while (value_field_.ends_with(' ')) value_field_.pop_back();
    }
    builder_.add(attribute.tag, attribute.vr, value_field_);
    return true;
  }

  bool read_value(const XMLElement& element, const Attribute& attribute) {
    if (attribute.vr == Vr::PN) return read_person_name(element);
    std::string text;
    if (!read_text(element, text)) return false;
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
    if (facts(attribute.vr).many_values && text.find('\\') != std::string::npos) {
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

  // All the text of an element that may hold text only; comments split it.
  bool read_text(const XMLElement& element, std::string& text) {
    for (const XMLNode* node = element.FirstChild(); node != nullptr; node = node->NextSibling()) {
      if (node->ToComment() != nullptr) continue;
      if (node->ToText() == nullptr) {
        return malformed_here(fmt::format("text only in {}", local_name(element)));
      }
      text.append(node->Value());
    }
    if (!holds_control_character(text)) return true;
    return fail(Fault::Kind::invalid_value, "no control character but TAB, LF and CR");
  }

  // Components and groups in their order, inner empty ones kept. rule E6
  bool read_person_name(const XMLElement& element) {
    std::string groups[3];
    if (!for_each_named(element, component_groups, [&](std::size_t i, const XMLElement& group) {
          return read_component_group(group, groups[i]);
        })) {
      return false;
    }
    const std::size_t last = !groups[2].empty() ? 2 : !groups[1].empty() ? 1 : 0;
    for (std::size_t i = 0; i <= last; ++i) {
      if (i != 0) value_field_.push_back('=');
      value_field_.append(groups[i]);
    }
    return true;
  }

  bool read_component_group(const XMLElement& element, std::string& group) {
    std::string parts[5];
    if (!for_each_named(element, components, [&](std::size_t i, const XMLElement& component) {
          if (!read_text(component, parts[i])) return false;
          const bool inner_caret = i < 4 && parts[i].find('^') != std::string::npos;
          if (!inner_caret && parts[i].find_first_of("=\\") == std::string::npos) return true;
          return fail(Fault::Kind::invalid_value, "no delimiter within a name component");
        })) {
      return false;
    }
    std::size_t last = 5;
    while (last > 0 && parts[last - 1].empty()) --last;
    for (std::size_t i = 0; i < last; ++i) {
      if (i != 0) group.push_back('^');
      group.append(parts[i]);
    }
    return check_limits(Vr::PN, group);
  }

  // Calls take for each child with its place in names; each name at most once.
  template <std::size_t n, class Take>
  bool for_each_named(const XMLElement& parent, const std::string_view (&names)[n],
                      const Take& take) {
    bool seen[n] = {};
    for (const XMLNode* node = parent.FirstChild(); node != nullptr; node = node->NextSibling()) {
      if (is_blank(*node)) continue;
      const XMLElement* child = node->ToElement();
      const auto* const name =
          child == nullptr ? std::end(names)
                           : std::find(std::begin(names), std::end(names), local_name(*child));
      if (name == std::end(names)) {
        return malformed_here(
            fmt::format("{} to {} in {}", names[0], names[n - 1], local_name(parent)));
      }
      const auto i = static_cast<std::size_t>(name - std::begin(names));
      if (seen[i]) return malformed_here(fmt::format("{} once", *name));
      seen[i] = true;
      if (!take(i, *child)) return false;
    }
    return true;
  }

  const XmlReadOptions& options_;
  DataSetBuilder builder_;
  std::string value_field_;                        // of the attribute being read
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
  if (auto fault = check_text(text)) return *fault;
  tinyxml2::XMLDocument document;
  if (document.Parse(text.data(), text.size()) != tinyxml2::XML_SUCCESS) {
    return document.ErrorID() == tinyxml2::XML_ELEMENT_DEPTH_EXCEEDED
               ? Fault{Fault::Kind::too_large, "expected XML with less nesting", {}}
               : malformed(fmt::format("well-formed XML, at line {}", document.ErrorLineNum()));
  }
  return Reader(options).read(document);
}

}  // namespace mapping
