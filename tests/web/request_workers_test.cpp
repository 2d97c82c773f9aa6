// Who answers whole requests, and who waits for whom.
#include "web/request_workers.h"

#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <string>

#include "tests/web/web_support.h"

using web::ConnectionPointer;
using web::RequestWorkers;
using web_test::eventually;

namespace {

ConnectionPointer connection(const std::string& peer) {
  static const web::ConnectionFrontOptions options;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const web::Descriptor other(ends[1]);
  return std::make_shared<web::Connection>(web::Descriptor(ends[0]), options, nullptr, peer);
}

/// Answers, once it may, and remembers whom.
struct Answers {
  void take(const ConnectionPointer& connection) {
    ++begun;
    may_end.wait(false);
    const std::lock_guard lock(mutex);
    answered.insert(connection->peer_address);
  }
  void end() {
    may_end = true;
    may_end.notify_all();
  }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return answered.size();
  }
  std::atomic<int> begun{0};
  std::atomic<bool> may_end{false};
  std::mutex mutex;
  std::set<std::string> answered;  // guarded by mutex
};

}  // namespace

TEST_CASE("A request that is given runs, and was received now") {
  Answers answers;
  RequestWorkers workers([&](const ConnectionPointer& each) { answers.take(each); });
  const auto one = connection("one");
  CHECK_FALSE(one->running);
  const auto before = web::Connection::Clock::now();
  workers.start(1, 0);
  REQUIRE(workers.give(one, false));
  CHECK(one->running);
  CHECK(one->received >= before);
  answers.end();
  CHECK(eventually([&] { return answers.count() == 1; }));
}

TEST_CASE("So many are answered at a time as there are workers, and all in the end") {
  Answers answers;
  RequestWorkers workers([&](const ConnectionPointer& each) { answers.take(each); });
  workers.start(3, 0);
  for (int i = 0; i < 10; ++i) REQUIRE(workers.give(connection(std::to_string(i)), false));
  CHECK(eventually([&] { return answers.begun == 3; }));
  answers.end();
  workers.stop();  // when all that waited is answered
  CHECK(answers.count() == 10);
}

TEST_CASE("Those apart hold up nobody else, and so many of them wait and no more") {
  Answers usual, apart;
  RequestWorkers workers([&](const ConnectionPointer& each) {
    (each->peer_address.starts_with("apart") ? apart : usual).take(each);
  });
  workers.start(1, 2);
  REQUIRE(workers.give(connection("apart 1"), true));
  CHECK(eventually([&] { return apart.begun == 1; }));  // it waits no more
  REQUIRE(workers.give(connection("apart 2"), true));
  REQUIRE(workers.give(connection("apart 3"), true));
  const auto refused = connection("apart 4");
  CHECK_FALSE(workers.give(refused, true));
  CHECK_FALSE(refused->running);
  usual.end();
  for (int i = 0; i < 5; ++i) CHECK(workers.give(connection(std::to_string(i)), false));
  CHECK(eventually([&] { return usual.count() == 5; }));
  CHECK(apart.count() == 0);
  apart.end();
  workers.stop();
  CHECK(apart.count() == 3);
}
