#include "gateway/recent_transactions.h"

#include <algorithm>
#include <utility>

#include "gateway/advice.h"

namespace gateway {
namespace {

constexpr std::size_t longest_name = 64;
/// So many minutes ahead of another time, a time was a wrong clock's.
constexpr std::int64_t too_far_ahead = 24 * 60;

std::int64_t minute_of(TransactionRecord::Time time) {
  return std::chrono::floor<std::chrono::minutes>(time).time_since_epoch().count();
}

std::size_t place_of(std::int64_t minute) {
  return static_cast<std::size_t>(minute) % RecentTransactions::minutes;
}

bool failed(const TransactionRecord& record) {
  return mapping::classify(record.status) == mapping::StatusClass::failure;
}

}  // namespace

void RecentTransactions::note(TransactionRecord record) {
  if (record.caller.size() > longest_name) record.caller.resize(longest_name);
  const std::int64_t minute = minute_of(record.at);
  const std::lock_guard lock(mutex_);
  if (newest_minute_ - minute > too_far_ahead) {
    minutes_ = {};
    newest_minute_ = minute;
  }
  if (minute > newest_minute_) {
    const auto passed = std::min<std::int64_t>(minute - newest_minute_, minutes);
    for (std::int64_t i = 0; i < passed; ++i) minutes_[place_of(minute - i)] = {};
    newest_minute_ = minute;
  }
  // A clock that was set back: what ended "earlier" counts as now.
  Minute& counted = minutes_[place_of(newest_minute_)];
  ++counted.count;
  counted.sum += record.took;
  counted.longest = std::max(counted.longest, record.took);
  if (failed(record)) {
    ++counted.failed;
    failures_[record.backend] = record;
    if (stays(record.event, record.status)) {
      refusals_[{record.backend, record.operation}] = record;
    }
  } else {
    refusals_.erase({record.backend, record.operation});
  }
  if (ring_.size() < kept) {
    ring_.push_back(std::move(record));
  } else {
    ring_[next_] = std::move(record);
    next_ = (next_ + 1) % kept;
  }
}

std::vector<TransactionRecord> RecentTransactions::latest() const {
  const std::lock_guard lock(mutex_);
  std::vector<TransactionRecord> all;
  all.reserve(ring_.size());
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    all.push_back(ring_[(next_ + ring_.size() - 1 - i) % ring_.size()]);
  }
  return all;
}

std::map<std::string, TransactionRecord> RecentTransactions::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

std::vector<TransactionRecord> RecentTransactions::refusals() const {
  const std::lock_guard lock(mutex_);
  std::vector<TransactionRecord> all;
  for (const auto& [of, record] : refusals_) all.push_back(record);
  return all;
}

std::array<RecentTransactions::Minute, RecentTransactions::minutes> RecentTransactions::hour(
    TransactionRecord::Time now) const {
  std::array<Minute, minutes> hour{};
  const std::lock_guard lock(mutex_);
  const std::int64_t minute_now = minute_of(now);
  if (newest_minute_ - minute_now > too_far_ahead) return hour;
  const std::int64_t last = std::max(minute_now, newest_minute_);
  for (std::size_t i = 0; i < minutes; ++i) {
    const std::int64_t minute = last - static_cast<std::int64_t>(minutes - 1 - i);
    const bool known =
        minute <= newest_minute_ && minute > newest_minute_ - static_cast<std::int64_t>(minutes);
    if (known) hour[i] = minutes_[place_of(minute)];
  }
  return hour;
}

}  // namespace gateway
