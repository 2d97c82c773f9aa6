// Lines by receiver, those that a change ends, and what has to be done now and then.
#include "gateway/mpps_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
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
      : shared_{queue, std::move(log)}, options_(options) {
    for (MppsReceiver& receiver : receivers) {
      lines_.emplace_back(shared_, std::move(receiver), options);
    }
  }

  void start() {
    for (DeliveryLine& line : lines_) start(line);
    housekeeper_.begin([this] { keep_house(); });
  }

  mapping::Change prepare(std::vector<MppsReceiver> receivers, DeliveryOptions options);

  void wake(const std::string& receiver) {
    const std::lock_guard lock(mutex_);
    for (DeliveryLine& line : lines_) {
      if (line.name() == receiver) line.wake();
    }
  }

  void stop() {
    if (!housekeeper_.working()) return;
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
  /// What a change brings.
  struct Next {
    DeliveryOptions options;
    std::vector<const DeliveryLine*> staying;
    std::list<DeliveryLine> coming;
  };

  // What one that ends has given back is for the one that is there now.
  void start(DeliveryLine& line) {
    line.start([this, &line] { wake(line.name()); });
  }
  void change(Next& next);
  void keep_house();
  bool forget_some(QueueTime accepted_before);
  void join_those_over();

  DeliveryShared shared_;
  std::condition_variable housekeeping_;
  std::mutex mutex_;  // guards what follows
  DeliveryOptions options_;
  std::list<DeliveryLine> lines_;
  std::list<DeliveryLine> leaving_;  ///< end an attempt, or wait to be joined
  bool stopping_ = false;
  ReadyThread housekeeper_;  // last: it uses what stands above
};

mapping::Change MppsDelivery::Impl::prepare(std::vector<MppsReceiver> receivers,
                                            DeliveryOptions options) {
  auto next = std::make_shared<Next>();
  next->options = options;
  for (MppsReceiver& receiver : receivers) {
    const auto same = std::find_if(lines_.begin(), lines_.end(), [&](const DeliveryLine& line) {
      return line.is(receiver, options);
    });
    if (same != lines_.end()) {
      next->staying.push_back(&*same);
    } else {
      next->coming.emplace_back(shared_, std::move(receiver), options);
    }
  }
  return [this, next] { change(*next); };
}

void MppsDelivery::Impl::change(Next& next) {
  const std::lock_guard lock(mutex_);
  options_ = next.options;
  for (auto line = lines_.begin(); line != lines_.end();) {
    const auto one = line++;
    const auto& staying = next.staying;
    if (std::find(staying.begin(), staying.end(), &*one) != staying.end()) continue;
    one->end();
    leaving_.splice(leaving_.end(), lines_, one);
  }
  for (DeliveryLine& line : next.coming) start(line);
  lines_.splice(lines_.end(), next.coming);
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
mapping::Change MppsDelivery::prepare(std::vector<MppsReceiver> receivers,
                                      DeliveryOptions options) {
  return impl_->prepare(std::move(receivers), options);
}
void MppsDelivery::wake(const std::string& receiver) { impl_->wake(receiver); }
void MppsDelivery::stop() { impl_->stop(); }

}  // namespace gateway
