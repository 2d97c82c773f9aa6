// Lines → a tree of elements as they stand → a data set: (0008,0005) may stand behind text that it
// is about.
#include "gateway/dump_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mapping/character_set.h"
#include "mapping/dictionary.h"
#include "mapping/number_text.h"
#include "mapping/tags.h"
#include "mapping/vr.h"

namespace gateway {
namespace {

using mapping::CharacterSet;
using mapping::DataSet;
using mapping::DataSetBuilder;
using mapping::Fault;
using mapping::Tag;
using mapping::Vr;
using mapping::VrKind;
namespace tags = mapping::tags;

constexpr Tag item_tag{0xFFFE, 0xE000};
constexpr Tag item_delimitation{0xFFFE, 0xE00D};
constexpr Tag sequence_delimitation{0xFFFE, 0xE0DD};
constexpr std::string_view blanks = " \t\r\f\v";

std::string_view trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

Fault fault(int line, std::string_view what) {
  return {Fault::Kind::malformed, fmt::format("line {}: {}", line, what), {}};
}

/// One line's element; a sequence owns its items.
struct Node {
  using Level = std::vector<Node>;
  int line = 0;
  Tag tag;
  Vr vr = Vr::UN;
  std::string_view value;  ///< as it stands between the brackets, or without them
  std::vector<Level> items;
};

/// Takes up to four hexadecimal digits, with blanks around them, and the separator.
bool take_hexadecimal(std::string_view& text, char separator, std::uint16_t& number) {
  const std::size_t end = text.find(separator);
  if (end == std::string_view::npos) return false;
  const std::string_view digits = trim(text.substr(0, end));
  text.remove_prefix(end + 1);
  const auto [rest, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return error == std::errc() && rest == digits.data() + digits.size() && digits.size() <= 4;
}

/// "(gggg,eeee)", taken away from the front of text.
std::optional<Tag> take_tag(std::string_view& text) {
  text = trim(text);
  std::uint16_t group = 0;
  std::uint16_t element = 0;
  if (!text.starts_with('(')) return std::nullopt;
  text.remove_prefix(1);
  if (!take_hexadecimal(text, ',', group) || !take_hexadecimal(text, ')', element)) {
    return std::nullopt;
  }
  return Tag(group, element);
}

/// The VR that stands there, else (or where DCMTK wrote one of its own, as ox) the dictionary's.
Vr take_vr(std::string_view& text, Tag tag) {
  text = trim(text);
  const std::string_view word = text.substr(0, 2);
  const auto written = mapping::parse_vr(word);
  const bool own = word == "ox" || word == "xs" || word == "lt" || word == "up" || word == "na" ||
                   word == "pi" || word == "??";
  if (written || own) text = trim(text.substr(2));
  if (written) return *written;
  if (const auto* entry = mapping::find_attribute(tag)) return entry->vr;
  return tag.is_private_creator() ? Vr::LO : Vr::UN;
}

/// The value field of numbers, tags and bytes. False if text is none.
bool append_binary(Vr vr, std::string_view text, std::string& value_field) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\\'), text.size());
    std::string_view one = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    std::uint16_t number = 0;
    std::string digits(one);
    if (vr == Vr::AT) {
      const auto tag = take_tag(one);
      if (!tag || !trim(one).empty()) return false;
      digits = to_string(*tag);
    } else if (mapping::facts(vr).kind == VrKind::bytes) {
      // Bytes or 16-bit words in hexadecimal digits.
      digits += '\\';
      std::string_view hexadecimal = digits;
      const bool words = vr == Vr::OW;
      if (!take_hexadecimal(hexadecimal, '\\', number) || (!words && one.size() > 2)) {
        return false;
      }
      value_field += static_cast<char>(number & 0xFF);
      if (words) value_field += static_cast<char>(number >> 8);
      continue;
    }
    if (!mapping::append_number(vr, digits, value_field)) return false;
  }
  return true;
}

class DumpReader {
 public:
  mapping::Result<DataSet> read(std::string_view text) {
    levels_.emplace_back();
    int line = 0;
    while (!text.empty() && !fault_) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string_view content = trim(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      ++line;
      if (!content.empty() && !content.starts_with('#')) read_line(line, content);
    }
    if (!fault_ && levels_.size() > 1) {
      fail(line, "expected (fffe,e00d) and (fffe,e0dd) before the end: an item is open");
    }
    if (!fault_ && !open_.empty()) fail(line, "expected (fffe,e0dd) before the end");
    if (!fault_) build(levels_.front(), CharacterSet());
    if (fault_) return *fault_;
    return builder_.build();
  }

 private:
  void fail(int line, std::string_view what) {
    if (!fault_) fault_ = fault(line, what);
  }

  // True while a sequence has begun whose items stand between items only.
  bool between_items() const { return open_.size() == levels_.size(); }

  void read_line(int line, std::string_view content) {
    const auto tag = take_tag(content);
    if (!tag) return fail(line, "expected a tag as (gggg,eeee)");
    if (*tag == item_tag) return begin_item(line);
    if (*tag == item_delimitation) return end_item(line);
    if (*tag == sequence_delimitation) {
      if (!between_items()) return fail(line, "expected (fffe,e00d) first: an item is open");
      open_.pop_back();
      return;
    }
    if (between_items()) return fail(line, "expected (fffe,e000) or (fffe,e0dd) in a sequence");
    if (tag->group() == 0x0002) return;
    read_element(line, *tag, content);
  }

  // open_ holds the sequences, levels_ the root and the items that are open in them.
  void begin_item(int line) {
    if (!between_items()) return fail(line, "expected no item outside a sequence");
    levels_.emplace_back();
  }
  void end_item(int line) {
    if (between_items() || levels_.size() == 1) return fail(line, "expected no end of an item");
    Node::Level done = std::move(levels_.back());
    levels_.pop_back();
    levels_.back().back().items.push_back(std::move(done));
  }

  void read_element(int line, Tag tag, std::string_view content) {
    Node node{line, tag, take_vr(content, tag), {}, {}};
    if (node.vr == Vr::SQ) {
      if (open_.size() >= static_cast<std::size_t>(DataSetBuilder::max_depth)) {
        return fail(line, fmt::format("expected at most {} sequences inside each other",
                                      DataSetBuilder::max_depth));
      }
      levels_.back().push_back(std::move(node));
      open_.push_back(line);
      return;
    }
    if (content.starts_with('[')) {  // up to the last bracket: text may hold some
      const std::size_t end = content.rfind(']');
      if (end == 0 || end == std::string_view::npos) return fail(line, "expected ] behind [");
      node.value = content.substr(1, end - 1);
    } else if (content.starts_with('<')) {
      return fail(line, "expected no value that begins with <");
    } else if (!content.starts_with('(') || node.vr == Vr::AT) {  // "(no value available)"
      node.value = trim(content.substr(0, content.find('#')));
      if (node.value.starts_with('(') &&
          node.value.substr(1).find_first_of("0123456789abcdefABCDEF") != 0) {
        node.value = {};
      }
    }
    if (content.starts_with('=') && node.vr == Vr::UI) {
      node.value = mapping::find_uid(node.value.substr(1));
      if (node.value.empty()) return fail(line, "expected the name of a UID of PS3.6 behind =");
    } else if (content.starts_with('=') && mapping::facts(node.vr).kind == VrKind::bytes) {
      return fail(line, "expected the value itself, not the name of a file");
    }
    levels_.back().push_back(std::move(node));
  }

  void build(const Node::Level& level, CharacterSet character_set) {
    for (const Node& node : level) {
      if (node.tag != tags::SpecificCharacterSet) continue;
      const auto declared = CharacterSet::parse(node.value);
      if (!declared) return fail(node.line, declared.fault().what);
      character_set = declared.value();
    }
    std::set<Tag> added;
    for (const Node& node : level) {
      if (!added.insert(node.tag).second) continue;  // the first stands, as in dump2dcm
      const auto place = mapping::place_of(node.tag);
      if (place == mapping::TagPlace::misplaced) {
        return fail(node.line, "expected no such element in a data set");
      }
      if (place == mapping::TagPlace::ignored) continue;
      add(node, character_set);
      if (!fault_ && builder_.failed()) fail(node.line, "expected an element that fits a data set");
      if (fault_) return;
    }
  }

  void add(const Node& node, const CharacterSet& character_set) {
    const auto& vr = mapping::facts(node.vr);
    if (vr.kind == VrKind::sequence) {
      builder_.begin_sequence(node.tag);
      for (const Node::Level& item : node.items) {
        builder_.begin_item();
        build(item, character_set);
        if (fault_) return;
        builder_.end_item();
      }
      builder_.end_sequence();
      return;
    }
    std::string value;
    if (vr.kind != VrKind::text) {
      if (!append_binary(node.vr, node.value, value)) {
        return fail(node.line, fmt::format("expected values of VR {}, joined by backslashes",
                                           to_string(node.vr)));
      }
    } else if (mapping::is_ascii(node.value) && node.value.find('\x1B') == std::string_view::npos) {
      value = node.value;
    } else if (!vr.in_character_set || !character_set.decode(node.value, node.vr, value)) {
      const bool declared = vr.in_character_set && !character_set.is_default_repertoire();
      return fail(node.line,
                  fmt::format("expected text in {} (VR {})",
                              declared ? character_set.value() : "the default repertoire, ISO-IR 6",
                              to_string(node.vr)));
    }
    if (vr.kind == VrKind::text) {
      while (value.ends_with(' ') || value.ends_with('\0')) value.pop_back();
    }
    builder_.add(node.tag, node.vr, value);
  }

  std::vector<Node::Level> levels_;  // the root and the items that are open
  std::vector<int> open_;            // lines of the sequences that are open
  DataSetBuilder builder_;
  std::optional<Fault> fault_;
};

}  // namespace

mapping::Result<DataSet> read_dump(std::string_view text) { return DumpReader().read(text); }

}  // namespace gateway
