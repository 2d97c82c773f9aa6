// An array of data sets in DICOM JSON, read while it arrives: each is handed on as soon as its last
// byte is there. PS3.18, F.2.1; rules B10 and D.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "mapping/data_set.h"
#include "mapping/json.h"
#include "mapping/result.h"

namespace mapping {

/// Reads what read_json_array reads, with the same faults, in any number of pieces. Keeps of the
/// text only an object that has begun and not ended. One thread at a time.
class JsonArrayReader {
 public:
  /// on_data_set: false ends the reading.
  explicit JsonArrayReader(std::function<bool(DataSet&&)> on_data_set,
                           const JsonReadOptions& options = {});
  ~JsonArrayReader();
  JsonArrayReader(const JsonArrayReader&) = delete;
  JsonArrayReader& operator=(const JsonArrayReader&) = delete;

  /// The next piece; not kept. False: there is nothing to read any more, because of a fault or
  /// because on_data_set said so. finish tells.
  bool take(std::string_view piece);
  /// The text ends here, behind the last piece. Returns how many data sets were handed on.
  /// Data sets before a fault were handed on.
  Result<std::size_t> finish(std::string_view last_piece = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mapping
