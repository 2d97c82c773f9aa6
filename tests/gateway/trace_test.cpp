// The file of a trace: whom it follows, when it ends, and that it never fails a transaction.
#include "gateway/trace.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace std::chrono_literals;
using mapping::Caller;

namespace {

struct Desk {
  queue_test::Directory directory;
  std::mutex mutex;
  std::vector<std::string> lines;
  std::unique_ptr<Trace> trace;

  TraceOptions options() const {
    TraceOptions options;
    options.name = "CT/1";
    options.duration = 1h;
    options.leave_free_bytes = 0;
    return options;
  }
  Trace& start(TraceOptions with) {
    auto started = Trace::start(directory.path(), std::move(with),
                                [this](mapping::LogLevel, std::string_view line) {
                                  const std::lock_guard lock(mutex);
                                  lines.emplace_back(line);
                                });
    REQUIRE(started.ok());
    trace = std::move(started).value();
    return *trace;
  }
  std::string log() {
    const std::lock_guard lock(mutex);
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }
  /// Waits until the log says so.
  bool says(const std::string& text) {
    for (int i = 0; i < 4000; ++i) {
      if (log().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  std::string content() const {
    std::ifstream in(trace->file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

const Caller ct{Caller::Protocol::dimse, "CT/1", "10.0.0.7", {}};

}  // namespace

TEST_CASE("a trace is a file of mode 0600, told in the log with its end in time") {
  Desk desk;
  const auto mask = ::umask(0);
  Trace& trace = desk.start(desk.options());
  ::umask(mask);
  const auto name = trace.file().filename().string();
  CHECK(name.starts_with("trace-CT-1-20"));
  struct stat file {};
  REQUIRE(::stat(trace.file().c_str(), &file) == 0);
  CHECK((file.st_mode & 07777) == 0600);
  CHECK(desk.log().find("trace of \"CT/1\" until 20") == 0);
  CHECK(desk.log().find("patient data are written to " + trace.file().string()) !=
        std::string::npos);
  trace.write("one");
  trace.write("two");
  const auto path = trace.file();
  desk.trace.reset();
  std::ifstream in(path);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "one\ntwo\n");
  CHECK(desk.log().find("ended, the gateway stops: 2 lines in ") != std::string::npos);
}

TEST_CASE("a name, or an address, is followed on either front; no other") {
  Desk desk;
  Trace& trace = desk.start(desk.options());
  CHECK(trace.follows(ct));
  CHECK(trace.follows({Caller::Protocol::web, "CT/1", "10.0.0.8", {}}));
  CHECK_FALSE(trace.follows({Caller::Protocol::dimse, "CT/11", "10.0.0.7", {}}));
  CHECK_FALSE(trace.follows({}));
  Desk by_address;
  auto options = by_address.options();
  options.name = "10.0.0.7";
  CHECK(by_address.start(options).follows({Caller::Protocol::web, "", "10.0.0.7", {}}));
}

TEST_CASE("it ends by itself when its time is over") {
  Desk desk;
  auto options = desk.options();
  options.duration = 30ms;
  Trace& trace = desk.start(options);
  trace.write("one");
  REQUIRE(desk.says("ended, its time is over: 1 lines in "));
  CHECK_FALSE(trace.follows(ct));
  trace.write("two");
  CHECK(desk.content() == "one\n");
}

TEST_CASE("it ends in time, too, while lines come without a pause") {
  Desk desk;
  auto options = desk.options();
  options.duration = 30ms;
  Trace& trace = desk.start(options);
  std::atomic<bool> enough{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!enough) trace.write("line");
    });
  }
  CHECK(desk.says("ended, its time is over: "));
  enough = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_CASE("a disk with too little left, or one that fails, ends it in whole lines") {
  Desk desk;
  auto options = desk.options();
  SECTION("the rest is for others") {
    options.leave_free_bytes = std::uint64_t{1} << 62;
    Trace& trace = desk.start(options);
    trace.write("one");
    REQUIRE(desk.says("MiB of the disk are free: 0 lines in "));
    CHECK(desk.content().empty());
    CHECK_FALSE(trace.follows(ct));
  }
  SECTION("a write fails in mid line") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit small{10'000, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    Trace& trace = desk.start(options);
    trace.write(std::string(6'000, 'x'));
    trace.write(std::string(6'000, 'y'));
    const bool said = desk.says("ended, File too large: 1 lines in ");
    ::setrlimit(RLIMIT_FSIZE, &before);
    CHECK(said);
    CHECK(desk.content() == std::string(6'000, 'x') + "\n");
  }
  SECTION("more comes than it takes") {
    options.most_waiting_bytes = 100;
    Trace& trace = desk.start(options);
    trace.write(std::string(200, 'x'));
    REQUIRE(desk.says("ended, more comes than the disk takes: 0 lines in "));
    CHECK_FALSE(trace.follows(ct));
  }
}

TEST_CASE("where no file can be made it does not start, and says why") {
  Desk desk;
  const auto started = Trace::start(desk.directory.path() / "missing", desk.options(),
                                    [](mapping::LogLevel, std::string_view) {});
  REQUIRE_FALSE(started.ok());
  CHECK(started.fault().what.find("--trace cannot write ") == 0);
  CHECK(started.fault().what.find("No such file or directory") != std::string::npos);
}

TEST_CASE("several threads write whole lines") {
  Desk desk;
  Trace& trace = desk.start(desk.options());
  std::vector<std::thread> threads;
  for (char c = 'a'; c < 'e'; ++c) {
    threads.emplace_back([&trace, c] {
      for (int i = 0; i < 500; ++i) trace.write(std::string(100, c));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto path = trace.file();
  desk.trace.reset();
  std::ifstream in(path);
  std::size_t count = 0;
  for (std::string line; std::getline(in, line); ++count) {
    REQUIRE(line == std::string(100, line[0]));
  }
  CHECK(count == 2000);
}
