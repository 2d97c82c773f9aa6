// Any bytes as DICOM JSON: refused, or read to what writes and reads again alike.
#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/json.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mapping;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)read_json_array(text, [](DataSet&&) { return true; });
  JsonReadOptions strict;
  strict.enforce_vr_limits = true;
  (void)read_json(text, strict);
  const auto read = read_json(text);
  if (!read) {
    FUZZ_CHECK(!read.fault().what.empty());
    return 0;
  }
  FUZZ_CHECK(DataSet::from_bytes(read.value().bytes()));
  std::string written;
  if (!write_json(read.value(), written)) return 0;
  const auto again = read_json(written);
  FUZZ_CHECK(again);
  std::string rewritten;
  FUZZ_CHECK(write_json(again.value(), rewritten));
  FUZZ_CHECK(written == rewritten);
  return 0;
}
