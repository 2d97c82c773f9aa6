#include "gateway/ready_thread.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using gateway::ReadyThread;

TEST_CASE("a thread that is ready does its work once it has some, and on a thread of its own") {
  std::thread::id own;
  ReadyThread thread;
  CHECK_FALSE(thread.working());
  thread.begin([&] { own = std::this_thread::get_id(); });
  CHECK(thread.working());
  thread.join();
  CHECK_FALSE(thread.working());
  CHECK(own != std::thread::id());
  CHECK(own != std::this_thread::get_id());
}

TEST_CASE("one that gets no work ends, and one that has some is waited for") {
  std::atomic<bool> done{false};
  {
    ReadyThread idle, working;
    working.begin([&] { done = true; });
  }
  CHECK(done);
}
