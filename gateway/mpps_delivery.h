// Takes messages out of the durable queue and brings them to their receivers, as long as it takes.
// A line for each receiver (delivery_line.h); a receiver that is down costs the others nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/delivery_line.h"
#include "gateway/mpps_queue.h"
#include "mapping/current.h"
#include "mapping/log.h"

namespace gateway {

/// start, prepare with its change, and stop from one thread; wake from any. Never throws: when the
/// database fails, nothing is sent, and it is tried again.
class MppsDelivery {
 public:
  /// queue outlives this. One log line an attempt, without patient data. Throws std::system_error
  /// where there are no threads for it, as prepare does.
  MppsDelivery(MppsQueue& queue, std::vector<MppsReceiver> receivers, DeliveryOptions options,
               mapping::Log log);
  /// Stops.
  ~MppsDelivery();
  MppsDelivery(const MppsDelivery&) = delete;
  MppsDelivery& operator=(const MppsDelivery&) = delete;

  void start();
  /// After start. Brings messages to these receivers from the change on. An attempt that is under
  /// way ends where it began, and is recorded; a receiver that stays as it is notices nothing.
  /// Messages for one that is no longer there stay in the queue as they are.
  mapping::Change prepare(std::vector<MppsReceiver> receivers, DeliveryOptions options);
  /// Something may be due for this receiver: a message was accepted, or released by a person.
  void wake(const std::string& receiver);
  /// Returns when the attempts that are under way have ended and are recorded.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
