#include "gateway/delivery_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <random>

#include "gateway/mpps_courier.h"

namespace gateway {
namespace {

using mapping::LogLevel;
using mapping::Outcome;
using mapping::Transaction;
using std::chrono::milliseconds;

constexpr milliseconds at_once{0};
constexpr milliseconds longest_sleep{3'600'000};
constexpr milliseconds after_database_failure{1'000};
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

}  // namespace

void DeliveryShared::database_failed(const QueueFailure& failure) {
  if (database_failing.exchange(true)) return;
  log(LogLevel::error, fmt::format("the MPPS queue cannot be used, nothing is delivered until it "
                                   "can: {}",
                                   failure.what()));
}

void DeliveryLine::start(const std::function<void()>& closed) {
  const Lock lock(mutex_);
  working_ = threads_.size();
  for (ReadyThread& thread : threads_) {
    thread.begin([this, closed] {
      work();
      Lock relock(mutex_);
      const bool last = working_ == 1;
      if (last) close(relock);
      --working_;
      relock.unlock();
      if (last) closed();
    });
  }
}

void DeliveryLine::work() {
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

bool DeliveryLine::exchange_is_due() const {
  const auto now = Clock::now();
  if (now < not_before_) return false;
  if (down_) return !ended_.empty() || !ready_.empty();
  if (ready_.size() > few_) return !ended_.empty() && now - exchanged_ > longest_unrecorded;
  return !ended_.empty() || now >= look_at_;
}

void DeliveryLine::exchange(Lock& lock) {
  exchanging_ = true;
  news_ = false;
  if (down_) give_back();
  const std::size_t wanted = down_ ? 0 : many_ - ready_.size();
  std::vector<Ended> ended = std::exchange(ended_, {});
  lock.unlock();
  std::optional<MppsQueue::Taken> taken;
  try {
    taken = shared_.queue.finish(name(), ended, queue_now(), wanted);
    shared_.database_failing = false;
  } catch (const QueueFailure& failure) {
    shared_.database_failed(failure);
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

void DeliveryLine::give_back() {
  for (Delivery& delivery : ready_) {
    ended_.push_back({std::move(delivery), {.result = Attempt::Result::returned}});
  }
  ready_.clear();
}

/// Records what has ended, and gives back the rest.
void DeliveryLine::close(Lock& lock) {
  give_back();
  const auto ended = std::exchange(ended_, {});
  if (ended.empty()) return;
  lock.unlock();
  bool recorded = false;
  try {
    shared_.queue.finish(name(), ended, queue_now(), 0);
    recorded = true;
  } catch (const QueueFailure& failure) {  // tried again, or settled by the next start
    shared_.database_failed(failure);
  }
  lock.lock();
  if (!recorded) ended_ = ended;
}

bool DeliveryLine::over() {
  Lock lock(mutex_);
  if (working_ > 0) return false;
  close(lock);
  return ended_.empty();
}

void DeliveryLine::join() {
  for (ReadyThread& thread : threads_) thread.join();
}

void DeliveryLine::wake() {
  const Lock lock(mutex_);
  news_ = true;
  const auto soon = Clock::now() + gathering;
  if (exchanging_ || look_at_ <= soon) return;
  look_at_ = soon;
  changed_.notify_one();
}

void DeliveryLine::end() {
  const Lock lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

void DeliveryLine::bring_next(Lock& lock) {
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

std::pair<Attempt, Verdict> DeliveryLine::attempt(const Delivery& delivery) {
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
      shared_.log(LogLevel::error, fmt::format("tx={} message={} an exception ended the attempt",
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
  shared_.log(
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
void DeliveryLine::wait_until_up(Lock& lock) {
  if (probing_) {
    changed_.wait(lock);
  } else {
    probing_ = true;
    probe(lock);
    probing_ = false;
    changed_.notify_all();
  }
}

void DeliveryLine::probe(Lock& lock) {
  const auto pause =
      back_off(options_.retry_first, options_.probe_max, failures_ > 0 ? failures_ - 1 : 0);
  changed_.wait_for(lock, pause, [this] { return ending_ || !down_; });
  if (ending_ || !down_) return;
  lock.unlock();
  mapping::Context context;
  context.deadline = Clock::now() + options_.attempt_timeout;
  const bool up = receiver_.answers(context);
  if (up) {
    shared_.log(LogLevel::info, fmt::format("{} answers again: delivering", name()));
    try {
      shared_.queue.make_due(name(), queue_now());
    } catch (const QueueFailure& failure) {
      shared_.database_failed(failure);
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

}  // namespace gateway
