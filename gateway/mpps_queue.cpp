#include "gateway/mpps_queue.h"

namespace gateway {

QueueTime queue_now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::string_view to_string(DeliveryState state) {
  switch (state) {
    case DeliveryState::waiting:
      return "waiting";
    case DeliveryState::delivering:
      return "delivering";
    case DeliveryState::held:
      return "held";
    case DeliveryState::withheld:
      return "withheld";
    case DeliveryState::undecided:
      return "undecided";
    case DeliveryState::delivered:
      return "delivered";
    case DeliveryState::discarded:
      return "discarded";
  }
  return "";
}

}  // namespace gateway
