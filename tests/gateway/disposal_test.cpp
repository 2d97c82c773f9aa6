// Whoever lets go last does not wait for the end of what he held.
#include "gateway/disposal.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>

using gateway::Disposal;

namespace {

/// Ends when it is told to.
struct Slow {
  Slow(std::future<void> may, std::atomic<int>& count) : may_end(std::move(may)), ended(count) {}
  ~Slow() {
    may_end.wait();
    ++ended;
  }
  Slow(const Slow&) = delete;
  Slow& operator=(const Slow&) = delete;
  std::future<void> may_end;
  std::atomic<int>& ended;
};

}  // namespace

TEST_CASE("what is shared ends after its last holder, elsewhere, and before the disposal does") {
  std::atomic<int> ended{0};
  std::promise<void> first, second;
  {
    Disposal disposal;
    auto one = disposal.share(std::make_unique<Slow>(first.get_future(), ended));
    auto another = disposal.share(std::make_unique<Slow>(second.get_future(), ended));
    auto held = one;
    one.reset();
    another.reset();
    held.reset();  // neither waits
    CHECK(ended == 0);
    first.set_value();
    second.set_value();
  }
  CHECK(ended == 2);
}
