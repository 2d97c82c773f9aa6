// What the admin port knows of the queue.
#include "gateway/queue_watch.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "gateway/sqlite_mpps_queue.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using namespace std::chrono_literals;

namespace {

constexpr auto never = 1h;
void no_log(mapping::LogLevel, std::string_view) {}

struct Queue {
  Directory directory;
  std::unique_ptr<SqliteMppsQueue> queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  void accept(int number) {
    queue->accept(create_message(number), [](const RecordedStep*) {
      return Acceptance{.destinations = {{"ris", Destination::How::deliver}}};
    });
  }
};

}  // namespace

TEST_CASE("depths and held messages are known at once, and again when it looks") {
  Queue q;
  q.accept(1);
  q.accept(2);
  hold_next(*q.queue, "ris");
  QueueWatch watch(*q.queue, never, no_log);
  auto state = watch.state();
  CHECK(state.fault.empty());
  REQUIRE(state.receivers.size() == 1);
  CHECK(state.receivers[0].open == 2);
  REQUIRE(state.held.size() == 1);
  CHECK(state.held[0].id == 1);
  CHECK(state.held[0].reason == "refused");
  hold_next(*q.queue, "ris");
  CHECK(watch.state().held.size() == 1);
  watch.look();
  CHECK(watch.state().held.size() == 2);
}

TEST_CASE("of many held messages the oldest are told") {
  Queue q;
  for (int i = 1; i <= 103; ++i) q.accept(i);
  for (int i = 1; i <= 103; ++i) hold_next(*q.queue, "ris");
  const QueueWatch watch(*q.queue, never, no_log);
  const auto state = watch.state();
  CHECK(state.receivers[0].held == 103);
  REQUIRE(state.held.size() == QueueState::most_held);
  CHECK(state.held.front().id == 1);
}

namespace {

/// A queue that cannot be read while it is broken, nor written while it is full.
struct Broken : EmptyQueue {
  bool broken = true, full = false;
  int writes = 0;
  std::vector<QueueDepth> depths() override {
    if (broken) throw QueueFailure("disk is gone");
    return {};
  }
  void check_writable() override {
    ++writes;
    if (full) throw QueueFailure("disk is full");
  }
};

}  // namespace

TEST_CASE("a queue that cannot be read is one line in the log, and is known as such until it can") {
  Broken queue;
  std::vector<std::string> lines;
  QueueWatch watch(queue, never,
                   [&](mapping::LogLevel, std::string_view line) { lines.emplace_back(line); });
  watch.look();
  CHECK(watch.state().fault == "disk is gone");
  CHECK(lines == std::vector<std::string>{"the queue cannot be read: disk is gone"});
  queue.broken = false;
  watch.look();
  CHECK(watch.state().fault.empty());
}

TEST_CASE("who looks knows what is there then, though another look began before") {
  struct Slow : EmptyQueue {
    std::atomic<int> looks{0};
    std::atomic<bool> go_on{false};
    std::vector<QueueDepth> depths() override {
      const int look = ++looks;
      while (look == 2 && !go_on) std::this_thread::sleep_for(1ms);
      return {{"ris", static_cast<std::size_t>(look), 0, {}}};
    }
  } queue;
  QueueWatch watch(queue, never, no_log);
  std::thread earlier([&] { watch.look(); });
  while (queue.looks < 2) std::this_thread::sleep_for(1ms);
  std::thread later([&] {
    watch.look();
    CHECK(watch.state().receivers.at(0).open == 3);
  });
  // It must not overtake; where it does, it has read by then.
  for (int i = 0; i < 100 && queue.looks < 3; ++i) std::this_thread::sleep_for(1ms);
  queue.go_on = true;
  earlier.join();
  later.join();
  CHECK(watch.state().receivers.at(0).open == 3);
}

TEST_CASE("a queue that cannot be written is known before anybody is refused, until it can") {
  Broken queue;
  queue.broken = false;
  queue.full = true;
  std::vector<std::string> lines;
  QueueWatch watch(queue, never,
                   [&](mapping::LogLevel, std::string_view line) { lines.emplace_back(line); });
  CHECK(watch.state().fault.empty());
  CHECK(watch.state().write_fault == "disk is full");
  watch.look();
  CHECK(lines == std::vector<std::string>{"the MPPS queue cannot be written: disk is full"});
  watch.look();
  CHECK(queue.writes == 3);  // asked again as long as it fails
  queue.full = false;
  watch.look();
  CHECK(watch.state().write_fault.empty());
  watch.look();
  CHECK(queue.writes == 4);  // a disk that is good is not worn
}
