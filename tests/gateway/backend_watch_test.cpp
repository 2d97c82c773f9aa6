// Backends that are asked in the background: what is known of each, and what the log says of it.
#include "gateway/backend_watch.h"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace gateway;
using mapping::NetworkEvent;
using mapping::Outcome;
using namespace std::chrono_literals;
using Is = BackendState::Is;

namespace {

Outcome gone(NetworkEvent event, std::string_view why) {
  return Outcome::unreachable(mapping::Transaction::retrieve, event, why);
}

/// A backend that answers what the test says, once for each time that it says it.
class Peer {
 public:
  WatchedBackend watched(const std::string& name) {
    return {name, [this](const mapping::Context& context) {
              std::unique_lock lock(mutex_);
              patience_ = context.deadline - std::chrono::steady_clock::now();
              asked_ = true;
              changed_.notify_all();
              changed_.wait(lock, [this] { return !answers_.empty() || ending_; });
              if (answers_.empty()) return last_;
              last_ = answers_.front();
              answers_.erase(answers_.begin());
              asked_ = false;
              return last_;
            }};
  }
  /// Returns when all of them were noted: the next question has come.
  void answer(std::vector<Outcome> answers) {
    std::unique_lock lock(mutex_);
    answers_ = std::move(answers);
    changed_.notify_all();
    REQUIRE(changed_.wait_for(lock, 20s, [this] { return answers_.empty() && asked_; }));
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  std::chrono::nanoseconds patience() {
    const std::lock_guard lock(mutex_);
    return patience_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Outcome> answers_;
  Outcome last_;
  bool asked_ = false;  ///< a question waits for an answer
  bool ending_ = false;
  std::chrono::nanoseconds patience_{0};
};

using Lines = std::vector<std::string>;

/// Watches, and keeps what was logged.
struct Watched {
  std::mutex mutex;
  Lines lines;
  BackendWatch watch;
  explicit Watched(std::vector<WatchedBackend> backends)
      : watch(std::move(backends), {1ms, 3s}, [this](mapping::LogLevel, std::string_view line) {
          const std::lock_guard lock(mutex);
          lines.emplace_back(line);
        }) {}
  Lines log() {
    const std::lock_guard lock(mutex);
    return lines;
  }
  /// Waits until the backend is this.
  BackendState state(const std::string& name, Is is) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    for (;;) {
      const BackendState state = watch.states().at(name);
      if (state.is == is) return state;
      REQUIRE(std::chrono::steady_clock::now() < end);
      std::this_thread::sleep_for(1ms);
    }
  }
};

}  // namespace

TEST_CASE("nothing is known until a backend has answered, and one that is silent delays no other") {
  Peer silent, good;
  Watched watched({silent.watched("silent"), good.watched("good")});
  good.answer({Outcome::answered(0)});
  watched.state("good", Is::up);
  CHECK(watched.watch.states().at("silent").is == Is::unknown);
  CHECK(good.patience() > 0s);
  CHECK(good.patience() <= 3s);
  CHECK(watched.log().empty());  // that it is there is no news
  silent.end();
  good.end();
}

TEST_CASE("a failure status is an answer: the backend is there") {
  Peer ris;
  Watched watched({ris.watched("ris")});
  ris.answer({Outcome::answered(0x0122)});
  watched.state("ris", Is::up);
  ris.end();
}

TEST_CASE("a line when it goes, one when the cause is another, one when it is back") {
  Peer ris;
  Watched watched({ris.watched("ris")});
  const Outcome refused = gone(NetworkEvent::connect_failed, "Connection refused");
  ris.answer({refused, refused, refused, gone(NetworkEvent::acse_timeout, "")});
  ris.answer({Outcome::answered(0), Outcome::answered(0)});
  watched.state("ris", Is::up);
  ris.answer({refused});
  CHECK(watched.state("ris", Is::down).why == "Connection refused");
  CHECK(watched.log() == Lines{"backend ris does not answer: Connection refused",
                               "backend ris does not answer: no answer",
                               "backend ris answers again",
                               "backend ris does not answer: Connection refused"});
  ris.end();
}

TEST_CASE("one that is busy is as it was: there if it was there, else not") {
  const Outcome busy = GENERATE(gone(NetworkEvent::busy, "all associations are busy"),
                                gone(NetworkEvent::rejected_transient, "local limit exceeded"));
  Peer ris;
  Watched watched({ris.watched("ris")});
  SECTION("it was there") {
    ris.answer({Outcome::answered(0), busy, busy, busy});
    CHECK(watched.state("ris", Is::up).why.empty());
    CHECK(watched.log().empty());
  }
  SECTION("it has never answered") {
    ris.answer({busy});
    CHECK(watched.state("ris", Is::down).why == busy.error_comment);
  }
  ris.end();
}

TEST_CASE("an end does not wait for the next question") {
  Peer ris;
  ris.end();  // answers at once
  const auto begin = std::chrono::steady_clock::now();
  {
    const BackendWatch watch({ris.watched("ris")}, {1h, 3s},
                             [](mapping::LogLevel, std::string_view) {});
  }
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
}

TEST_CASE(
    "a change asks the new ones, keeps what is known, and waits for no answer of an old one") {
  Peer stays, goes, old, now;
  const auto owner = std::make_shared<int>();
  const auto with = [&](WatchedBackend backend) {
    backend.owner = owner;
    return backend;
  };
  Watched watched({with(stays.watched("stays")), with(goes.watched("goes")), old.watched("ris")});
  old.answer({Outcome::answered(0)});
  stays.answer({Outcome::answered(0)});
  watched.state("ris", Is::up);
  watched.state("stays", Is::up);

  auto next = now.watched("ris");
  next.owner = std::make_shared<int>();
  const std::weak_ptr<const void> held = next.owner;
  watched.watch.prepare({with(stays.watched("stays")), std::move(next)})();
  CHECK(watched.watch.states().count("goes") == 0);
  CHECK(watched.watch.states().at("ris").is == Is::up);  // until the new one says otherwise
  now.answer({gone(NetworkEvent::connect_failed, "Connection refused")});
  watched.state("ris", Is::down);
  old.end();                             // answers at last that all is well: nobody listens
  stays.answer({Outcome::answered(0)});  // the question that it had before
  CHECK(watched.watch.states().at("ris").is == Is::down);

  now.end();
  watched.watch.prepare({with(stays.watched("stays"))})();
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!held.expired()) {
    REQUIRE(std::chrono::steady_clock::now() < end);
    std::this_thread::sleep_for(1ms);
  }
  stays.end();
  goes.end();
}
