// The steps as the messages that were accepted last have made them, so that of a step with
// thousands of messages each is read once, and not again for every one that follows it.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>

#include "gateway/mpps_queue.h"

namespace gateway {

/// What stands in the database nevertheless: it may be dropped at any time, and must be where
/// something else was decided there. Used by one thread at a time.
class RecentSteps {
 public:
  /// most_bytes: of all attributes together; what was used least lately goes for it.
  explicit RecentSteps(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  struct Step {
    RecordedStep recorded;
    MessageId last = 0;  ///< of the messages that have made it
  };
  /// Null: it is not known here. Valid until the next call.
  const Step* find(const std::string& mpps);
  void set(const std::string& mpps, Step step);
  void drop(const std::string& mpps);
  void clear();

 private:
  using Steps = std::list<std::pair<std::string, Step>>;

  const std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  Steps steps_;  ///< used last first
  std::unordered_map<std::string, Steps::iterator> by_mpps_;
};

}  // namespace gateway
