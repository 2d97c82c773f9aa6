// Reads what a person wants to know of the queue every few seconds, and tries now and then whether
// it can be written, in the background, since that may wait for the disk: the admin port tells what
// was found last.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gateway/mpps_queue.h"
#include "mapping/log.h"

namespace gateway {

/// What was read of the queue. A value.
struct QueueState {
  static constexpr std::size_t most_held = 100;

  std::vector<QueueDepth> receivers;
  std::vector<QueueEntry> held;  ///< the oldest, at most most_held
  std::string fault;             ///< why nothing is known; empty: it is
  std::string write_fault;       ///< why nothing can be kept; empty: it can, or it is not known
};

/// Safe from any thread.
class QueueWatch {
 public:
  /// queue outlives this. One log line when it cannot be read or written any more.
  QueueWatch(MppsQueue& queue, std::chrono::milliseconds interval, mapping::Log log);
  ~QueueWatch();
  QueueWatch(const QueueWatch&) = delete;
  QueueWatch& operator=(const QueueWatch&) = delete;

  QueueState state() const;
  /// Reads now; writes if that failed last, or was not tried lately. Blocks for the disk.
  void look();

 private:
  void watch();
  void try_to_write(QueueState& now);

  MppsQueue& queue_;
  const std::chrono::milliseconds interval_;
  const mapping::Log log_;
  std::mutex looking_;  // one look at a time: a later one tells no older news
  mutable std::mutex mutex_;
  std::condition_variable ends_;
  bool ending_ = false;                               // guarded by mutex_
  QueueState state_;                                  // guarded by mutex_
  std::chrono::steady_clock::time_point write_at_{};  // guarded by looking_
  std::thread thread_;
};

}  // namespace gateway
