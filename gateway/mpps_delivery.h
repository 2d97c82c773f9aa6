// Takes messages out of the durable queue and brings them to their receivers, as long as it takes.
// Some workers for each receiver, one of which goes to the queue for all of them; a receiver that
// is down costs the others nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/mpps_queue.h"
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

/// start, change and stop from one thread; wake from any. Never throws: when the database fails,
/// nothing is sent, and it is tried again.
class MppsDelivery {
 public:
  /// queue outlives this. One log line an attempt, without patient data.
  MppsDelivery(MppsQueue& queue, std::vector<MppsReceiver> receivers, DeliveryOptions options,
               mapping::Log log);
  /// Stops.
  ~MppsDelivery();
  MppsDelivery(const MppsDelivery&) = delete;
  MppsDelivery& operator=(const MppsDelivery&) = delete;

  void start();
  /// Brings messages to these receivers from now on. An attempt that is under way ends where it
  /// began, and is recorded; a receiver that stays as it is notices nothing. Messages for one that
  /// is no longer there stay in the queue as they are.
  void change(std::vector<MppsReceiver> receivers, DeliveryOptions options);
  /// Something may be due for this receiver: a message was accepted, or released by a person.
  void wake(const std::string& receiver);
  /// Returns when the attempts that are under way have ended and are recorded.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
