#include "gateway/group_commit.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using gateway::GroupCommit;

TEST_CASE("one caller's work is one transaction, done when run returns") {
  std::string order;
  GroupCommit group([&](const GroupCommit::Work& all) {
    order += "begin ";
    all();
    order += "commit";
  });
  group.run([&] { order += "work "; });
  CHECK(order == "begin work commit");
}

TEST_CASE("what gathers while a transaction runs shares the next one") {
  int transactions = 0;
  std::latch first_runs(1);
  std::promise<void> go_on;
  std::atomic<int> waiting{0};
  int done = 0;  // no lock: work never runs two at a time (ThreadSanitizer sees it)
  GroupCommit group([&](const GroupCommit::Work& all) {
    ++transactions;
    all();
  });
  std::thread leader([&] {
    group.run([&] {
      ++done;
      first_runs.count_down();
      go_on.get_future().wait();
    });
  });
  first_runs.wait();
  std::vector<std::thread> others;
  for (int i = 0; i < 8; ++i) {
    others.emplace_back([&] {
      ++waiting;
      group.run([&] { ++done; });
    });
  }
  while (waiting < 8) std::this_thread::yield();
  go_on.set_value();
  leader.join();
  for (auto& other : others) other.join();
  CHECK(done == 9);
  CHECK(transactions <= 9);
  // A thread may have counted itself and not yet have joined a group; most have.
  CHECK(transactions >= 2);
}

TEST_CASE("a transaction that fails fails for everybody in it, and for nobody after it") {
  bool broken = true;
  GroupCommit group([&](const GroupCommit::Work& all) {
    all();
    if (broken) throw std::runtime_error("disk full");
  });
  CHECK_THROWS_AS(group.run([] {}), std::runtime_error);
  broken = false;
  CHECK_NOTHROW(group.run([] {}));
  CHECK_THROWS_AS(group.run([] { throw std::logic_error("its own"); }), std::logic_error);
  CHECK_NOTHROW(group.run([] {}));
}

TEST_CASE("many threads: every work is done once, before its run returns") {
  std::vector<int> done(16 * 500, 0);
  GroupCommit group([](const GroupCommit::Work& all) { all(); });
  std::vector<std::thread> threads;
  std::atomic<int> missing{0};
  for (std::size_t t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 500; ++i) {
        int& mine = done[t * 500 + i];
        group.run([&mine] { ++mine; });
        if (mine != 1) ++missing;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(missing == 0);
}
