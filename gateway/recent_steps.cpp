#include "gateway/recent_steps.h"

#include <utility>

namespace gateway {

const RecentSteps::Step* RecentSteps::find(const std::string& mpps) {
  const auto found = by_mpps_.find(mpps);
  if (found == by_mpps_.end()) return nullptr;
  steps_.splice(steps_.begin(), steps_, found->second);
  return &found->second->second;
}

void RecentSteps::set(const std::string& mpps, Step step) {
  drop(mpps);
  bytes_ += step.recorded.attributes.bytes().size();
  steps_.emplace_front(mpps, std::move(step));
  by_mpps_[mpps] = steps_.begin();
  while (bytes_ > most_bytes_) drop(std::string(steps_.back().first));
}

void RecentSteps::drop(const std::string& mpps) {
  const auto found = by_mpps_.find(mpps);
  if (found == by_mpps_.end()) return;
  bytes_ -= found->second->second.recorded.attributes.bytes().size();
  steps_.erase(found->second);
  by_mpps_.erase(found);
}

void RecentSteps::clear() {
  steps_.clear();
  by_mpps_.clear();
  bytes_ = 0;
}

}  // namespace gateway
