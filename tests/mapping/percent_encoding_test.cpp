// Percent-encoding, on its own and in a query.
#include <catch2/catch.hpp>
#include <string>

#include "mapping/query.h"
#include "tests/mapping/query_support.h"

using namespace query_test;  // NOLINT: test code

TEST_CASE("A value is percent-decoded exactly once, and + is no space (A8)") {
  const InOut rows[] = {
      {"PatientName=DOE%5EJANE", "00100010=DOE^JANE", "encoded"},
      {"PatientName=DOE^JANE*", "00100010=DOE^JANE*", "not encoded"},
      {"PatientID=A%252C", "00100020=A%2C", "once, not twice"},
      {"PatientID=A+B", "00100020=A+B", "+ is itself"},
      {"PatientID=A%2BB%20C", "00100020=A+B C", "encoded plus and blank"},
      {"PatientID=A%2CB", "00100020=A,B", "an encoded comma is text"},
      {"PatientID=A%26B%3DC%23", "00100020=A&B=C#", "encoded delimiters"},
      {"PatientID=A=B", "00100020=A=B", "only the first = divides"},
      {"PatientName=%E5%B1%B1", "00100010=\xE5\xB1\xB1", "UTF-8"},
      {"%50atientID=1", "00100020=1", "a name too"},
      {"00400100%2E00080060=CT", "00400100[{00080060=CT}]", "its dots too"},
      {"PatientID=A%20", "00100020=A", "trailing padding is none (A9)"},
  };
  for (const InOut& row : rows) {
    INFO(row.why);
    CHECK(identifier_of(row.in) == row.out);
  }
  for (const char* query :
       {"PatientID=%", "PatientID=%4", "PatientID=%4G", "PatientID=%G4", "PatientID=%FF",
        "PatientID=%C3", "PatientID=%ED%A0%80", "PatientID=%C0%80", "PatientID=%00",
        "PatientID=a%00b", "PatientID=\xFF"}) {
    INFO(query);
    CHECK(fault_of(query) == "PatientID: expected percent-encoded UTF-8 without NUL");
  }
  CHECK(fault_of("%FF=1") == "a parameter: expected percent-encoded UTF-8 without NUL");
}

TEST_CASE("Percent-encoding and decoding give back what went in (A8)") {
  std::string all;
  for (int c = 1; c < 128; ++c) all += static_cast<char>(c);
  all += "\xC3\xA4\xE5\xB1\xB1\xF0\x9F\x98\x80";
  const std::string encoded = percent_encode(all);
  CHECK(encoded.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-._~%") == std::string::npos);
  const auto decoded = percent_decode(encoded);
  REQUIRE(decoded.ok());
  CHECK(decoded.value() == all);
}
