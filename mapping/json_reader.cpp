// DICOM JSON that is there as a whole.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "mapping/json.h"
#include "mapping/json_array_reader.h"

namespace mapping {

Result<DataSet> read_json(std::string_view text, const JsonReadOptions& options) {
  std::optional<DataSet> found;
  std::size_t count = 0;
  const auto parsed = read_json_array(
      text,
      [&](DataSet&& data_set) {
        if (++count == 1) found = std::move(data_set);
        return count < 2;
      },
      options);
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
  JsonArrayReader reader([&](DataSet&& data_set) { return on_data_set(std::move(data_set)); },
                         options);
  return reader.finish(text);
}

}  // namespace mapping
