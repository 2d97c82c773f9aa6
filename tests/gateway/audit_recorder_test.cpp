// From events to messages in the buffer, by the rules that hold when they are written. Bounds and a
// disk that takes nothing: audit_trail_test.cpp.
#include "gateway/audit_recorder.h"

#include <atomic>
#include <chrono>

#include "tests/gateway/audit_support.h"

using namespace gateway;
using namespace audit_test;
using namespace std::chrono_literals;
using queue_test::Directory;

namespace {

AuditParticipant me() {
  AuditParticipant self;
  self.user_id = "77";
  self.access_point = "gate.example";
  return self;
}

struct Room {
  Room() {
    auto opened = AuditBuffer::open(directory.path());
    REQUIRE(opened.ok());
    buffer = std::move(opened).value();
    recorder = std::make_unique<AuditRecorder>(
        *buffer, rules("before"), me(), [this] { ++written; }, lines.log());
  }
  static AuditRules rules(const std::string& source) {
    AuditRules rules;
    rules.source.id = source;
    return rules;
  }
  void record(const std::string& what) const {
    recorder->record(own_alert(audit_code::software_configuration, what, me()));
  }
  std::vector<std::string> messages() const {
    std::vector<std::string> all;
    for (const auto& stored : buffer->next(0, 1000)) all.push_back(stored.message);
    return all;
  }

  const Directory directory;
  std::unique_ptr<AuditBuffer> buffer;
  Lines lines;
  std::atomic<int> written{0};
  std::unique_ptr<AuditRecorder> recorder;
};

}  // namespace

TEST_CASE("an alert of a gateway about itself is informative, and names it") {
  const AuditedAlert alert = own_alert(audit_code::software_configuration, "Read again", me());
  CHECK(alert.type.code == "110131");
  CHECK(alert.outcome == 0);
  CHECK(alert.description == "Read again");
  CHECK(alert.reporter.user_id == "77");
  CHECK(!alert.performer);
  CHECK(alert.node == "gate.example");
}

TEST_CASE(
    "what is recorded lies in the buffer once it has settled, in order, and who sends is told") {
  const Room room;
  for (int i = 0; i < 1000; ++i) room.record("no " + std::to_string(i) + ".");
  room.recorder->settle(15s);
  const auto messages = room.messages();
  REQUIRE(messages.size() == 1000);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CHECK(has(messages[i], "no " + std::to_string(i) + "."));
  }
  REQUIRE(eventually([&] { return room.written > 0; }));
  CHECK(room.recorder->lost() == 0);
}

TEST_CASE("messages are made by the rules that hold when they are written") {
  const Room room;
  room.record("one");
  room.recorder->settle(15s);
  room.recorder->change(Room::rules("after"));
  room.record("two");
  room.recorder->stop();
  const auto messages = room.messages();
  REQUIRE(messages.size() == 2);
  CHECK(has(messages[0], "AuditSourceID=\"before\""));
  CHECK(has(messages[1], "AuditSourceID=\"after\""));
}

TEST_CASE("a smaller buffer holds from the change on, and tells that recording stopped") {
  const Room room;
  room.record("one");
  room.recorder->settle(15s);
  auto smaller = Room::rules("after");
  smaller.buffer_bytes = 1;
  room.recorder->change(smaller);
  room.record("two");
  room.recorder->stop();
  const auto messages = room.messages();
  REQUIRE(messages.size() == 2);
  CHECK(has(messages[0], "one"));
  CHECK(has(messages[1], "csd-code=\"110133\""));
  CHECK(room.recorder->lost() == 1);
}
