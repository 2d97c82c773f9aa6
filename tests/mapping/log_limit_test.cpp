#include "mapping/log_limit.h"

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace mapping;
using namespace std::chrono_literals;

namespace {

struct Limited {
  LogLimit::Clock::time_point now{};
  std::mutex mutex;
  std::vector<std::string> lines;
  LogLimit limit{[this](LogLevel, std::string_view line) {
                   const std::lock_guard lock(mutex);
                   lines.emplace_back(line);
                 },
                 [this] { return now; }};
  void call(int times, const std::string& address, const std::string& line = "x") {
    for (int i = 0; i < times; ++i) limit(LogLevel::warn, address, line);
  }
};

}  // namespace

TEST_CASE(
    "an address has twenty lines a minute; of the rest the count is told at 1, 10, 100, ...") {
  Limited l;
  l.call(20, "10.0.0.1");
  CHECK(l.lines == std::vector<std::string>(20, "x"));
  l.call(1000, "10.0.0.1", "bad");
  REQUIRE(l.lines.size() == 24);
  CHECK(l.lines[20] == "bad (too many such lines: 1 not written in this minute)");
  CHECK(l.lines[23] == "bad (too many such lines: 1000 not written in this minute)");
  l.call(1, "10.0.0.2", "another's is still seen");
  CHECK(l.lines.back() == "another's is still seen");
}

TEST_CASE("a minute later all are written again, and how many were not is told once") {
  Limited l;
  l.call(1025, "10.0.0.1");
  l.lines.clear();
  l.now += 59s;
  l.call(1, "10.0.0.1");
  CHECK(l.lines.empty());
  l.now += 1s;
  l.call(2, "10.0.0.1");
  CHECK(l.lines == std::vector<std::string>{"1006 lines of this kind were not written", "x", "x"});
}

TEST_CASE("however many addresses there are, the lines of a minute are bounded") {
  Limited l;
  for (int i = 0; i < 100'000; ++i) l.call(1, "10." + std::to_string(i));
  CHECK(l.lines.size() == LogLimit::of_all + 5);
}

TEST_CASE("lines for debugging are neither counted nor kept back") {
  Limited l;
  for (int i = 0; i < 50; ++i) l.limit(LogLevel::debug, "10.0.0.1", "probe");
  CHECK(l.lines.size() == 50);
  l.call(1, "10.0.0.1");
  CHECK(l.lines.back() == "x");
}

TEST_CASE("without a log nothing is written") {
  const LogLimit silent(Log{});
  silent(LogLevel::warn, "", "x");
}

TEST_CASE("several threads together write no more than one") {
  Limited l;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { l.call(500, "10.0.0.1"); });
  for (std::thread& thread : threads) thread.join();
  CHECK(l.lines.size() == LogLimit::of_an_address + 4);
}
