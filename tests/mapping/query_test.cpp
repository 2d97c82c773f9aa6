#include "mapping/query.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <string>

#include "mapping/attribute_tables.h"
#include "mapping/tags.h"

using namespace mapping;

namespace {

constexpr Tag steps = tags::ScheduledProcedureStepSequence;

/// "tag=text", "tag[" items "]": a data set on one line; binary values as hexadecimal bytes.
std::string dump(DataSetView data_set) {
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

std::string identifier_of(std::string_view query) {
  const auto result = read_search_query(query);
  if (!result) return "fault: " + result.fault().what;
  CHECK(DataSet::from_bytes(result.value().search.identifier.bytes()).ok());
  return dump(result.value().search.identifier);
}

std::string fault_of(std::string_view query) {
  const auto result = read_search_query(query);
  return result ? "no fault: " + dump(result.value().search.identifier) : result.fault().what;
}

DataSet make(const std::function<void(DataSetBuilder&)>& fill) {
  DataSetBuilder builder;
  fill(builder);
  auto result = builder.build();
  REQUIRE(result.ok());
  return std::move(result).value();
}

Search search_for(DataSet identifier) {
  Search search;
  search.identifier = std::move(identifier);
  return search;
}

struct InOut {
  std::string in;
  std::string out;
  const char* why;
};

}  // namespace

// ---- Reading a Search ---------------------------------------------------------------------------

TEST_CASE("Match parameters become keys with a value, tag, keyword or mixed (A3, A4, A5)") {
  const InOut rows[] = {
      {"00100020=123", "00100020=123", "a tag"},
      {"PatientID=123", "00100020=123", "a keyword"},
      {"0020000d=1.2", "0020000D=1.2", "lower-case digits"},
      {"ScheduledProcedureStepSequence.Modality=CT", "00400100[{00080060=CT}]", "a path"},
      {"00400100.Modality=CT", "00400100[{00080060=CT}]", "a mixed path"},
      {"00400100.00400002=20250101-&00400100.00080060=CT",
       "00400100[{00080060=CT 00400002=20250101-}]", "one item, however many paths (F5)"},
      {"00400100.00400008.00080100=X&00400100.00400008.00080102=Y&00400100.00080060=CT",
       "00400100[{00080060=CT 00400008[{00080100=X 00080102=Y}]}]", "at any depth"},
      {"Modality=CT", "00080060=CT", "the root Modality is not moved (A5)"},
      {"PatientComments=x&00080050=A", "00080050=A 00104000=x", "outside K.6-1 too (A22)"},
      {"PatientID=1", "00100020=1", "a match attribute is a key with a value, which returns (A11)"},
      {"00400100.00080060=M*", "00400100[{00080060=M*}]", "a wildcard anywhere: the SCP's (A23)"},
      {"00090010=ACME&00091001=x&includefield=00091002", "00090010=ACME 00091001#7800 00091002",
       "private attributes beside their creator (A26)"},
      {"00080201=+0100&00100020=1", "00080201=+0100 00100020=1", "the zone of the request (A25)"},
  };
  for (const InOut& row : rows) {
    INFO(row.why);
    CHECK(identifier_of(row.in) == row.out);
  }
}

TEST_CASE("Empty segments and an empty query are tolerated (A1)") {
  for (const char* query : {"", "&", "&&&"}) CHECK(identifier_of(query).empty());
  CHECK(identifier_of("&00100020=1") == "00100020=1");
  CHECK(identifier_of("00100020=1&&00080050=2&") == "00080050=2 00100020=1");
}

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

TEST_CASE("An empty value or a name alone is universal matching and a return key (A10)") {
  CHECK(identifier_of("PatientName=") == "00100010");
  CHECK(identifier_of("PatientName") == "00100010");
  CHECK(identifier_of("PatientName=*") == "00100010=*");
  CHECK(identifier_of("00400100.00400002=*") == "00400100[{00400002}]");
  CHECK(identifier_of("00400100=") == "00400100[]");
  CHECK(identifier_of("001021C0=*&StudyInstanceUID=*") == "001021C0 0020000D");
}

TEST_CASE("A match attribute may come only once (A6)") {
  CHECK(fault_of("PatientID=1&PatientID=2") == "PatientID: expected a match attribute only once");
  CHECK(fault_of("PatientID=1&00100020=1") == "00100020: expected a match attribute only once");
  CHECK(fault_of("PatientID=1&PatientID=") == "PatientID: expected a match attribute only once");
  CHECK(fault_of("00400100.Modality=CT&ScheduledProcedureStepSequence.00080060=MR") ==
        "ScheduledProcedureStepSequence.00080060: expected a match attribute only once");
  CHECK(identifier_of("PatientID=1&includefield=PatientID") == "00100020=1");
}

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

TEST_CASE("Parameters that are no attributes are ignored, attributes never (A21, ARCHITECTURE 6)") {
  const auto query = read_search_query("foo=1&_=1699&x-trace=a,b&update&PatientID=1&v2");
  REQUIRE(query.ok());
  CHECK(query.value().ignored == std::vector<std::string>{"foo", "_", "x-trace", "update", "v2"});
  CHECK(dump(query.value().search.identifier) == "00100020=1");

  struct Row {
    const char* in;
    const char* why;
  };
  const Row rows[] = {
      {"PatientNames=DOE", "unknown keyword"},
      {"patientName=DOE", "a keyword misspelt"},
      {"patientname=DOE", "a keyword in lower case"},
      {"FuzzyMatching=true", "looks like a keyword"},
      {"0010010=DOE", "seven digits"},
      {"001000100=DOE", "nine digits"},
      {"(0010,0010)=DOE", "another way to write a tag"},
      {"00400100.00080060.00100010=x", "Modality is no sequence"},
      {"scheduledProcedureStepSequence.modality=CT", "a path misspelt"},
      {"00400100.=1", "a broken path"},
      {".=1", "a broken path"},
      {"00091001=1", "private without its creator (A26)"},
      {"00091001=1&00090010=", "private, its creator without a name (A26)"},
      {"00091001=1&00090011=ACME", "private, in another block (A26)"},
      {"00400100.00091001=1&00090010=ACME", "private, its creator on another level (A26)"},
      {"includefield=00091001", "private as includefield without its creator (A26)"},
      {"00090001=1", "private, in no block"},
      {"00050011=ACME", "private, below the groups of data sets"},
      {"00091001.00100010=1&00090010=ACME", "inside what nobody knows to be a sequence"},
      {"00990000=1", "private group length"},
      {"00080000=1", "group length"},
      {"00020010=1", "file meta information"},
      {"00000900=1", "command set"},
      {"FFFEE000=1", "an item tag"},
      {"deadbeef=1", "a private tag without its creator, in lower case"},
      {"00100000=", "group length"},
      {"00101234=1", "not in the dictionary"},
      {"=1", "no name"},
      {"%3Cscript%3E=1", "no word"},
      {"foo.bar=1", "a path"},
  };
  for (const Row& row : rows) {
    INFO(row.why << ": " << row.in);
    const auto result = read_search_query(row.in);
    REQUIRE_FALSE(result.ok());
    CHECK(result.fault().kind == Fault::Kind::malformed);
  }
}

TEST_CASE("A sequence takes no value (A4)") {
  CHECK(fault_of("00400100=1") == "00400100: expected no value: it is a sequence");
}

TEST_CASE("Specific Character Set is consumed and no key (A30)") {
  CHECK(identifier_of("00080005=ISO_IR%20100&PatientID=1") == "00100020=1");
  CHECK(identifier_of("SpecificCharacterSet&includefield=00080005").empty());
  CHECK(identifier_of("includefield=00400100.00080005").empty());
}

TEST_CASE("includefield is a list, may repeat, and is a zero-length key (A12)") {
  const InOut rows[] = {
      {"includefield=PatientID", "00100020", "a keyword"},
      {"includefield=00100020,PatientName&includefield=00080050", "00080050 00100010 00100020",
       "list and repetition"},
      {"includefield=00100020%2CPatientName", "00100010 00100020", "an encoded comma"},
      {"includefield=PatientID,,PatientID,", "00100020", "empty and repeated elements"},
      {"includefield=00400100.00400009", "00400100[{00400009}]", "a path"},
      {"includefield=00400100", "00400100[]", "a sequence itself (A4)"},
      {"includefield=00400100,00400100.00400009", "00400100[]", "the whole wins over a part"},
      {"includefield=00400100.00400009&00400100.Modality=CT", "00400100[{00080060=CT 00400009}]",
       "beside a match"},
  };
  for (const InOut& row : rows) {
    INFO(row.why);
    CHECK(identifier_of(row.in) == row.out);
  }
  for (const char* query : {"includefield=", "includefield", "includefield=,", "includefield=foo",
                            "includefield=PatientNames", "includefield=0010", "includefield=All",
                            "includefield=00090001", "includefield=Modality.PatientID"}) {
    INFO(query);
    CHECK_THAT(fault_of(query), Catch::StartsWith("includefield: "));
  }
}

TEST_CASE("includefield=all stands alone (A12)") {
  const auto all = read_search_query("includefield=all&PatientID=1&includefield=");
  CHECK_FALSE(all.ok());
  const auto alone = read_search_query("includefield=all&PatientID=1");
  REQUIRE(alone.ok());
  CHECK(alone.value().include_all);
  CHECK(dump(alone.value().search.identifier) == "00100020=1");
  for (const char* query : {"includefield=all,PatientID", "includefield=PatientID&includefield=all",
                            "includefield=all&includefield=PatientID"}) {
    INFO(query);
    CHECK(fault_of(query) == "includefield: expected all to be the only one (PS3.18, 8.3.4.3)");
  }
}

TEST_CASE("A sequence asked for whole and matched inside names all that K.6-1 knows of it") {
  const auto query = read_search_query("includefield=00400100&00400100.Modality=CT");
  REQUIRE(query.ok());
  const DataSetView item = *query.value().search.identifier.view().first_item(steps);
  CHECK(item.text(tags::Modality) == "CT");
  for (const WorklistAttribute& row : worklist_attributes()) {
    if (!row.path.starts_with("00400100.") || row.path.size() != 17) continue;
    Tag tag;
    REQUIRE(parse_tag(row.path.substr(9), tag));
    INFO(row.path);
    CHECK(item.find(tag).has_value());
  }
  CHECK_THAT(fault_of("OriginalAttributesSequence=&OriginalAttributesSequence.ReasonForTheAttribute"
                      "Modification=CORRECT"),
             Catch::Contains("one by one"));
}

TEST_CASE("fuzzymatching and its like are exactly true or false (A15)") {
  const auto query =
      read_search_query("fuzzymatching=true&emptyvaluematching=true&multiplevaluematching=false");
  REQUIRE(query.ok());
  CHECK(query.value().search.fuzzy_matching);
  CHECK(query.value().search.empty_value_matching);
  CHECK_FALSE(query.value().search.multiple_value_matching);
  for (const char* name : {"fuzzymatching", "emptyvaluematching", "multiplevaluematching"}) {
    for (const char* value : {"", "=", "=1", "=True", "=TRUE", "=true%20", "=yes", "=true,false"}) {
      const std::string bad = std::string(name) + value;
      INFO(bad);
      CHECK(fault_of(bad) == std::string(name) + ": expected true or false");
    }
    CHECK(fault_of(std::string(name) + "=true&" + name + "=true") ==
          std::string(name) + ": expected to come once");
  }
}

TEST_CASE("Two quotation marks are a value of any text VR if empty values are to match") {
  CHECK(identifier_of("emptyvaluematching=true&StudyDate=%22%22") == "00080020=\"\"");
  CHECK(identifier_of("StudyDate=%22%22&emptyvaluematching=true") == "00080020=\"\"");
  CHECK_THAT(fault_of("StudyDate=%22%22"), Catch::StartsWith("StudyDate: expected a date"));
}

TEST_CASE("offset and limit are unsigned decimal integers (A17)") {
  const auto query = read_search_query("offset=20&limit=0");
  REQUIRE(query.ok());
  CHECK(query.value().offset == 20);
  CHECK(query.value().limit == 0);
  const auto most = read_search_query("limit=18446744073709551615&offset=007");
  REQUIRE(most.ok());
  CHECK(most.value().limit == std::numeric_limits<std::uint64_t>::max());
  CHECK(most.value().offset == 7);
  const auto none = read_search_query("");
  REQUIRE(none.ok());
  CHECK(none.value().offset == 0);
  CHECK_FALSE(none.value().limit.has_value());
  for (const char* name : {"offset", "limit"}) {
    for (const char* value : {"", "=", "=-1", "=+1", "=%2B1", "=%201", "=1%20", "=1.0", "=0x1",
                              "=1,2", "=18446744073709551616", "=ten"}) {
      const std::string bad = std::string(name) + value;
      INFO(bad);
      CHECK(fault_of(bad) ==
            std::string(name) + ": expected an unsigned decimal integer within 64 bits");
    }
    CHECK(fault_of(std::string(name) + "=1&" + name + "=1") ==
          std::string(name) + ": expected to come once");
  }
}

TEST_CASE("accept and charset are lists, under both spellings (A2, A27, J12)") {
  const auto query = read_search_query(
      "accept=application/dicom+json,application%2Fdicom%2Bxml&charset=utf-8&Accept=a/b;q=0.5"
      "&Accept-Charset=ISO_IR%20100");
  REQUIRE(query.ok());
  CHECK(query.value().accept ==
        std::vector<std::string>{"application/dicom+json", "application/dicom+xml", "a/b;q=0.5"});
  CHECK(query.value().charset == std::vector<std::string>{"utf-8", "ISO_IR 100"});
  CHECK(query.value().ignored.empty());
}

TEST_CASE("The worklist query of example B.36 is read, its misprints mended (J3, J13)") {
  CHECK(identifier_of("&00400100.00400001=CTSCANNER&00400100.00400002=20250515"
                      "&00400100.00080060=CT&includefield=00100010") ==
        "00100010 00400100[{00080060=CT 00400001=CTSCANNER 00400002=20250515}]");
}

// ---- Reading the query of an MPPS ---------------------------------------------------------------

TEST_CASE("The query of a Retrieve is includefield only, the rest is ignored (A28)") {
  const auto paths = [](std::string_view raw_query) -> std::string {
    const auto query = read_retrieve_query(raw_query);
    if (!query) return "fault: " + query.fault().what;
    std::string text;
    for (const AttributePath& path : query.value().include) text += to_string(path) + " ";
    return text;
  };
  CHECK(paths("").empty());
  CHECK(paths("includefield=all").empty());
  CHECK(paths("includefield=00400252,PerformedSeriesSequence&includefield=00400270.0020000D") ==
        "00400252 00400340 00400270.0020000D ");
  CHECK(paths("PatientID=1&limit=x&foo").empty());
  CHECK(paths("includefield=00090010,00091001") == "00090010 00091001 ");
  CHECK(paths("includefield=00091001") ==
        "fault: includefield: expected the creator of 00091001 as well");
  for (const char* query : {"includefield=", "includefield=all,PatientID", "includefield=Foo",
                            "includefield=%zz", "%zz"}) {
    INFO(query);
    CHECK_THAT(paths(query), Catch::StartsWith("fault: "));
  }
  const auto query = read_retrieve_query("PatientID=1&foo&DOE%5EJANE=x&accept=a/b");
  REQUIRE(query.ok());
  CHECK(query.value().ignored == std::vector<std::string>{"PatientID", "foo", "a parameter"});
  CHECK(query.value().accept == std::vector<std::string>{"a/b"});
}

TEST_CASE("update, update= and update=true make an Update (A28)") {
  const auto reads = [](std::string_view raw_query) {
    const auto update = is_update_query(raw_query);
    return update ? (update.value() ? "update" : "create") : "fault";
  };
  CHECK(std::string(reads("")) == "create");
  CHECK(std::string(reads("foo=1")) == "create");
  CHECK(std::string(reads("Update")) == "create");
  CHECK(std::string(reads("update")) == "update");
  CHECK(std::string(reads("update=")) == "update");
  CHECK(std::string(reads("update=true")) == "update");
  CHECK(std::string(reads("&accept=a/b&update")) == "update");
  CHECK(std::string(reads("update=false")) == "fault");
  CHECK(std::string(reads("update=1")) == "fault");
  CHECK(std::string(reads("update=%zz")) == "fault");
  CHECK(std::string(reads("foo=%zz")) == "fault");
}

// ---- Writing ------------------------------------------------------------------------------------

TEST_CASE("An identifier becomes match and includefield parameters (A29)") {
  struct Row {
    DataSet identifier;
    const char* expected;
    const char* why;
  };
  const auto in_step = [](const std::function<void(DataSetBuilder&)>& fill) {
    return make([&](DataSetBuilder& b) {
      b.begin_sequence(steps).begin_item();
      fill(b);
      b.end_item().end_sequence();
    });
  };
  const Row rows[] = {
      {DataSet(), "", "nothing asked"},
      {make([](DataSetBuilder& b) {
         b.add(tags::PatientName, Vr::PN, "DOE^*").add(tags::PatientID, Vr::LO, "");
       }),
       "00100010=DOE%5E%2A&includefield=00100020", "a value matches, an empty key is included"},
      {make([](DataSetBuilder& b) {
         b.add(tags::PatientID, Vr::LO, "").add(tags::AccessionNumber, Vr::SH, "");
       }),
       "includefield=00080050,00100020", "a list"},
      {make([](DataSetBuilder& b) { b.add(tags::StudyInstanceUID, Vr::UI, "1.2\\3.4"); }),
       "0020000D=1.2,3.4", "UIDs are a list (A7)"},
      {make([](DataSetBuilder& b) { b.add(tags::PatientID, Vr::LO, "a,b&c=d+e %"); }),
       "00100020=a%2Cb%26c%3Dd%2Be%20%25", "everything but unreserved characters (A8)"},
      {make([](DataSetBuilder& b) { b.add(tags::PatientName, Vr::PN, "\xE5\xB1\xB1"); }),
       "00100010=%E5%B1%B1", "UTF-8"},
      {make([](DataSetBuilder& b) { b.begin_sequence(steps).end_sequence(); }),
       "includefield=00400100", "a sequence without an item"},
      {in_step([](DataSetBuilder&) {}), "includefield=00400100", "an empty item"},
      {in_step([](DataSetBuilder& b) {
         b.add(tags::Modality, Vr::CS, "CT").add(tags::ScheduledProcedureStepID, Vr::SH, "");
       }),
       "00400100.00080060=CT&includefield=00400100.00400009", "paths"},
      {make([](DataSetBuilder& b) {
         b.add(Tag(0x0010, 0x21C0), Vr::US, {"\x04\0", 2});
       }),
       "001021C0=4", "a number"},
      {make([](DataSetBuilder& b) {
         b.add(Tag(0x0020, 0x9165), Vr::AT, {"\x20\0\x0D\0", 4});
       }),
       "00209165=0020000D", "a tag"},
      {make([](DataSetBuilder& b) { b.add(Tag(0x7FE0, 0x0010), Vr::OW, ""); }),
       "includefield=7FE00010", "bytes may be asked for"},
  };
  for (const Row& row : rows) {
    INFO(row.why);
    const auto query = write_search_query(search_for(row.identifier), {});
    REQUIRE(query.ok());
    CHECK(query.value() == row.expected);
  }
}

TEST_CASE("Flags and page are written where they say something") {
  Search search = search_for(DataSet());
  CHECK(write_search_query(search, {.offset = 0, .limit = 10}).value() == "limit=10");
  CHECK(write_search_query(search, {.offset = 5, .limit = {}}).value() == "offset=5");
  search.fuzzy_matching = true;
  search.empty_value_matching = true;
  search.multiple_value_matching = true;
  CHECK(write_search_query(search, {.offset = 5, .limit = 0}).value() ==
        "fuzzymatching=true&emptyvaluematching=true&multiplevaluematching=true&offset=5&limit=0");
}

TEST_CASE("Private keys go beside their creator, in the form of text (A26)") {
  const DataSet identifier = make([](DataSetBuilder& b) {
    b.add(Tag(0x0009, 0x0010), Vr::LO, "ACME & SON");
    b.add(Tag(0x0009, 0x1001), Vr::UN, "x ").add(Tag(0x0009, 0x1002), Vr::SH, "");
  });
  const auto written = write_search_query({identifier}, {});
  REQUIRE(written);
  CHECK(written.value() == "00090010=ACME%20%26%20SON&00091001=x&includefield=00091002");
  CHECK(identifier_of(written.value()) == "00090010=ACME & SON 00091001#7800 00091002");
}

TEST_CASE("A key without a form in a query is a fault that names it (A29)") {
  struct Row {
    DataSet identifier;
    Tag named;
    const char* why;
  };
  const Row rows[] = {
      {make([](DataSetBuilder& b) {
         b.begin_sequence(steps).begin_item().end_item().begin_item().end_item().end_sequence();
       }),
       steps, "two items"},
      {make([](DataSetBuilder& b) {
         b.begin_sequence(steps).begin_item().add(tags::Modality, Vr::CS, "CT\\MR").end_item();
         b.end_sequence();
       }),
       steps, "a list that is none of UIDs"},
      {make([](DataSetBuilder& b) { b.add(Tag(0x0009, 0x1001), Vr::LO, ""); }), Tag(0x0009, 0x1001),
       "a private attribute"},
      {make([](DataSetBuilder& b) {
         b.add(Tag(0x0009, 0x0010), Vr::LO, "");
         b.add(Tag(0x0009, 0x1001), Vr::LO, "");
       }),
       Tag(0x0009, 0x1001), "a private attribute whose creator has no name"},
      {make([](DataSetBuilder& b) {
         b.add(Tag(0x0009, 0x0010), Vr::LO, "ACME").begin_sequence(Tag(0x0009, 0x1001));
         b.begin_item().add(tags::Modality, Vr::CS, "").end_item().end_sequence();
       }),
       Tag(0x0009, 0x1001), "keys inside a private sequence"},
      {make([](DataSetBuilder& b) {
         b.add(Tag(0x0009, 0x0010), Vr::LO, "ACME").add(Tag(0x0009, 0x1001), Vr::UN, "\x01\x02");
       }),
       Tag(0x0009, 0x1001), "private bytes"},
      {make([](DataSetBuilder& b) { b.add(Tag(0x7FE0, 0x0010), Vr::OW, "ab"); }),
       Tag(0x7FE0, 0x0010), "bytes"},
      {make([](DataSetBuilder& b) { b.add(Tag(0x0010, 0x21C0), Vr::US, "abcd"); }),
       Tag(0x0010, 0x21C0), "two numbers"},
      {make([](DataSetBuilder& b) {
         b.add(Tag(0x0018, 0x9073), Vr::FD, {"\0\0\0\0\0\0\xF8\x7F", 8});
       }),
       Tag(0x0018, 0x9073), "not a number"},
      {make([](DataSetBuilder& b) {
         b.add(tags::PatientID, Vr::LO, {"a\0b", 3});
       }),
       tags::PatientID, "NUL"},
  };
  for (const Row& row : rows) {
    INFO(row.why);
    const auto query = write_search_query(search_for(row.identifier), {});
    REQUIRE_FALSE(query.ok());
    CHECK(query.fault().kind == Fault::Kind::invalid_value);
    REQUIRE(query.fault().attributes.size() == 1);
    CHECK(query.fault().attributes[0] == row.named);
  }
}

TEST_CASE("An includefield list over 6 kB asks for all instead (A29)") {
  const DataSet identifier = make([](DataSetBuilder& b) {
    b.add(tags::PatientID, Vr::LO, "1");
    for (unsigned i = 0; i < 700; ++i)
      b.add(Tag(0x4010, static_cast<std::uint16_t>(i + 1)), Vr::LO, "");
  });
  CHECK(write_search_query(search_for(identifier), {}).value() == "00100020=1&includefield=all");
}

TEST_CASE("The query of a Retrieve lists top-level tags (J20)") {
  CHECK(write_retrieve_query({}).empty());
  CHECK(write_retrieve_query({tags::PerformedProcedureStepStatus}) == "includefield=00400252");
  CHECK(write_retrieve_query({tags::PatientID, tags::PerformedSeriesSequence}) ==
        "includefield=00100020,00400340");
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
