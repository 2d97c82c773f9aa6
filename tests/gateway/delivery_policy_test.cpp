#include "gateway/delivery_policy.h"

#include <catch2/catch.hpp>

using gateway::rule_for;
using gateway::Verdict;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;

TEST_CASE("trouble on the way is never held, whatever status it is told as") {
  for (int event = static_cast<int>(NetworkEvent::connect_failed);
       event <= static_cast<int>(NetworkEvent::shutting_down); ++event) {
    const auto what = static_cast<NetworkEvent>(event);
    INFO(event);
    CHECK(rule_for(Outcome::unknown(Transaction::create, what, "")).verdict != Verdict::held);
    CHECK(rule_for(Outcome::unreachable(Transaction::update, what, "")).verdict != Verdict::held);
    CHECK(rule_for(Outcome::unreachable(Transaction::update, what, "")).verdict !=
          Verdict::delivered);
  }
}

TEST_CASE("a receiver that cannot be reached stops its whole line") {
  for (const auto event : {NetworkEvent::connect_failed, NetworkEvent::acse_timeout,
                           NetworkEvent::rejected_transient, NetworkEvent::rejected_permanent,
                           NetworkEvent::tls_failed, NetworkEvent::abstract_syntax_refused}) {
    CHECK(rule_for(Outcome::unreachable(Transaction::create, event, "")).verdict ==
          Verdict::receiver_down);
  }
}

TEST_CASE("statuses: done, again, or a person") {
  const auto verdict = [](std::uint16_t status) {
    return rule_for(Outcome::answered(status)).verdict;
  };
  for (const int done : {0x0000, 0x0001, 0x0107, 0x0116, 0xB000, 0xBFFF}) {
    CHECK(verdict(static_cast<std::uint16_t>(done)) == Verdict::delivered);
  }
  for (const int again : {0x0110, 0x0124, 0x0213, 0xA700}) {
    CHECK(verdict(static_cast<std::uint16_t>(again)) == Verdict::retry);
  }
  for (const int person : {0x0105, 0x0106, 0x0111, 0x0112, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120,
                           0x0121, 0x0122, 0x0210, 0x0211, 0x0212, 0xA900, 0xC000, 0xC123}) {
    CHECK(verdict(static_cast<std::uint16_t>(person)) == Verdict::held);
  }
  Outcome final = Outcome::may_no_longer_be_updated();
  final.how = Outcome::How::answered;
  CHECK(rule_for(final).verdict == Verdict::held);
}

TEST_CASE("every status word and every event has a rule with a reason") {
  for (int status = 0; status <= 0xFFFF; ++status) {
    const auto& rule = rule_for(Outcome::answered(static_cast<std::uint16_t>(status)));
    REQUIRE(rule.event == NetworkEvent::none);
    REQUIRE(rule.first <= status);
    REQUIRE(status <= rule.last);
    REQUIRE_FALSE(rule.why.empty());
  }
}
