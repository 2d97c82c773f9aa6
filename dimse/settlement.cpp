// One question, at most one repetition, one more question.
#include "dimse/settlement.h"

#include <algorithm>

#include "mapping/mpps_rules.h"
#include "mapping/tags.h"

namespace dimse {
namespace {

using mapping::DataSet;
using mapping::DataSetView;
using mapping::Outcome;
using mapping::Tag;
namespace status = mapping::dimse_status;
namespace tags = mapping::tags;

bool same(Tag tag, DataSetView one, DataSetView other) { return one.text(tag) == other.text(tag); }

bool holds(DataSetView step, DataSetView modifications) {
  return std::all_of(modifications.begin(), modifications.end(), [&](const auto& element) {
    const auto found = step.find(element.tag);
    return found && found->bytes == element.bytes;
  });
}

/// The step is there, and it is ours: other modalities have UIDs of their own, but a UID that was
/// used twice must not pass for a success.
bool is_created(const DataSet& attributes, const LostRequest& request, Outcome& seen) {
  DataSet found;
  seen =
      request.retrieve({tags::PerformedProcedureStepStatus, tags::PerformedProcedureStepID}, found);
  return seen.good() && !attributes.view().text(tags::PerformedProcedureStepID).empty() &&
         same(tags::PerformedProcedureStepID, found, attributes) &&
         same(tags::PerformedProcedureStepStatus, found, attributes);
}

bool is_unknown_there(const Outcome& seen) {
  return seen.how == Outcome::How::answered && seen.status == status::no_such_sop_instance;
}

/// The SCP says that the step is final: because of our first N-SET, or of somebody else's?
bool became_final_by(const DataSet& modifications, DataSetView step) {
  return mapping::is_final(modifications) &&
         same(tags::PerformedProcedureStepStatus, step, modifications) &&
         same(tags::PerformedProcedureStepEndDate, step, modifications) &&
         same(tags::PerformedProcedureStepEndTime, step, modifications);
}

}  // namespace

Outcome settle_create(const DataSet& attributes, const LostRequest& request) {
  request.note("no answer came; asking whether it was done");
  Outcome seen;
  if (is_created(attributes, request, seen)) return Outcome::answered(status::success);
  if (!is_unknown_there(seen)) return request.lost;

  request.note("it was not done; sending it once more");
  const auto again = request.repeat();
  if (again.how != Outcome::How::answered) return request.lost;
  // The first one arrived after all.
  if (again.status == status::duplicate_sop_instance && is_created(attributes, request, seen)) {
    return Outcome::answered(status::success);
  }
  return again;
}

Outcome settle_update(const DataSet& modifications, const LostRequest& request) {
  request.note("no answer came; asking whether it was done");
  mapping::AttributeList asked;
  for (const auto& element : modifications.view()) asked.push_back(element.tag);
  DataSet found;
  const auto seen = request.retrieve(asked, found);
  if (seen.good() && holds(found, modifications)) return Outcome::answered(status::success);
  if (seen.how != Outcome::How::answered) return request.lost;
  if (!seen.good() && !is_unknown_there(seen)) return request.lost;

  request.note("it was not done; sending it once more");
  const auto again = request.repeat();
  if (again.how != Outcome::How::answered) return request.lost;
  const bool conflict = again.status == status::processing_failure;
  if (conflict && request.retrieve({}, found).good() && became_final_by(modifications, found)) {
    return Outcome::answered(status::success);
  }
  return again;
}

}  // namespace dimse
