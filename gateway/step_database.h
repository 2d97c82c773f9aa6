// Where the embedded store keeps performed procedure steps: one SQLite file in state_dir, WAL,
// synchronous=FULL, group commit. Knows no rule about what a step may hold.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>

#include "mapping/data_set.h"
#include "mapping/result.h"
#include "mapping/uid.h"

namespace gateway {

/// The database could not do it (disk full, damaged, locked): nothing has happened. what(): for the
/// log, without patient data.
class StepDatabaseFailure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Safe from any thread.
class StepDatabase {
 public:
  /// directory: state_dir. Fault: what is wrong with which file, and what to do; a damaged file,
  /// one of another program and one that a running modgate uses are left as they are.
  static mapping::Result<std::unique_ptr<StepDatabase>> open(
      const std::filesystem::path& directory);
  ~StepDatabase();

  /// stored: null if there is no such step. Returns the step as it is to be from now on, or nothing
  /// to leave it as it is.
  using Decide = std::function<std::optional<mapping::DataSet>(const mapping::DataSet* stored)>;
  /// Called after each commit, in its order and before change returns, for what was written.
  using OnWritten = std::function<void(const std::optional<mapping::DataSet>& stored,
                                       const mapping::DataSet& now)>;

  /// One change of one step, on disk when this returns. decide runs alone: no two changes are
  /// judged at the same time. Throws StepDatabaseFailure.
  void change(const mapping::Uid& mpps, const Decide& decide);
  /// The step, or nothing. Throws StepDatabaseFailure.
  std::optional<mapping::DataSet> find(const mapping::Uid& mpps);

  /// Hands on every step there is (stored: nothing), then whatever change writes. Once, before
  /// anything else is called. Throws StepDatabaseFailure.
  void follow(OnWritten on_written);

 private:
  class Impl;
  explicit StepDatabase(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
