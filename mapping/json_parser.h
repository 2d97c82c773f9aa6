// One data set out of DICOM JSON: a single pass from the text to the bytes of a DataSet, with no
// tree and no events in between. Internal to mapping/json_reader and mapping/json_array_reader.
//
// Most attributes stand in JSON as every writer writes them: {"vr":"SH","Value":["text"]}. These
// take a short cut of comparisons; whatever looks different, however strange, takes the long way
// with the same result.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mapping/data_set.h"
#include "mapping/json.h"
#include "mapping/result.h"

namespace mapping {

/// Reads objects of attributes one after the other and keeps its memory from one to the next.
class JsonParser {
 public:
  enum class End : std::uint8_t {
    data_set,    ///< found() holds it
    incomplete,  ///< the text ended within the object
    fault
  };

  explicit JsonParser(const JsonReadOptions& options) : options_(options) {}

  /// text: begins with the object, without blanks. whole: nothing follows behind text, so that
  /// its end within the object is a fault. offset: of text in all that is read, for faults.
  End parse(std::string_view text, bool whole, std::size_t offset);
  /// Of the text, by the last data set.
  std::size_t consumed() const { return static_cast<std::size_t>(at_ - begin_); }
  DataSet&& found() { return std::move(found_); }
  Fault&& fault() { return *std::move(fault_); }

  static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
  /// What is no JSON, at a byte of all that is read.
  static Fault broken(std::size_t at, std::string_view what);

 private:
  static constexpr std::size_t max_open = DataSetBuilder::max_depth + 2;
  static constexpr std::size_t max_number = 400;  ///< characters: more than any double has
  static constexpr int max_skipped_depth = 32;    ///< of members that DICOM JSON does not know

  /// An attribute whose object is being read.
  struct Attribute {
    Tag tag;
    std::optional<Vr> vr;
    bool has_value = false;  ///< Value or InlineBinary was read
    bool dropped = false;    ///< (0008,0005), group lengths, group 0002
    int item = -1;           ///< index of the item being read
  };
  enum class Member : std::uint8_t { vr, value, inline_binary, bulk_data_uri, other };
  enum class Token : std::uint8_t { null, boolean, number, string };

  // All of these leave at_ behind what they read. False: incomplete_ or fault_ says why.
  bool root();
  bool attributes(bool dropped);
  bool attribute_name(Tag& tag);
  bool attribute(Tag tag, bool dropped);
  bool member(Member& which);
  bool vr(Attribute& open);
  bool value_of(Member which, Attribute& open);
  bool items(Attribute& open);
  bool item(Attribute& open);
  bool texts(Attribute& open);
  bool text(Vr vr, std::size_t index, std::string_view& text);
  bool person_name(std::string_view& text);
  bool component_group(std::size_t& group, std::string_view& text);
  bool numbers(Attribute& open);
  bool no_values(Attribute& open);
  bool number_value(Vr vr);
  bool inline_binary(Attribute& open);
  bool end_attribute(Attribute& open);
  bool resolve_vr(Attribute& open, int depth);

  // JSON itself.
  bool more() { return (at_ != end_ && *at_ > ' ') || skip_blanks(); }  ///< to what is no blank
  bool skip_blanks();
  bool expect(char c, const char* what);  ///< behind blanks
  bool member_name(std::string_view& name);
  bool scalar(Token& token, std::string_view& text);
  bool string(std::string_view& text);
  bool string_with_escapes(const char* start, bool ascii, std::string_view& text);
  bool escape();
  bool code_unit(std::uint32_t& unit);
  bool number(std::string_view& text);
  bool digits();
  bool word(std::string_view word);
  bool skip(int depth);
  bool next_of_list(char end, bool& ended);
  template <std::size_t size>
  bool take(const char (&literal)[size]);
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  bool ran_out();
  bool broken(std::string_view what);
  bool fail(Fault::Kind kind, std::string_view expected);
  bool malformed(std::string_view expected) { return fail(Fault::Kind::malformed, expected); }
  bool invalid(std::string_view expected) { return fail(Fault::Kind::invalid_value, expected); }
  bool wrong(std::string_view expected);
  std::string path() const;

  const JsonReadOptions options_;
  const char* begin_ = nullptr;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
  bool whole_ = true;
  std::size_t offset_ = 0;

  DataSetBuilder builder_;
  std::array<Attribute, max_open> open_;  ///< outermost first
  std::size_t depth_ = 0;                 ///< of open_
  std::string values_;                    ///< value field of the innermost, where it is composed
  std::string unescaped_;                 ///< the last string that had escapes
  std::array<std::string, 3> groups_;     ///< of the last person name
  std::string name_;                      ///< the last person name of more than one group
  bool incomplete_ = false;
  std::optional<Fault> fault_;
  DataSet found_;
};

}  // namespace mapping
