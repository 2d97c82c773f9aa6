// Reads and writes attribute paths. Unlike the tables this takes any attribute of PS3.6, since both
// sides may extend the worklist model (PS3.4, K.6.1.2.2; rule A22).
#include "mapping/attribute_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "mapping/data_set.h"
#include "mapping/dictionary.h"

namespace mapping {
namespace {

/// What a fault may repeat of foreign input: something that could be a tag or a keyword, and so is
/// no value that slipped into the wrong place.
std::string_view shown(std::string_view element) {
  const bool harmless = !element.empty() && element.size() <= 64 &&
                        std::all_of(element.begin(), element.end(), [](char c) {
                          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                                 (c >= 'a' && c <= 'z') || c == '_';
                        });
  return harmless ? element : "a part of an attribute path";
}

Result<Tag> parse_element(std::string_view text) {
  Tag tag;
  if (parse_tag(text, tag)) return tag;
  if (const DictionaryEntry* entry = find_attribute(text)) return entry->tag;
  return Fault{
      Fault::Kind::malformed,
      fmt::format("{} is neither eight hexadecimal digits nor a keyword of PS3.6", shown(text))};
}

bool is_sequence(Tag tag) {
  const DictionaryEntry* entry = find_attribute(tag);
  return entry != nullptr && entry->vr == Vr::SQ;
}

}  // namespace

Result<AttributePath> parse_attribute_path(std::string_view text) {
  AttributePath path;
  while (true) {
    const std::size_t dot = text.find('.');
    const Result<Tag> tag = parse_element(text.substr(0, dot));
    if (!tag) return tag.fault();
    path.push_back(tag.value());
    if (dot == std::string_view::npos) return path;
    if (!is_sequence(tag.value())) {
      return Fault{Fault::Kind::malformed,
                   fmt::format("{} is not a sequence and holds no other attribute (PS3.18, 8.3.1)",
                               to_string(tag.value())),
                   {path.front()}};
    }
    if (path.size() > DataSetBuilder::max_depth) {
      return Fault{Fault::Kind::too_large,
                   fmt::format("expected at most {} nested sequences", DataSetBuilder::max_depth),
                   {path.front()}};
    }
    text.remove_prefix(dot + 1);
  }
}

std::string to_string(const AttributePath& path) {
  std::string text;
  for (const Tag tag : path) {
    if (!text.empty()) text += '.';
    text += to_string(tag);
  }
  return text;
}

}  // namespace mapping
