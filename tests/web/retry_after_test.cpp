#include "web/retry_after.h"

#include <catch2/catch.hpp>

TEST_CASE("Retry-After is a number of seconds or a date in one of the three forms of RFC 9110") {
  // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, 5.6.7.
  const auto then = std::chrono::system_clock::from_time_t(784111777);
  struct Row {
    const char* value;
    std::optional<int> seconds;
  };
  for (const Row& row : {
           Row{"0", 0},
           Row{"120", 120},
           Row{"86400", 86400},
           Row{"86401", 86400},
           Row{"99999999999999999999999", 86400},
           Row{"Sun, 06 Nov 1994 08:49:37 GMT", 30},
           Row{"Sunday, 06-Nov-94 08:49:37 GMT", 30},
           Row{"Sun Nov  6 08:49:37 1994", 30},
           Row{"Sun, 06 Nov 1994 08:49:00 GMT", 0},
           Row{"Sun, 06 Nov 2094 08:49:37 GMT", 86400},
           Row{"Fri, 31 Dec 9999 23:59:59 GMT", 86400},
           Row{"Sun, 06 Nov 0001 08:49:37 GMT", 0},
           Row{"", std::nullopt},
           Row{"-1", std::nullopt},
           Row{"1.5", std::nullopt},
           Row{"+1", std::nullopt},
           Row{"soon", std::nullopt},
           Row{"Sun, 06 Nov 1994 08:49:37 CET", std::nullopt},
           Row{"Sun, 06 Nov 1994 08:49:37 GMT and more", std::nullopt},
       }) {
    CAPTURE(row.value);
    const auto wait = web::retry_after(row.value, then - std::chrono::seconds(30));
    REQUIRE(wait.has_value() == row.seconds.has_value());
    if (row.seconds) CHECK(wait->count() == *row.seconds);
  }
}
