// The first caller leads; when its group is done it names the first of those that came meanwhile.
#include "gateway/group_commit.h"

namespace gateway {

void GroupCommit::run(const Work& work) {
  Waiting own{.work = &work};
  std::unique_lock lock(mutex_);
  gathered_.push_back(&own);
  if (led_) {
    own.changed.wait(lock, [&own] { return own.done || own.leads; });
    if (own.done) {
      if (own.failure) std::rethrow_exception(own.failure);
      return;
    }
  }
  led_ = true;
  std::vector<Waiting*> group;
  group.swap(gathered_);
  lock.unlock();

  std::exception_ptr failure;
  try {
    transaction_([&group] {
      for (Waiting* const one : group) (*one->work)();
    });
  } catch (...) {
    failure = std::current_exception();
  }

  lock.lock();
  for (Waiting* const one : group) {
    one->failure = failure;
    one->done = true;
    if (one != &own) one->changed.notify_one();
  }
  led_ = !gathered_.empty();
  if (led_) {
    gathered_.front()->leads = true;
    gathered_.front()->changed.notify_one();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace gateway
