// Lines by receiver, those that a change ends, and what has to be done now and then.
#include "gateway/mpps_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

namespace gateway {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds look_for_visitors{1'000};
constexpr std::chrono::minutes between_forgetting{10};

}  // namespace

class MppsDelivery::Impl {
 public:
  Impl(MppsQueue& queue, std::vector<MppsReceiver> receivers, DeliveryOptions options,
       mapping::Log log)
      : shared_{queue, std::move(log)}, first_receivers_(std::move(receivers)), options_(options) {}

  void start() {
    change(std::move(first_receivers_), options_);
    housekeeper_ = std::thread([this] { keep_house(); });
  }

  void change(std::vector<MppsReceiver> receivers, DeliveryOptions options);

  void wake(const std::string& receiver) {
    const std::lock_guard lock(mutex_);
    for (DeliveryLine& line : lines_) {
      if (line.name() == receiver) line.wake();
    }
  }

  void stop() {
    if (!housekeeper_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      for (DeliveryLine& line : lines_) line.end();
    }
    housekeeping_.notify_all();
    housekeeper_.join();
    for (DeliveryLine& line : lines_) line.join();
    for (DeliveryLine& line : leaving_) line.join();
  }

 private:
  void keep_house();
  bool forget_some(QueueTime accepted_before);
  void join_those_over();

  DeliveryShared shared_;
  std::vector<MppsReceiver> first_receivers_;  ///< until the start
  std::thread housekeeper_;
  std::condition_variable housekeeping_;
  std::mutex mutex_;  // guards what follows
  DeliveryOptions options_;
  std::list<DeliveryLine> lines_;
  std::list<DeliveryLine> leaving_;  ///< end an attempt, or wait to be joined
  bool stopping_ = false;
};

void MppsDelivery::Impl::change(std::vector<MppsReceiver> receivers, DeliveryOptions options) {
  const std::lock_guard lock(mutex_);
  options_ = options;
  std::list<DeliveryLine> before;
  before.swap(lines_);
  for (MppsReceiver& receiver : receivers) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const DeliveryLine& line) {
      return line.is(receiver, options);
    });
    if (same != before.end()) {
      lines_.splice(lines_.end(), before, same);
      continue;
    }
    const std::string name = receiver.name;
    // What one that ends has given back is for the one that is there now.
    lines_.emplace_back(shared_, std::move(receiver), options).start([this, name] { wake(name); });
  }
  for (DeliveryLine& line : before) line.end();
  leaving_.splice(leaving_.end(), before);
}

void MppsDelivery::Impl::join_those_over() {
  std::list<DeliveryLine> over;
  {
    const std::lock_guard lock(mutex_);
    over.swap(leaving_);
  }
  std::list<DeliveryLine> still;
  for (auto line = over.begin(); line != over.end();) {
    const auto next = std::next(line);
    if (!line->over()) still.splice(still.end(), over, line);
    line = next;
  }
  for (DeliveryLine& line : over) {
    line.join();
    wake(line.name());  // what it could not give back when it ended
  }
  const std::lock_guard lock(mutex_);
  leaving_.splice(leaving_.end(), still);
}

// Messages that a person has released, and those that may be forgotten.
void MppsDelivery::Impl::keep_house() {
  auto forget_at = Clock::now();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto keep = options_.keep_delivered;
    lock.unlock();
    join_those_over();
    try {
      if (shared_.queue.changed_elsewhere()) {
        const std::lock_guard relock(mutex_);
        for (DeliveryLine& line : lines_) line.wake();
      }
    } catch (const QueueFailure& failure) {
      shared_.database_failed(failure);
    }
    if (Clock::now() >= forget_at && !forget_some(queue_now() - keep)) {
      forget_at = Clock::now() + between_forgetting;
    }
    lock.lock();
    housekeeping_.wait_for(lock, look_for_visitors, [this] { return stopping_; });
  }
}

/// Whether there may be more.
bool MppsDelivery::Impl::forget_some(QueueTime accepted_before) {
  try {
    return shared_.queue.forget(accepted_before) > 0;
  } catch (const QueueFailure& failure) {  // no reason to deliver nothing
    shared_.log(mapping::LogLevel::error,
                fmt::format("delivered MPPS messages stay in the queue, which cannot forget them "
                            "now: {}",
                            failure.what()));
    return false;
  }
}

MppsDelivery::MppsDelivery(MppsQueue& queue, std::vector<MppsReceiver> receivers,
                           DeliveryOptions options, mapping::Log log)
    : impl_(std::make_unique<Impl>(queue, std::move(receivers), options, std::move(log))) {}
MppsDelivery::~MppsDelivery() { stop(); }
void MppsDelivery::start() { impl_->start(); }
void MppsDelivery::change(std::vector<MppsReceiver> receivers, DeliveryOptions options) {
  impl_->change(std::move(receivers), options);
}
void MppsDelivery::wake(const std::string& receiver) { impl_->wake(receiver); }
void MppsDelivery::stop() { impl_->stop(); }

}  // namespace gateway
