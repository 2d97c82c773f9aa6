#include "gateway/mpps_delivery.h"

#include <atomic>
#include <catch2/catch.hpp>

#include "gateway/sqlite_mpps_queue.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using std::chrono::milliseconds;

namespace {

using Lines = std::vector<std::string>;

/// A queue, receivers by name, and the delivery between them.
struct Line {
  Directory directory;
  std::unique_ptr<SqliteMppsQueue> queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  Receiver ris, pacs;
  std::atomic<bool> ris_answers{true};
  std::atomic<int> probes{0};
  std::mutex mutex;
  std::vector<std::string> logged;
  std::unique_ptr<MppsDelivery> delivery;

  explicit Line(std::size_t workers = 4) {
    const DeliveryOptions options{.workers = workers,
                                  .retry_first = milliseconds(2),
                                  .retry_max = milliseconds(20),
                                  .probe_max = milliseconds(10)};
    delivery = std::make_unique<MppsDelivery>(
        *queue,
        std::vector<MppsReceiver>{{"ris", &ris,
                                   [this](const mapping::Context&) {
                                     ++probes;
                                     return ris_answers.load();
                                   }},
                                  {"pacs", &pacs, [](const mapping::Context&) { return true; }}},
        options, [this](mapping::LogLevel, std::string_view line) {
          const std::lock_guard lock(mutex);
          logged.emplace_back(line);
        });
  }
  void accept(const MppsMessage& message, std::vector<std::string> names = {"ris"}) {
    queue->accept(message, [&](const RecordedStep*) {
      Acceptance acceptance;
      for (const auto& name : names) {
        acceptance.destinations.push_back({name, Destination::How::deliver});
      }
      return acceptance;
    });
    for (const auto& name : names) delivery->wake(name);
  }
  bool wait_until_empty() {
    const bool empty = ris.wait([&] { return queue->list({}).empty(); });
    for (const auto& entry : queue->list({})) {
      UNSCOPED_INFO("left: " << entry.id << " " << entry.receiver << " " << to_string(entry.state)
                             << " attempts " << entry.attempts << " " << entry.reason);
    }
    return empty;
  }
  bool wait_until_held() {
    return ris.wait([&] { return !queue->list({.state = DeliveryState::held}).empty(); });
  }
};

Outcome unreachable(Transaction transaction) {
  return Outcome::unreachable(transaction, NetworkEvent::connect_failed, "refused");
}
Outcome lost(Transaction transaction) {
  return Outcome::unknown(transaction, NetworkEvent::connection_lost, "closed");
}

}  // namespace

TEST_CASE("what is accepted is brought at once, before and after the start") {
  Line line;
  line.accept(create_message(1));
  line.delivery->start();
  REQUIRE(line.wait_until_empty());
  line.accept(update_message(1, described("a")));
  REQUIRE(line.wait_until_empty());
  CHECK(line.ris.log() == Lines{effect(1, "create"), effect(1, "update a")});
}

TEST_CASE("a receiver that is down gets everything in order on its return, the other at once") {
  Line line;
  std::atomic<bool> down{true};
  line.ris_answers = false;
  line.ris.fault = [&](Transaction transaction, int) -> std::optional<Outcome> {
    if (down) return unreachable(transaction);
    return std::nullopt;
  };
  line.delivery->start();
  for (int step = 0; step < 20; ++step) line.accept(create_message(step), {"ris", "pacs"});
  for (int step = 0; step < 20; ++step) {
    line.accept(update_message(step, described("a")), {"ris", "pacs"});
    line.accept(update_message(step, in_state("COMPLETED")), {"ris", "pacs"});
  }
  REQUIRE(line.pacs.wait_for_effects(60));
  REQUIRE(line.ris.wait([&] { return line.probes > 3; }));
  CHECK(line.ris.log().empty());
  // One that is down is asked by its probe, not by each message again and again.
  CHECK(line.ris.requests() <= 4);
  down = false;
  line.ris_answers = true;
  REQUIRE(line.wait_until_empty());
  for (int step = 0; step < 20; ++step) {
    CHECK(line.ris.log_of(step) == Lines{effect(step, "create"), effect(step, "update a"),
                                         effect(step, "update COMPLETED")});
  }
}

TEST_CASE("busy and failing receivers are tried again without end, other steps go on") {
  Line line;
  std::atomic<int> refusals{25};
  line.ris.fault = [&](Transaction transaction, int) -> std::optional<Outcome> {
    if (transaction == Transaction::update && refusals-- > 0) {
      return Outcome::answered(mapping::dimse_status::resource_limitation);
    }
    return std::nullopt;
  };
  line.delivery->start();
  line.accept(create_message(1));
  line.accept(update_message(1, described("a")));
  line.accept(create_message(2));
  REQUIRE(line.wait_until_empty());
  CHECK(line.ris.log_of(1) == Lines{effect(1, "create"), effect(1, "update a")});
  CHECK(line.queue->list({.state = DeliveryState::delivered}).at(1).attempts == 26);
}

TEST_CASE("a refusal is held, what comes after it waits, other steps go on") {
  Line line;
  std::atomic<bool> refuse{true};
  line.ris.fault = [&](Transaction transaction, int) -> std::optional<Outcome> {
    if (transaction == Transaction::update && refuse.exchange(false)) {
      return Outcome::answered(mapping::dimse_status::invalid_attribute_value);
    }
    return std::nullopt;
  };
  line.delivery->start();
  line.accept(create_message(1));
  line.accept(update_message(1, described("a")));
  line.accept(update_message(1, described("b")));
  REQUIRE(line.wait_until_held());
  line.accept(create_message(2));
  REQUIRE(line.ris.wait_for_effects(2));
  CHECK(line.ris.log_of(1) == Lines{effect(1, "create")});
  const auto held = line.queue->list({.state = DeliveryState::held});
  REQUIRE(held.size() == 1);
  CHECK(held[0].status == 0x0106);
  // By another process, as "modgate queue retry" does: noticed without a call.
  const auto visitor =
      SqliteMppsQueue::open(line.directory.path(), SqliteMppsQueue::Role::visitor).value();
  CHECK(visitor->retry(held[0].id, "ris"));
  REQUIRE(line.wait_until_empty());
  CHECK(line.ris.log_of(1) ==
        Lines{effect(1, "create"), effect(1, "update a"), effect(1, "update b")});
}

TEST_CASE("lost answers: settled before anything is repeated, nothing takes effect twice") {
  Line line;
  const bool asks = GENERATE(true, false);
  line.ris.offers_retrieve = asks;
  // Every second answer to a create or update gets lost.
  int writes = 0;
  line.ris.lost_answer = [&](Transaction transaction, int) -> std::optional<Outcome> {
    if (transaction == Transaction::retrieve || ++writes % 2 == 0) return std::nullopt;
    return lost(transaction);
  };
  line.delivery->start();
  for (int step = 0; step < 10; ++step) {
    line.accept(create_message(step));
    line.accept(update_message(step, described("a")));
    line.accept(update_message(step, in_state("COMPLETED")));
  }
  REQUIRE(line.wait_until_empty());
  for (int step = 0; step < 10; ++step) {
    auto effects = line.ris.log_of(step);
    // Without N-GET an N-SET is repeated: replacing twice is replacing once.
    if (!asks) effects.erase(std::unique(effects.begin(), effects.end()), effects.end());
    CHECK(effects == Lines{effect(step, "create"), effect(step, "update a"),
                           effect(step, "update COMPLETED")});
  }
}

TEST_CASE("a UID that somebody else's step has is held, not taken for ours") {
  Line line;
  line.ris.create(uid(1), created(99), {});
  line.delivery->start();
  line.accept(create_message(1));
  REQUIRE(line.wait_until_held());
  CHECK(line.queue->list({.state = DeliveryState::held}).at(0).status == 0x0111);
}

TEST_CASE("a step that the receiver has from elsewhere is done") {
  Line line;
  line.ris.create(uid(1), created(1), {});
  line.delivery->start();
  line.accept(create_message(1));
  REQUIRE(line.wait_until_empty());
}

TEST_CASE("stopped and started again in the middle: nothing lost, nothing twice") {
  Directory directory;
  Receiver ris;
  for (int round = 0; round < 10; ++round) {
    const auto queue =
        SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
    MppsDelivery delivery(*queue, {{"ris", &ris, [](const mapping::Context&) { return true; }}},
                          {.workers = 3, .retry_first = milliseconds(1)},
                          [](mapping::LogLevel, std::string_view) {});
    delivery.start();
    for (int i = 0; i < 10; ++i) {
      const int step = round * 10 + i;
      const auto to_ris = [](const RecordedStep*) {
        return Acceptance{.destinations = {{"ris", Destination::How::deliver}}};
      };
      queue->accept(create_message(step), to_ris);
      delivery.wake("ris");
      queue->accept(update_message(step, described("a")), to_ris);
    }
  }
  const auto queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  MppsDelivery delivery(*queue, {{"ris", &ris, [](const mapping::Context&) { return true; }}}, {},
                        [](mapping::LogLevel, std::string_view) {});
  delivery.start();
  REQUIRE(ris.wait([&] { return queue->list({}).empty(); }));
  for (int step = 0; step < 100; ++step) {
    CHECK(ris.log_of(step) == Lines{effect(step, "create"), effect(step, "update a")});
  }
}

TEST_CASE("delivery goes on where old messages cannot be forgotten; it is said, now and then") {
  struct Damaged : EmptyQueue {
    std::atomic<int> looks{0}, forgets{0};
    bool changed_elsewhere() override {
      ++looks;
      return true;  // wakes the lines: they use the queue, which works for them
    }
    std::size_t forget(QueueTime) override {
      ++forgets;
      throw QueueFailure("damaged");
    }
  } queue;
  Receiver ris;
  std::mutex mutex;
  Lines logged;
  MppsDelivery delivery(queue, {{"ris", &ris, [](const mapping::Context&) { return true; }}},
                        {.workers = 1}, [&](mapping::LogLevel, std::string_view line) {
                          const std::lock_guard lock(mutex);
                          logged.emplace_back(line);
                        });
  delivery.start();
  REQUIRE(ris.wait([&] { return queue.looks >= 3; }));
  delivery.stop();
  CHECK(queue.forgets == 1);
  CHECK(logged == Lines{"delivered MPPS messages stay in the queue, which cannot forget them now: "
                        "damaged"});
}

namespace {

/// The receiver of this name, held by an owner.
struct Owned {
  std::shared_ptr<Receiver> receiver = std::make_shared<Receiver>();
  MppsReceiver as(const std::string& name) const {
    return {name, receiver.get(), [](const mapping::Context&) { return true; }, receiver};
  }
};

/// The first request to a receiver and those behind it wait until they may go on.
class Standstill {
 public:
  explicit Standstill(Receiver& receiver) {
    receiver.fault = [state = state_](Transaction, int) {
      state->asked = true;
      state->over.wait(false);
      return std::optional<Outcome>();
    };
  }
  ~Standstill() { end(); }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;
  bool asked() const { return state_->asked; }
  void end() {
    state_->over = true;
    state_->over.notify_all();
  }

 private:
  struct State {
    std::atomic<bool> asked{false}, over{false};
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();  // lives as long as it is asked
};

}  // namespace

TEST_CASE("a receiver that is exchanged loses nothing: what is under way ends at the first") {
  Line line;
  const DeliveryOptions options{.workers = 2, .retry_first = milliseconds(2)};
  Owned old, now;
  Standstill standstill(*old.receiver);
  line.delivery->start();
  line.delivery->prepare({old.as("ris")}, options)();
  line.accept(create_message(1));
  line.accept(create_message(2));
  line.accept(update_message(1, described("a")));
  line.accept(update_message(2, described("a")));
  REQUIRE(line.ris.wait([&] { return standstill.asked(); }));
  line.delivery->prepare({now.as("ris")}, options)();
  line.accept(create_message(3));
  REQUIRE(now.receiver->wait([&] { return !now.receiver->log_of(3).empty(); }));
  standstill.end();
  REQUIRE(line.ris.wait([&] {
    const auto old_log = old.receiver->log(), now_log = now.receiver->log();
    return old_log.size() + now_log.size() +
               line.queue->list({.state = DeliveryState::held}).size() >=
           5;
  }));
  // Of each step everything in order, the first message of one of them at least at the old one.
  CHECK(old.receiver->log().size() >= 1);
  for (const auto& entry : line.queue->list({.state = DeliveryState::held})) {
    CHECK(entry.operation == Transaction::update);  // 0112: the new one does not know the step
  }
  const std::weak_ptr<Receiver> gone = old.receiver;
  old.receiver.reset();
  CHECK(line.ris.wait([&] { return gone.expired(); }));
}

TEST_CASE("messages for a receiver that is gone wait, and go on when it is back") {
  Line line;
  const DeliveryOptions options{.workers = 2, .retry_first = milliseconds(2)};
  line.delivery->start();
  Owned pacs, ris;
  line.delivery->prepare({pacs.as("pacs")}, options)();
  line.accept(create_message(1), {"ris", "pacs"});
  line.accept(update_message(1, described("a")), {"ris", "pacs"});
  REQUIRE(pacs.receiver->wait_for_effects(2));
  CHECK(line.queue->list({.receiver = "ris"}).size() == 2);
  line.delivery->prepare({ris.as("ris"), pacs.as("pacs")}, options)();
  REQUIRE(line.wait_until_empty());
  CHECK(ris.receiver->log() == Lines{effect(1, "create"), effect(1, "update a")});
}

TEST_CASE("what an exchanged receiver could not give back at once goes on when it could") {
  struct Faltering : EmptyQueue {
    explicit Faltering(MppsQueue& of) : real(of) {}
    Taken finish(const std::string& receiver, const std::vector<Ended>& ended, QueueTime now,
                 std::size_t take_at_most) override {
      if (failing) {
        ++failed;
        throw QueueFailure("disk full");
      }
      auto taken = real.finish(receiver, ended, now, take_at_most);
      ++finished;
      return taken;
    }
    MppsQueue& real;
    std::atomic<bool> failing{false};
    std::atomic<int> finished{0}, failed{0};
  };
  const Directory directory;
  const auto queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  queue->accept(create_message(1), to({"ris"}));
  queue->accept(create_message(2), to({"ris"}));
  Faltering faltering(*queue);
  Owned old, now;
  Standstill standstill(*old.receiver);
  const DeliveryOptions options{.workers = 1};
  MppsDelivery delivery(faltering, {old.as("ris")}, options,
                        [](mapping::LogLevel, std::string_view) {});
  delivery.start();
  REQUIRE(now.receiver->wait([&] { return standstill.asked(); }));  // both are taken, one is tried
  delivery.prepare({now.as("ris")}, options)();
  REQUIRE(now.receiver->wait([&] { return faltering.finished == 2; }));  // the new one found none
  faltering.failing = true;
  standstill.end();
  REQUIRE(now.receiver->wait([&] { return faltering.failed > 0; }));
  faltering.failing = false;
  CHECK(now.receiver->wait_for_effects(1));
  CHECK(old.receiver->log() == Lines{effect(1, "create")});
  CHECK(now.receiver->log() == Lines{effect(2, "create")});
}

TEST_CASE("receivers that stay as they are notice no change; a hundred changes lose nothing") {
  Line line;
  const DeliveryOptions options{.workers = 2, .retry_first = milliseconds(1)};
  line.delivery->start();
  Owned same;
  std::vector<Owned> others(100);
  for (int i = 0; i < 100; ++i) {
    line.delivery->prepare({same.as("ris"), others[static_cast<std::size_t>(i)].as("pacs")},
                           options)();
    line.accept(create_message(i), {"ris", "pacs"});
  }
  REQUIRE(line.wait_until_empty());
  CHECK(same.receiver->log().size() == 100);
  std::size_t arrived = 0;
  for (const Owned& other : others) arrived += other.receiver->log().size();
  CHECK(arrived == 100);
}
