// Values of match parameters: what may be meant, and how it stands in a key.
#include "mapping/query_value.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/mapping/query_support.h"

using namespace query_test;  // NOLINT: test code

TEST_CASE("Only UIDs are a list, by comma; %5C is taken as well (A7)") {
  const InOut rows[] = {
      {"StudyInstanceUID=1.2", "0020000D=1.2", "one"},
      {"StudyInstanceUID=1.2,3.4,5", "0020000D=1.2\\3.4\\5", "several"},
      {"StudyInstanceUID=1.2%5C3.4", "0020000D=1.2\\3.4", "old QIDO-RS"},
      {"StudyInstanceUID=1.2%2C3.4", "0020000D=1.2\\3.4", "libraries that encode commas"},
  };
  for (const InOut& row : rows) {
    INFO(row.why);
    CHECK(identifier_of(row.in) == row.out);
  }
  CHECK(fault_of("PatientID=1,2") == "PatientID: expected one value; a comma in it is written %2C");
  CHECK(fault_of("00400100.Modality=CT%5CMR") ==
        "00400100.Modality: expected one value: only UIDs may be a list (PS3.18, 8.3.4.1)");
  CHECK(identifier_of("AdditionalPatientHistory=a%5Cb") == "001021B0=a\\b");  // LT has one value
  for (const char* query :
       {"StudyInstanceUID=1.2,", "StudyInstanceUID=,", "StudyInstanceUID=1,,2",
        "StudyInstanceUID=1.2a", "StudyInstanceUID=1.*", "StudyInstanceUID=%20"}) {
    INFO(query);
    CHECK_THAT(fault_of(query), Catch::StartsWith("StudyInstanceUID: expected UIDs"));
  }
}

TEST_CASE("Values are held against their VR") {
  const std::string long_name(64, 'x');
  const std::vector<std::string> good = {"StudyDate=20250131",
                                         "StudyDate=20250101-20250131",
                                         "StudyDate=20250101-",
                                         "StudyDate=-20250131",
                                         "StudyTime=08",
                                         "StudyTime=0800-1700",
                                         "StudyTime=-083000.5",
                                         "ContextGroupVersion=2025",
                                         "ContextGroupVersion=20250101-20250102",
                                         "ContextGroupVersion=20250101120000-0500",
                                         "ContextGroupVersion=20250101120000-0500-",
                                         "ContextGroupVersion=20250101%2B0100-20250102%2B0100",
                                         "PatientAge=012Y",
                                         "PatientWeight=70.5",
                                         "PatientName=" + long_name,
                                         "PatientName=" + long_name + "=" + long_name,
                                         "PatientName=*" + long_name + "*",
                                         "AccessionNumber=1234567890123456",
                                         "AccessionNumber=*234567890123456*7",
                                         "Modality=C*",
                                         "Modality=ct",
                                         "00400100.ScheduledStationAETitle=CT?",
                                         "PatientComments=a%0D%0Ab",
                                         "PregnancyStatus=4",
                                         "AccessionNumber="
                                         "%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4"
                                         "%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4"};
  for (const std::string& query : good) {
    INFO(query);
    CHECK(read_search_query(query).ok());
  }
  const std::vector<std::string> bad = {"StudyDate=2025",
                                        "StudyDate=20251301",
                                        "StudyDate=-",
                                        "StudyDate=2025*",
                                        "StudyDate=20250101--20250102",
                                        "StudyDate=20250101-20250102-20250103",
                                        "StudyDate=2025-01-01",
                                        "StudyTime=24",
                                        "StudyTime=8",
                                        "StudyTime=08:00",
                                        "ContextGroupVersion=x",
                                        "PatientAge=12",
                                        "PatientWeight=heavy",
                                        "PatientName=" + long_name + "y",
                                        "PatientName=a%1Bb",
                                        "PatientName=a=b=c=d",
                                        "AccessionNumber=12345678901234567",
                                        "AccessionNumber=a%0Ab",
                                        "Modality=%C3%A4",
                                        "00400100.ScheduledStationAETitle=12345678901234567",
                                        "PatientName=%20%20",
                                        "PatientComments=a%07",
                                        "PregnancyStatus=65536",
                                        "PregnancyStatus=-1",
                                        "PregnancyStatus=1.5",
                                        "PregnancyStatus=%201",
                                        "PatientComments=" + std::string(10241, 'x')};
  for (const std::string& query : bad) {
    INFO(query);
    const auto result = read_search_query(query);
    REQUIRE_FALSE(result.ok());
    CHECK(result.fault().kind == Fault::Kind::invalid_value);
    CHECK(result.fault().attributes.size() == 1);
  }
}

TEST_CASE("Binary numbers are written in decimal, tags in hexadecimal") {
  CHECK(identifier_of("PregnancyStatus=4") == "001021C0#0400");
  CHECK(identifier_of("PregnancyStatus=") == "001021C0");
  CHECK(identifier_of("DimensionIndexPointer=0020000d") == "00209165#20000D00");  // AT
  CHECK(identifier_of("ReferencePixelX0=-2") == "00186020#FEFFFFFF");             // SL
  CHECK(fault_of("DimensionIndexPointer=1") ==
        "DimensionIndexPointer: expected a tag of eight hexadecimal digits");
  CHECK_THAT(fault_of("PixelData=1"), Catch::Contains("opaque bytes"));
}

TEST_CASE("A fault names the attribute and never repeats a value") {
  const auto result = read_search_query("00400100.00400002=JANE");
  REQUIRE_FALSE(result.ok());
  CHECK_THAT(result.fault().what, Catch::StartsWith("00400100.00400002: expected a date"));
  REQUIRE(result.fault().attributes.size() == 1);
  CHECK(result.fault().attributes[0] == steps);
  for (const char* query : {"PatientID%3DJANE", "StudyDate=JANE", "PatientWeight=JANE",
                            "StudyInstanceUID=JANE", "limit=JANE", "fuzzymatching=JANE",
                            "PregnancyStatus=JANE", "00400100=JANE", "DOE^JANE=1", "DOE%5EJANE"}) {
    INFO(query);
    const std::string what = fault_of(query);
    CHECK_THAT(what, !Catch::StartsWith("no fault"));
    CHECK_THAT(what, !Catch::Contains("JANE"));
  }
}

TEST_CASE("Two quotation marks are a value of any text VR if empty values are to match") {
  CHECK(identifier_of("emptyvaluematching=true&StudyDate=%22%22") == "00080020=\"\"");
  CHECK(identifier_of("StudyDate=%22%22&emptyvaluematching=true") == "00080020=\"\"");
  CHECK_THAT(fault_of("StudyDate=%22%22"), Catch::StartsWith("StudyDate: expected a date"));
}
