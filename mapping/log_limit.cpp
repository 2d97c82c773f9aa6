#include "mapping/log_limit.h"

#include <fmt/format.h>

#include <utility>

namespace mapping {
namespace {

bool is_power_of_ten(std::uint64_t number) {
  while (number % 10 == 0 && number > 0) number /= 10;
  return number == 1;
}

}  // namespace

LogLimit::LogLimit(Log log, std::function<Clock::time_point()> now)
    : log_(std::move(log)), now_(std::move(now)), begin_(now_()) {}

void LogLimit::operator()(LogLevel level, const std::string& address, std::string_view line) const {
  if (!log_) return;
  if (level == LogLevel::debug) return log_(level, line);  // who reads these wants them all
  std::uint64_t before = 0, more = 0;
  bool write = false;
  LogLevel level_before = level;
  {
    const std::lock_guard lock(mutex_);
    const auto now = now_();
    if (now - begin_ >= period) {
      begin_ = now;
      written_.clear();
      all_ = 0;
      before = std::exchange(counted_, 0);
      level_before = level_;
    }
    write = all_ < of_all && written_[address] < of_an_address;
    if (write) {
      ++all_;
      ++written_[address];
    } else {
      level_ = level;
      if (is_power_of_ten(++counted_)) more = counted_;
    }
  }
  if (before > 0) {
    log_(level_before, fmt::format("{} lines of this kind were not written", before));
  }
  if (write) log_(level, line);
  if (more > 0) {
    log_(level, fmt::format("{} (too many such lines: {} not written in this minute)", line, more));
  }
}

}  // namespace mapping
