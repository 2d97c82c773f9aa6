// One receiver of the durable queue and those that work for it: messages that are taken out of the
// queue, workers that bring them, and how it ended. One worker at a time goes to the queue, for
// all: it records what has ended and takes what comes next, while the others go on with what is
// there.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gateway/delivery_policy.h"
#include "gateway/mpps_queue.h"
#include "gateway/ready_thread.h"
#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

struct MppsReceiver {
  std::string name;  ///< of its [backend …]
  mapping::MppsService* service = nullptr;
  /// Asks whether it answers at all: C-ECHO, OPTIONS. Blocks at most until the context's deadline.
  std::function<bool(const mapping::Context&)> answers;
  /// What the service is part of, held as long as anything is brought there. Null: it outlives the
  /// delivery.
  std::shared_ptr<const void> owner{};
};

struct DeliveryOptions {
  std::size_t workers = 8;  ///< for each receiver: so many steps at a time
  /// Between attempts, doubled from first to max, a fifth more or less by chance.
  std::chrono::milliseconds retry_first{1'000};
  std::chrono::milliseconds retry_max{300'000};
  std::chrono::milliseconds probe_max{15'000};  ///< a receiver that is down is asked this often
  std::chrono::milliseconds attempt_timeout{60'000};
  std::chrono::hours keep_delivered{24 * 30};
  bool operator==(const DeliveryOptions&) const = default;
};

/// What the lines of one queue have in common.
struct DeliveryShared {
  MppsQueue& queue;
  const mapping::Log log;
  std::atomic<bool> database_failing = false;

  /// Said once, until it works again.
  void database_failed(const QueueFailure& failure);
};

/// One receiver and those that work for it. wake and end are safe from any thread. Once started, it
/// is ended and joined before it goes.
class DeliveryLine {
 public:
  /// shared outlives this. Throws std::system_error where there are no threads for its workers.
  DeliveryLine(DeliveryShared& shared, MppsReceiver receiver, const DeliveryOptions& options)
      : shared_(shared),
        receiver_(std::move(receiver)),
        options_(options),
        few_(2 * options.workers),
        many_(8 * options.workers),
        threads_(options.workers) {}

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
  using Clock = std::chrono::steady_clock;

  void work();
  void close(Lock& lock);
  bool exchange_is_due() const;
  void exchange(Lock& lock);
  void give_back();
  void bring_next(Lock& lock);
  std::pair<Attempt, Verdict> attempt(const Delivery& delivery);
  void wait_until_up(Lock& lock);
  void probe(Lock& lock);

  DeliveryShared& shared_;
  const MppsReceiver receiver_;
  const DeliveryOptions options_;
  const std::size_t few_;   ///< ready ones, or fewer: time for others
  const std::size_t many_;  ///< at most so many are ready

  std::vector<ReadyThread> threads_;

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

}  // namespace gateway
