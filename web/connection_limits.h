// How many connections a front keeps open: in total, and of one address, so that nobody takes all
// of them. Counts; closes nothing.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace web {

/// One thread at a time.
class ConnectionLimits {
 public:
  /// per_address: 0 = no limit.
  ConnectionLimits(std::size_t total, std::size_t per_address)
      : total_(total), per_address_(per_address) {}

  /// Whether this address has as many as it may have.
  bool share_is_taken(const std::string& address) const {
    const auto found = by_address_.find(address);
    return per_address_ > 0 && found != by_address_.end() && found->second >= per_address_;
  }
  /// One more connection of this address. Returns which limit it is over, as a sentence for the
  /// client; such a connection does not count. Empty: it is served, until leave.
  std::string_view enter(const std::string& address) {
    if (share_is_taken(address)) {
      return "This server has too many connections from this address open";
    }
    if (open_ >= total_) return "This server has too many connections open";
    ++by_address_[address];
    ++open_;
    return {};
  }
  /// One that was served is gone.
  void leave(const std::string& address) {
    const auto found = by_address_.find(address);
    if (--found->second == 0) by_address_.erase(found);
    --open_;
  }

 private:
  const std::size_t total_;
  const std::size_t per_address_;
  std::size_t open_ = 0;
  std::unordered_map<std::string, std::size_t> by_address_;
};

}  // namespace web
