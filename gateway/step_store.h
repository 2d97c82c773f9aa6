// The embedded worklist provider and MPPS manager, kind = store: with it modgate alone is an SCP
// and an origin server of both services. Serves scheduled steps from files and keeps performed ones
// in SQLite; PS3.4, Annexes F and K.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/step_database.h"
#include "gateway/worklist_directory.h"
#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/services.h"

namespace gateway {

struct StepStoreOptions {
  std::filesystem::path state_dir;                 ///< where performed steps are kept
  std::filesystem::path worklist_dir;              ///< empty: no scheduled steps, whatever is asked
  bool hide_started = false;                       ///< a search leaves out what has been started
  std::chrono::milliseconds watch_interval{1000};  ///< between two looks at worklist_dir
  bool operator==(const StepStoreOptions&) const = default;
};

/// * Search: matches by mapping::Matcher, one scheduled step each, in the order of
///   WorklistDirectory, with what the identifier asks for as an SCP would answer it. Fuzzy matching
///   is not done.
/// * Performed steps keep Table F.7.2-1 and the states of F.7.2.2 whatever `validate` of a front
///   lets pass; success is said after they are on disk.
/// * A scheduled step that performed steps name (Study Instance UID and Scheduled Procedure Step ID
///   in the Scheduled Step Attributes Sequence) is answered with Scheduled Procedure Step Status
///   STARTED while one of them is IN PROGRESS, else COMPLETED where one is, else DISCONTINUED.
/// * A database that cannot write: 0213, and one log line.
///
/// Safe from any thread.
class StepStore : public mapping::WorklistService, public mapping::MppsService {
 public:
  /// Fault: what is wrong with state_dir, and what to do.
  static mapping::Result<std::unique_ptr<StepStore>> open(const StepStoreOptions& options,
                                                          const mapping::Log& log);

  /// Serves scheduled steps by other options, to searches that begin after the change; state_dir
  /// stays. From one thread, as the change.
  mapping::Change prepare(const StepStoreOptions& options);

  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  /// 0001 with what there is where attributes of Table F.8.2-1 were asked for that the step does
  /// not have; 0107 with those that are none of that table (rule F28).
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;

 private:
  /// Performed steps of one scheduled step, by state.
  struct Performed {
    int in_progress = 0;
    int completed = 0;
    int discontinued = 0;
    void add(mapping::DataSetView step, int count);
    std::string_view scheduled_status() const;  ///< empty: none at all
  };

  /// Where scheduled steps come from, and how they are served.
  struct Scheduled {
    StepStoreOptions options;
    std::unique_ptr<WorklistDirectory> directory;  ///< null without worklist_dir
  };

  StepStore(std::unique_ptr<StepDatabase> database, mapping::Log log);
  void count(mapping::DataSetView step, int count);
  std::string_view status_of(mapping::DataSetView scheduled_step) const;
  mapping::Outcome failed(const StepDatabaseFailure& failure,
                          const mapping::Context& context) const;

  const mapping::Log log_;
  mutable std::mutex mutex_;
  /// By Study Instance UID and Scheduled Procedure Step ID; guarded by mutex_.
  std::unordered_map<std::string, Performed> performed_;
  const std::unique_ptr<StepDatabase> database_;
  mapping::Current<const Scheduled> scheduled_;
};

}  // namespace gateway
