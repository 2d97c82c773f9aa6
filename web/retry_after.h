// The Retry-After header: when a server that is overloaded wants to be asked again.
// RFC 9110, 10.2.3 and 5.6.7.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace web {

/// How long to wait from now on: of a number of seconds, or of a date in any of the three forms.
/// Not negative, at most a day. Nothing if the value is neither.
std::optional<std::chrono::seconds> retry_after(std::string_view value,
                                                std::chrono::system_clock::time_point now);

}  // namespace web
