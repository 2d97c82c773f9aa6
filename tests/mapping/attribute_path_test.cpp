#include "mapping/attribute_path.h"

#include <catch2/catch.hpp>

using namespace mapping;

TEST_CASE("A path is written as tags, as keywords or mixed (A3, A4, A5)") {
  struct Row {
    const char* in;
    const char* out;
  };
  const Row rows[] = {
      {"00100010", "00100010"},
      {"PatientName", "00100010"},
      {"00400100.00080060", "00400100.00080060"},
      {"ScheduledProcedureStepSequence.Modality", "00400100.00080060"},
      {"ScheduledProcedureStepSequence.00080060", "00400100.00080060"},
      {"00400100.Modality", "00400100.00080060"},
      {"0020000d", "0020000D"},
      {"00400100.00400008.0008010b", "00400100.00400008.0008010B"},
      {"00400100", "00400100"},
      {"00090010", "00090010"},
      {"00091001", "00091001"},
  };
  for (const Row& row : rows) {
    INFO(row.in);
    const auto path = parse_attribute_path(row.in);
    REQUIRE(path.ok());
    CHECK(to_string(path.value()) == row.out);
  }
}

TEST_CASE("What is no path is refused, and the fault names the element (A3, A4)") {
  struct Row {
    std::string in;
    const char* named;
    const char* why;
  };
  const Row rows[] = {
      {"", "a part of", "nothing"},
      {"patientname", "patientname", "keywords are case-sensitive"},
      {"PatientNames", "PatientNames", "no such keyword"},
      {"0010001", "0010001", "seven digits"},
      {"001000100", "001000100", "nine digits"},
      {"0010,0010", "a part of", "no comma in a tag"},
      {"00100010.", "00100010", "no sequence"},
      {"00400100.", "a part of", "empty element"},
      {".00400100", "a part of", "empty element"},
      {"00400100..00080060", "a part of", "empty element"},
      {"Modality.PatientName", "00080060", "Modality holds nothing"},
      {"00091010.00100010", "00091010", "of a private attribute nothing is known"},
      {"DOE^JOHN", "a part of", "a value in the wrong place is not repeated"},
      {std::string("00100010\0", 9), "a part of", "NUL"},
      {std::string(100, 'A'), "a part of", "not repeated at any length"},
  };
  for (const Row& row : rows) {
    INFO(row.why);
    const auto path = parse_attribute_path(row.in);
    REQUIRE_FALSE(path.ok());
    CHECK(path.fault().kind == Fault::Kind::malformed);
    CHECK_THAT(path.fault().what, Catch::StartsWith(row.named));
  }
}

TEST_CASE("A path is as deep as a data set may be, and no deeper (D20)") {
  std::string path;
  for (int i = 0; i < 32; ++i) path += "00400100.";
  CHECK(parse_attribute_path(path + "00080060").ok());
  const auto deeper = parse_attribute_path(path + "00400100.00080060");
  REQUIRE_FALSE(deeper.ok());
  CHECK(deeper.fault().kind == Fault::Kind::too_large);
}
