#include "gateway/sqlite_mpps_queue.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using Role = SqliteMppsQueue::Role;

namespace {

std::unique_ptr<SqliteMppsQueue> open(const Directory& directory, Role role = Role::gateway) {
  auto queue = SqliteMppsQueue::open(directory.path(), role);
  if (!queue) FAIL(queue.fault().what);
  return std::move(queue).value();
}

Judge to(std::vector<std::string> receivers, Destination::How how = Destination::How::deliver) {
  return [=](const RecordedStep*) {
    Acceptance acceptance;
    for (const auto& receiver : receivers) acceptance.destinations.push_back({receiver, how});
    return acceptance;
  };
}

MessageId accept(MppsQueue& queue, const MppsMessage& message, const Judge& judge = to({"ris"})) {
  return queue.accept(message, judge).id;
}

constexpr auto never = QueueTime::max();
const Attempt delivered{.result = Attempt::Result::delivered};
const Attempt held{.result = Attempt::Result::held, .status = 0x0106, .reason = "refused"};

QueueTime later() { return queue_now() + std::chrono::hours(1); }

}  // namespace

TEST_CASE("what was accepted comes out again, after a reopening too") {
  const Directory directory;
  const MppsMessage message = create_message(1);
  {
    auto queue = open(directory);
    CHECK(accept(*queue, message) > 0);
  }
  auto queue = open(directory);
  const auto delivery = take(*queue, "ris", later());
  REQUIRE(delivery);
  CHECK(delivery->message.operation == mapping::Transaction::create);
  CHECK(delivery->message.mpps == message.mpps);
  CHECK(delivery->message.attributes == message.attributes);
  CHECK(delivery->message.caller == "CT1");
  CHECK(delivery->message.transaction == "t1");
  CHECK(delivery->attempts == 0);
  CHECK_FALSE(take(*queue, "other", later()));
}

TEST_CASE("one MPPS and receiver: strictly one after the other; others at the same time") {
  const Directory directory;
  auto queue = open(directory);
  accept(*queue, create_message(1));
  accept(*queue, update_message(1, described("a")));
  accept(*queue, update_message(1, in_state("COMPLETED")));
  accept(*queue, create_message(2));

  const auto first = take(*queue, "ris", later());
  REQUIRE(first);
  CHECK(first->message.operation == mapping::Transaction::create);
  const auto other = take(*queue, "ris", later());
  REQUIRE(other);
  CHECK(other->message.mpps == uid(2));
  CHECK_FALSE(take(*queue, "ris", later()));  // the rest is behind

  SECTION("delivered: the next may go, and only it") {
    const auto second = finish(*queue, *first, delivered);
    REQUIRE(second);
    CHECK(second->message.attributes == described("a"));
    CHECK_FALSE(take(*queue, "ris", later()));
    const auto third = finish(*queue, *second, delivered);
    REQUIRE(third);
    CHECK(third->message.attributes == in_state("COMPLETED"));
    CHECK_FALSE(finish(*queue, *third, delivered));
    CHECK(queue->list({}).size() == 1);  // the other
  }
  SECTION("to be tried again: not before its time, nor anything behind it") {
    const Attempt again{.due = queue_now() + std::chrono::minutes(5),
                        .maybe_sent = true,
                        .status = 0x0213,
                        .reason = "busy"};
    CHECK_FALSE(finish(*queue, *first, again));
    CHECK(queue->finish("ris", {}, queue_now(), 0).next_due == again.due);
    CHECK_FALSE(take(*queue, "ris", queue_now()));
    const auto retried = take(*queue, "ris", later());
    REQUIRE(retried);
    CHECK(retried->id == first->id);
    CHECK(retried->attempts == 1);
    CHECK(retried->maybe_sent);
  }
  SECTION("the receiver is back: at once") {
    finish(*queue, *first, {.due = later()});
    queue->make_due("ris", queue_now());
    CHECK(take(*queue, "ris", queue_now()));
  }
  SECTION("held: those behind it wait until a person says what becomes of it") {
    CHECK_FALSE(finish(*queue, *first, held));
    CHECK_FALSE(take(*queue, "ris", later()));
    const auto entries = queue->list({.receiver = {}, .state = DeliveryState::held});
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].id == first->id);
    CHECK(entries[0].status == 0x0106);
    CHECK(entries[0].reason == "refused");
    CHECK(queue->depths().at(0).held == 1);
    SECTION("retry") {
      CHECK(queue->retry(first->id, "ris"));
      CHECK(take(*queue, "ris", queue_now())->id == first->id);
    }
    SECTION("discard") {
      CHECK(queue->discard(first->id, "ris"));
      CHECK(take(*queue, "ris", queue_now())->message.attributes == described("a"));
    }
  }
}

TEST_CASE("each receiver has a queue of its own") {
  const Directory directory;
  auto queue = open(directory);
  accept(*queue, create_message(1), to({"ris", "pacs"}));
  accept(*queue, update_message(1, in_state("COMPLETED")), to({"ris", "pacs"}));
  const auto ris = take(*queue, "ris", later());
  const auto pacs = take(*queue, "pacs", later());
  REQUIRE(ris);
  REQUIRE(pacs);
  CHECK(ris->id == pacs->id);
  finish(*queue, *ris, held);
  CHECK(finish(*queue, *pacs, delivered)->message.operation == mapping::Transaction::update);
}

TEST_CASE("withheld messages go with the one that is wanted, in order, or are dropped") {
  const Directory directory;
  auto queue = open(directory);
  using How = Destination::How;
  accept(*queue, create_message(1), to({"ris"}, How::withhold));
  accept(*queue, update_message(1, described("a")), to({"ris"}, How::withhold));
  CHECK_FALSE(take(*queue, "ris", later()));
  SECTION("wanted") {
    accept(*queue, update_message(1, in_state("COMPLETED")), to({"ris"}));
    auto delivery = take(*queue, "ris", later());
    REQUIRE(delivery);
    CHECK(delivery->message.operation == mapping::Transaction::create);
    delivery = finish(*queue, *delivery, delivered);
    REQUIRE(delivery);
    CHECK(delivery->message.attributes == described("a"));
    delivery = finish(*queue, *delivery, delivered);
    REQUIRE(delivery);
    CHECK(delivery->message.attributes == in_state("COMPLETED"));
  }
  SECTION("not wanted") {
    accept(*queue, update_message(1, in_state("DISCONTINUED")), to({"ris"}, How::drop_withheld));
    CHECK_FALSE(take(*queue, "ris", later()));
    CHECK(queue->list({}).empty());
    CHECK(queue->list({.receiver = {}, .state = DeliveryState::discarded}).size() == 3);
  }
}

TEST_CASE("undecided: goes when the first receiver has it, and never was when it has not") {
  const Directory directory;
  auto queue = open(directory);
  const Judge undecided = [](const RecordedStep*) {
    return Acceptance{.destinations = {{"pacs", Destination::How::deliver}}, .undecided = true};
  };
  const MessageId first = accept(*queue, create_message(1), undecided);
  const MessageId second = accept(*queue, update_message(1, described("a")), undecided);
  CHECK_FALSE(take(*queue, "pacs", later()));
  CHECK_FALSE(queue->step(uid(1)));
  SECTION("happened, out of order") {
    queue->decide(second, true);
    CHECK_FALSE(take(*queue, "pacs", later()));  // behind the first, which is open yet
    queue->decide(first, true);
    const auto delivery = take(*queue, "pacs", later());
    REQUIRE(delivery);
    CHECK(delivery->id == first);
    CHECK(finish(*queue, *delivery, delivered)->id == second);
    CHECK(queue->step(uid(1))->created);
  }
  SECTION("did not happen") {
    queue->decide(first, false);
    queue->decide(second, true);
    CHECK(take(*queue, "pacs", later())->id == second);
    CHECK_FALSE(queue->message(first));
  }
  SECTION("the gateway died in between: a person is asked, nothing is lost") {
    queue.reset();
    queue = open(directory);
    CHECK_FALSE(take(*queue, "pacs", later()));
    const auto entries = queue->list({.receiver = {}, .state = DeliveryState::held});
    REQUIRE(entries.size() == 2);
    CHECK(queue->retry(entries[0].id, "pacs"));
    CHECK(take(*queue, "pacs", later()));
  }
}

TEST_CASE("retry keeps the order: one behind another held one waits for it") {
  const Directory directory;
  auto queue = open(directory);
  const Judge undecided = [](const RecordedStep*) {
    return Acceptance{.destinations = {{"pacs", Destination::How::deliver}}, .undecided = true};
  };
  const MessageId first = accept(*queue, create_message(1), undecided);
  const MessageId second = accept(*queue, update_message(1, described("a")), undecided);
  queue.reset();
  queue = open(directory);  // both are held now
  CHECK(queue->retry(second, "pacs"));
  CHECK_FALSE(take(*queue, "pacs", later()));
  CHECK(queue->retry(first, "pacs"));
  const auto delivery = take(*queue, "pacs", later());
  REQUIRE(delivery);
  CHECK(delivery->id == first);
  CHECK(finish(*queue, *delivery, delivered)->id == second);
}

TEST_CASE("a second N-CREATE of a step for one receiver: an earlier one may have reached it") {
  const Directory directory;
  auto queue = open(directory);
  accept(*queue, create_message(1));
  finish(*queue, *take(*queue, "ris", later()), delivered);
  accept(*queue, create_message(1), to({"ris", "pacs"}));
  CHECK(take(*queue, "ris", later())->maybe_sent);
  CHECK_FALSE(take(*queue, "pacs", later())->maybe_sent);
}

TEST_CASE("the judge sees the step as all messages have made it, and its refusal keeps nothing") {
  const Directory directory;
  auto queue = open(directory);
  const auto refuse = [](const RecordedStep* recorded) {
    CHECK(recorded == nullptr);
    return Acceptance{.refusal = mapping::Outcome::local(0x0112, "no")};
  };
  const auto refused = queue->accept(update_message(1, described("a")), refuse);
  CHECK(refused.id == 0);
  CHECK(refused.outcome.status == 0x0112);
  CHECK(queue->list({}).empty());

  accept(*queue, create_message(1), to({}));  // for nobody, and remembered
  accept(*queue, update_message(1, described("a")));
  accept(*queue, update_message(1, described("b")));
  queue->accept(update_message(1, in_state("COMPLETED")), [](const RecordedStep* recorded) {
    REQUIRE(recorded != nullptr);
    CHECK(recorded->created);
    CHECK(recorded->attributes == mapping::apply_modifications(created(1), described("b")));
    return Acceptance{};
  });
  CHECK(mapping::is_final(queue->step(uid(1))->attributes));
}

TEST_CASE("what was on its way when the gateway died may have been sent") {
  const Directory directory;
  {
    auto queue = open(directory);
    accept(*queue, create_message(1));
    accept(*queue, update_message(1, described("a")));
    const auto taken = take(*queue, "ris", later());
    REQUIRE(taken);
    CHECK_FALSE(taken->maybe_sent);
  }
  auto queue = open(directory);
  const auto again = take(*queue, "ris", later());
  REQUIRE(again);
  CHECK(again->maybe_sent);
  const auto next = finish(*queue, *again, delivered);
  REQUIRE(next);
  CHECK_FALSE(next->maybe_sent);
}

TEST_CASE("delivered steps are forgotten as a whole, when all of their messages are old") {
  const Directory directory;
  auto queue = open(directory);
  accept(*queue, create_message(1));
  accept(*queue, create_message(2));
  accept(*queue, update_message(2, described("a")));
  const auto one = take(*queue, "ris", later());
  const auto two = take(*queue, "ris", later());
  REQUIRE(one);
  REQUIRE(two);
  finish(*queue, *one, delivered);
  finish(*queue, *two, delivered);
  CHECK(queue->forget(queue_now() - std::chrono::hours(1)) == 0);
  CHECK(queue->forget(later()) == 1);
  CHECK_FALSE(queue->step(uid(1)));
  CHECK(queue->step(uid(2)));
  CHECK(queue->forget(later()) == 0);
}

TEST_CASE("what is open for long does not keep others from being forgotten") {
  const Directory directory;
  auto queue = open(directory);
  constexpr int held_up = 1500;
  for (int i = 1; i <= held_up; ++i) accept(*queue, create_message(i));
  accept(*queue, create_message(held_up + 1), to({"pacs"}));
  finish(*queue, *take(*queue, "pacs", later()), delivered);
  std::size_t forgotten = 0;
  for (int calls = 0; calls < 3; ++calls) forgotten += queue->forget(later());
  CHECK(forgotten == 1);
  CHECK_FALSE(queue->step(uid(held_up + 1)));
  CHECK(queue->step(uid(held_up)));
}

TEST_CASE("a visitor works beside the gateway, and the gateway notices") {
  const Directory directory;
  auto queue = open(directory);
  const MessageId id = accept(*queue, create_message(1));
  finish(*queue, *take(*queue, "ris", later()), held);
  queue->changed_elsewhere();
  CHECK_FALSE(queue->changed_elsewhere());
  const auto visitor = open(directory, Role::visitor);
  CHECK(visitor->list({}).size() == 1);
  CHECK(visitor->message(id)->attributes == created(1));
  CHECK_FALSE(visitor->retry(id, "pacs"));
  CHECK_FALSE(visitor->discard(id + 1, "ris"));
  CHECK(visitor->retry(id, "ris"));
  CHECK(queue->changed_elsewhere());
  CHECK(take(*queue, "ris", queue_now()));
  CHECK_FALSE(visitor->discard(id, "ris"));  // on its way
}

TEST_CASE("of a file that was saved from damage: what waits behind a lost message is held") {
  const Directory directory;
  MessageId lost = 0, behind = 0, last = 0;
  {
    auto queue = open(directory);
    lost = accept(*queue, create_message(1));
    behind = accept(*queue, update_message(1, described("a")));
    last = accept(*queue, update_message(1, described("a")));
  }
  SQLite::Database((directory.path() / "mpps-queue.sqlite").string(), SQLite::OPEN_READWRITE)
      .exec("DELETE FROM messages WHERE id=" + std::to_string(lost));
  auto queue = open(directory);
  CHECK_FALSE(take(*queue, "ris", later()));
  const auto open_ones = queue->list({});
  REQUIRE(open_ones.size() == 2);
  CHECK(open_ones[0].id == behind);
  CHECK(open_ones[0].state == DeliveryState::held);
  CHECK(open_ones[0].reason.find("lost with a damaged file") != std::string::npos);
  CHECK(open_ones[1].state == DeliveryState::waiting);
  CHECK(queue->retry(behind, "ris"));
  const auto delivery = take(*queue, "ris", later());
  REQUIRE(delivery);
  CHECK(delivery->id == behind);
  CHECK(finish(*queue, *delivery, delivered)->id == last);
}

TEST_CASE("several at a time, each of another MPPS; what was not tried is as it was") {
  const Directory directory;
  auto queue = open(directory);
  for (const int step : {1, 2, 3}) {
    accept(*queue, create_message(step));
    accept(*queue, update_message(step, described("a")));
  }
  const auto [first, due] = queue->finish("ris", {}, queue_now(), 2);
  REQUIRE(first.size() == 2);
  CHECK(first[0].message.transaction == "t1");
  CHECK(first[1].message.transaction == "t2");
  CHECK(due <= queue_now());  // of the third
  const Attempt returned{.result = Attempt::Result::returned};
  auto next = queue->finish("ris", {{first[0], delivered}, {first[1], returned}}, queue_now(), 9);
  REQUIRE(next.deliveries.size() == 3);
  CHECK_FALSE(next.next_due);
  std::sort(next.deliveries.begin(), next.deliveries.end(),
            [](const Delivery& a, const Delivery& b) { return a.id < b.id; });
  CHECK(next.deliveries[0].message.transaction == "t1");
  CHECK(next.deliveries[0].message.attributes == described("a"));
  CHECK(next.deliveries[1].message.transaction == "t2");
  CHECK(next.deliveries[1].attempts == 0);
  CHECK_FALSE(next.deliveries[1].maybe_sent);
  CHECK(next.deliveries[2].message.transaction == "t3");
  CHECK(queue->finish("ris", {}, queue_now(), 9).deliveries.empty());
}

TEST_CASE("a start after the clock was set back: nothing waits for the time that was") {
  using std::chrono::hours;
  const Directory directory;
  {
    auto queue = open(directory);
    accept(*queue, create_message(1));
    accept(*queue, create_message(2));
    const auto first = take(*queue, "ris", queue_now());
    const auto second = take(*queue, "ris", queue_now());
    const Attempt later{.due = queue_now() + hours(24)};
    queue->finish("ris", {{*first, later}}, queue_now() + hours(23), 0);
    queue->finish("ris", {{*second, later}}, queue_now(), 0);  // as it was told
  }
  auto queue = open(directory);
  CHECK(take(*queue, "ris", queue_now()));
  CHECK_FALSE(take(*queue, "ris", later()));
}

TEST_CASE("a message that was damaged in its file is held, and others go on") {
  const Directory directory;
  auto queue = open(directory);
  const MessageId damaged = accept(*queue, create_message(1));
  const MessageId good = accept(*queue, create_message(2));
  SQLite::Database((directory.path() / "mpps-queue.sqlite").string(), SQLite::OPEN_READWRITE)
      .exec("UPDATE messages SET attributes=x'0102' WHERE id=" + std::to_string(damaged));
  const auto delivery = take(*queue, "ris", later());
  REQUIRE(delivery);
  CHECK(delivery->id == good);
  CHECK_FALSE(take(*queue, "ris", later()));
  const auto entry = queue->entries(damaged, "ris");
  REQUIRE(entry.size() == 1);
  CHECK(entry[0].state == DeliveryState::held);
  CHECK(entry[0].reason.find("cannot be read") != std::string::npos);
}

TEST_CASE("a damaged step fails its own callers only, not those whose transaction it shares") {
  const Directory directory;
  auto queue = open(directory);
  const MessageId damaged = accept(*queue, create_message(0));
  SQLite::Database((directory.path() / "mpps-queue.sqlite").string(), SQLite::OPEN_READWRITE)
      .exec("UPDATE messages SET attributes=x'0102' WHERE id=" + std::to_string(damaged));
  std::atomic<int> refused{0}, accepted{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 1; i <= 50; ++i) {
        const bool broken = thread == 0;
        try {
          accept(*queue,
                 broken ? update_message(0, described("a")) : create_message(thread * 50 + i));
          ++(broken ? wrong : accepted);
        } catch (const QueueFailure&) {
          ++(broken ? refused : wrong);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(refused == 50);
  CHECK(accepted == 350);
}

TEST_CASE("a visitor reads while somebody writes, and waits for its turn to change something") {
  const Directory directory;
  auto queue = open(directory);
  const auto id = accept(*queue, create_message(1));
  auto visitor = open(directory, Role::visitor);
  SQLite::Database writer((directory.path() / "mpps-queue.sqlite").string(),
                          SQLite::OPEN_READWRITE);
  writer.exec("BEGIN IMMEDIATE");
  CHECK(visitor->list({}).size() == 1);
  CHECK(visitor->entries(id, "ris").size() == 1);
  CHECK(visitor->message(id).has_value());
  std::thread end([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    writer.exec("COMMIT");
  });
  CHECK(visitor->discard(id, "ris"));
  end.join();
  CHECK(visitor->list({}).empty());
}

TEST_CASE("sixteen takers: every message once, in order within its MPPS") {
  const Directory directory;
  auto queue = open(directory);
  constexpr int steps = 60;
  for (int round = 0; round < 4; ++round) {
    for (int step = 0; step < steps; ++step) {
      accept(*queue, round == 0 ? create_message(step)
                                : update_message(step, described(std::to_string(round))));
    }
  }
  std::mutex mutex;
  std::map<std::string, std::vector<MessageId>> seen;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      auto delivery = take(*queue, "ris", later());
      while (delivery) {
        {
          const std::lock_guard lock(mutex);
          seen[delivery->message.mpps.text()].push_back(delivery->id);
        }
        delivery = finish(*queue, *delivery, delivered);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  // A taker may have ended while the last ones were on their way with others; nothing may be left.
  for (auto left = take(*queue, "ris", later()); left; left = finish(*queue, *left, delivered)) {
    seen[left->message.mpps.text()].push_back(left->id);
  }
  CHECK(seen.size() == steps);
  for (const auto& [mpps, ids] : seen) {
    CHECK(ids.size() == 4);
    CHECK(std::is_sorted(ids.begin(), ids.end()));
    CHECK(std::set<MessageId>(ids.begin(), ids.end()).size() == 4);
  }
}

TEST_CASE("a second gateway is refused, and so are other files and damaged ones") {
  const Directory directory;
  const auto file = directory.path() / "mpps-queue.sqlite";
  SECTION("a second gateway") {
    const auto queue = open(directory);
    const auto second = SqliteMppsQueue::open(directory.path(), Role::gateway);
    REQUIRE_FALSE(second);
    CHECK(
        second.fault().what.find("is in use by another modgate: expected a state_dir of its own") !=
        std::string::npos);
  }
  SECTION("nothing there, for a visitor") {
    CHECK_FALSE(SqliteMppsQueue::open(directory.path(), Role::visitor));
    CHECK_FALSE(std::filesystem::exists(file));
  }
  SECTION("not a directory") {
    const auto none = SqliteMppsQueue::open(directory.path() / "missing", Role::gateway);
    REQUIRE_FALSE(none);
    CHECK(none.fault().what.find("expected state_dir to be a directory that this user may write") !=
          std::string::npos);
  }
  SECTION("not a database") {
    std::ofstream(file) << std::string(8192, 'x');
    const auto none = SqliteMppsQueue::open(directory.path(), Role::gateway);
    REQUIRE_FALSE(none);
    CHECK(none.fault().what.find("mpps-queue.sqlite: is damaged (") != std::string::npos);
    CHECK(none.fault().what.find("sqlite3 FILE .dump") != std::string::npos);
  }
  SECTION("damaged in the middle") {
    {
      auto queue = open(directory);
      for (int i = 0; i < 200; ++i) accept(*queue, create_message(i));
    }
    {
      std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
      bytes.seekp(4096 * 3 + 5);
      bytes << std::string(4096 * 4, '\x7f');
    }
    const auto none = SqliteMppsQueue::open(directory.path(), Role::gateway);
    REQUIRE_FALSE(none);
    CHECK(none.fault().what.find("mpps-queue.sqlite: is damaged (") != std::string::npos);
  }
  SECTION("for nobody else's eyes") {
    const auto queue = open(directory);
    accept(*queue, create_message(1));
    for (const char* name : {"mpps-queue.sqlite", "mpps-queue.sqlite-wal", "mpps-queue.lock"}) {
      struct stat status {};
      REQUIRE(::stat((directory.path() / name).c_str(), &status) == 0);
      CHECK((status.st_mode & 0077) == 0);
    }
  }
}

TEST_CASE("a disk that is full refuses, and takes on again when there is room") {
  const Directory directory;
  auto queue = open(directory);
  accept(*queue, create_message(0));
  // The file system says no to every file that grows beyond this, as a full disk does.
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGXFSZ, &ignore, &before);
  rlimit unlimited{};
  ::getrlimit(RLIMIT_FSIZE, &unlimited);
  const rlimit small{200'000, unlimited.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  int accepted = 0;
  bool refused = false;
  for (int i = 1; i < 1000 && !refused; ++i) {
    try {
      accept(*queue, create_message(i));
      ++accepted;
    } catch (const QueueFailure&) {
      refused = true;
    }
  }
  ::setrlimit(RLIMIT_FSIZE, &unlimited);
  ::sigaction(SIGXFSZ, &before, nullptr);
  CHECK(refused);
  CHECK(queue->list({.receiver = {}, .limit = 10000}).size() ==
        static_cast<std::size_t>(accepted) + 1);
  CHECK_NOTHROW(accept(*queue, create_message(1000)));
}

TEST_CASE("killed at any moment: what was accepted is there") {
  const Directory directory;
  int last_reported = 0;
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto queue = SqliteMppsQueue::open(directory.path(), Role::gateway);
      if (!queue) ::_exit(1);
      for (int i = last_reported + 1;; ++i) {
        if (queue.value()->accept(create_message(i), to({"ris"})).id == 0) ::_exit(2);
        if (::write(pipe_ends[1], &i, sizeof i) != sizeof i) ::_exit(3);
      }
    }
    ::close(pipe_ends[1]);
    for (int i = 0; i < 40 + round * 7; ++i) {
      REQUIRE(::read(pipe_ends[0], &last_reported, sizeof last_reported) == sizeof last_reported);
    }
    ::kill(child, SIGKILL);
    int number = 0;
    while (::read(pipe_ends[0], &number, sizeof number) == sizeof number) last_reported = number;
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    auto queue = open(directory);
    const auto entries = queue->list({.receiver = {}, .limit = 100'000});
    // The last one may have been kept and not been reported; it was not answered either.
    CHECK(entries.size() >= static_cast<std::size_t>(last_reported));
    last_reported = static_cast<int>(entries.size());
  }
}
