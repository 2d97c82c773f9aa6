// Lines on standard error, while their level and form change.
#include "gateway/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "dimse/descriptor.h"

using namespace gateway;
using mapping::LogLevel;

namespace {

/// What is written to standard error as long as this lives.
class StandardError {
 public:
  StandardError() {
    char name[] = "/tmp/modgate_log_XXXXXX";
    file_ = dimse::Descriptor(::mkstemp(name));
    REQUIRE(file_.get() >= 0);
    ::unlink(name);
    std::fflush(stderr);
    REQUIRE(::dup2(file_.get(), STDERR_FILENO) == STDERR_FILENO);
  }
  ~StandardError() { restore(); }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  /// Ends it.
  std::vector<std::string> lines() {
    restore();
    std::vector<std::string> all(1);
    char piece[4096];
    ::lseek(file_.get(), 0, SEEK_SET);
    for (ssize_t got = 0; (got = ::read(file_.get(), piece, sizeof piece)) > 0;) {
      for (const char c : std::string_view(piece, static_cast<std::size_t>(got))) {
        if (c == '\n') {
          all.emplace_back();
        } else {
          all.back() += c;
        }
      }
    }
    all.pop_back();
    return all;
  }

 private:
  void restore() {
    std::fflush(stderr);
    ::dup2(before_.get(), STDERR_FILENO);
  }
  dimse::Descriptor before_{::dup(STDERR_FILENO)};
  dimse::Descriptor file_;
};

}  // namespace

TEST_CASE("level and form hold from a change on, for the sinks that are there") {
  StandardError captured;
  ProcessLog log(LogLevel::warn, LogFormat::text);
  const mapping::Log sink = log.sink();
  sink(LogLevel::info, "not this");
  sink(LogLevel::warn, "one");
  log.change(LogLevel::info, LogFormat::json);
  sink(LogLevel::info, "two \"quoted\"");
  sink(LogLevel::debug, "nor this");
  log.change(LogLevel::error, LogFormat::text);
  sink(LogLevel::warn, "nor that");
  sink(LogLevel::error, "three");
  const auto lines = captured.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].substr(24) == " warning one");
  CHECK(lines[1].find(R"("level":"info","message":"two \"quoted\""})") != std::string::npos);
  CHECK(lines[2].substr(24) == " error three");
}

TEST_CASE("a sink outlives its log") {
  StandardError captured;
  mapping::Log sink;
  {
    const ProcessLog log(LogLevel::info, LogFormat::text);
    sink = log.sink();
  }
  sink(LogLevel::info, "late");
  CHECK(captured.lines().size() == 1);
}

TEST_CASE("every line is of one form while the form changes under writers") {
  StandardError captured;
  ProcessLog log(LogLevel::info, LogFormat::text);
  constexpr int threads = 3, each = 300;
  std::atomic<int> left{threads};
  std::vector<std::thread> writers;
  for (int i = 0; i < threads; ++i) {
    writers.emplace_back([sink = log.sink(), &left] {
      for (int line = 0; line < each; ++line) sink(LogLevel::info, "a \"word\"");
      --left;
    });
  }
  for (int i = 0; left > 0; ++i) {
    log.change(LogLevel::info, i % 2 == 0 ? LogFormat::json : LogFormat::text);
  }
  for (auto& writer : writers) writer.join();
  const auto lines = captured.lines();
  CHECK(lines.size() == threads * each);
  for (const std::string& line : lines) {
    const bool json = line.starts_with("{") && line.ends_with(R"("message":"a \"word\""})");
    const bool text = line.ends_with(R"(Z info a "word")");
    if (json == text) FAIL(line);
  }
}
