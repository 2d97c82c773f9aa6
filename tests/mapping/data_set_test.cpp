// Walking and building the canonical form.
#include "mapping/data_set.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/support/random_data_set.h"

using namespace mapping;

TEST_CASE("a data set is canonical bytes: explicit little endian, ascending, even lengths") {
  DataSetBuilder builder;
  builder.add(tags::PatientID, Vr::LO, "ID1").add(tags::AccessionNumber, Vr::SH, "A7");
  builder.add(tags::StudyInstanceUID, Vr::UI, "1.2.3");
  const DataSet data_set = builder.build().value();
  const char expected[] =
      "\x08\x00\x50\x00SH\x02\x00"
      "A7"
      "\x10\x00\x20\x00LO\x04\x00"
      "ID1 "
      "\x20\x00\x0D\x00UI\x06\x00"
      "1.2.3\0";
  CHECK(data_set.bytes() == std::string(expected, sizeof expected - 1));
  CHECK(data_set.view().text(tags::PatientID) == "ID1");
  CHECK(data_set.view().text(tags::StudyInstanceUID) == "1.2.3");
  CHECK(data_set.view().text(tags::PatientName).empty());
}

TEST_CASE("sequences nest, and items are data sets again") {
  DataSetBuilder builder;
  builder.begin_sequence(tags::ScheduledProcedureStepSequence);
  builder.begin_item().add(tags::Modality, Vr::CS, "MR").end_item();
  builder.begin_item().end_item();
  builder.end_sequence();
  const DataSet data_set = builder.build().value();
  const auto sequence = data_set.view().find(tags::ScheduledProcedureStepSequence);
  REQUIRE(sequence);
  REQUIRE(sequence->items().size() == 2);
  auto item = sequence->items().begin();
  CHECK((*item).text(tags::Modality) == "MR");
  CHECK((*++item).empty());
  CHECK(data_set.view().first_item(tags::ScheduledProcedureStepSequence)->text(tags::Modality) ==
        "MR");
  CHECK_FALSE(data_set.view().first_item(tags::PerformedSeriesSequence));
}

TEST_CASE("elements given in any order come out ascending, inside items too") {
  DataSetBuilder forward;
  forward.add(tags::AccessionNumber, Vr::SH, "A").add(tags::PatientID, Vr::LO, "P");
  forward.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
  forward.add(tags::Modality, Vr::CS, "MR").add(tags::ScheduledProcedureStepID, Vr::SH, "1");
  forward.end_item().end_sequence();
  DataSetBuilder backward;
  backward.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
  backward.add(tags::ScheduledProcedureStepID, Vr::SH, "1").add(tags::Modality, Vr::CS, "MR");
  backward.end_item().end_sequence();
  backward.add(tags::PatientID, Vr::LO, "P").add(tags::AccessionNumber, Vr::SH, "A");
  CHECK(forward.build().value() == backward.build().value());
}

TEST_CASE("a duplicate attribute is a fault that names it, and the builder can be used again") {
  DataSetBuilder builder;
  builder.add(tags::PatientID, Vr::LO, "1").add(tags::PatientID, Vr::LO, "2");
  const auto built = builder.build();
  REQUIRE_FALSE(built);
  CHECK(built.fault().what == "00100020: expected each attribute once");
  CHECK(built.fault().attributes == std::vector<Tag>{tags::PatientID});
  CHECK(builder.add(tags::PatientID, Vr::LO, "1").build());
}

TEST_CASE(
    "a value that its VR's length field cannot hold, and too deep nesting, are faults (D20)") {
  DataSetBuilder builder;
  builder.add(tags::PatientID, Vr::LO, std::string(65535, 'x'));
  CHECK(builder.build().fault().kind == Fault::Kind::too_large);
  for (int depth = 0; depth <= DataSetBuilder::max_depth; ++depth) {
    builder.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
  }
  CHECK(builder.failed());
  CHECK(builder.build().fault().kind == Fault::Kind::too_large);
}

TEST_CASE("ends that belong to no begin, or to another, are faults") {
  const Tag steps = tags::ScheduledProcedureStepSequence;
  CHECK_FALSE(DataSetBuilder().end_item().build());
  CHECK_FALSE(DataSetBuilder().end_sequence().build());
  CHECK_FALSE(DataSetBuilder().begin_sequence(steps).build());
  CHECK_FALSE(DataSetBuilder().begin_sequence(steps).begin_item().build());
  CHECK_FALSE(DataSetBuilder().begin_sequence(steps).end_item().build());
  CHECK_FALSE(DataSetBuilder().begin_item().build());
  CHECK_FALSE(DataSetBuilder().begin_sequence(steps).add(tags::Modality, Vr::CS, "MR").build());
  DataSetBuilder builder;
  builder.begin_sequence(steps).begin_item().begin_sequence(steps).end_item();
  CHECK(builder.failed());
  CHECK_FALSE(builder.build());
  CHECK(builder.begin_sequence(steps).begin_item().end_item().end_sequence().build());
}

TEST_CASE("values are split at backslashes only where the VR has many (D13)") {
  DataSetBuilder builder;
  builder.add(Tag(0x0010, 0x1001), Vr::PN, "A^B\\\\C").add(Tag(0x0010, 0x4000), Vr::LT, "a\\b");
  const DataSet data_set = builder.build().value();
  auto element = data_set.view().begin();
  CHECK(element->values() == std::vector<std::string_view>{"A^B", "", "C"});
  ++element;
  CHECK(element->values() == std::vector<std::string_view>{"a\\b"});
}

TEST_CASE(
    "stored bytes are checked: every truncation and many mutations are refused or canonical") {
  const DataSet data_set = support::RandomDataSet(7).make();
  REQUIRE(DataSet::from_bytes(data_set.bytes()).value() == data_set);
  for (std::size_t length = 0; length < data_set.bytes().size(); ++length) {
    const auto cut = DataSet::from_bytes(data_set.bytes().substr(0, length));
    if (cut) {
      for (const Element& element : cut.value().view()) CHECK(element.bytes.size() <= length);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = data_set.bytes();
    bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto mutated = DataSet::from_bytes(bytes);
    if (!mutated) continue;
    std::size_t seen = 0;
    for (const Element& element : mutated.value().view()) seen += element.bytes.size();
    CHECK(seen == bytes.size());
  }
}
