// Brings what was written to the disk, for many threads: one syncs for all that have written
// before, and whoever writes meanwhile waits for nobody.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace gateway {

/// Safe from any thread.
class SharedSync {
 public:
  enum class Haste : std::uint8_t {
    now,
    /// Gives way: while others ask for now, waits a moment for one of theirs to do for it as well.
    soon
  };

  /// sync: returns when all that was written before it was called is on the disk; throws if that
  /// cannot be said. Never called twice at a time.
  explicit SharedSync(std::function<void()> sync) : sync_(std::move(sync)) {}

  /// Returns when the writes up to this number, which were made before the call, are on the disk.
  /// Throws what sync threw, then and ever after: the kernel forgets what it could not write, so
  /// that a further sync would succeed without it.
  void wait(std::uint64_t number, Haste haste);

 private:
  using Clock = std::chrono::steady_clock;

  const std::function<void()> sync_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t written_ = 0, synced_ = 0;
  bool syncing_ = false;
  std::exception_ptr failure_;
  Clock::time_point last_now_{};
};

}  // namespace gateway
