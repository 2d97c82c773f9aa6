// DICOM JSON → DataSet, by recursive descent; depth is bounded.
#include "mapping/json_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "mapping/base64.h"
#include "mapping/dictionary.h"
#include "mapping/number_text.h"
#include "mapping/vr_rules.h"

namespace mapping {
namespace {

constexpr std::uint8_t no_digit = 0xFF;
constexpr std::array<std::uint8_t, 256> make_hex_digits() {
  std::array<std::uint8_t, 256> digits{};
  for (auto& digit : digits) digit = no_digit;
  for (std::uint8_t i = 0; i < 10; ++i) digits['0' + i] = i;
  for (std::uint8_t i = 0; i < 6; ++i) {
    digits['A' + i] = digits['a' + i] = static_cast<std::uint8_t>(10 + i);
  }
  return digits;
}
constexpr auto hex_digits = make_hex_digits();

std::uint32_t hex_digit(char c) { return hex_digits[static_cast<unsigned char>(c)]; }

/// Eight hexadecimal digits, or false.
bool read_tag(const char* at, Tag& tag) {
  std::uint32_t value = 0, seen = 0;
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t digit = hex_digit(at[i]);
    seen |= digit;
    value = value << 4 | (digit & 0xF);
  }
  tag = Tag(value);
  return seen <= 0xF;
}

/// Looks ahead for the "vr" member of the attribute object whose text goes on at rest: members of a
/// JSON object have no order, but a value can only be read by its VR. Well-formedness is not
/// checked here, the parser does that when it comes by. depth: of rest's start below the attribute
/// object. Stops at that object's end; null if the text ends before it.
std::optional<std::string_view> find_vr_ahead(std::string_view rest, int depth) {
  std::string_view last_string;
  bool name_was_vr = false;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (c == '"') {
      std::size_t end = i + 1;
      while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
      if (end >= rest.size()) return std::nullopt;
      last_string = rest.substr(i + 1, end - i - 1);
      if (depth == 0 && name_was_vr) return last_string;
      i = end;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth < 0) return std::string_view();
    } else if (c == ':') {
      name_was_vr = depth == 0 && last_string == "vr";
    } else if (c == ',') {
      name_was_vr = false;
    }
  }
  return std::nullopt;
}

Vr vr_of_dictionary(Tag tag) {
  const DictionaryEntry* entry = find_attribute(tag);
  return entry != nullptr ? entry->vr : tag.is_private_creator() ? Vr::LO : Vr::UN;
}

std::string of_vr(Vr vr) { return fmt::format(" (VR {})", to_string(vr)); }

std::string_view without_padding(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  return text;
}

}  // namespace

// --- What went wrong -----------------------------------------------------------------------------

bool JsonParser::fail(Fault::Kind kind, std::string_view expected) {
  fault_ = Fault{kind, fmt::format("{}: expected {}", path(), expected), {}};
  if (depth_ > 0) fault_->attributes.push_back(open_[0].tag);
  return false;
}

/// Something else stands here than what is expected: a fault, of JSON itself if it is not even
/// that.
bool JsonParser::wrong(std::string_view expected) {
  if (*at_ == '{') return malformed("no object here");
  if (*at_ == '[') return malformed("no array here");
  Token token;
  std::string_view text;
  return scalar(token, text) && malformed(expected);
}

std::string JsonParser::path() const {
  std::string path;
  for (std::size_t i = 0; i < depth_; ++i) {
    if (i > 0) path += '.';
    path += to_string(open_[i].tag);
    if (open_[i].item >= 0 && i + 1 < depth_) path += fmt::format("[{}]", open_[i].item);
  }
  return path.empty() ? "data set" : path;
}

/// Any value. depth: of the objects and arrays around it that are skipped.
bool JsonParser::skip(int depth) {
  if (*at_ != '{' && *at_ != '[') {
    Token token;
    std::string_view text;
    return scalar(token, text);
  }
  if (++depth > max_skipped_depth) return malformed("less nesting");
  const char end = *at_ == '{' ? '}' : ']';
  ++at_;
  if (!more()) return false;
  if (*at_ == end) {
    ++at_;
    return true;
  }
  for (bool ended = false; !ended;) {
    std::string_view name;
    if (end == '}' && (!member_name(name) || !more())) return false;
    if (!skip(depth) || !next_of_list(end, ended)) return false;
  }
  return true;
}

// --- DICOM ---------------------------------------------------------------------------------------

JsonParser::End JsonParser::parse(std::string_view text, bool whole, std::size_t offset) {
  begin(text, whole, offset);
  depth_ = 0;
  builder_.clear();
  const bool read = root();
  if (incomplete_) return End::incomplete;
  if (!read) return End::fault;
  auto built = builder_.build();
  if (!built) {
    fault_ = built.fault();
    return End::fault;
  }
  found_ = std::move(built).value();
  return End::data_set;
}

bool JsonParser::root() {
  if (*at_ == '[') return malformed("objects in the array");
  if (*at_ != '{') return wrong("a JSON object of attributes");
  ++at_;
  return attributes(false);
}

/// The members of an object of attributes and its end; at_ is behind its beginning.
bool JsonParser::attributes(bool dropped) {
  if (!more()) return false;
  if (*at_ == '}') {
    ++at_;
    return true;
  }
  for (bool ended = false; !ended;) {
    Tag tag;
    if (!attribute_name(tag)) return false;
    const TagPlace place = place_of(tag);
    if (place == TagPlace::misplaced) return malformed("attributes of a data set, above 00080005");
    if (!attribute(tag, dropped || place == TagPlace::ignored)) return false;
    if (!next_of_list('}', ended)) return false;
  }
  return true;
}

bool JsonParser::attribute_name(Tag& tag) {
  if (left() >= 11 && at_[0] == '"' && at_[9] == '"' && at_[10] == ':' && read_tag(at_ + 1, tag)) {
    at_ += 11;
    return true;
  }
  std::string_view name;
  if (!member_name(name)) return false;
  return parse_tag(name, tag) || malformed("tags of eight hexadecimal digits as names");
}

bool JsonParser::attribute(Tag tag, bool dropped) {
  Attribute& open = open_[depth_++];
  open = {.tag = tag, .vr = {}, .has_value = false, .dropped = dropped, .item = -1};
  if (!more()) return false;
  if (*at_ == '[') return malformed("no array here");
  if (*at_ != '{') return wrong("an object with vr and Value");
  ++at_;
  if (!more()) return false;
  bool ended = *at_ == '}';
  if (ended) ++at_;
  while (!ended) {
    Member which = Member::other;
    if (!member(which)) return false;
    if (which == Member::vr ? !vr(open) : !value_of(which, open)) return false;
    if (!next_of_list('}', ended)) return false;
  }
  return end_attribute(open);
}

/// The name of a member of an attribute, to its value.
bool JsonParser::member(Member& which) {
  if (take(R"("vr":)")) {
    which = Member::vr;
  } else if (take(R"("Value":)")) {
    which = Member::value;
  } else {
    std::string_view name;
    if (!member_name(name)) return false;
    which = name == "vr"             ? Member::vr
            : name == "Value"        ? Member::value
            : name == "InlineBinary" ? Member::inline_binary
            : name == "BulkDataURI"  ? Member::bulk_data_uri
                                     : Member::other;
  }
  return more();
}

bool JsonParser::vr(Attribute& open) {
  if (*at_ != '"') return wrong("a VR of PS3.5, 6.2");
  std::optional<Vr> vr;
  if (left() >= 4 && at_[3] == '"') vr = parse_vr({at_ + 1, 2});
  if (vr) {
    at_ += 4;
  } else {
    std::string_view letters;
    if (!string(letters)) return false;
    vr = parse_vr(letters);
  }
  if (!vr) return malformed("a VR of PS3.5, 6.2");
  if (open.vr && *open.vr != *vr) return malformed("vr once");
  open.vr = vr;
  return true;
}

/// The value of any member but vr.
bool JsonParser::value_of(Member which, Attribute& open) {
  if (which == Member::bulk_data_uri) {
    return malformed("Value or InlineBinary: bulk data is not fetched");
  }
  if (which == Member::other) return skip(0);
  if (open.has_value) return malformed("one of Value and InlineBinary, once");
  if (which == Member::inline_binary) return inline_binary(open);
  if (*at_ == 'n') return word("null");  // rule D5: an empty value
  if (*at_ != '[') return wrong("an array as Value");
  ++at_;
  open.has_value = true;
  if (!resolve_vr(open, 1) || !more()) return false;
  switch (facts(*open.vr).kind) {
    case VrKind::sequence:
      return items(open);
    case VrKind::text:
      return texts(open);
    case VrKind::number:
      return numbers(open);
    case VrKind::bytes:
      break;
  }
  return no_values(open);
}

/// The VR of the open attribute: as read, or further on in its object, or the dictionary's. rule D4
bool JsonParser::resolve_vr(Attribute& open, int depth) {
  if (open.vr) return true;
  const auto ahead = find_vr_ahead({at_, left()}, depth);
  if (!ahead && !whole_) {
    incomplete_ = true;
    return false;
  }
  open.vr = !ahead || ahead->empty() ? vr_of_dictionary(open.tag) : parse_vr(*ahead);
  return open.vr.has_value() || malformed("a VR of PS3.5, 6.2");
}

bool JsonParser::end_attribute(Attribute& open) {
  if (!open.has_value && !open.dropped) {
    builder_.add(open.tag, open.vr ? *open.vr : vr_of_dictionary(open.tag), {});
  }
  if (builder_.failed()) {
    const auto built = builder_.build();
    fault_ = Fault{built.fault().kind, built.fault().what, {open_[0].tag}};
    return false;
  }
  --depth_;
  return true;
}

// --- Values. At their beginning at_ is behind that of the array, and not on a blank.

bool JsonParser::items(Attribute& open) {
  if (!open.dropped) builder_.begin_sequence(open.tag);
  bool ended = *at_ == ']';
  if (ended) ++at_;
  while (!ended) {
    if (!item(open) || !next_of_list(']', ended)) return false;
  }
  if (!open.dropped) builder_.end_sequence();
  return true;
}

bool JsonParser::item(Attribute& open) {
  const bool null = *at_ == 'n';  // rule D12: an empty item
  if (null && !word("null")) return false;
  if (!null && *at_ != '{') return wrong("objects in the Value of a sequence");
  ++open.item;
  if (!open.dropped) builder_.begin_item();
  if (builder_.failed() || depth_ > static_cast<std::size_t>(DataSetBuilder::max_depth)) {
    return fail(Fault::Kind::too_large,
                fmt::format("at most {} nested sequences", DataSetBuilder::max_depth));
  }
  if (!null) {
    ++at_;
    if (!attributes(open.dropped)) return false;
  }
  if (!open.dropped) builder_.end_item();
  return !builder_.failed() || malformed("each attribute once");
}

bool JsonParser::texts(Attribute& open) {
  const Vr vr = *open.vr;
  std::string_view all;
  bool ended = *at_ == ']';
  if (ended) ++at_;
  for (std::size_t index = 0; !ended; ++index) {
    std::string_view one;
    if (!text(vr, index, one)) return false;
    if (index > 0) values_.append(1, '\\').append(one);
    if (!next_of_list(']', ended)) return false;
    if (index > 0) {
      all = values_;
    } else if (ended) {
      all = one;  // as nearly all are: nothing to compose
    } else {
      values_.assign(one);
    }
  }
  // Trailing blanks are padding; a lone empty value is an empty attribute. rules D6, D16
  if (!open.dropped) builder_.add(open.tag, vr, without_padding(all));
  return true;
}

/// One value; valid until the next.
bool JsonParser::text(Vr vr, std::size_t index, std::string_view& text) {
  Token token = Token::string;
  if (*at_ == '{') {
    if (vr != Vr::PN) return malformed("values that are no objects" + of_vr(vr));
    return person_name(text);
  }
  if (*at_ == '[') return malformed("no array here");
  if (*at_ == '"' ? !string(text) : !scalar(token, text)) return false;
  const bool number_string = vr == Vr::IS || vr == Vr::DS;
  if (token == Token::boolean) return malformed("no boolean" + of_vr(vr));
  if (token == Token::number && !number_string) return malformed("a string" + of_vr(vr));
  if (!facts(vr).many_values) {
    if (index > 0) return malformed("one value" + of_vr(vr));
  } else if (is_unescaped(text) && text.find('\\') != std::string_view::npos) {
    return invalid("no backslash within one value" + of_vr(vr));
  }
  if (vr == Vr::PN && text.find('=') != std::string_view::npos) {
    return invalid("an object of component groups instead of '=' in a string (VR PN)");
  }
  const bool rounded = token == Token::number && vr == Vr::DS && !options_.enforce_vr_limits &&
                       text.size() > max_decimal_string;
  if (rounded && round_decimal(text, decimal_)) text = decimal_;
  if (token == Token::number && !fits_vr(vr, text)) {
    return invalid(vr == Vr::IS ? "an integer of at most 12 characters (VR IS)"
                                : "a number of at most 16 characters (VR DS)");
  }
  if (options_.enforce_vr_limits && !text.empty() && !fits_vr(vr, text)) {
    return invalid(std::string(expectation(vr)) + of_vr(vr));
  }
  return true;
}

/// Nearly every name is {"Alphabetic":"text"}: its text is then where it was.
bool JsonParser::person_name(std::string_view& text) {
  ++at_;
  if (!more()) return false;
  text = {};
  bool ended = *at_ == '}';
  if (ended) ++at_;
  for (std::string& group : groups_) group.clear();
  for (bool first = true; !ended; first = false) {
    std::size_t group = 0;
    std::string_view value;
    if (!component_group(group, value)) return false;
    if (!groups_[group].empty()) return malformed("each component group once");
    if (!next_of_list('}', ended)) return false;
    if (first && ended && group == 0) {
      text = value;
      return true;
    }
    groups_[group] = value;
  }
  const std::size_t count = !groups_[2].empty() ? 3 : !groups_[1].empty() ? 2 : 1;
  name_ = groups_[0];
  for (std::size_t i = 1; i < count; ++i) name_.append(1, '=').append(groups_[i]);
  text = name_;
  return true;
}

bool JsonParser::component_group(std::size_t& group, std::string_view& text) {
  if (!take(R"("Alphabetic":)")) {
    constexpr std::array<std::string_view, 3> groups{"Alphabetic", "Ideographic", "Phonetic"};
    std::string_view name;
    if (!member_name(name)) return false;
    const auto* const found = std::find(groups.begin(), groups.end(), name);
    if (found == groups.end()) return malformed("Alphabetic, Ideographic or Phonetic");
    group = static_cast<std::size_t>(found - groups.begin());
  }
  if (!more()) return false;
  if (*at_ == 'n') return word("null");
  if (*at_ != '"') return wrong("a string (VR PN)");
  if (!string(text)) return false;
  if (text.find_first_of("=\\") != std::string_view::npos) {
    return invalid("neither '=' nor a backslash within a component group");
  }
  if (options_.enforce_vr_limits && !fits_vr(Vr::PN, text)) {
    return invalid(std::string(expectation(Vr::PN)) + of_vr(Vr::PN));
  }
  return true;
}

bool JsonParser::numbers(Attribute& open) {
  values_.clear();
  bool ended = *at_ == ']';
  if (ended) ++at_;
  while (!ended) {
    if (!number_value(*open.vr) || !next_of_list(']', ended)) return false;
  }
  if (!open.dropped) builder_.add(open.tag, *open.vr, values_);
  return true;
}

bool JsonParser::number_value(Vr vr) {
  if (*at_ == '{') return malformed("values that are no objects" + of_vr(vr));
  if (*at_ == '[') return malformed("no array here");
  Token token;
  std::string_view text;
  if (!scalar(token, text)) return false;
  if (token == Token::boolean) return malformed("no boolean" + of_vr(vr));
  const bool text_allowed = vr == Vr::SV || vr == Vr::UV || vr == Vr::AT;
  const bool allowed =
      token == Token::string ? text_allowed : token == Token::number && vr != Vr::AT;
  if (allowed && append_number(vr, text, values_)) return true;
  return invalid(
      (vr == Vr::AT ? "eight hexadecimal digits in a string" : "a number in the range of its VR") +
      of_vr(vr));
}

/// Bytes are no Value, unless it is empty.
bool JsonParser::no_values(Attribute& open) {
  if (*at_ != ']') {
    if (*at_ == '{') return malformed("values that are no objects" + of_vr(*open.vr));
    return wrong("InlineBinary instead of Value" + of_vr(*open.vr));
  }
  ++at_;
  if (!open.dropped) builder_.add(open.tag, *open.vr, {});
  return true;
}

bool JsonParser::inline_binary(Attribute& open) {
  open.has_value = true;
  if (*at_ == '{' || *at_ == '[') return wrong({});
  Token token;
  std::string_view text;
  if (!scalar(token, text) || !resolve_vr(open, 0)) return false;
  const VrFacts& rules = facts(*open.vr);
  if (token != Token::string || rules.kind != VrKind::bytes) {
    return malformed(rules.kind == VrKind::bytes ? "a base64 string" : "Value" + of_vr(*open.vr));
  }
  values_.clear();
  if (!decode_base64(text, values_)) return invalid("base64 (RFC 4648)");
  if (values_.size() % rules.unit != 0) {
    return invalid(fmt::format("a multiple of {} bytes{}", rules.unit, of_vr(*open.vr)));
  }
  if (!open.dropped) builder_.add(open.tag, *open.vr, values_);
  return true;
}

}  // namespace mapping
