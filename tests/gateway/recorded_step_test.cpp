#include "gateway/recorded_step.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using queue_test::created;
namespace tags = mapping::tags;

namespace {

constexpr mapping::Tag pixel_data{0x7FE0, 0x0010}, rows{0x0028, 0x0010};
constexpr mapping::Tag comments{0x0040, 0x0280};  // of Table F.8.2-1, and not in the step

struct Answer {
  mapping::Outcome outcome;
  mapping::DataSet found;
};
Answer ask(const mapping::AttributeList& attributes) {
  Answer answer;
  answer.outcome = retrieve_recorded(created(1), attributes, answer.found);
  return answer;
}

}  // namespace

TEST_CASE("an empty list is answered with the whole step") {
  const auto [outcome, found] = ask({});
  CHECK(outcome.status == 0x0000);
  CHECK(found == created(1));
}

TEST_CASE("a list is answered with what it asks for, once, however often it asks") {
  const auto [outcome, found] = ask({tags::PerformedProcedureStepStatus, tags::Modality,
                                     tags::Modality, tags::SpecificCharacterSet});
  CHECK(outcome.status == 0x0000);
  CHECK(outcome.attributes.empty());
  CHECK(found == queue_test::data_set(R"({"00080060":{"vr":"CS","Value":["CT"]},)"
                                      R"("00400252":{"vr":"CS","Value":["IN PROGRESS"]}})"));
}

TEST_CASE("an attribute that the step does not have: 0001; one that is none of an MPPS: 0107") {
  const auto optional = ask({tags::Modality, comments});
  CHECK(optional.outcome.status == 0x0001);
  CHECK(optional.outcome.attributes.empty());
  CHECK(optional.found.view().text(tags::Modality) == "CT");
  const auto unknown = ask({rows, tags::Modality, comments, pixel_data});
  CHECK(unknown.outcome.status == 0x0107);
  CHECK(unknown.outcome.attributes == mapping::AttributeList{rows, pixel_data});
  CHECK(unknown.found.view().text(tags::Modality) == "CT");
}
