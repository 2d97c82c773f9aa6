#include "gateway/delivery_policy.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

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

namespace {

std::string in_words(const gateway::DeliveryRule& rule) {
  switch (rule.event) {
    case NetworkEvent::connect_failed:
      return "no connection";
    case NetworkEvent::tls_failed:
      return "TLS fails";
    case NetworkEvent::rejected_transient:
      return "A-ASSOCIATE-RJ, transient";
    case NetworkEvent::rejected_permanent:
      return "A-ASSOCIATE-RJ, permanent";
    case NetworkEvent::user_identity_refused:
      return "user identity refused";
    case NetworkEvent::abstract_syntax_refused:
      return "abstract syntax refused";
    case NetworkEvent::transfer_syntax_refused:
      return "transfer syntaxes refused";
    case NetworkEvent::acse_timeout:
      return "no association in time";
    case NetworkEvent::busy:
      return "no free connection";
    case NetworkEvent::response_timeout:
      return "no answer in time";
    case NetworkEvent::connection_lost:
      return "connection lost";
    case NetworkEvent::protocol_error:
      return "protocol error";
    case NetworkEvent::unreadable_answer:
      return "unreadable answer";
    case NetworkEvent::shutting_down:
      return "modgate stops";
    case NetworkEvent::none:
      break;
  }
  if (rule.first == 0x0000 && rule.last == 0xFFFF) return "anything else";
  if (rule.first == rule.last) return fmt::format("{:04X}", rule.first);
  return fmt::format("{:04X} to {:04X}", rule.first, rule.last);
}

/// The rows below this header, up to the end of the table.
std::vector<std::string> rows_below(const std::string& header, const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> rows;
  std::string line;
  while (std::getline(file, line) && line != header) continue;
  std::getline(file, line);  // of dashes
  while (std::getline(file, line) && line.starts_with('|')) rows.push_back(line);
  return rows;
}

}  // namespace

TEST_CASE("docs/mpps-queue.md shows the table as it is") {
  std::vector<std::string> wanted;
  for (const auto& rule : gateway::delivery_rules()) {
    wanted.push_back(
        fmt::format("| {} | {} | {} |", in_words(rule), to_string(rule.verdict), rule.why));
  }
  CHECK(rows_below("| outcome | verdict | why |", SOURCE_DIR "/docs/mpps-queue.md") == wanted);
}
