// What becomes of a queued message after an attempt to deliver it: one table, for the code, the
// documents and the tests. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "mapping/outcome.h"

namespace gateway {

enum class Verdict : std::uint8_t {
  delivered,
  retry,          ///< this step waits, then tries again, without end; other steps go on
  receiver_down,  ///< nothing goes to this receiver until it answers a probe
  held            ///< needs a person; later messages of the same step wait behind it
};
std::string_view to_string(Verdict verdict);

/// A row fits an outcome by its event, if it has one, else by its status.
struct DeliveryRule {
  mapping::NetworkEvent event;  ///< none: goes by status
  std::uint16_t first, last;    ///< status words, inclusive
  Verdict verdict;
  std::string_view why;
};
/// The first that fits counts; the last one fits everything.
std::span<const DeliveryRule> delivery_rules();

/// outcome: of N-CREATE or N-SET, or Create or Update, at a receiver. That 0111 and "may no longer
/// be updated" can mean "done before" is not seen here.
const DeliveryRule& rule_for(const mapping::Outcome& outcome);

}  // namespace gateway
