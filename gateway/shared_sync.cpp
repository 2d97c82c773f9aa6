// The first that finds nobody syncing does it, for all that have come until then.
#include "gateway/shared_sync.h"

#include <algorithm>

namespace gateway {
namespace {

constexpr std::chrono::milliseconds others_are_near{2};
constexpr std::chrono::milliseconds longest_giving_way{1};

}  // namespace

void SharedSync::wait(std::uint64_t number, Haste haste) {
  std::unique_lock lock(mutex_);
  const auto done = [&] { return failure_ || synced_ >= number; };
  written_ = std::max(written_, number);
  if (haste == Haste::now) {
    last_now_ = Clock::now();
  } else if (!done() && Clock::now() - last_now_ < others_are_near) {
    changed_.wait_for(lock, longest_giving_way, done);
  }
  while (!done()) {
    if (syncing_) {
      changed_.wait(lock, [&] { return done() || !syncing_; });
      continue;
    }
    syncing_ = true;
    const std::uint64_t upto = written_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      sync_();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    syncing_ = false;
    if (failure) {
      failure_ = failure;
    } else {
      synced_ = std::max(synced_, upto);
    }
    changed_.notify_all();
  }
  if (synced_ < number) std::rethrow_exception(failure_);
}

}  // namespace gateway
