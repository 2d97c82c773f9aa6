// A line for each receiver: messages that are taken out of the queue, workers that bring them, and
// how it ended. One worker at a time goes to the queue, for all: it records what has ended and
// takes what comes next, while the others go on with what is there.
#include "gateway/mpps_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <random>
#include <thread>

#include "gateway/delivery_policy.h"
#include "gateway/mpps_courier.h"

namespace gateway {
namespace {

using mapping::LogLevel;
using mapping::Outcome;
using mapping::Transaction;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds at_once{0};
constexpr milliseconds longest_sleep{3'600'000};
constexpr milliseconds after_database_failure{1'000};
constexpr milliseconds look_for_visitors{1'000};
constexpr std::chrono::minutes between_forgetting{10};
/// Acceptance comes first: what is accepted meanwhile goes out together.
constexpr milliseconds gathering{5};
/// What has ended is recorded after this even while more is there to bring.
constexpr milliseconds longest_unrecorded{5};

/// first, doubled once for each failure before, at most max; a fifth more or less, so that many do
/// not come at once.
milliseconds back_off(milliseconds first, milliseconds max, std::uint32_t failures) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto doubled = first * (std::int64_t{1} << std::min<std::uint32_t>(failures, 20));
  const auto wanted = std::min(doubled, max).count();
  return milliseconds(
      std::uniform_int_distribution<std::int64_t>(wanted * 4 / 5, wanted * 6 / 5)(random));
}

/// What the lines have in common.
struct Common {
  MppsQueue& queue;
  const mapping::Log log;
  std::atomic<bool> database_failing = false;

  /// Said once, until it works again.
  void database_failed(const QueueFailure& failure) {
    if (database_failing.exchange(true)) return;
    log(LogLevel::error, fmt::format("the MPPS queue cannot be used, nothing is delivered until it "
                                     "can: {}",
                                     failure.what()));
  }
};

/// One receiver and those that work for it.
class Line {
 public:
  Line(Common& common, MppsReceiver receiver, const DeliveryOptions& options)
      : common_(common),
        receiver_(std::move(receiver)),
        options_(options),
        few_(2 * options.workers),
        many_(8 * options.workers) {}

  const std::string& name() const { return receiver_.name; }
  /// What it is made of.
  bool is(const MppsReceiver& receiver, const DeliveryOptions& options) const {
    return receiver_.name == receiver.name && receiver_.service == receiver.service &&
           options_ == options;
  }
  /// closed: called when the last worker has ended and all is given back.
  void start(const std::function<void()>& closed);
  /// There may be something to take.
  void wake();
  /// Workers end as soon as their attempts have.
  void end();
  /// After end. True: all have ended, and nothing is left to be recorded.
  bool over();
  /// After end: waits for the workers.
  void join();

 private:
  using Lock = std::unique_lock<std::mutex>;

  void work();
  void close(Lock& lock);
  bool exchange_is_due() const;
  void exchange(Lock& lock);
  void give_back();
  void bring_next(Lock& lock);
  std::pair<Attempt, Verdict> attempt(const Delivery& delivery);
  void wait_until_up(Lock& lock);
  void probe(Lock& lock);

  Common& common_;
  const MppsReceiver receiver_;
  const DeliveryOptions options_;
  const std::size_t few_;   ///< ready ones, or fewer: time for others
  const std::size_t many_;  ///< at most so many are ready

  std::vector<std::thread> threads_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool ending_ = false;
  std::size_t working_ = 0;     ///< of threads_
  std::deque<Delivery> ready_;  ///< taken out of the queue, for any worker
  std::vector<Ended> ended_;    ///< not yet recorded
  bool exchanging_ = false;     ///< one of the workers is at the queue
  bool news_ = false;           ///< woken since it went there
  Clock::time_point exchanged_{};
  Clock::time_point look_at_{};     ///< then there is something to take
  Clock::time_point not_before_{};  ///< the queue could not be used
  bool down_ = false;
  bool probing_ = false;        ///< one of the workers asks whether it is back
  std::uint32_t failures_ = 0;  ///< since it last answered
};

void Line::start(const std::function<void()>& closed) {
  const Lock lock(mutex_);
  for (std::size_t i = 0; i < options_.workers; ++i) {
    threads_.emplace_back([this, closed] {
      work();
      Lock relock(mutex_);
      const bool last = working_ == 1;
      if (last) close(relock);
      --working_;
      relock.unlock();
      if (last) closed();
    });
    ++working_;
  }
}

void Line::work() {
  Lock lock(mutex_);
  while (!ending_) {
    if (!exchanging_ && exchange_is_due()) {
      exchange(lock);
    } else if (down_) {
      wait_until_up(lock);
    } else if (!ready_.empty()) {
      bring_next(lock);
    } else if (exchanging_) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, std::max(look_at_, not_before_));
    }
  }
}

bool Line::exchange_is_due() const {
  const auto now = Clock::now();
  if (now < not_before_) return false;
  if (down_) return !ended_.empty() || !ready_.empty();
  if (ready_.size() > few_) return !ended_.empty() && now - exchanged_ > longest_unrecorded;
  return !ended_.empty() || now >= look_at_;
}

void Line::exchange(Lock& lock) {
  exchanging_ = true;
  news_ = false;
  if (down_) give_back();
  const std::size_t wanted = down_ ? 0 : many_ - ready_.size();
  std::vector<Ended> ended = std::exchange(ended_, {});
  lock.unlock();
  std::optional<MppsQueue::Taken> taken;
  try {
    taken = common_.queue.finish(name(), ended, queue_now(), wanted);
    common_.database_failing = false;
  } catch (const QueueFailure& failure) {
    common_.database_failed(failure);
  }
  lock.lock();
  exchanging_ = false;
  exchanged_ = Clock::now();
  if (!taken) {  // what can never be recorded is settled by the next start
    std::move(ended.begin(), ended.end(), std::back_inserter(ended_));
    look_at_ = not_before_ = exchanged_ + after_database_failure;
    changed_.notify_one();  // another keeps the time while this one brings what is ready
    return;
  }
  const std::size_t more = taken->deliveries.size();
  std::move(taken->deliveries.begin(), taken->deliveries.end(), std::back_inserter(ready_));
  look_at_ = exchanged_ + longest_sleep;
  if (taken->next_due) {
    look_at_ = exchanged_ + std::clamp(*taken->next_due - queue_now(), at_once, longest_sleep);
  }
  if (news_) look_at_ = std::min(look_at_, exchanged_ + gathering);
  if (ready_.empty()) return;
  // One of them is for this worker. Another has to keep the time meanwhile.
  if (look_at_ < exchanged_ + longest_sleep) changed_.notify_one();
  for (std::size_t i = 1; i < std::min(more, options_.workers); ++i) changed_.notify_one();
}

void Line::give_back() {
  for (Delivery& delivery : ready_) {
    ended_.push_back({std::move(delivery), {.result = Attempt::Result::returned}});
  }
  ready_.clear();
}

/// Records what has ended, and gives back the rest.
void Line::close(Lock& lock) {
  give_back();
  const auto ended = std::exchange(ended_, {});
  if (ended.empty()) return;
  lock.unlock();
  bool recorded = false;
  try {
    common_.queue.finish(name(), ended, queue_now(), 0);
    recorded = true;
  } catch (const QueueFailure& failure) {  // tried again, or settled by the next start
    common_.database_failed(failure);
  }
  lock.lock();
  if (!recorded) ended_ = ended;
}

bool Line::over() {
  Lock lock(mutex_);
  if (working_ > 0) return false;
  close(lock);
  return ended_.empty();
}

void Line::join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Line::wake() {
  const Lock lock(mutex_);
  news_ = true;
  const auto soon = Clock::now() + gathering;
  if (exchanging_ || look_at_ <= soon) return;
  look_at_ = soon;
  changed_.notify_one();
}

void Line::end() {
  const Lock lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

void Line::bring_next(Lock& lock) {
  Delivery delivery = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  auto [ended, verdict] = attempt(delivery);
  lock.lock();
  ended_.push_back({std::move(delivery), std::move(ended)});
  const bool was_down = std::exchange(down_, verdict == Verdict::receiver_down);
  if (!down_) failures_ = 0;
  if (down_ && !was_down) ++failures_;
  if (was_down && !down_) changed_.notify_all();
}

std::pair<Attempt, Verdict> Line::attempt(const Delivery& delivery) {
  const auto start = Clock::now();
  const mapping::Context context{
      .caller = {.name = delivery.message.caller, .address = {}, .bearer_token = {}},
      .transaction = delivery.message.transaction,
      .deadline = start + options_.attempt_timeout};
  const Outcome outcome = [&] {
    try {
      return bring(delivery, *receiver_.service, context);
    } catch (...) {  // would end the gateway, and with this message again after every start
      // The exception's text is kept out of the log: nobody knows what it holds.
      common_.log(LogLevel::error, fmt::format("tx={} message={} an exception ended the attempt",
                                               delivery.message.transaction, delivery.id));
      return Outcome::unknown(delivery.message.operation, mapping::NetworkEvent::protocol_error,
                              "The attempt failed in this gateway");
    }
  }();
  const DeliveryRule& rule = rule_for(outcome);

  Attempt attempt{.status = outcome.status, .reason = std::string(rule.why)};
  const QueueTime now = queue_now();
  attempt.due = now;
  attempt.maybe_sent = delivery.maybe_sent || outcome.how == Outcome::How::unknown;
  switch (rule.verdict) {
    case Verdict::delivered:
      attempt.result = Attempt::Result::delivered;
      break;
    case Verdict::held:
      attempt.result = Attempt::Result::held;
      break;
    case Verdict::retry:
      attempt.due = now + std::max<milliseconds>(
                              back_off(options_.retry_first, options_.retry_max, delivery.attempts),
                              outcome.retry_after.value_or(std::chrono::seconds(0)));
      break;
    case Verdict::receiver_down:
      break;
  }
  using Milliseconds = std::chrono::duration<double, std::milli>;
  common_.log(
      rule.verdict == Verdict::delivered ? LogLevel::info : LogLevel::warn,
      fmt::format("tx={} message={} {} queue->{} status={:04X} {} attempt={} age_ms={} ms={:.1f}"
                  "{}{}",
                  delivery.message.transaction, delivery.id,
                  delivery.message.operation == Transaction::create ? "create" : "update", name(),
                  outcome.status, to_string(rule.verdict), delivery.attempts + 1,
                  (now - delivery.accepted).count(), Milliseconds(Clock::now() - start).count(),
                  rule.verdict == Verdict::delivered ? "" : ": ",
                  rule.verdict == Verdict::delivered ? "" : rule.why));
  return {std::move(attempt), rule.verdict};
}

// One worker asks, the others wait for it.
void Line::wait_until_up(Lock& lock) {
  if (probing_) {
    changed_.wait(lock);
  } else {
    probing_ = true;
    probe(lock);
    probing_ = false;
    changed_.notify_all();
  }
}

void Line::probe(Lock& lock) {
  const auto pause =
      back_off(options_.retry_first, options_.probe_max, failures_ > 0 ? failures_ - 1 : 0);
  changed_.wait_for(lock, pause, [this] { return ending_ || !down_; });
  if (ending_ || !down_) return;
  lock.unlock();
  mapping::Context context;
  context.deadline = Clock::now() + options_.attempt_timeout;
  const bool up = receiver_.answers(context);
  if (up) {
    common_.log(LogLevel::info, fmt::format("{} answers again: delivering", name()));
    try {
      common_.queue.make_due(name(), queue_now());
    } catch (const QueueFailure& failure) {
      common_.database_failed(failure);
    }
  }
  lock.lock();
  if (!up) {
    ++failures_;
    return;
  }
  down_ = false;
  look_at_ = Clock::now();
}

}  // namespace

class MppsDelivery::Impl {
 public:
  Impl(MppsQueue& queue, std::vector<MppsReceiver> receivers, DeliveryOptions options,
       mapping::Log log)
      : common_{queue, std::move(log)}, first_receivers_(std::move(receivers)), options_(options) {}

  void start() {
    change(std::move(first_receivers_), options_);
    housekeeper_ = std::thread([this] { keep_house(); });
  }

  void change(std::vector<MppsReceiver> receivers, DeliveryOptions options);

  void wake(const std::string& receiver) {
    const std::lock_guard lock(mutex_);
    for (Line& line : lines_) {
      if (line.name() == receiver) line.wake();
    }
  }

  void stop() {
    if (!housekeeper_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      for (Line& line : lines_) line.end();
    }
    housekeeping_.notify_all();
    housekeeper_.join();
    for (Line& line : lines_) line.join();
    for (Line& line : leaving_) line.join();
  }

 private:
  void keep_house();
  bool forget_some(QueueTime accepted_before);
  void join_those_over();

  Common common_;
  std::vector<MppsReceiver> first_receivers_;  ///< until the start
  std::thread housekeeper_;
  std::condition_variable housekeeping_;
  std::mutex mutex_;  // guards what follows
  DeliveryOptions options_;
  std::list<Line> lines_;
  std::list<Line> leaving_;  ///< end an attempt, or wait to be joined
  bool stopping_ = false;
};

void MppsDelivery::Impl::change(std::vector<MppsReceiver> receivers, DeliveryOptions options) {
  const std::lock_guard lock(mutex_);
  options_ = options;
  std::list<Line> before;
  before.swap(lines_);
  for (MppsReceiver& receiver : receivers) {
    const auto same = std::find_if(before.begin(), before.end(),
                                   [&](const Line& line) { return line.is(receiver, options); });
    if (same != before.end()) {
      lines_.splice(lines_.end(), before, same);
      continue;
    }
    const std::string name = receiver.name;
    // What one that ends has given back is for the one that is there now.
    lines_.emplace_back(common_, std::move(receiver), options).start([this, name] { wake(name); });
  }
  for (Line& line : before) line.end();
  leaving_.splice(leaving_.end(), before);
}

void MppsDelivery::Impl::join_those_over() {
  std::list<Line> over;
  {
    const std::lock_guard lock(mutex_);
    over.swap(leaving_);
  }
  std::list<Line> still;
  for (auto line = over.begin(); line != over.end();) {
    const auto next = std::next(line);
    if (!line->over()) still.splice(still.end(), over, line);
    line = next;
  }
  for (Line& line : over) {
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
      if (common_.queue.changed_elsewhere()) {
        const std::lock_guard relock(mutex_);
        for (Line& line : lines_) line.wake();
      }
    } catch (const QueueFailure& failure) {
      common_.database_failed(failure);
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
    return common_.queue.forget(accepted_before) > 0;
  } catch (const QueueFailure& failure) {  // no reason to deliver nothing
    common_.log(LogLevel::error,
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
