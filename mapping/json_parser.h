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
#include "mapping/json_scanner.h"
#include "mapping/result.h"

namespace mapping {

/// Reads objects of attributes one after the other and keeps its memory from one to the next.
class JsonParser : private JsonScanner {
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
  using JsonScanner::consumed;
  DataSet&& found() { return std::move(found_); }
  Fault&& fault() { return *std::move(fault_); }

  using JsonScanner::broken;
  using JsonScanner::is_blank;

 private:
  static constexpr std::size_t max_open = DataSetBuilder::max_depth + 2;
  static constexpr int max_skipped_depth = 32;  ///< of members that DICOM JSON does not know

  /// An attribute whose object is being read.
  struct Attribute {
    Tag tag;
    std::optional<Vr> vr;
    bool has_value = false;  ///< Value or InlineBinary was read
    bool dropped = false;    ///< (0008,0005), group lengths, group 0002
    int item = -1;           ///< index of the item being read
  };
  enum class Member : std::uint8_t { vr, value, inline_binary, bulk_data_uri, other };

  // As those of the scanner: all leave at_ behind what they read.
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

  bool skip(int depth);

  bool fail(Fault::Kind kind, std::string_view expected);
  bool malformed(std::string_view expected) { return fail(Fault::Kind::malformed, expected); }
  bool invalid(std::string_view expected) { return fail(Fault::Kind::invalid_value, expected); }
  bool wrong(std::string_view expected);
  std::string path() const;

  const JsonReadOptions options_;
  DataSetBuilder builder_;
  std::array<Attribute, max_open> open_;  ///< outermost first
  std::size_t depth_ = 0;                 ///< of open_
  std::string values_;                    ///< value field of the innermost, where it is composed
  std::array<std::string, 3> groups_;     ///< of the last person name
  std::string name_;                      ///< the last person name of more than one group
  std::string decimal_;                   ///< the last number that was rounded
  DataSet found_;
};

}  // namespace mapping
