// A worker: take, settle what may have arrived, send, record and take the next.
#include "gateway/mpps_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <random>
#include <thread>

#include "gateway/delivery_policy.h"
#include "mapping/mpps_rules.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::LogLevel;
using mapping::Outcome;
using mapping::Transaction;
using std::chrono::milliseconds;
namespace status = mapping::dimse_status;

constexpr milliseconds longest_sleep{3'600'000};
constexpr milliseconds after_database_failure{1'000};
constexpr milliseconds look_for_visitors{1'000};
constexpr std::chrono::minutes between_forgetting{10};

/// first, doubled once for each failure before, at most max; a fifth more or less, so that many do
/// not come at once.
milliseconds back_off(milliseconds first, milliseconds max, std::uint32_t failures) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto doubled = first * (std::int64_t{1} << std::min<std::uint32_t>(failures, 20));
  const auto wanted = std::min(doubled, max).count();
  return milliseconds(
      std::uniform_int_distribution<std::int64_t>(wanted * 4 / 5, wanted * 6 / 5)(random));
}

/// What a receiver says of a step.
enum class Known { as_we_make_it, otherwise, unknown_there, not_told, unreachable };

/// One attempt at one receiver.
class Courier {
 public:
  Courier(mapping::MppsService& service, const Delivery& delivery, const mapping::Context& context)
      : service_(service), delivery_(delivery), message_(delivery.message), context_(context) {}

  /// Good if the receiver has it, now or before.
  Outcome bring() {
    if (delivery_.maybe_sent) {
      const Known known = ask();
      if (known == Known::as_we_make_it) return settled();
      if (known == Known::unreachable) return seen_;
    }
    Outcome outcome = message_.operation == Transaction::create
                          ? service_.create(message_.mpps, message_.attributes, context_)
                          : service_.update(message_.mpps, message_.attributes, context_);
    return done_before(outcome) ? settled() : outcome;
  }

 private:
  static Outcome settled() { return Outcome::answered(status::success); }

  Known ask() {
    DataSet found;
    seen_ = service_.retrieve(message_.mpps, {}, found, context_);
    if (seen_.good()) {
      const bool ours = message_.operation == Transaction::create
                            ? mapping::is_step_of(message_.attributes, found)
                            : mapping::holds_modifications(found, message_.attributes) ||
                                  mapping::became_final_by(message_.attributes, found);
      return ours ? Known::as_we_make_it : Known::otherwise;
    }
    if (seen_.how == Outcome::How::answered) {
      return seen_.status == status::no_such_sop_instance ? Known::unknown_there : Known::not_told;
    }
    return rule_for(seen_).verdict == Verdict::receiver_down &&
                   seen_.event != mapping::NetworkEvent::abstract_syntax_refused
               ? Known::unreachable
               : Known::not_told;
  }

  /// Whether a refusal says that the receiver has it already. Where it cannot be asked, our own
  /// repetition is reason enough: nobody else has a UID of ours.
  bool done_before(const Outcome& outcome) {
    if (outcome.how != Outcome::How::answered) return false;
    const bool exists = message_.operation == Transaction::create &&
                        outcome.status == status::duplicate_sop_instance;
    const bool final = outcome.error_id == status::error_id_may_no_longer_be_updated &&
                       mapping::is_final(message_.attributes);
    if (!exists && !final) return false;
    const Known known = ask();
    return known == Known::as_we_make_it || (known == Known::not_told && delivery_.maybe_sent);
  }

  mapping::MppsService& service_;
  const Delivery& delivery_;
  const MppsMessage& message_;
  const mapping::Context& context_;
  Outcome seen_;
};

}  // namespace

class MppsDelivery::Impl {
 public:
  Impl(MppsQueue& queue, std::vector<MppsReceiver> receivers, DeliveryOptions options,
       mapping::Log log)
      : queue_(queue), options_(options), log_(std::move(log)) {
    for (MppsReceiver& receiver : receivers) lines_.emplace_back(std::move(receiver));
  }

  void start() {
    for (Line& line : lines_) {
      for (std::size_t i = 0; i < options_.workers; ++i) {
        threads_.emplace_back([this, &line] { work(line); });
      }
    }
    threads_.emplace_back([this] { keep_house(); });
  }

  void wake(const std::string& receiver) {
    for (Line& line : lines_) {
      if (line.receiver.name != receiver) continue;
      const std::lock_guard lock(mutex_);
      ++line.news;
      line.changed.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      for (Line& line : lines_) line.changed.notify_all();
      housekeeping_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  /// One receiver and those that work for it. Guarded by mutex_.
  struct Line {
    explicit Line(MppsReceiver of) : receiver(std::move(of)) {}
    const MppsReceiver receiver;
    std::condition_variable changed{};
    std::uint64_t news = 0;  ///< grows when there may be something to take
    bool down = false;
    bool probing = false;        ///< one of the workers asks whether it is back
    std::uint32_t failures = 0;  ///< since it last answered
  };

  void work(Line& line);
  Attempt attempt(Line& line, const Delivery& delivery);
  bool wait_until_up(Line& line);
  void probe(Line& line, std::unique_lock<std::mutex>& lock);
  void sleep(Line& line, std::uint64_t seen, milliseconds time);
  void keep_house();
  void database_failed(const QueueFailure& failure);
  bool stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  MppsQueue& queue_;
  const DeliveryOptions options_;
  const mapping::Log log_;
  std::mutex mutex_;
  std::condition_variable housekeeping_;
  bool stopping_ = false;
  bool database_failing_ = false;
  std::list<Line> lines_;
  std::vector<std::thread> threads_;
};

void MppsDelivery::Impl::database_failed(const QueueFailure& failure) {
  {
    const std::lock_guard lock(mutex_);
    if (database_failing_) return;
    database_failing_ = true;
  }
  log_(LogLevel::error, fmt::format("the MPPS queue cannot be used, nothing is delivered until it "
                                    "can: {}",
                                    failure.what()));
}

void MppsDelivery::Impl::sleep(Line& line, std::uint64_t seen, milliseconds time) {
  std::unique_lock lock(mutex_);
  line.changed.wait_for(lock, time, [&] { return stopping_ || line.news != seen; });
}

void MppsDelivery::Impl::work(Line& line) {
  std::optional<Delivery> delivery;
  std::optional<Attempt> ended;  // of delivery, not yet recorded
  for (;;) {
    std::uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      seen = line.news;
    }
    milliseconds rest = longest_sleep;
    try {
      if (ended) {
        // Whoever stops does not take more, and a receiver that went down gets no more.
        bool more = false;
        {
          const std::lock_guard lock(mutex_);
          more = !stopping_ && !line.down;
        }
        auto next = queue_.finish(*delivery, *ended, queue_now(), more);
        ended.reset();
        delivery = std::move(next);
      }
      if (!delivery) {
        if (stopping() || !wait_until_up(line)) return;
        delivery = queue_.take(line.receiver.name, queue_now());
      }
      if (!delivery) {
        const auto due = queue_.next_due(line.receiver.name);
        if (due) rest = std::clamp(*due - queue_now(), milliseconds(1), longest_sleep);
      }
      const std::lock_guard lock(mutex_);
      database_failing_ = false;
    } catch (const QueueFailure& failure) {
      database_failed(failure);
      // What was sent and cannot be recorded is settled by the next start.
      if (stopping()) return;
      sleep(line, seen, after_database_failure);
      continue;
    }
    if (delivery) {
      ended = attempt(line, *delivery);
    } else {
      sleep(line, seen, rest);
    }
  }
}

Attempt MppsDelivery::Impl::attempt(Line& line, const Delivery& delivery) {
  const auto start = std::chrono::steady_clock::now();
  const mapping::Context context{
      .caller = {.name = delivery.message.caller, .address = {}, .bearer_token = {}},
      .transaction = delivery.message.transaction,
      .deadline = start + options_.attempt_timeout};
  const Outcome outcome = Courier(*line.receiver.service, delivery, context).bring();
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
  {
    const std::lock_guard lock(mutex_);
    const bool was_down = line.down;
    line.down = rule.verdict == Verdict::receiver_down;
    if (!line.down) line.failures = 0;
    if (line.down && !was_down) ++line.failures;
  }
  using Milliseconds = std::chrono::duration<double, std::milli>;
  log_(rule.verdict == Verdict::delivered ? LogLevel::info : LogLevel::warn,
       fmt::format("tx={} message={} {} queue->{} status={:04X} {} attempt={} age_ms={} ms={:.1f}"
                   "{}{}",
                   delivery.message.transaction, delivery.id,
                   delivery.message.operation == Transaction::create ? "create" : "update",
                   line.receiver.name, outcome.status, to_string(rule.verdict),
                   delivery.attempts + 1, (now - delivery.accepted).count(),
                   Milliseconds(std::chrono::steady_clock::now() - start).count(),
                   rule.verdict == Verdict::delivered ? "" : ": ",
                   rule.verdict == Verdict::delivered ? "" : rule.why));
  return attempt;
}

// Blocks while the receiver is down; one worker asks, the others wait for it. False: stop.
bool MppsDelivery::Impl::wait_until_up(Line& line) {
  std::unique_lock lock(mutex_);
  while (line.down && !stopping_) {
    if (line.probing) {
      line.changed.wait(lock);
    } else {
      probe(line, lock);
    }
  }
  return !stopping_;
}

void MppsDelivery::Impl::probe(Line& line, std::unique_lock<std::mutex>& lock) {
  line.probing = true;
  const auto pause =
      back_off(options_.retry_first, options_.probe_max, line.failures > 0 ? line.failures - 1 : 0);
  line.changed.wait_for(lock, pause, [this] { return stopping_; });
  bool up = false;
  if (!stopping_) {
    lock.unlock();
    mapping::Context context;
    context.deadline = std::chrono::steady_clock::now() + options_.attempt_timeout;
    up = line.receiver.answers(context);
    if (up) {
      log_(LogLevel::info, fmt::format("{} answers again: delivering", line.receiver.name));
      try {
        queue_.make_due(line.receiver.name, queue_now());
      } catch (const QueueFailure& failure) {
        database_failed(failure);
      }
    }
    lock.lock();
    if (!up) ++line.failures;
  }
  line.probing = false;
  line.down = !up;
  if (up) ++line.news;  // for those that sleep, too
  line.changed.notify_all();
}

// Messages that a person has released, and those that may be forgotten.
void MppsDelivery::Impl::keep_house() {
  auto forget_at = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    try {
      if (queue_.changed_elsewhere()) {
        const std::lock_guard relock(mutex_);
        for (Line& line : lines_) {
          ++line.news;
          line.changed.notify_all();
        }
      }
      if (std::chrono::steady_clock::now() >= forget_at) {
        const bool more = queue_.forget(queue_now() - options_.keep_delivered) > 0;
        if (!more) forget_at = std::chrono::steady_clock::now() + between_forgetting;
      }
    } catch (const QueueFailure& failure) {
      database_failed(failure);
    }
    lock.lock();
    housekeeping_.wait_for(lock, look_for_visitors, [this] { return stopping_; });
  }
}

MppsDelivery::MppsDelivery(MppsQueue& queue, std::vector<MppsReceiver> receivers,
                           DeliveryOptions options, mapping::Log log)
    : impl_(std::make_unique<Impl>(queue, std::move(receivers), options, std::move(log))) {}
MppsDelivery::~MppsDelivery() { stop(); }
void MppsDelivery::start() { impl_->start(); }
void MppsDelivery::wake(const std::string& receiver) { impl_->wake(receiver); }
void MppsDelivery::stop() { impl_->stop(); }

}  // namespace gateway
