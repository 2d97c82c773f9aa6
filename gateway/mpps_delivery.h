// Takes messages out of the durable queue and brings them to their receivers, as long as it takes.
// Some workers for each receiver; one that is down costs the others nothing.
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
  std::string name;                         ///< of its [backend …]
  mapping::MppsService* service = nullptr;  ///< outlives the delivery
  /// Asks whether it answers at all: C-ECHO, OPTIONS. Blocks at most until the context's deadline.
  std::function<bool(const mapping::Context&)> answers;
};

struct DeliveryOptions {
  std::size_t workers = 8;  ///< for each receiver: so many steps at a time
  /// Between attempts, doubled from first to max, a fifth more or less by chance.
  std::chrono::milliseconds retry_first{1'000};
  std::chrono::milliseconds retry_max{300'000};
  std::chrono::milliseconds probe_max{15'000};  ///< a receiver that is down is asked this often
  std::chrono::milliseconds attempt_timeout{60'000};
  std::chrono::hours keep_delivered{24 * 30};
};

/// Safe from any thread. Never throws: when the database fails, nothing is sent, and it is tried
/// again.
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
  /// A message for this receiver was accepted.
  void wake(const std::string& receiver);
  /// Returns when the attempts that are under way have ended and are recorded.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
