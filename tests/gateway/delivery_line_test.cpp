#include "gateway/delivery_line.h"

#include <catch2/catch.hpp>
#include <future>

#include "gateway/sqlite_mpps_queue.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using std::chrono::milliseconds;
using Lines = std::vector<std::string>;

namespace {

/// A queue, one receiver, and the line between them.
template <class Of = Receiver>
struct Working {
  explicit Working(std::size_t workers = 4)
      : line(shared,
             {"ris", &receiver,
              [this](const mapping::Context&) {
                ++probes;
                return answers.load();
              }},
             {.workers = workers,
              .retry_first = milliseconds(2),
              .retry_max = milliseconds(20),
              .probe_max = milliseconds(10)}) {}
  ~Working() { stop(); }
  void accept(const MppsMessage& message) {
    queue->accept(message, to({"ris"}));
    line.wake();
  }
  void start() {
    line.start([this] { closed = true; });
  }
  void stop() {
    line.end();
    line.join();
  }

  Directory directory;
  std::unique_ptr<SqliteMppsQueue> queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  Of receiver;
  std::atomic<bool> answers{true}, closed{false};
  std::atomic<int> probes{0};
  std::mutex mutex;
  Lines logged;
  DeliveryShared shared{*queue, [this](mapping::LogLevel, std::string_view text) {
                          const std::lock_guard lock(mutex);
                          logged.emplace_back(text);
                        }};
  DeliveryLine line;
};

Outcome unreachable(Transaction transaction) {
  return Outcome::unreachable(transaction, NetworkEvent::connect_failed, "refused");
}

}  // namespace

TEST_CASE("a receiver that says when to come again is left alone until then") {
  Working<> line;
  line.receiver.fault = [&](Transaction, int number) -> std::optional<Outcome> {
    if (number > 1) return std::nullopt;
    Outcome busy = Outcome::answered(mapping::dimse_status::resource_limitation);
    busy.retry_after = std::chrono::seconds(3600);
    return busy;
  };
  line.start();
  line.accept(create_message(1));
  REQUIRE(line.receiver.wait([&] { return line.queue->list({}).at(0).attempts == 1; }));
  CHECK(line.queue->finish("ris", {}, queue_now(), 1).next_due >
        queue_now() + std::chrono::minutes(59));
}

TEST_CASE("a request that hangs keeps nothing waiting but its own step") {
  struct Hanging : Receiver {
    std::promise<void> goes_on;
    Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                   const mapping::Context& context) override {
      if (mpps == uid(0)) goes_on.get_future().wait();
      return Receiver::create(mpps, attributes, context);
    }
  };
  Working<Hanging> line(2);
  for (int step = 0; step < 50; ++step) line.accept(create_message(step));
  line.start();
  const bool others_are_there = line.receiver.wait_for_effects(49);
  const bool recorded = line.receiver.wait([&] { return line.queue->list({}).size() == 1; });
  line.receiver.goes_on.set_value();
  CHECK(others_are_there);
  CHECK(recorded);
  CHECK(line.receiver.wait([&] { return line.queue->list({}).empty(); }));
}

TEST_CASE("what was taken for a receiver that goes down is given back, untried") {
  Working<> line;
  line.answers = false;
  line.receiver.fault = [](Transaction transaction, int) { return unreachable(transaction); };
  for (int step = 0; step < 20; ++step) line.accept(create_message(step));
  line.start();
  REQUIRE(line.receiver.wait([&] {
    const auto entries = line.queue->list({});
    return line.probes > 0 && std::all_of(entries.begin(), entries.end(), [](const auto& entry) {
             return entry.state == DeliveryState::waiting;
           });
  }));
  std::size_t tried = 0;
  for (const auto& entry : line.queue->list({})) tried += entry.attempts;
  CHECK(tried >= 1);
  CHECK(tried <= 4);  // by each worker once
  CHECK(line.queue->list({}).size() == 20);
}

TEST_CASE("what could not be recorded is recorded as soon as the database works again") {
  struct Failing : EmptyQueue {
    std::atomic<int> calls{0};
    std::atomic<bool> recorded{false};
    Taken finish(const std::string&, const std::vector<Ended>& ended, QueueTime,
                 std::size_t) override {
      switch (++calls) {
        case 1:
          return {{{.id = 1, .receiver = "ris", .message = create_message(1)}}, std::nullopt};
        case 2:
          throw QueueFailure("disk full");
        default:
          recorded = recorded || ended.size() == 1;
          return {};
      }
    }
  } queue;
  Receiver ris;
  DeliveryShared shared{queue, [](mapping::LogLevel, std::string_view) {}};
  DeliveryLine line(shared, {"ris", &ris, [](const mapping::Context&) { return true; }},
                    {.workers = GENERATE(1, 4)});
  line.start([] {});
  CHECK(ris.wait([&] { return queue.recorded.load(); }));
  CHECK(ris.log() == Lines{effect(1, "create")});
  line.end();
  line.join();
}

TEST_CASE("an attempt that an exception ends is one whose answer was lost, and ends nothing else") {
  struct Throwing : Receiver {
    std::atomic<int> left{3};
    Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                   const mapping::Context& context) override {
      if (left-- > 0) throw std::runtime_error("of Doe^Jane");
      return Receiver::create(mpps, attributes, context);
    }
  };
  Working<Throwing> line(2);
  line.start();
  line.accept(create_message(1));
  line.accept(update_message(1, described("a")));
  REQUIRE(line.receiver.wait([&] { return line.queue->list({}).empty(); }));
  CHECK(line.receiver.log() == Lines{effect(1, "create"), effect(1, "update a")});
  line.stop();
  REQUIRE(line.logged.size() >= 2);
  CHECK(line.logged[0] == "tx=t1 message=1 an exception ended the attempt");
  CHECK(line.logged[1].find("tx=t1 message=1 create queue->ris status=0110 retry attempt=1") == 0);
  for (const auto& logged : line.logged) CHECK(logged.find("Doe") == std::string::npos);
}

TEST_CASE("a line that ends gives back what it has not tried, and tells when it has") {
  struct Waiting : Receiver {
    std::promise<void> asked, goes_on;
    Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                   const mapping::Context& context) override {
      asked.set_value();
      goes_on.get_future().wait();
      return Receiver::create(mpps, attributes, context);
    }
  };
  Working<Waiting> line(1);
  for (int step = 0; step < 3; ++step) line.accept(create_message(step));
  line.start();
  line.receiver.asked.get_future().wait();
  line.line.end();
  CHECK_FALSE(line.line.over());
  CHECK_FALSE(line.closed);
  line.receiver.goes_on.set_value();
  REQUIRE(line.receiver.wait([&] { return line.closed.load(); }));
  CHECK(line.line.over());
  CHECK(line.receiver.requests() == 1);
  const auto left = line.queue->list({});
  REQUIRE(left.size() == 2);
  for (const auto& entry : left) {
    CHECK(entry.state == DeliveryState::waiting);
    CHECK(entry.attempts == 0);
  }
}

TEST_CASE("the log names message, receiver, status and what follows, and nothing of the patient") {
  Working<> line;
  line.receiver.fault = [](Transaction, int) { return Outcome::answered(0x0106); };
  line.start();
  line.accept(create_message(1));
  REQUIRE(line.receiver.wait(
      [&] { return !line.queue->list({.state = DeliveryState::held}).empty(); }));
  line.stop();
  REQUIRE_FALSE(line.logged.empty());
  CHECK(line.logged[0].find("tx=t1 message=1 create queue->ris status=0106 held attempt=1") == 0);
}
