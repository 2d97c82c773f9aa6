#include "web/search_page.h"

#include "mapping/return_keys.h"
#include "mapping/tags.h"

namespace web {

bool SearchPage::take(mapping::Match&& match) {
  if (cancelled()) return false;
  ++matches_;
  if (!match.optional_keys_supported) optional_keys_unsupported_ = true;
  const auto steps = match.data_set.view().find(mapping::tags::ScheduledProcedureStepSequence);
  if (!steps || steps->vr != mapping::Vr::SQ || steps->items().size() < 2) {
    return take_result(match.data_set);
  }
  for (const mapping::DataSet& step : mapping::split_scheduled_procedure_steps(match.data_set)) {
    if (!take_result(step)) return false;
  }
  return true;
}

bool SearchPage::take_result(mapping::DataSetView result) {
  if (skipped_ < options_.offset) {
    ++skipped_;
    return true;
  }
  if (options_.limit && results_ >= *options_.limit) return count();
  if (!writer_.add(result)) {
    ++unwritable_;
    return true;
  }
  ++results_;
  too_large_ = writer_.size() >= options_.max_bytes;
  return !too_large_;
}

/// Behind a full page. rule A20
bool SearchPage::count() {
  const auto now = std::chrono::steady_clock::now();
  if (!count_until_) count_until_ = now + options_.count_time;
  ++remaining_;
  stopped_ = remaining_ >= options_.count_cap || now >= *count_until_;
  return !stopped_;
}

/// Looking costs a call of the system, so not for each match.
bool SearchPage::cancelled() { return matches_ % 16 == 0 && context_.cancelled(); }

}  // namespace web
