// Queries as a user agent asks: the parameters of a Search, a Retrieve and an Update.
#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <vector>

#include "mapping/attribute_tables.h"
#include "mapping/query.h"
#include "tests/mapping/query_support.h"

using namespace query_test;  // NOLINT: test code

TEST_CASE("Empty segments and an empty query are tolerated (A1)") {
  for (const char* query : {"", "&", "&&&"}) CHECK(identifier_of(query).empty());
  CHECK(identifier_of("&00100020=1") == "00100020=1");
  CHECK(identifier_of("00100020=1&&00080050=2&") == "00080050=2 00100020=1");
}

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

TEST_CASE("Parameters that are no attributes are ignored, attributes never (A21)") {
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

TEST_CASE("The worklist query of example B.36 is read, its misprints mended (J3, J13)") {
  CHECK(identifier_of("&00400100.00400001=CTSCANNER&00400100.00400002=20250515"
                      "&00400100.00080060=CT&includefield=00100010") ==
        "00100010 00400100[{00080060=CT 00400001=CTSCANNER 00400002=20250515}]");
}

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
