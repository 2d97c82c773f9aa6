#include "gateway/mpps_courier.h"

#include <catch2/catch.hpp>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
namespace status = mapping::dimse_status;

namespace {

enum class There { nothing, ours, ours_and_more, somebody_elses, ours_completed };

/// What a receiver has of step 1 before the attempt.
void put(Receiver& receiver, There there) {
  if (there == There::nothing) return;
  receiver.create(uid(1), created(there == There::somebody_elses ? 99 : 1), {});
  if (there == There::ours_and_more) receiver.update(uid(1), described("a"), {});
  if (there == There::ours_completed) receiver.update(uid(1), in_state("COMPLETED"), {});
}

struct Case {
  const char* what;
  There there;
  MppsMessage message;
  bool maybe_sent;
  bool can_be_asked;
  std::uint16_t answer;
  int requests;  ///< of the attempt
  int effects;   ///< of the attempt
};

const auto create = create_message(1);
const auto set = update_message(1, described("a"));
const auto complete = update_message(1, in_state("COMPLETED"));

}  // namespace

TEST_CASE("an attempt: what is there, what is asked, what takes effect (F.7.2, F.8.2)") {
  const Case cases[] = {
      {"first attempt", There::nothing, create, false, true, 0, 1, 1},
      {"first attempt, cannot be asked", There::nothing, create, false, false, 0, 1, 1},
      {"did not arrive", There::nothing, create, true, true, 0, 2, 1},
      {"did not arrive, cannot be asked", There::nothing, create, true, false, 0, 2, 1},
      {"arrived", There::ours, create, true, true, 0, 1, 0},
      {"arrived and went on", There::ours_and_more, create, true, true, 0, 1, 0},
      {"arrived, cannot be asked: 0111 to a repetition", There::ours, create, true, false, 0, 3, 0},
      {"there from elsewhere", There::ours, create, false, true, 0, 2, 0},
      {"0111, neither sent before nor to be asked", There::ours, create, false, false,
       status::duplicate_sop_instance, 2, 0},
      {"somebody else's", There::somebody_elses, create, false, true,
       status::duplicate_sop_instance, 2, 0},
      {"somebody else's, at a repetition", There::somebody_elses, create, true, true,
       status::duplicate_sop_instance, 3, 0},
      {"N-SET", There::ours, set, false, true, 0, 1, 1},
      {"N-SET that did not arrive", There::ours, set, true, true, 0, 2, 1},
      {"N-SET that arrived", There::ours_and_more, set, true, true, 0, 1, 0},
      {"N-SET of a step that is not there", There::nothing, set, false, true,
       status::no_such_sop_instance, 1, 0},
      {"final N-SET that arrived", There::ours_completed, complete, true, true, 0, 1, 0},
      {"final N-SET that arrived, cannot be asked: 0110 to a repetition", There::ours_completed,
       complete, true, false, 0, 3, 0},
      {"N-SET to a final step", There::ours_completed, set, false, true,
       Outcome::may_no_longer_be_updated().status, 1, 0},
  };
  for (const Case& one : cases) {
    INFO(one.what);
    Receiver receiver;
    put(receiver, one.there);
    receiver.offers_retrieve = one.can_be_asked;
    const int requests = receiver.requests();
    const auto effects = receiver.log().size();
    const Delivery delivery{
        .id = 1, .receiver = "ris", .message = one.message, .maybe_sent = one.maybe_sent};
    const Outcome outcome = bring(delivery, receiver, {});
    CHECK(outcome.status == one.answer);
    CHECK(outcome.good() == (one.answer == 0));
    CHECK(receiver.requests() - requests == one.requests);
    CHECK(receiver.log().size() - effects == static_cast<std::size_t>(one.effects));
  }
}

TEST_CASE("one that cannot be reached to be asked is not sent anything") {
  Receiver receiver;
  receiver.fault = [](Transaction transaction, int) {
    return Outcome::unreachable(transaction, NetworkEvent::connect_failed, "refused");
  };
  const Delivery delivery{.id = 1, .receiver = "ris", .message = create, .maybe_sent = true};
  const Outcome outcome = bring(delivery, receiver, {});
  CHECK(outcome.event == NetworkEvent::connect_failed);
  CHECK(receiver.requests() == 1);
}

TEST_CASE("one that goes away before it can be asked whether it has the message is no refusal") {
  const auto [message, there] =
      GENERATE(std::pair{create, There::ours}, std::pair{complete, There::ours_completed});
  Receiver receiver;
  put(receiver, there);
  receiver.fault = [](Transaction transaction, int) -> std::optional<Outcome> {
    if (transaction != Transaction::retrieve) return std::nullopt;
    return Outcome::unreachable(transaction, NetworkEvent::connect_failed, "refused");
  };
  const Delivery delivery{.id = 1, .receiver = "ris", .message = message};
  const Outcome outcome = bring(delivery, receiver, {});
  CHECK(outcome.how == Outcome::How::unreachable);
  CHECK(outcome.event == NetworkEvent::connect_failed);
}
