// What the tests of queries share.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <string_view>

#include "mapping/query.h"
#include "mapping/tags.h"

namespace query_test {

using namespace mapping;

inline constexpr Tag steps = tags::ScheduledProcedureStepSequence;

/// "tag=text", "tag[" items "]": a data set on one line; binary values as hexadecimal bytes.
inline std::string dump(DataSetView data_set) {
  std::string out;
  for (const Element& element : data_set) {
    if (!out.empty()) out += ' ';
    out += to_string(element.tag);
    if (element.vr == Vr::SQ) {
      out += '[';
      for (const DataSetView item : element.items()) out += "{" + dump(item) + "}";
      out += ']';
    } else if (facts(element.vr).kind != VrKind::text && !element.empty()) {
      out += '#';
      for (const char c : element.value) {
        out += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
        out += "0123456789ABCDEF"[static_cast<unsigned char>(c) & 15];
      }
    } else if (!element.empty()) {
      out += '=' + std::string(element.text());
    }
  }
  return out;
}

/// Of the Search that the query asks for.
inline std::string identifier_of(std::string_view query) {
  const auto result = read_search_query(query);
  if (!result) return "fault: " + result.fault().what;
  CHECK(DataSet::from_bytes(result.value().search.identifier.bytes()).ok());
  return dump(result.value().search.identifier);
}

inline std::string fault_of(std::string_view query) {
  const auto result = read_search_query(query);
  return result ? "no fault: " + dump(result.value().search.identifier) : result.fault().what;
}

struct InOut {
  std::string in;
  std::string out;
  const char* why;
};

}  // namespace query_test
