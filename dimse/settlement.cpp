// One question, at most one repetition, one more question.
#include "dimse/settlement.h"

#include "mapping/mpps_rules.h"
#include "mapping/tags.h"

namespace dimse {
namespace {

using mapping::DataSet;
using mapping::Outcome;
namespace status = mapping::dimse_status;
namespace tags = mapping::tags;

bool is_created(const DataSet& attributes, const LostRequest& request, Outcome& seen) {
  DataSet found;
  seen =
      request.retrieve({tags::PerformedProcedureStepStatus, tags::PerformedProcedureStepID}, found);
  return seen.good() && mapping::is_just_created(attributes, found);
}

bool is_unknown_there(const Outcome& seen) {
  return seen.how == Outcome::How::answered && seen.status == status::no_such_sop_instance;
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
  if (seen.good() && mapping::holds_modifications(found, modifications))
    return Outcome::answered(status::success);
  if (seen.how != Outcome::How::answered) return request.lost;
  if (!seen.good() && !is_unknown_there(seen)) return request.lost;

  request.note("it was not done; sending it once more");
  const auto again = request.repeat();
  if (again.how != Outcome::How::answered) return request.lost;
  const bool conflict = again.status == status::processing_failure;
  // Because of our first N-SET, or of somebody else's?
  if (conflict && request.retrieve({}, found).good() &&
      mapping::became_final_by(modifications, found)) {
    return Outcome::answered(status::success);
  }
  return again;
}

}  // namespace dimse
