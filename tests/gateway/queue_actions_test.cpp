// Retry and discard from the status page: the queue's own functions, and who did it in the log.
#include "gateway/queue_actions.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "gateway/sqlite_mpps_queue.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using namespace std::chrono_literals;

namespace {

/// Message 1 is held at "r i+s", message 2 waits behind it.
struct Desk {
  Directory directory;
  std::unique_ptr<SqliteMppsQueue> queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  std::vector<std::string> lines, woken;
  std::vector<mapping::LogLevel> levels;
  QueueActions actions{*queue, [this](const std::string& name) { woken.push_back(name); },
                       [this](mapping::LogLevel level, std::string_view line) {
                         levels.push_back(level);
                         lines.emplace_back(line);
                       }};

  Desk() {
    for (const auto& message : {create_message(1), update_message(1, described("Doe^Jane"))}) {
      queue->accept(message, [](const RecordedStep*) {
        return Acceptance{.destinations = {{"r i+s", Destination::How::deliver}}};
      });
    }
    hold_next(*queue, "r i+s");
  }
  web::Page act(QueueVerb verb, std::string_view form) {
    return actions.act(verb, {form, "nurse", "10.0.0.7"});
  }
  DeliveryState state(MessageId id) { return queue->entries(id, "r i+s").at(0).state; }
};

constexpr auto first = "message=1&receiver=r%20i%2Bs";

}  // namespace

TEST_CASE("retry makes a held message due, wakes the delivery and says who did it") {
  Desk desk;
  const auto page = desk.act(QueueVerb::retry, first);
  CHECK(page.status == 200);
  CHECK(page.body == R"({"says":"Message 1 for r i+s is tried again now"})");
  CHECK(desk.state(1) == DeliveryState::waiting);
  CHECK(desk.woken == std::vector<std::string>{"r i+s"});
  CHECK(desk.lines ==
        std::vector<std::string>{
            R"(admin: user="nurse" address=10.0.0.7 retry message=1 receiver=r i+s: done)"});
}

TEST_CASE("discard is told at warn, once; what is discarded stays so") {
  Desk desk;
  CHECK(desk.act(QueueVerb::discard, "receiver=r%20i%2Bs&message=1").status == 200);
  CHECK(desk.state(1) == DeliveryState::discarded);
  CHECK(desk.levels == std::vector{mapping::LogLevel::warn});
  CHECK(desk.act(QueueVerb::discard, first).status == 409);
  CHECK(desk.act(QueueVerb::retry, first).status == 409);
  CHECK(desk.state(1) == DeliveryState::discarded);
  CHECK(desk.woken.size() == 1);
  CHECK(desk.lines.back().find("not done, it is discarded") != std::string::npos);
}

TEST_CASE("a form that is not exactly one message and one receiver changes nothing") {
  Desk desk;
  for (const std::string_view form :
       {"", "message=1", "receiver=r%20i%2Bs", "message=&receiver=x", "message=1x&receiver=x",
        "message=99999999999999999999&receiver=x", "message=1&message=1&receiver=x",
        "message=1&receiver=x&receiver=y", "message=1&receiver=%", "message=1&receiver=%00",
        "message=1&receiver=x&", "message=1&receiver=x&z=1", "message", "&&&", "=&="}) {
    CAPTURE(form);
    const auto status = desk.act(QueueVerb::discard, form).status;
    CHECK((status == 400 || (form == "message=1&receiver=x&" && status == 404)));
  }
  CHECK(desk.act(QueueVerb::discard, "message=1&receiver=other").status == 404);
  CHECK(desk.act(QueueVerb::discard, "message=9&receiver=r%20i%2Bs").status == 404);
  CHECK(desk.state(1) == DeliveryState::held);
  CHECK(desk.lines.empty());
  CHECK(desk.woken.empty());
}
