#include "gateway/disposal.h"

#include <utility>

namespace gateway {

Disposal::Disposal() : thread_([this] { run(); }) {}

Disposal::~Disposal() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Disposal::end(std::function<void()> ending) {
  const std::lock_guard lock(mutex_);
  endings_.push_back(std::move(ending));
  changed_.notify_all();
}

void Disposal::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !endings_.empty(); });
    if (endings_.empty()) return;
    const auto ending = std::move(endings_.front());
    endings_.pop_front();
    lock.unlock();
    ending();
    lock.lock();
  }
}

}  // namespace gateway
