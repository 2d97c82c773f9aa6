#include "gateway/delivery_policy.h"

#include <algorithm>
#include <iterator>

namespace gateway {
namespace {

using mapping::NetworkEvent;
using enum Verdict;

constexpr DeliveryRule by_event(NetworkEvent event, Verdict verdict, std::string_view why) {
  return {event, 0x0000, 0xFFFF, verdict, why};
}
constexpr DeliveryRule by_status(std::uint16_t first, std::uint16_t last, Verdict verdict,
                                 std::string_view why) {
  return {NetworkEvent::none, first, last, verdict, why};
}

constexpr DeliveryRule rules[] = {
    by_event(NetworkEvent::connect_failed, receiver_down, "nobody listens there"),
    by_event(NetworkEvent::tls_failed, receiver_down, "goes on when the certificates are mended"),
    by_event(NetworkEvent::rejected_transient, receiver_down, "the receiver is busy"),
    by_event(NetworkEvent::rejected_permanent, receiver_down,
             "goes on when the AE titles are mended"),
    by_event(NetworkEvent::user_identity_refused, receiver_down,
             "goes on when the user identity is mended"),
    by_event(NetworkEvent::abstract_syntax_refused, receiver_down,
             "the receiver does not offer MPPS: goes on when it does"),
    by_event(NetworkEvent::transfer_syntax_refused, receiver_down,
             "goes on when the receiver takes a transfer syntax of ours"),
    by_event(NetworkEvent::acse_timeout, receiver_down, "no A-ASSOCIATE-AC in time"),
    by_event(NetworkEvent::busy, retry, "every connection to the receiver was in use"),
    by_event(NetworkEvent::response_timeout, retry, "may have been done: settled before repeated"),
    by_event(NetworkEvent::connection_lost, retry, "may have been done: settled before repeated"),
    by_event(NetworkEvent::protocol_error, retry, "may have been done: settled before repeated"),
    by_event(NetworkEvent::unreadable_answer, retry, "may have been done: settled before repeated"),
    by_event(NetworkEvent::shutting_down, retry, "modgate is stopping"),

    by_status(0x0000, 0x0001, delivered, "done"),
    by_status(0x0107, 0x0107, delivered, "done, with a warning"),
    by_status(0x0116, 0x0116, delivered, "done, with a warning"),
    by_status(0xB000, 0xBFFF, delivered, "done, with a warning"),
    by_status(0x0110, 0x0110, retry,
              "processing failure: what HTTP's 500, 502 and 504 become, too"),
    by_status(0x0213, 0x0213, retry, "resource limitation; HTTP's 413, 429 and 503"),
    by_status(0xA700, 0xA7FF, retry, "out of resources"),
    by_status(0x0124, 0x0124, retry,
              "goes on when the receiver lets modgate in; HTTP's 401 and 403"),
    by_status(0x0111, 0x0111, held, "another step has this UID"),
    by_status(0x0112, 0x0112, held, "the receiver does not know the step"),
    by_status(0x0000, 0xFFFF, held, "the receiver refuses what the message holds"),
};

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case delivered:
      return "delivered";
    case retry:
      return "retry";
    case receiver_down:
      return "receiver down";
    case held:
      return "held";
  }
  return "";
}

std::span<const DeliveryRule> delivery_rules() { return rules; }

const DeliveryRule& rule_for(const mapping::Outcome& outcome) {
  using How = mapping::Outcome::How;
  static constexpr DeliveryRule final_step =
      by_status(0x0110, 0x0110, held, "the step may no longer be updated");
  if (outcome.error_id == mapping::dimse_status::error_id_may_no_longer_be_updated) {
    return final_step;
  }
  const bool answered = outcome.how == How::answered || outcome.how == How::local;
  const NetworkEvent event = answered ? NetworkEvent::none : outcome.event;
  return *std::find_if(std::begin(rules), std::end(rules) - 1, [&](const DeliveryRule& rule) {
    return rule.event == event && rule.first <= outcome.status && outcome.status <= rule.last;
  });
}

}  // namespace gateway
