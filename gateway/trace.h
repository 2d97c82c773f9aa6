// "--trace NAME --for TIME": what one caller sends and is answered, data sets included, in a file,
// for a limited time. Patient data leave the data path here, so the log says where they go and
// until when.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/services.h"

namespace gateway {

struct TraceOptions {
  static constexpr std::chrono::seconds longest = std::chrono::hours(24);

  /// Whose: a calling AE title, a user of the web front, or a numeric address of either.
  std::string name;
  std::chrono::milliseconds duration{0};        ///< then it stops by itself
  std::uint64_t leave_free_bytes = 256u << 20;  ///< of the disk: it is stopped before it takes them
  std::size_t most_waiting_bytes = 64u << 20;   ///< not yet written: it is stopped beyond them
};

/// Writes lines to DIRECTORY/trace-NAME-TIME.jsonl, which only this user may read, from a thread of
/// its own: no transaction waits for the disk, and none fails with it. Safe from any thread.
class Trace {
 public:
  /// Fault: the file cannot be made.
  static mapping::Result<std::unique_ptr<Trace>> start(const std::filesystem::path& directory,
                                                       TraceOptions options, mapping::Log log);
  /// Writes what waits, and ends.
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  /// Whether lines of this caller are wanted now.
  bool follows(const mapping::Caller& caller) const;
  /// One line, without its end. Does not block.
  void write(std::string line);

  const std::filesystem::path& file() const { return file_; }

 private:
  Trace(std::filesystem::path file, int descriptor, TraceOptions options, mapping::Log log);
  void work();
  std::string write_out(const std::string& line);
  void end(std::string_view why, mapping::LogLevel level);

  const std::filesystem::path file_;
  const int descriptor_;
  const TraceOptions options_;
  const mapping::Log log_;
  std::atomic<bool> on_{true};
  std::uint64_t lines_ = 0, bytes_ = 0;  // of the thread

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;  // guarded by mutex_
  std::size_t waiting_bytes_ = 0;    // guarded by mutex_
  bool overrun_ = false;             // guarded by mutex_
  bool ending_ = false;              // guarded by mutex_
  std::thread thread_;
};

}  // namespace gateway
