// Searches over what WorklistDirectory holds, and the states of performed steps over StepDatabase.
#include "gateway/step_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "gateway/recorded_step.h"
#include "mapping/matching.h"
#include "mapping/mpps_rules.h"
#include "mapping/return_keys.h"
#include "mapping/tags.h"

namespace gateway {
namespace {

namespace status = mapping::dimse_status;
namespace tags = mapping::tags;
using mapping::Context;
using mapping::DataSet;
using mapping::DataSetView;
using mapping::Outcome;
using mapping::Uid;

constexpr mapping::Tag scheduled_procedure_step_status{0x0040, 0x0020};

/// A rule's verdict is the store's answer: it is who the front asks.
Outcome as_answer(Outcome outcome) {
  outcome.how = Outcome::How::answered;
  return outcome;
}

/// Empty where one of them is: then nobody can tell which step is meant.
std::string scheduled_key(std::string_view study_instance_uid, std::string_view step_id) {
  if (study_instance_uid.empty() || step_id.empty()) return {};
  return fmt::format("{}\\{}", study_instance_uid, step_id);
}

/// The scheduled step with this status in its item.
DataSet with_status(DataSetView step, std::string_view value) {
  mapping::DataSetBuilder builder;
  builder.add(scheduled_procedure_step_status, mapping::Vr::CS, value);
  const DataSet modification = builder.build().value();
  const auto item = step.first_item(tags::ScheduledProcedureStepSequence);
  builder.begin_sequence(tags::ScheduledProcedureStepSequence)
      .add_item(mapping::apply_modifications(*item, modification))
      .end_sequence();
  return mapping::apply_modifications(step, builder.build().value());
}

}  // namespace

mapping::Result<std::unique_ptr<StepStore>> StepStore::open(const StepStoreOptions& options,
                                                            const mapping::Log& log) {
  auto database = StepDatabase::open(options.state_dir);
  if (!database) return database.fault();
  try {
    std::unique_ptr<StepStore> store(new StepStore(std::move(database).value(), log));
    store->prepare(options)();
    return store;
  } catch (const StepDatabaseFailure& failure) {
    return mapping::Fault{
        mapping::Fault::Kind::malformed,
        fmt::format("{}: {}: restore it from a backup, or move it away with its -wal and -shm",
                    options.state_dir.string(), failure.what()),
        {}};
  }
}

StepStore::StepStore(std::unique_ptr<StepDatabase> database, mapping::Log log)
    : log_(std::move(log)), database_(std::move(database)) {
  database_->follow([this](const std::optional<DataSet>& stored, const DataSet& now) {
    const std::lock_guard lock(mutex_);
    if (stored) count(*stored, -1);
    count(now, 1);
  });
}

mapping::Change StepStore::prepare(const StepStoreOptions& options) {
  const auto before = scheduled_.get();
  if (before && before->options == options) return [] {};
  auto next = std::make_shared<Scheduled>();
  next->options = options;
  if (!options.worklist_dir.empty()) {
    next->directory =
        std::make_unique<WorklistDirectory>(options.worklist_dir, options.watch_interval, log_);
  }
  return [this, next] { scheduled_.set(next); };
}

// --- Which scheduled steps have been started.

void StepStore::Performed::add(DataSetView step, int count) {
  const std::string_view state = step.text(tags::PerformedProcedureStepStatus);
  (state == "COMPLETED"      ? completed
   : state == "DISCONTINUED" ? discontinued
                             : in_progress) += count;
}

std::string_view StepStore::Performed::scheduled_status() const {
  if (in_progress > 0) return "STARTED";
  if (completed > 0) return "COMPLETED";
  return discontinued > 0 ? "DISCONTINUED" : std::string_view();
}

// mutex_ is held. Adds to the scheduled steps that this performed step names.
void StepStore::count(DataSetView step, int count) {
  const auto scheduled = step.find(tags::ScheduledStepAttributesSequence);
  if (!scheduled || scheduled->vr != mapping::Vr::SQ) return;
  for (const DataSetView item : scheduled->items()) {
    const std::string key =
        scheduled_key(item.text(tags::StudyInstanceUID), item.text(tags::ScheduledProcedureStepID));
    if (!key.empty()) performed_[key].add(step, count);
  }
}

std::string_view StepStore::status_of(DataSetView scheduled_step) const {
  const std::lock_guard lock(mutex_);
  if (performed_.empty()) return {};
  const auto item = scheduled_step.first_item(tags::ScheduledProcedureStepSequence);
  if (!item) return {};
  const auto found = performed_.find(scheduled_key(scheduled_step.text(tags::StudyInstanceUID),
                                                   item->text(tags::ScheduledProcedureStepID)));
  return found == performed_.end() ? std::string_view() : found->second.scheduled_status();
}

// --- The worklist.

Outcome StepStore::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const Context& context) {
  // A look at the wire is not free, and nothing here waits for anybody.
  constexpr std::size_t between_looks = 64;
  Outcome outcome;
  outcome.fuzzy_matching_ignored = search.fuzzy_matching;
  const auto scheduled = scheduled_.get();
  if (scheduled->directory == nullptr) return outcome;
  const auto steps = scheduled->directory->steps();
  if (!steps) {
    return Outcome::answered(status::out_of_resources, "The worklist cannot be read");
  }
  const mapping::Matcher matcher(search);
  std::size_t looked_at = 0;
  for (const auto& file : *steps.value()) {
    for (const DataSet& step : *file) {
      if (looked_at++ % between_looks == 0) {
        if (context.cancelled()) return Outcome::answered(status::cancel);
        if (std::chrono::steady_clock::now() > context.deadline) {
          return Outcome::answered(status::out_of_resources, "The search took too long");
        }
      }
      const std::string_view state = status_of(step);
      if (!state.empty() && scheduled->options.hide_started) continue;
      const std::optional<DataSet> marked =
          state.empty() ? std::nullopt : std::optional(with_status(step, state));
      const DataSetView shown = marked ? marked->view() : step.view();
      if (!matcher.matches(shown)) continue;
      if (!on_match({mapping::answer_to_identifier(shown, search.identifier), true})) {
        return outcome;
      }
    }
  }
  return outcome;
}

// --- Performed steps.

Outcome StepStore::failed(const StepDatabaseFailure& failure, const Context& context) const {
  log_(mapping::LogLevel::error,
       fmt::format("tx={} the store refuses: {}", context.transaction, failure.what()));
  return Outcome::answered(status::resource_limitation, "The store cannot read or write");
}

Outcome StepStore::create(const Uid& mpps, const DataSet& attributes, const Context& context) {
  if (auto refusal = mapping::check_create(attributes)) return as_answer(std::move(*refusal));
  Outcome outcome;
  try {
    database_->change(mpps, [&](const DataSet* stored) -> std::optional<DataSet> {
      if (stored == nullptr) return attributes;
      outcome = Outcome::answered(status::duplicate_sop_instance, "The step exists already");
      return std::nullopt;
    });
  } catch (const StepDatabaseFailure& failure) {
    return failed(failure, context);
  }
  return outcome;
}

Outcome StepStore::update(const Uid& mpps, const DataSet& modifications, const Context& context) {
  Outcome outcome;
  try {
    database_->change(mpps, [&](const DataSet* stored) -> std::optional<DataSet> {
      if (stored == nullptr) {
        outcome = Outcome::answered(status::no_such_sop_instance, "There is no such step");
        return std::nullopt;
      }
      if (auto refusal = mapping::check_update(*stored, modifications)) {
        outcome = as_answer(std::move(*refusal));
        return std::nullopt;
      }
      return mapping::apply_modifications(*stored, modifications);
    });
  } catch (const StepDatabaseFailure& failure) {
    return failed(failure, context);
  }
  return outcome;
}

Outcome StepStore::retrieve(const Uid& mpps, const mapping::AttributeList& attributes,
                            DataSet& found, const Context& context) {
  try {
    const auto step = database_->find(mpps);
    if (!step) {
      return Outcome::answered(status::no_such_sop_instance, "There is no such step");
    }
    return retrieve_recorded(*step, attributes, found);
  } catch (const StepDatabaseFailure& failure) {
    return failed(failure, context);
  }
}

}  // namespace gateway
