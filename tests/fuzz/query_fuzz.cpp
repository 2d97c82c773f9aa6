// Any bytes as a query component: refused, or an identifier that writes and reads again alike.
#include <cstdint>
#include <string_view>

#include "mapping/matching.h"
#include "mapping/query.h"
#include "mapping/return_keys.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mapping;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)read_retrieve_query(text);
  (void)is_update_query(text);
  const auto read = read_search_query(text);
  if (!read) {
    FUZZ_CHECK(!read.fault().what.empty());
    return 0;
  }
  const Search& search = read.value().search;
  FUZZ_CHECK(DataSet::from_bytes(search.identifier.bytes()));
  FUZZ_CHECK(DataSet::from_bytes(with_default_return_keys(search.identifier).bytes()));
  (void)Matcher(search).matches(search.identifier);
  const auto written = write_search_query(search, {});
  FUZZ_CHECK(written);
  const auto again = read_search_query(written.value());
  FUZZ_CHECK(again);
  FUZZ_CHECK(again.value().search.identifier == search.identifier);
  return 0;
}
