// Queries as an origin server is asked.
#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "mapping/query.h"
#include "tests/mapping/query_support.h"

using namespace query_test;  // NOLINT: test code

namespace {

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

}  // namespace

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
  CHECK(write_retrieve_query({Tag(0x0029, 0x1010), Tag(0x0029, 0x1011), Tag(0x0029, 0x1110)}) ==
        "includefield=00291010,00291011,00291110,00290010,00290011");  // A26
  CHECK(write_retrieve_query({Tag(0x0029, 0x0010), Tag(0x0029, 0x1010)}) ==
        "includefield=00290010,00291010");
  CHECK(read_retrieve_query(write_retrieve_query({Tag(0x0029, 0x1010)})));
}
