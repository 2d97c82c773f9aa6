// The limits on associations that the front holds at the same time.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

namespace dimse {

/// How many associations there are, in all and of each calling AE title. Safe from any thread.
class Places {
 public:
  /// most_of_one: 0 = no limit of its own.
  Places(std::size_t most, std::size_t most_of_one) : most_(most), most_of_one_(most_of_one) {}

  bool take(const std::string& ae_title) {
    std::lock_guard lock(mutex_);
    if (taken_ >= most_) return false;
    if (most_of_one_ != 0) {
      auto& of_one = of_each_[ae_title];
      if (of_one >= most_of_one_) return false;
      ++of_one;
    }
    ++taken_;
    return true;
  }
  void leave(const std::string& ae_title) {
    std::lock_guard lock(mutex_);
    --taken_;
    auto of_one = of_each_.find(ae_title);
    if (of_one != of_each_.end() && --of_one->second == 0) of_each_.erase(of_one);
  }
  std::size_t taken() const {
    std::lock_guard lock(mutex_);
    return taken_;
  }

 private:
  const std::size_t most_, most_of_one_;
  mutable std::mutex mutex_;
  std::size_t taken_ = 0;                       // guarded by mutex_
  std::map<std::string, std::size_t> of_each_;  // guarded by mutex_; no zeros
};

/// One of them, taken when an association request has arrived whole.
class Place {
 public:
  explicit Place(Places& places) : places_(places) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { leave(); }
  bool take(const std::string& ae_title) {
    held_ = places_.take(ae_title);
    ae_title_ = ae_title;
    return held_;
  }
  void leave() {
    if (held_) places_.leave(ae_title_);
    held_ = false;
  }

 private:
  Places& places_;
  std::string ae_title_;
  bool held_ = false;
};

}  // namespace dimse
