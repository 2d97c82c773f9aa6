// The two MPPS tables and the state machine, rule by rule (F17 to F23).
#include "mapping/mpps_rules.h"

#include <catch2/catch.hpp>

#include "mapping/json.h"
#include "mapping/tags.h"

using namespace mapping;

namespace {

DataSet from(const std::string& json) { return read_json(json).value(); }

const std::string series =
    R"("00400340":{"vr":"SQ","Value":[{"00080054":{"vr":"AE"},"0008103E":{"vr":"LO"},)"
    R"("00081050":{"vr":"PN"},"00081070":{"vr":"PN"},"00081140":{"vr":"SQ"},)"
    R"("00181030":{"vr":"LO","Value":["KNEE"]},"0020000E":{"vr":"UI","Value":["1.2.3"]},)"
    R"("00400220":{"vr":"SQ"}}]})";

// Everything of type 1 and 2 that an N-CREATE needs, and no more.
const std::string created =
    R"({"00080060":{"vr":"CS","Value":["MR"]},"00081032":{"vr":"SQ"},"00081120":{"vr":"SQ"},)"
    R"("00100010":{"vr":"PN"},"00100020":{"vr":"LO"},"00100030":{"vr":"DA"},"00100040":{"vr":"CS"},)"
    R"("00200010":{"vr":"SH"},"00400241":{"vr":"AE","Value":["MR1"]},"00400242":{"vr":"SH"},)"
    R"("00400243":{"vr":"SH"},"00400244":{"vr":"DA","Value":["20261120"]},)"
    R"("00400245":{"vr":"TM","Value":["0806"]},"00400250":{"vr":"DA"},"00400251":{"vr":"TM"},)"
    R"("00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS1"]},)"
    R"("00400254":{"vr":"LO"},"00400255":{"vr":"LO"},"00400260":{"vr":"SQ"},)"
    R"("00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH"},"00081110":{"vr":"SQ"},)"
    R"("0020000D":{"vr":"UI","Value":["1.2.9"]},"00321060":{"vr":"LO"},"00400007":{"vr":"LO"},)"
    R"("00400008":{"vr":"SQ"},"00400009":{"vr":"SH"},"00401001":{"vr":"SH"}}]},)"
    R"("00400340":{"vr":"SQ"}})";

DataSet without(const DataSet& data_set, Tag tag) {
  DataSetBuilder builder;
  for (const Element& element : data_set.view()) {
    if (element.tag != tag) builder.add(element);
  }
  return builder.build().value();
}
DataSet emptied(const DataSet& data_set, Tag tag) {
  DataSetBuilder builder;
  for (const Element& element : data_set.view()) {
    if (element.tag == tag)
      builder.add(tag, element.vr, {});
    else
      builder.add(element);
  }
  return builder.build().value();
}

void check_refusal(const std::optional<Outcome>& outcome, std::uint16_t status,
                   const std::vector<Tag>& tags) {
  REQUIRE(outcome);
  CHECK(outcome->status == status);
  CHECK(outcome->attributes == tags);
  CHECK(outcome->how == Outcome::How::local);
}

}  // namespace

TEST_CASE("an N-CREATE with all of type 1 and 2 keeps the rules (F18)") {
  const auto outcome = check_create(from(created));
  if (outcome) {
    for (const Tag tag : outcome->attributes) UNSCOPED_INFO(to_string(tag));
    FAIL(outcome->error_comment);
  }
}

TEST_CASE("a status other than IN PROGRESS is 0106 with the status (F17)") {
  for (const char* value : {"COMPLETED", "DISCONTINUED", "STARTED"}) {
    const auto step = apply_modifications(
        from(created), from(R"({"00400252":{"vr":"CS","Value":[")" + std::string(value) + "\"]}}"));
    check_refusal(check_create(step), 0x0106, {tags::PerformedProcedureStepStatus});
  }
}

TEST_CASE(
    "every top-level attribute of type 1 or 2 is missed, each of type 1 needs a value (F18)") {
  const DataSet step = from(created);
  const Tag type_1[] = {tags::Modality,
                        Tag(0x0040, 0x0241),
                        Tag(0x0040, 0x0244),
                        Tag(0x0040, 0x0245),
                        tags::PerformedProcedureStepStatus,
                        tags::PerformedProcedureStepID,
                        tags::ScheduledStepAttributesSequence};
  std::size_t empty_refused = 0;
  for (const Element& element : step.view()) {
    INFO(to_string(element.tag));
    check_refusal(check_create(without(step, element.tag)), 0x0120, {element.tag});
    const auto refused = check_create(emptied(step, element.tag));
    const bool needs_value =
        std::find(std::begin(type_1), std::end(type_1), element.tag) != std::end(type_1);
    CHECK(refused.has_value() == needs_value);
    if (!refused) continue;
    ++empty_refused;
    check_refusal(refused, 0x0121, {element.tag});
  }
  CHECK(empty_refused == std::size(type_1));
}

TEST_CASE("what is missing in an item is told by the sequence it stands in (F18)") {
  const auto step = apply_modifications(
      from(created), from(R"({"00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH"}}]}})"));
  check_refusal(check_create(step), 0x0120, {tags::ScheduledStepAttributesSequence});
}

TEST_CASE("an attribute of type 1C may be left out, and has a value where it is there (F18)") {
  const auto with_code = [](const std::string& version) {
    const auto step = apply_modifications(
        from(created), from(R"({"00081032":{"vr":"SQ","Value":[{"00080100":{"vr":"SH",)"
                            R"("Value":["KNEE"]},"00080102":{"vr":"SH","Value":["99X"]},)" +
                            version + R"("00080104":{"vr":"LO","Value":["Knee"]}}]}})"));
    return check_create(step);
  };
  CHECK_FALSE(with_code(""));
  CHECK_FALSE(with_code(R"("00080103":{"vr":"SH","Value":["1"]},)"));
  check_refusal(with_code(R"("00080103":{"vr":"SH"},)"), 0x0121, {Tag(0x0008, 0x1032)});
}

TEST_CASE("attributes that an N-SET may not hold are 0105 (F20)") {
  check_refusal(check_update(from(R"({"00080060":{"vr":"CS","Value":["CT"]},)"
                                  R"("00100010":{"vr":"PN"},"00400254":{"vr":"LO"}})")),
                0x0105, {tags::Modality, tags::PatientName});
  CHECK_FALSE(
      check_update(from(R"({"00400254":{"vr":"LO"},"00990010":{"vr":"LO","Value":["X"]}})")));
}

TEST_CASE("an N-SET's status is one of three, its items are whole (F19, F21)") {
  check_refusal(check_update(from(R"({"00400252":{"vr":"CS","Value":["DONE"]}})")), 0x0106,
                {tags::PerformedProcedureStepStatus});
  CHECK_FALSE(check_update(from(R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})")));
  CHECK_FALSE(check_update(from("{" + series + "}")));
  check_refusal(check_update(from(R"({"00400340":{"vr":"SQ","Value":[{}]}})")), 0x0120,
                {tags::PerformedSeriesSequence});
}

TEST_CASE("a final step may no longer be updated: 0110 with Error ID A710 (F22)") {
  for (const char* value : {"COMPLETED", "DISCONTINUED"}) {
    const auto stored = apply_modifications(
        from(created), from(R"({"00400252":{"vr":"CS","Value":[")" + std::string(value) + "\"]}}"));
    const auto outcome = check_update(stored, from(R"({"00400254":{"vr":"LO"}})"));
    REQUIRE(outcome);
    CHECK(outcome->status == 0x0110);
    CHECK(outcome->error_id == 0xA710);
    CHECK(outcome->error_comment == "Performed Procedure Step Object may no longer be updated");
  }
}

TEST_CASE("an attribute that was not created cannot be set: 0105 (F19)") {
  const std::string reason = R"({"00400281":{"vr":"SQ"}})";
  check_refusal(check_update(from(created), from(reason)), 0x0105, {Tag(0x0040, 0x0281)});
  CHECK_FALSE(check_update(apply_modifications(from(created), from(reason)), from(reason)));
}

TEST_CASE("the final state needs its end and a series with protocol and UID (F23)") {
  const std::string end = R"("00400250":{"vr":"DA","Value":["20261120"]},)"
                          R"("00400251":{"vr":"TM","Value":["0830"]},)";
  const std::string final_status = R"("00400252":{"vr":"CS","Value":["COMPLETED"]})";
  CHECK_FALSE(check_update(from(created), from("{" + end + final_status + "," + series + "}")));
  check_refusal(check_update(from(created), from("{" + final_status + "," + series + "}")), 0x0121,
                {tags::PerformedProcedureStepEndDate, tags::PerformedProcedureStepEndTime});
  check_refusal(check_update(from(created), from("{" + end + final_status + "}")), 0x0121,
                {tags::PerformedSeriesSequence});
  // What an earlier N-SET brought counts.
  const auto with_series = apply_modifications(from(created), from("{" + series + "}"));
  CHECK_FALSE(check_update(with_series, from("{" + end + final_status + "}")));
}

TEST_CASE("modifications replace whole sequences and leave the rest (F21)") {
  const auto stored = apply_modifications(from(created), from("{" + series + "}"));
  const auto replaced = apply_modifications(
      stored, from(R"({"00400340":{"vr":"SQ","Value":[{"0020000E":{"vr":"UI","Value":["9"]}}]}})"));
  CHECK(replaced.view().find(tags::PerformedSeriesSequence)->items().size() == 1);
  CHECK(replaced.view().first_item(tags::PerformedSeriesSequence)->text(Tag(0x0020, 0x000E)) ==
        "9");
  CHECK_FALSE(replaced.view().first_item(tags::PerformedSeriesSequence)->find(Tag(0x0018, 0x1030)));
  CHECK(without(replaced, tags::PerformedSeriesSequence) ==
        without(stored, tags::PerformedSeriesSequence));
}
