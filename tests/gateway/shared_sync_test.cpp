#include "gateway/shared_sync.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

using gateway::SharedSync;
using Haste = SharedSync::Haste;

TEST_CASE("what is on the disk already needs no sync") {
  int syncs = 0;
  SharedSync shared([&] { ++syncs; });
  shared.wait(0, Haste::now);
  CHECK(syncs == 0);
  shared.wait(2, Haste::now);
  shared.wait(1, Haste::soon);
  shared.wait(2, Haste::now);
  CHECK(syncs == 1);
  shared.wait(3, Haste::soon);
  CHECK(syncs == 2);
}

TEST_CASE("writes that were made while a sync ran need another, one for all") {
  std::binary_semaphore running(0), go_on(0);
  std::atomic<int> syncs = 0;
  SharedSync shared([&] {
    if (++syncs > 1) return;
    running.release();
    go_on.acquire();
  });
  std::thread first([&] { shared.wait(1, Haste::now); });
  running.acquire();
  std::atomic<int> returned = 0;
  std::vector<std::thread> others;
  for (std::uint64_t number = 2; number < 6; ++number) {
    others.emplace_back([&, number] {
      shared.wait(number, number % 2 == 0 ? Haste::now : Haste::soon);
      ++returned;
    });
  }
  CHECK(returned == 0);
  go_on.release();
  first.join();
  for (auto& other : others) other.join();
  CHECK(syncs >= 2);
  CHECK(syncs <= 5);
}

TEST_CASE("many threads: nobody returns before a sync that began after its write") {
  std::atomic<std::uint64_t> written = 0, on_disk = 0;
  SharedSync shared([&] {
    const auto now = written.load();
    std::this_thread::yield();
    on_disk = now;
  });
  std::atomic<int> early = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 500; ++round) {
        const auto number = ++written;
        shared.wait(number, i % 2 == 0 ? Haste::now : Haste::soon);
        if (on_disk < number) ++early;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(early == 0);
}

TEST_CASE("a sync that fails is never taken back by one that succeeds") {
  bool fails = false;
  SharedSync shared([&] {
    if (fails) throw std::runtime_error("the disk is gone");
  });
  shared.wait(1, Haste::now);
  fails = true;
  CHECK_THROWS_WITH(shared.wait(2, Haste::now), "the disk is gone");
  fails = false;
  CHECK_THROWS_WITH(shared.wait(3, Haste::soon), "the disk is gone");
  CHECK_NOTHROW(shared.wait(1, Haste::now));
}
