// Values of DA, TM and DT as points in time, and ranges of them. PS3.5, Table 6.2-1; PS3.4,
// C.2.2.2.5.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "mapping/vr.h"

namespace mapping {

/// Microseconds: of a day for TM, since 1970-01-01 for DA and DT (in UTC where the value has an
/// offset, otherwise as if it were UTC).
using TimePoint = std::int64_t;
inline constexpr TimePoint day = std::int64_t{24} * 3600 * 1000000;

/// Inclusive.
struct TimeRange {
  TimePoint first = std::numeric_limits<TimePoint>::min();
  TimePoint last = std::numeric_limits<TimePoint>::max();
  bool contains(TimePoint point) const { return first <= point && point <= last; }
};

/// The moments that one value stands for: "2230" of TM is the first microsecond of that minute to
/// its last. Reads the old forms with dots and colons too. Nothing if it is no value of the VR.
std::optional<TimeRange> read_moment(Vr vr, std::string_view value);

/// A range key "a-b", "a-", "-b": from the first moment of a to the last of b. Nothing if it is no
/// range (single value) or not well formed.
std::optional<TimeRange> read_time_range(Vr vr, std::string_view key);

}  // namespace mapping
