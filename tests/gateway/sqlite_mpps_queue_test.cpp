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

MessageId accept(MppsQueue& queue, const MppsMessage& message, const Judge& judge = to({"ris"})) {
  return queue.accept(message, judge).id;
}

}  // namespace

TEST_CASE("a reopening: all is as it was, and what was on its way may have been sent") {
  const Directory directory;
  MessageId sent = 0, behind = 0, done = 0, decided = 0, asked = 0;
  {
    auto queue = open(directory);
    const Judge undecided = [](const RecordedStep*) {
      return Acceptance{.destinations = {{"pacs", Destination::How::deliver}}, .undecided = true};
    };
    done = accept(*queue, create_message(1));
    finish(*queue, *take(*queue, "ris", later()), delivered);
    sent = accept(*queue, create_message(2));
    behind = accept(*queue, update_message(2, described("a")));
    CHECK_FALSE(take(*queue, "ris", later())->maybe_sent);
    decided = accept(*queue, create_message(3), undecided);
    queue->decide(decided, true);
    asked = accept(*queue, create_message(4), undecided);
  }
  auto queue = open(directory);
  const auto again = take(*queue, "ris", later());
  REQUIRE(again);
  CHECK(again->id == sent);
  CHECK(again->maybe_sent);
  CHECK(again->message.attributes == created(2));
  const auto next = finish(*queue, *again, delivered);
  REQUIRE(next);
  CHECK(next->id == behind);
  CHECK_FALSE(next->maybe_sent);
  CHECK_FALSE(finish(*queue, *next, delivered));
  CHECK(take(*queue, "pacs", later())->id == decided);
  CHECK_FALSE(take(*queue, "pacs", later()));
  CHECK(queue->entries(asked, "pacs").at(0).state == DeliveryState::held);
  CHECK(queue->step(uid(2))->attributes ==
        mapping::apply_modifications(created(2), described("a")));
  CHECK(queue->message(done));
  CHECK(queue->forget(later()) == 3);
  CHECK_FALSE(queue->message(done));
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

TEST_CASE("a damaged step fails its own callers only, not those whose transaction it shares") {
  const Directory directory;
  auto queue = open(directory);
  const MessageId damaged = accept(*queue, create_message(0));
  SQLite::Database((directory.path() / "mpps-queue.sqlite").string(), SQLite::OPEN_READWRITE)
      .exec("UPDATE messages SET attributes=x'0102' WHERE id=" + std::to_string(damaged));
  queue.reset();
  queue = open(directory);
  constexpr int others = 7, each = 50;
  std::atomic<int> refused{0}, accepted{0}, wrong{0};
  const auto keep = [&](const MppsMessage& message, std::atomic<int>& right, bool kept) {
    try {
      accept(*queue, message);
      ++(kept ? right : wrong);
    } catch (const QueueFailure&) {
      ++(kept ? wrong : right);
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < others; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 1; i <= each; ++i) keep(create_message(thread * each + i), accepted, true);
    });
  }
  do {
    keep(update_message(0, described("a")), refused, false);
  } while (accepted + wrong < others * each);
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(refused > 0);
  CHECK(accepted == others * each);
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
  SECTION("damaged in the middle, where nothing is read at a start") {
    {
      auto queue = open(directory);
      for (int i = 0; i < 200; ++i) accept(*queue, create_message(i), to({}));
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
  CHECK_NOTHROW(queue->check_writable());
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
  bool known = false;
  for (int i = 0; i < 100 && !known; ++i) {  // there may be room for less than a message
    try {
      queue->check_writable();
    } catch (const QueueFailure&) {
      known = true;
    }
  }
  ::setrlimit(RLIMIT_FSIZE, &unlimited);
  ::sigaction(SIGXFSZ, &before, nullptr);
  CHECK(refused);
  CHECK(known);
  CHECK_NOTHROW(queue->check_writable());
  CHECK(queue->list({.receiver = {}, .limit = 10000}).size() ==
        static_cast<std::size_t>(accepted) + 1);
  CHECK_FALSE(queue->step(uid(accepted + 1)));  // the first that was refused
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
