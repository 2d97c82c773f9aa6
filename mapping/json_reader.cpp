// DICOM JSON → DataSet. RapidJSON's SAX reader drives a small state machine that appends straight
// to a DataSetBuilder: no tree in between, depth and size bounded.
#include <fmt/format.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>

#include "mapping/base64.h"
#include "mapping/character_set.h"
#include "mapping/dictionary.h"
#include "mapping/json.h"
#include "mapping/number_text.h"
#include "mapping/vr_rules.h"

namespace mapping {
namespace {

constexpr int max_skipped_depth = 32;  // of members that DICOM JSON does not know

// Looks ahead for the "vr" member of the attribute object whose text goes on at rest: members of a
// JSON object have no order, but a value can only be read by its VR. Well-formedness is not checked
// here, the reader does that when it comes by.
// depth: of rest's start below the attribute object. Stops at that object's end.
std::string_view find_vr_ahead(std::string_view rest, int depth) {
  std::string_view last_string;
  bool name_was_vr = false;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (c == '"') {
      std::size_t end = i + 1;
      while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
      if (end >= rest.size()) return {};
      last_string = rest.substr(i + 1, end - i - 1);
      if (depth == 0 && name_was_vr) return last_string;
      i = end;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth < 0) return {};
    } else if (c == ':') {
      name_was_vr = depth == 0 && last_string == "vr";
    } else if (c == ',') {
      name_was_vr = false;
    }
  }
  return {};
}

class Handler {
 public:
  Handler(std::string_view text, const rapidjson::MemoryStream& stream,
          const JsonReadOptions& options, const std::function<bool(DataSet&&)>& on_data_set)
      : text_(text), stream_(stream), options_(options), on_data_set_(on_data_set) {
    values_.reserve(256);
  }

  // --- RapidJSON's events. False ends the parse.
  bool Null() { return value(Token::null, {}); }
  bool Bool(bool) { return value(Token::boolean, {}); }
  bool RawNumber(const char* at, rapidjson::SizeType length, bool) {
    return value(Token::number, {at, length});
  }
  bool String(const char* at, rapidjson::SizeType length, bool) {
    const std::string_view text(at, length);
    if (holds_surrogate(text)) return malformed("no half of a surrogate pair");
    return value(Token::string, text);
  }
  bool StartObject();
  bool Key(const char* at, rapidjson::SizeType length, bool);
  bool EndObject(rapidjson::SizeType);
  bool StartArray();
  bool EndArray(rapidjson::SizeType);
  // Never called: numbers come as RawNumber.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double) { return false; }

  std::size_t handed_on() const { return handed_on_; }
  bool stopped() const { return stopped_; }
  std::optional<Fault> fault() { return std::move(fault_); }

 private:
  enum class State : std::uint8_t {
    top,              // before the first object or array
    between,          // inside the top array
    data_set,         // in an object of attributes
    attribute_start,  // after an attribute's name
    attribute,        // in an attribute object
    vr,               // after "vr"
    value_start,      // after "Value"
    values,           // in the Value array of anything but SQ
    items,            // in the Value array of SQ
    person_name,      // in one value of PN
    component_group,  // after "Alphabetic" …
    inline_binary,    // after "InlineBinary"
    skipped,          // in a member that DICOM JSON does not know
  };
  enum class Token : std::uint8_t { null, boolean, number, string };

  struct Attribute {
    Tag tag;
    std::optional<Vr> vr;
    bool has_value = false;  // Value or InlineBinary was read
    bool dropped = false;    // (0008,0005), group lengths, group 0002
    int item = -1;           // index of the item being read
  };

  bool value(Token token, std::string_view text);
  bool take_vr(Token token, std::string_view text);
  bool take_value(Token token, std::string_view text);
  bool take_text(Token token, std::string_view text);
  bool take_number(Token token, std::string_view text);
  bool take_component_group(Token token, std::string_view text);
  bool take_inline_binary(Token token, std::string_view text);
  bool begin_value();
  bool end_values();
  bool end_attribute();
  void end_person_name();
  bool finish_data_set();
  void separate();
  bool resolve_vr(int depth);
  Vr vr_of_dictionary() const;
  Attribute& attribute() { return attributes_.back(); }
  Vr vr() { return *attribute().vr; }
  std::string path() const;
  bool fail(Fault::Kind kind, std::string_view expected);
  bool malformed(std::string_view expected) { return fail(Fault::Kind::malformed, expected); }
  // RapidJSON refuses a lone high surrogate and makes three bytes, that are no UTF-8, of a low one.
  static bool holds_surrogate(std::string_view text) {
    for (std::size_t at = text.find('\xED'); at != std::string_view::npos;
         at = text.find('\xED', at + 1)) {
      if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0xA0) return true;
    }
    return false;
  }
  bool invalid(std::string_view expected) { return fail(Fault::Kind::invalid_value, expected); }
  std::string of_vr() { return fmt::format(" (VR {})", to_string(vr())); }

  const std::string_view text_;
  const rapidjson::MemoryStream& stream_;
  const JsonReadOptions& options_;
  const std::function<bool(DataSet&&)>& on_data_set_;

  State state_ = State::top;
  DataSetBuilder builder_;
  std::vector<Attribute> attributes_;  // the open ones, outermost first
  std::string values_;                 // value field of the innermost, as it grows
  std::size_t value_count_ = 0;
  std::string groups_[3];  // of one person name
  int group_ = 0;
  int skipped_depth_ = 0;
  bool stopped_ = false;
  std::size_t handed_on_ = 0;
  std::optional<Fault> fault_;
};

std::string Handler::path() const {
  std::string path;
  for (const Attribute& attribute : attributes_) {
    if (!path.empty()) path += '.';
    path += to_string(attribute.tag);
    if (attribute.item >= 0 && &attribute != &attributes_.back()) {
      path += fmt::format("[{}]", attribute.item);
    }
  }
  return path.empty() ? "data set" : path;
}

bool Handler::fail(Fault::Kind kind, std::string_view expected) {
  fault_ = Fault{kind, fmt::format("{}: expected {}", path(), expected), {}};
  if (!attributes_.empty()) fault_->attributes.push_back(attributes_.front().tag);
  return false;
}

bool Handler::StartObject() {
  switch (state_) {
    case State::top:
    case State::between:
      state_ = State::data_set;
      return true;
    case State::attribute_start:
      state_ = State::attribute;
      return true;
    case State::items:
      ++attribute().item;
      if (!attribute().dropped) builder_.begin_item();
      if (builder_.failed() ||
          attributes_.size() > static_cast<std::size_t>(DataSetBuilder::max_depth)) {
        return fail(Fault::Kind::too_large,
                    fmt::format("at most {} nested sequences", DataSetBuilder::max_depth));
      }
      state_ = State::data_set;
      return true;
    case State::values:
      if (vr() != Vr::PN) return malformed("values that are no objects" + of_vr());
      for (std::string& group : groups_) group.clear();
      state_ = State::person_name;
      return true;
    case State::skipped:
      if (++skipped_depth_ > max_skipped_depth) return malformed("less nesting");
      return true;
    default:
      return malformed("no object here");
  }
}

bool Handler::Key(const char* at, rapidjson::SizeType length, bool) {
  const std::string_view name(at, length);
  if (state_ == State::data_set) {
    Tag tag;
    if (!parse_tag(name, tag)) return malformed("tags of eight hexadecimal digits as names");
    const TagPlace place = place_of(tag);
    if (place == TagPlace::misplaced) return malformed("attributes of a data set, above 00080005");
    const bool dropped =
        place == TagPlace::ignored || (!attributes_.empty() && attributes_.back().dropped);
    attributes_.push_back(
        {.tag = tag, .vr = {}, .has_value = false, .dropped = dropped, .item = -1});
    state_ = State::attribute_start;
  } else if (state_ == State::attribute) {
    if (name == "vr")
      state_ = State::vr;
    else if (name == "Value" || name == "InlineBinary") {
      if (attribute().has_value) return malformed("one of Value and InlineBinary, once");
      attribute().has_value = true;
      state_ = name == "Value" ? State::value_start : State::inline_binary;
    } else if (name == "BulkDataURI") {
      return malformed("Value or InlineBinary: bulk data is not fetched");
    } else {
      skipped_depth_ = 0;
      state_ = State::skipped;
    }
  } else if (state_ == State::person_name) {
    constexpr std::string_view groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    const auto* const found = std::find(std::begin(groups), std::end(groups), name);
    if (found == std::end(groups)) return malformed("Alphabetic, Ideographic or Phonetic");
    group_ = static_cast<int>(found - std::begin(groups));
    if (!groups_[group_].empty()) return malformed("each component group once");
    state_ = State::component_group;
  }
  return true;
}

bool Handler::EndObject(rapidjson::SizeType) {
  switch (state_) {
    case State::data_set:
      if (attributes_.empty()) return finish_data_set();
      if (!attribute().dropped) builder_.end_item();
      if (builder_.failed()) return malformed("each attribute once");
      state_ = State::items;
      return true;
    case State::attribute:
      return end_attribute();
    case State::person_name:
      end_person_name();
      state_ = State::values;
      return true;
    default:  // skipped
      if (--skipped_depth_ == 0) state_ = State::attribute;
      return true;
  }
}

bool Handler::StartArray() {
  switch (state_) {
    case State::top:
      state_ = State::between;
      return true;
    case State::value_start:
      return begin_value();
    case State::skipped:
      if (++skipped_depth_ > max_skipped_depth) return malformed("less nesting");
      return true;
    case State::between:
      return malformed("objects in the array");
    default:
      return malformed("no array here");
  }
}

bool Handler::EndArray(rapidjson::SizeType) {
  switch (state_) {
    case State::between:
      return true;
    case State::items:
      if (!attribute().dropped) builder_.end_sequence();
      state_ = State::attribute;
      return true;
    case State::values:
      return end_values();
    default:  // skipped
      if (--skipped_depth_ == 0) state_ = State::attribute;
      return true;
  }
}

Vr Handler::vr_of_dictionary() const {
  const Tag tag = attributes_.back().tag;
  const DictionaryEntry* entry = find_attribute(tag);
  return entry != nullptr ? entry->vr : tag.is_private_creator() ? Vr::LO : Vr::UN;
}

// The VR of the open attribute: as read, or further on in its object, or the dictionary's. rule D4
bool Handler::resolve_vr(int depth) {
  if (attribute().vr) return true;
  const std::string_view ahead = find_vr_ahead(text_.substr(stream_.Tell()), depth);
  attribute().vr = ahead.empty() ? vr_of_dictionary() : parse_vr(ahead);
  return attribute().vr.has_value() || malformed("a VR of PS3.5, 6.2");
}

bool Handler::begin_value() {
  if (!resolve_vr(1)) return false;
  values_.clear();
  value_count_ = 0;
  if (facts(vr()).kind == VrKind::sequence) {
    if (!attribute().dropped) builder_.begin_sequence(attribute().tag);
    state_ = State::items;
    return true;
  }
  state_ = State::values;
  return true;
}

// Scalars of every state.
bool Handler::value(Token token, std::string_view text) {
  switch (state_) {
    case State::vr:
      return take_vr(token, text);
    case State::values:
      return take_value(token, text);
    case State::component_group:
      return take_component_group(token, text);
    case State::inline_binary:
      return take_inline_binary(token, text);
    case State::value_start:  // rule D5: null is an empty value
      if (token != Token::null) return malformed("an array as Value");
      state_ = State::attribute;
      attribute().has_value = false;
      return true;
    case State::items:  // rule D12: null is an empty item
      if (token != Token::null) return malformed("objects in the Value of a sequence");
      ++attribute().item;
      if (!attribute().dropped) builder_.begin_item().end_item();
      return true;
    case State::skipped:
      if (skipped_depth_ == 0) state_ = State::attribute;
      return true;
    case State::attribute_start:
      return malformed("an object with vr and Value");
    default:
      return malformed("a JSON object of attributes");
  }
}

bool Handler::take_vr(Token token, std::string_view text) {
  const auto vr = token == Token::string ? parse_vr(text) : std::nullopt;
  if (!vr) return malformed("a VR of PS3.5, 6.2");
  if (attribute().vr && *attribute().vr != *vr) return malformed("vr once");
  attribute().vr = vr;
  state_ = State::attribute;
  return true;
}

void Handler::separate() {
  if (value_count_++ != 0) values_.push_back('\\');
}

bool Handler::take_value(Token token, std::string_view text) {
  if (token == Token::boolean) return malformed("no boolean" + of_vr());
  switch (facts(vr()).kind) {
    case VrKind::text:
      return take_text(token, text);
    case VrKind::number:
      return take_number(token, text);
    default:
      return malformed("InlineBinary instead of Value" + of_vr());
  }
}

bool Handler::take_text(Token token, std::string_view text) {
  const VrFacts& rules = facts(vr());
  const bool number_string = vr() == Vr::IS || vr() == Vr::DS;
  if (token == Token::number && !number_string) return malformed("a string" + of_vr());
  if (token == Token::null) text = {};
  if (rules.many_values) {
    if (text.find('\\') != std::string_view::npos) {
      return invalid("no backslash within one value" + of_vr());
    }
    separate();
  } else if (value_count_++ != 0) {
    return malformed("one value" + of_vr());
  }
  if (vr() == Vr::PN && text.find('=') != std::string_view::npos) {
    return invalid("an object of component groups instead of '=' in a string (VR PN)");
  }
  if (token == Token::number && !fits_vr(vr(), text)) {
    return invalid(vr() == Vr::IS ? "an integer of at most 12 characters (VR IS)"
                                  : "a number of at most 16 characters (VR DS)");
  }
  if (options_.enforce_vr_limits && !text.empty() && !fits_vr(vr(), text)) {
    return invalid(std::string(expectation(vr())) + of_vr());
  }
  values_.append(text);
  return true;
}

bool Handler::take_number(Token token, std::string_view text) {
  const bool number_allowed = vr() != Vr::AT;
  const bool text_allowed = vr() == Vr::SV || vr() == Vr::UV || vr() == Vr::AT;
  if (token == Token::null || (token == Token::string && !text_allowed) ||
      (token == Token::number && !number_allowed) || !append_number(vr(), text, values_)) {
    return invalid((vr() == Vr::AT ? "eight hexadecimal digits in a string"
                                   : "a number in the range of its VR") +
                   of_vr());
  }
  return true;
}

bool Handler::take_component_group(Token token, std::string_view text) {
  if (token != Token::string && token != Token::null) return malformed("a string" + of_vr());
  if (token == Token::string) {
    if (text.find_first_of("=\\") != std::string_view::npos) {
      return invalid("neither '=' nor a backslash within a component group");
    }
    if (options_.enforce_vr_limits && !fits_vr(Vr::PN, text)) {
      return invalid(std::string(expectation(Vr::PN)) + of_vr());
    }
    groups_[group_].assign(text);
  }
  state_ = State::person_name;
  return true;
}

void Handler::end_person_name() {
  separate();
  const int last = !groups_[2].empty() ? 2 : !groups_[1].empty() ? 1 : 0;
  for (int i = 0; i <= last; ++i) {
    if (i != 0) values_.push_back('=');
    values_.append(groups_[i]);
  }
}

bool Handler::take_inline_binary(Token token, std::string_view text) {
  if (!resolve_vr(0)) return false;
  const VrFacts& rules = facts(vr());
  if (token != Token::string || rules.kind != VrKind::bytes) {
    return malformed(rules.kind == VrKind::bytes ? "a base64 string" : "Value" + of_vr());
  }
  values_.clear();
  if (!decode_base64(text, values_)) return invalid("base64 (RFC 4648)");
  if (values_.size() % rules.unit != 0) {
    return invalid(fmt::format("a multiple of {} bytes{}", rules.unit, of_vr()));
  }
  if (!attribute().dropped) builder_.add(attribute().tag, vr(), values_);
  state_ = State::attribute;
  return true;
}

bool Handler::end_values() {
  // Trailing blanks are padding; a lone empty value is an empty attribute. rules D6, D16
  if (facts(vr()).kind == VrKind::text) {
    while (!values_.empty() && (values_.back() == ' ' || values_.back() == '\0')) {
      values_.pop_back();
    }
  }
  if (!attribute().dropped) builder_.add(attribute().tag, vr(), values_);
  state_ = State::attribute;
  return true;
}

bool Handler::end_attribute() {
  Attribute& open = attribute();
  if (!open.has_value) {
    const Vr vr = open.vr ? *open.vr : vr_of_dictionary();
    if (!open.dropped) builder_.add(open.tag, vr, {});
  }
  if (builder_.failed()) {
    auto built = builder_.build();
    fault_ = Fault{built.fault().kind, built.fault().what, {attributes_.front().tag}};
    return false;
  }
  attributes_.pop_back();
  state_ = State::data_set;
  return true;
}

bool Handler::finish_data_set() {
  auto built = builder_.build();
  if (!built) {
    fault_ = built.fault();
    return false;
  }
  state_ = State::between;
  ++handed_on_;
  stopped_ = !on_data_set_(std::move(built).value());
  return !stopped_;
}

Result<std::size_t> parse(std::string_view text, const JsonReadOptions& options,
                          const std::function<bool(DataSet&&)>& on_data_set) {
  if (text.size() > options.max_bytes) {
    return Fault{Fault::Kind::too_large,
                 fmt::format("expected at most {} bytes of JSON", options.max_bytes),
                 {}};
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a BOM is tolerated, rule D1
  if (!is_utf_8(text)) {  // RapidJSON's own check costs as much again as all of its parsing
    return Fault{Fault::Kind::malformed, "expected JSON in UTF-8", {}};
  }
  rapidjson::MemoryStream stream(text.data(), text.size());
  Handler handler(text, stream, options, on_data_set);
  rapidjson::Reader reader;
  const rapidjson::ParseResult result =
      reader.Parse<rapidjson::kParseNumbersAsStringsFlag>(stream, handler);
  if (auto fault = handler.fault()) return *fault;
  if (result.IsError() && !handler.stopped()) {
    return Fault{Fault::Kind::malformed,
                 fmt::format("expected JSON, at byte {}: {}", result.Offset(),
                             rapidjson::GetParseError_En(result.Code())),
                 {}};
  }
  return handler.handed_on();
}

}  // namespace

Result<DataSet> read_json(std::string_view text, const JsonReadOptions& options) {
  std::optional<DataSet> found;
  std::size_t count = 0;
  const auto parsed = parse(text, options, [&](DataSet&& data_set) {
    if (++count == 1) found = std::move(data_set);
    return count < 2;
  });
  if (!parsed) return parsed.fault();
  if (count != 1) {
    return Fault{Fault::Kind::malformed,
                 fmt::format("expected one JSON object or an array of exactly one, found {}",
                             count == 0 ? "none" : "more"),
                 {}};
  }
  return *std::move(found);
}

Result<std::size_t> read_json_array(std::string_view text,
                                    const std::function<bool(DataSet&&)>& on_data_set,
                                    const JsonReadOptions& options) {
  return parse(text, options, on_data_set);
}

}  // namespace mapping
