// What the tests of DICOM JSON share.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <string_view>

#include "mapping/json.h"

namespace mapping_test {

inline std::string written(const mapping::DataSet& data_set) {
  std::string out;
  REQUIRE(mapping::write_json(data_set, out));
  return out;
}
/// As it is written after it was read, or its fault.
inline std::string rewritten(std::string_view json, const mapping::JsonReadOptions& options = {}) {
  const auto read = mapping::read_json(json, options);
  return read ? written(read.value()) : "fault: " + read.fault().what;
}

}  // namespace mapping_test
