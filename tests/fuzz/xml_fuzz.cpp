// Any bytes as a Native DICOM Model: refused, or read to what writes and reads again alike.
#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/xml.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mapping;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = read_xml(text);
  if (!read) {
    FUZZ_CHECK(!read.fault().what.empty());
    return 0;
  }
  FUZZ_CHECK(DataSet::from_bytes(read.value().bytes()));
  std::string written;
  if (!write_xml(read.value(), written)) return 0;
  const auto again = read_xml(written);
  FUZZ_CHECK(again);
  std::string rewritten;
  FUZZ_CHECK(write_xml(again.value(), rewritten));
  FUZZ_CHECK(written == rewritten);
  return 0;
}
