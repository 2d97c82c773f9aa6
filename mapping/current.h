// What a running program may exchange: a whole at a time, while others go on with what they have.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace mapping {

/// A change that is ready: whatever can fail has been done. Called once, or never.
using Change = std::function<void()>;

/// Holds the T that is current. Who has got one keeps it as long as he needs it, whatever is set
/// meanwhile. Safe from any thread.
template <class T>
class Current {
 public:
  Current() = default;
  explicit Current(std::shared_ptr<T> first) : current_(std::move(first)) {}

  std::shared_ptr<T> get() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void set(std::shared_ptr<T> next) {
    const std::lock_guard lock(mutex_);
    current_.swap(next);
  }  // the one before, if nobody else has it, goes after the lock

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<T> current_;  // guarded by mutex_
};

}  // namespace mapping
