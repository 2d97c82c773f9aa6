// The last transactions and the numbers of the last hour, for a person who looks at the status
// page. In memory, bounded; holds what the log's lines hold, and no patient data.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "mapping/outcome.h"
#include "mapping/services.h"

namespace gateway {

/// One transaction that has ended. A value.
struct TransactionRecord {
  using Time = std::chrono::sys_time<std::chrono::milliseconds>;
  Time at{};  ///< when it ended
  mapping::Transaction operation = mapping::Transaction::search;
  mapping::Caller::Protocol front = mapping::Caller::Protocol::dimse;
  std::string backend;      ///< as the log has it: names of backends, or "queue"
  std::string caller;       ///< AE title or user, at most 64 bytes
  std::string address;      ///< numeric
  std::string transaction;  ///< this gateway's id of it
  mapping::Outcome::How how = mapping::Outcome::How::answered;
  mapping::NetworkEvent event = mapping::NetworkEvent::none;
  std::uint16_t status = 0;
  std::string comment;  ///< this gateway's own words; never a peer's
  std::chrono::microseconds took{0};
};

/// Safe from any thread.
class RecentTransactions {
 public:
  static constexpr std::size_t kept = 100;
  static constexpr std::size_t minutes = 60;

  void note(TransactionRecord record);

  /// The last ones, newest first.
  std::vector<TransactionRecord> latest() const;
  /// The last one of each backend that ended with a failure, by backend.
  std::map<std::string, TransactionRecord> failures() const;

  /// The last one of each backend and operation that ended with a failure that stays (advice.h),
  /// where nothing has succeeded since.
  std::vector<TransactionRecord> refusals() const;

  struct Minute {
    std::uint64_t count = 0;
    std::uint64_t failed = 0;
    std::chrono::microseconds sum{0};
    std::chrono::microseconds longest{0};
  };
  /// The last hour, oldest first; the last one has only begun.
  std::array<Minute, minutes> hour(TransactionRecord::Time now) const;

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<TransactionRecord> ring_;
  std::size_t next_ = 0;  ///< place in ring_ of the oldest, once it is full
  std::map<std::string, TransactionRecord> failures_;
  std::map<std::pair<std::string, mapping::Transaction>, TransactionRecord> refusals_;
  std::array<Minute, minutes> minutes_{};
  std::int64_t newest_minute_ = 0;  ///< since 1970; the place of a minute is it modulo minutes
};

}  // namespace gateway
