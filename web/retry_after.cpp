#include "web/retry_after.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

namespace web {
namespace {

constexpr std::chrono::seconds longest = std::chrono::hours(24);

/// In seconds: the year 9999 has too many nanoseconds.
std::optional<std::chrono::sys_seconds> http_date(const std::string& text) {
  for (const char* form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                           "%a %b %d %H:%M:%S %Y"}) {  // the last two: RFC 850, asctime
    std::tm parts{};
    const char* end = ::strptime(text.c_str(), form, &parts);
    if (end == nullptr || *end != '\0') continue;
    return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::chrono::seconds> retry_after(std::string_view value,
                                                std::chrono::system_clock::time_point now) {
  if (value.empty()) return std::nullopt;
  const bool number =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (number) {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (error != std::errc()) return longest;  // out of range
    return std::min(longest, std::chrono::seconds(seconds));
  }
  const auto date = http_date(std::string(value));
  if (!date) return std::nullopt;
  return std::clamp<std::chrono::seconds>(*date - std::chrono::floor<std::chrono::seconds>(now),
                                          std::chrono::seconds(0), longest);
}

}  // namespace web
