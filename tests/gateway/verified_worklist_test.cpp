// Answers that do not match are dropped, counted and logged without patient data.
#include "gateway/verified_worklist.h"

#include <catch2/catch.hpp>
#include <vector>

#include "mapping/json.h"
#include "mapping/tags.h"

using namespace gateway;

namespace {

mapping::DataSet from(const char* json) { return mapping::read_json(json).value(); }

// Answers everything, whatever was asked.
struct Careless : mapping::WorklistService {
  std::vector<mapping::DataSet> answers;
  mapping::DataSet asked;
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context&) override {
    asked = search.identifier;
    for (const auto& answer : answers) {
      if (!on_match({answer, true})) break;
    }
    return {};
  }
};

}  // namespace

TEST_CASE("of a backend that answers too much, only what matches comes through") {
  Careless backend;
  backend.answers = {
      from(R"({"00100020":{"vr":"LO","Value":["SECRET1"]},"00400100":{"vr":"SQ","Value":[)"
           R"({"00080060":{"vr":"CS","Value":["MR"]}}]}})"),
      from(R"({"00100020":{"vr":"LO","Value":["SECRET2"]},"00400100":{"vr":"SQ","Value":[)"
           R"({"00080060":{"vr":"CS","Value":["CT"]}}]}})"),
      // Two steps in one sequence, of which one matches.
      from(R"({"00100020":{"vr":"LO","Value":["SECRET3"]},"00400100":{"vr":"SQ","Value":[)"
           R"({"00080060":{"vr":"CS","Value":["CT"]}},{"00080060":{"vr":"CS","Value":["MR"]}}]}})"),
  };
  std::vector<std::string> lines;
  VerifiedWorklist verified(backend, "ris", {}, [&](mapping::LogLevel, std::string_view line) {
    lines.emplace_back(line);
  });
  mapping::Search search;
  search.identifier = from(
      R"({"00100020":{"vr":"LO"},"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]}}]}})");
  mapping::Context context;
  context.transaction = "7";
  std::vector<mapping::DataSet> found;
  const auto take = [&](mapping::Match&& match) {
    found.push_back(std::move(match.data_set));
    return true;
  };
  CHECK(verified.search(search, take, context).good());
  REQUIRE(found.size() == 2);
  CHECK(found[0].view().text(mapping::tags::PatientID) == "SECRET1");
  CHECK(found[1].view().text(mapping::tags::PatientID) == "SECRET3");
  CHECK(found[1].view().find(mapping::tags::ScheduledProcedureStepSequence)->items().size() == 1);
  CHECK(verified.dropped() == 2);
  CHECK(lines ==
        std::vector<std::string>{"tx=7 ris: 2 answers did not match the search and were dropped"});
}

TEST_CASE(
    "a backend that cannot match a period is asked for its dates, times are matched here (A24)") {
  const auto step = [](const std::string& date, const std::string& time) {
    return mapping::read_json(
               R"({"00400100":{"vr":"SQ","Value":[{"00400002":{"vr":"DA","Value":[")" + date +
               R"("]},"00400003":{"vr":"TM","Value":[")" + time + R"("]}}]}})")
        .value();
  };
  Careless backend;
  backend.answers = {step("20260705", "0900"), step("20260706", "0300"), step("20260707", "1900")};
  VerifiedWorklist verified(backend, "ris", {.combined_date_time = false, .note_dropped = false},
                            [](mapping::LogLevel, std::string_view) { FAIL("nothing to log"); });
  mapping::Search search;
  search.identifier = step("20260705-20260707", "1000-1800");
  std::vector<mapping::DataSet> found;
  const auto take = [&](mapping::Match&& match) {
    found.push_back(std::move(match.data_set));
    return true;
  };
  CHECK(verified.search(search, take, {}).good());
  CHECK(found == std::vector<mapping::DataSet>{step("20260706", "0300")});
  CHECK(verified.dropped() == 0);
  const auto asked =
      *backend.asked.view().first_item(mapping::tags::ScheduledProcedureStepSequence);
  CHECK(asked.text(mapping::tags::ScheduledProcedureStepStartDate) == "20260705-20260707");
  REQUIRE(asked.find(mapping::tags::ScheduledProcedureStepStartTime));
  CHECK(asked.text(mapping::tags::ScheduledProcedureStepStartTime).empty());

  search.identifier = step("20260705", "1000-1800");  // a day is no period: passed on as it is
  (void)verified.search(search, take, {});
  CHECK(backend.asked == search.identifier);
}
