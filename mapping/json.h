// The DICOM JSON Model ⇄ DataSet. PS3.18, Annex F; rules D.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "mapping/data_set.h"
#include "mapping/result.h"

namespace mapping {

struct JsonReadOptions {
  std::size_t max_bytes = 64u << 20;  ///< of the text
  /// Refuse values that break the length or character rules of their VR (rule D19): right for the
  /// body of a request, too strict for what a server answers. Without it a number with more digits
  /// than a DS has room for is rounded (rule D8).
  bool enforce_vr_limits = false;
};

/// Reads one data set: an object, or an array of exactly one object (rule B10).
/// Faults name the attribute path and what was expected there, never a value.
Result<DataSet> read_json(std::string_view text, const JsonReadOptions& options = {});

/// Reads an array of data sets, or one bare object, and hands each on; stops when on_data_set
/// returns false. Returns how many were handed on. Data sets before a fault were handed on.
Result<std::size_t> read_json_array(std::string_view text,
                                    const std::function<bool(DataSet&&)>& on_data_set,
                                    const JsonReadOptions& options = {});

/// Appends the data set as a JSON object, members ascending. (0008,0005) stands in it as
/// ISO_IR 192 where a value is not ASCII (rule D17).
/// Fault: a floating point value that JSON cannot hold (rule D10); out is then as it was.
Result<bool> write_json(DataSetView data_set, std::string& out);

/// Writes many data sets, each as write_json does, to where their text is to stay. One thread at a
/// time.
class JsonWriter {
 public:
  /// Returns how many characters it put at the beginning of place, of which all may be written to;
  /// 0: there was too little room, and the text was appended to instead. Fault: as write_json.
  Result<std::size_t> write(DataSetView data_set, std::span<char> place, std::string& instead);

 private:
  bool non_ascii_ = false;  ///< a value of the last one was not ASCII: likely so in the next, too
};

}  // namespace mapping
