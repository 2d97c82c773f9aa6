// Any bytes as a data set from the wire (the first byte chooses the transfer syntax): refused, or
// what goes through JSON and the wire alike.
#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/json.h"
#include "mapping/wire.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mapping;
  if (size == 0) return 0;
  const auto syntax = static_cast<TransferSyntax>(data[0] % 3);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto read = read_data_set(bytes, syntax);
  if (!read) {
    FUZZ_CHECK(!read.fault().what.empty());
    return 0;
  }
  const DataSet& data_set = read.value().data_set;
  FUZZ_CHECK(DataSet::from_bytes(data_set.bytes()));
  const auto written = write_data_set(data_set, syntax);
  FUZZ_CHECK(written);
  const auto again = read_data_set(written.value(), syntax);
  FUZZ_CHECK(again);
  std::string json;
  if (!write_json(data_set, json)) return 0;
  std::string json_again;
  FUZZ_CHECK(write_json(again.value().data_set, json_again));
  FUZZ_CHECK(json == json_again);
  const auto from_json = read_json(json);
  if (!from_json) return 0;  // text that no JSON data set may hold, such as "=" within a group
  std::string json_back;
  FUZZ_CHECK(write_json(from_json.value(), json_back));
  FUZZ_CHECK(json == json_back);
  return 0;
}
