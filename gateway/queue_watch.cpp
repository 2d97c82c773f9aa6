#include "gateway/queue_watch.h"

#include <utility>

namespace gateway {

QueueWatch::QueueWatch(MppsQueue& queue, std::chrono::milliseconds interval, mapping::Log log)
    : queue_(queue), interval_(interval), log_(std::move(log)) {
  look();
  thread_ = std::thread([this] { watch(); });
}

QueueWatch::~QueueWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_all();
  thread_.join();
}

QueueState QueueWatch::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void QueueWatch::watch() {
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, interval_, [this] { return ending_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void QueueWatch::look() {
  const std::lock_guard one(looking_);
  QueueState now;
  try {
    now.receivers = queue_.depths();
    QueueFilter held;
    held.state = DeliveryState::held;
    held.limit = QueueState::most_held;
    now.held = queue_.list(held);
    try_to_write(now);
  } catch (const QueueFailure& failure) {
    now = {};
    now.fault = failure.what();
  }
  const std::lock_guard lock(mutex_);
  if (!now.fault.empty() && now.fault != state_.fault) {
    log_(mapping::LogLevel::error, "the queue cannot be read: " + now.fault);
  }
  if (!now.write_fault.empty() && now.write_fault != state_.write_fault) {
    log_(mapping::LogLevel::error, "the MPPS queue cannot be written: " + now.write_fault);
  }
  state_ = std::move(now);
}

// Before a modality finds out. After a failure as often as it is looked at.
void QueueWatch::try_to_write(QueueState& now) {
  constexpr std::chrono::seconds between_writes{4};
  const auto clock = std::chrono::steady_clock::now();
  if (clock < write_at_) return;
  try {
    queue_.check_writable();
    write_at_ = clock + between_writes;
  } catch (const QueueFailure& failure) {
    now.write_fault = failure.what();
  }
}

}  // namespace gateway
