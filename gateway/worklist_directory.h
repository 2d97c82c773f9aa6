// The scheduled procedure steps that lie in a directory as files: read at the start, and again when
// they change. Knows nothing of searches.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mapping/data_set.h"
#include "mapping/log.h"
#include "mapping/result.h"

namespace gateway {

/// The data sets of one file, whose form its name's end says: .json (DICOM JSON, one object or an
/// array of them), .dump (DCMTK's dump format), .wl and .dcm (a DICOM file of PS3.10, or a bare
/// data set in implicit or explicit VR). Faults name the place and what was expected, never a
/// value.
mapping::Result<std::vector<mapping::DataSet>> read_worklist_file(std::string_view name,
                                                                  std::string_view content);

/// Watches one directory, not those inside it; names that begin with a dot are left out.
///
/// * A file that cannot be read, or a link that leads nowhere, is reported once, by name, place and
///   what was expected, without patient data, and left out; the others are served.
/// * A file that changes is read again. As long as it may still be being written (it changed within
///   the last two seconds) a fault is not yet believed, and what it held before is served.
/// * A directory that cannot be listed makes steps() a fault: an empty worklist would be a lie.
///
/// Safe from any thread.
class WorklistDirectory {
 public:
  /// One data set for each scheduled procedure step of a file, as they stand in it.
  using FileSteps = std::vector<mapping::DataSet>;
  /// By file name.
  using Steps = std::vector<std::shared_ptr<const FileSteps>>;

  /// Reads everything before it returns, then looks for changes every interval on a thread of its
  /// own.
  WorklistDirectory(std::filesystem::path directory, std::chrono::milliseconds interval,
                    mapping::Log log);
  ~WorklistDirectory();
  WorklistDirectory(const WorklistDirectory&) = delete;
  WorklistDirectory& operator=(const WorklistDirectory&) = delete;

  /// What there is now; stays as it is while somebody holds it.
  mapping::Result<std::shared_ptr<const Steps>> steps() const;

 private:
  /// By what a change is seen: contents that change keep no such four together.
  struct Stamp {
    long long modified = 0;  ///< nanoseconds; this one and the next
    long long changed = 0;
    unsigned long long inode = 0;
    unsigned long long size = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct File {
    Stamp stamp;
    bool settled = false;  ///< has been read while its stamp was old enough to say all
    std::shared_ptr<const FileSteps> steps;  ///< null: none
    std::string fault;                       ///< as reported; empty = none
  };

  static bool is_settled(const Stamp& stamp);
  void watch();
  void look();
  bool list(std::map<std::string, Stamp>& found, std::string& fault) const;
  bool read(const std::string& name, const Stamp& stamp, File& file);
  void publish();

  const std::filesystem::path directory_;
  const std::chrono::milliseconds interval_;
  const mapping::Log log_;

  std::map<std::string, File> files_;  ///< of the thread that looks

  mutable std::mutex mutex_;
  std::condition_variable stop_condition_;
  bool stopping_ = false;  ///< guarded by mutex_, as the two below
  std::shared_ptr<const Steps> steps_;
  std::string fault_;  ///< of the directory; empty = none

  std::thread thread_;
};

}  // namespace gateway
