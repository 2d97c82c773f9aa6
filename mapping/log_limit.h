// For lines that whoever reaches a port can cause without end: some are written, the rest is
// counted.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "mapping/log.h"

namespace mapping {

/// Of each minute and address so many lines above debug are written, and so many in all; of the
/// others, when they are 1, 10, 100, …, how many there are, and at the first line of a later minute
/// how many there were. Safe from any thread.
class LogLimit {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t of_an_address = 20;
  static constexpr std::size_t of_all = 200;
  static constexpr std::chrono::minutes period{1};

  /// now: for tests.
  explicit LogLimit(Log log, std::function<Clock::time_point()> now = Clock::now);

  void operator()(LogLevel level, const std::string& address, std::string_view line) const;

 private:
  const Log log_;
  const std::function<Clock::time_point()> now_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  mutable Clock::time_point begin_;
  mutable std::map<std::string, std::size_t> written_;  ///< at most of_all addresses
  mutable std::size_t all_ = 0;                         ///< written
  mutable std::uint64_t counted_ = 0;                   ///< not written
  mutable LogLevel level_ = LogLevel::warn;             ///< of the last one not written
};

}  // namespace mapping
