#include "gateway/recent_steps.h"

#include <catch2/catch.hpp>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using queue_test::described;

TEST_CASE("a step is known as it was set last, until it is dropped") {
  RecentSteps steps(1 << 20);
  CHECK(steps.find("1.2") == nullptr);
  steps.set("1.2", {{described("a"), true}, 1});
  steps.set("1.3", {{described("b"), false}, 2});
  steps.set("1.2", {{described("c"), true}, 3});
  REQUIRE(steps.find("1.2") != nullptr);
  CHECK(steps.find("1.2")->recorded.attributes == described("c"));
  CHECK(steps.find("1.2")->last == 3);
  steps.drop("1.2");
  steps.drop("1.2");
  CHECK(steps.find("1.2") == nullptr);
  CHECK(steps.find("1.3") != nullptr);
  steps.clear();
  CHECK(steps.find("1.3") == nullptr);
}

TEST_CASE(
    "what was used least lately goes for what is too much, and what is too much alone does not "
    "stay") {
  const std::size_t one = described("a").bytes().size();
  RecentSteps steps(2 * one);
  steps.set("1", {{described("a"), true}, 1});
  steps.set("2", {{described("b"), true}, 2});
  CHECK(steps.find("1") != nullptr);
  steps.set("3", {{described("c"), true}, 3});
  CHECK(steps.find("1") != nullptr);
  CHECK(steps.find("2") == nullptr);
  CHECK(steps.find("3") != nullptr);
  steps.set("4", {{described(std::string(3 * one, 'x')), true}, 4});
  CHECK(steps.find("4") == nullptr);
  // Nothing is left of the account of those that went.
  steps.set("5", {{described("d"), true}, 5});
  steps.set("6", {{described("e"), true}, 6});
  CHECK(steps.find("5") != nullptr);
  CHECK(steps.find("6") != nullptr);
}
