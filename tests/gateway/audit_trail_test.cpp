// From what is recorded to what the collector gets: order, what one transaction knows from another,
// bounds, a disk that takes nothing.
#include "gateway/audit_trail.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/gateway/audit_support.h"

using namespace gateway;
using namespace audit_test;
using mapping::Transaction;
using queue_test::Directory;

namespace {

AuditedAlert alert(const std::string& description) {
  AuditedAlert alert;
  alert.type = audit_code::node_authentication;
  alert.description = description;
  alert.reporter.user_id = "1";
  alert.node = "here";
  alert.time = std::chrono::system_clock::now();
  return alert;
}

AuditedProcedure procedure(Transaction transaction, std::uint16_t status = 0) {
  AuditedProcedure one{.transaction = transaction,
                       .mpps = *mapping::Uid::parse("1.2.3"),
                       .state = "",
                       .step = std::nullopt,
                       .user = {},
                       .process = {},
                       .outcome = {mapping::Outcome::How::answered, status, ""},
                       .time = std::chrono::system_clock::now()};
  one.user.user_id = one.process.user_id = "1";
  return one;
}

AuditedProcedure creation(const std::string& patient, std::uint16_t status = 0) {
  auto one = procedure(Transaction::create, status);
  one.step = AuditedStep{patient, "Doe^Jane", {{"1.9", "ACC"}}, 0};
  return one;
}

std::size_t count_of(const Lines& lines, std::string_view part) {
  std::size_t count = 0;
  for (const auto& line : lines.all()) count += has(line, part) ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE(
    "what many threads record arrives, each thread's in its order, and is gone from the disk") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  const auto trail = open_trail(options_for(directory, collector.port), lines.log());
  constexpr int threads = 4, each = 100;
  std::vector<std::thread> running;
  for (int thread = 0; thread < threads; ++thread) {
    running.emplace_back([&trail, thread] {
      for (int i = 0; i < each; ++i) {
        trail->record(alert("thread " + std::to_string(thread) + " no " + std::to_string(i) + "."));
      }
    });
  }
  std::vector<int> next(threads, 0);
  for (int i = 0; i < threads * each; ++i) {
    const std::string message = collector.receive();
    bool known = false;
    for (int thread = 0; thread < threads; ++thread) {
      const std::string wanted = "thread " + std::to_string(thread) + " no " +
                                 std::to_string(next[static_cast<std::size_t>(thread)]) + ".";
      if (!has(message, wanted)) continue;
      ++next[static_cast<std::size_t>(thread)];
      known = true;
      break;
    }
    REQUIRE(known);
  }
  for (auto& thread : running) thread.join();
  REQUIRE(eventually([&] { return trail->numbers()->waiting == 0; }));
  CHECK(trail->numbers()->sent == threads * each);
  CHECK(trail->numbers()->lost == 0);
  CHECK(lines.all().empty());
}

TEST_CASE("an N-SET names the patient of its N-CREATE, after a new start too") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  const auto options = options_for(directory, collector.port);
  {
    const auto trail = open_trail(options, lines.log());
    trail->record(creation("PID-1"));
    CHECK(has(collector.receive(), "\"PID-1\""));
    trail->record(creation("PID-2", 0x0111));  // refused: it is not this one's step
    CHECK(has(collector.receive(), "\"PID-2\""));
    trail->record(procedure(Transaction::update));
    CHECK(has(collector.receive(), "\"PID-1\""));
  }
  const auto trail = open_trail(options, lines.log());
  trail->record(procedure(Transaction::update));
  const std::string message = collector.receive();
  CHECK(has(message, "\"PID-1\""));
  CHECK(has(message, "Doe^Jane"));
  CHECK(has(message, "ParticipantObjectID=\"1.9\""));
  CHECK(has(message, "Number=\"ACC\""));
}

TEST_CASE(
    "stop sends what is recorded; what a dead collector does not take waits for the next start") {
  const Directory directory;
  Lines lines;
  const std::uint16_t port = free_port();
  const auto options = options_for(directory, port);
  {
    const auto trail = open_trail(options, lines.log());
    for (int i = 0; i < 10; ++i) trail->record(alert("no " + std::to_string(i) + "."));
    trail->stop();
    CHECK(trail->numbers()->waiting == 10);
    trail->stop();  // harmless
  }
  const Collector collector(port);
  {
    const auto trail = open_trail(options, lines.log());
    trail->record(alert("last."));
    trail->stop();
    CHECK(trail->numbers()->waiting == 0);
  }
  for (int i = 0; i < 10; ++i) CHECK(has(collector.receive(), "no " + std::to_string(i) + "."));
  CHECK(has(collector.receive(), "last."));
  CHECK(collector.silent());
}

TEST_CASE("a full buffer loses the new messages, and tells when it stops and when it goes on") {
  const Directory directory;
  Lines lines;
  auto options = options_for(directory, free_port());
  options.rules.buffer_bytes = 20'000;
  const auto trail = open_trail(options, lines.log());
  for (int i = 0; i < 50; ++i) trail->record(alert("no " + std::to_string(i) + "."));
  REQUIRE(eventually([&] {
    const auto now = *trail->numbers();
    return now.lost + now.waiting == 51;  // with the alert that recording stopped
  }));
  const auto kept = trail->numbers()->waiting - 1;
  CHECK(kept > 5);
  CHECK(kept < 40);
  CHECK(count_of(lines, "the buffer is full (20000 bytes)") == 1);

  const Collector collector(options.syslog.target.port);
  for (std::uint64_t i = 0; i < kept; ++i) {
    CHECK(has(collector.receive(), "no " + std::to_string(i) + "."));
  }
  CHECK(has(collector.receive(), "csd-code=\"110133\""));
  REQUIRE(eventually([&] { return trail->numbers()->waiting == 0; }));
  trail->record(alert("again."));
  const std::string started = collector.receive();
  CHECK(has(started, "csd-code=\"110134\""));
  CHECK(has(started, "; " + std::to_string(50 - kept) + " were lost"));
  CHECK(has(collector.receive(), "again."));
  CHECK(trail->numbers()->lost == 50 - kept);
  CHECK(count_of(lines, "messages are recorded again") == 1);
}

TEST_CASE("a disk that takes nothing blocks nobody; what memory held is written once it does") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  auto options = options_for(directory, collector.port);
  options.rules.max_pending = 100;
  const auto trail = open_trail(options, lines.log());
  {
    const FullDisk full;
    trail->record(alert("first."));
    REQUIRE(eventually([&] { return count_of(lines, "cannot be written down") == 1; }));
    for (int i = 0; i < 150; ++i) trail->record(alert("no " + std::to_string(i) + "."));
    CHECK(trail->numbers()->lost == 50);
  }
  CHECK(has(collector.receive(), "first."));
  CHECK(has(collector.receive(), "csd-code=\"110133\""));
  const std::string started = collector.receive();
  CHECK(has(started, "csd-code=\"110134\""));
  CHECK(has(started, "; 50 were lost"));
  for (int i = 0; i < 100; ++i) CHECK(has(collector.receive(), "no " + std::to_string(i) + "."));
  CHECK(trail->numbers()->lost == 50);
  CHECK(count_of(lines, "cannot be written down") == 1);
  CHECK(count_of(lines, "50 messages are lost") == 1);
  CHECK(count_of(lines, "the buffer works again") == 1);
}

TEST_CASE("large queries are bounded before they are on the disk") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  const auto trail = open_trail(options_for(directory, collector.port), lines.log());
  mapping::DataSetBuilder builder;
  builder.add(mapping::Tag(0x0040, 0xA160), mapping::Vr::UT, std::string(40u << 20, 'x'));
  AuditedQuery query;
  query.search.identifier = builder.build().value();
  query.source.user_id = query.destination.user_id = "1";
  {
    const FullDisk full;
    trail->record(query);
    REQUIRE(eventually([&] { return count_of(lines, "cannot be written down") == 1; }));
    trail->record(query);
    trail->record(query);  // no room for it
    CHECK(trail->numbers()->lost == 1);
  }
  CHECK(has(collector.receive(), "QueryTruncated"));
}

TEST_CASE("this process as a participant") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  const auto trail = open_trail(options_for(directory, collector.port), lines.log());
  const auto self = trail->self("GATE");
  CHECK(self.user_id == std::to_string(::getpid()));
  CHECK(self.ae_title == "GATE");
  CHECK(self.name == "modgate");
  CHECK(!self.access_point.empty());
  trail->record(mapping::SecurityAlert{mapping::SecurityAlert::Kind::restricted_function,
                                       {mapping::Caller::Protocol::web, "eve", "10.0.0.9"},
                                       "HTTP 403"});
  const std::string message = collector.receive();
  CHECK(has(message, "csd-code=\"110132\""));
  CHECK(has(message, "UserID=\"eve\""));
  CHECK(!has(message, "AETITLES"));
  CHECK(has(message, "ParticipantObjectID=\"10.0.0.9\""));
}

TEST_CASE("it is off until a change gives it a collector, and off again after another") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  AuditTrail trail(lines.log());
  CHECK(!trail.on());
  CHECK(!trail.numbers());
  trail.record(alert("before."));
  const auto options = options_for(directory, collector.port);
  {
    auto prepared = trail.prepare(options);
    REQUIRE(prepared.ok());
    CHECK(!trail.on());  // prepared only
  }
  change(trail, std::nullopt);
  change(trail, options);
  CHECK(trail.on());
  for (int i = 0; i < 100; ++i) trail.record(alert("no " + std::to_string(i) + "."));
  change(trail, std::nullopt);
  trail.record(alert("after."));
  CHECK(!trail.numbers());
  for (int i = 0; i < 100; ++i) CHECK(has(collector.receive(), "no " + std::to_string(i) + "."));
  change(trail, options);
  trail.record(alert("again."));
  CHECK(has(collector.receive(), "again."));
  trail.stop();
  CHECK(collector.silent());
  CHECK(trail.numbers()->sent == 101);
  CHECK(lines.all().empty());
}

TEST_CASE("what waits for a dead collector goes to the next one, also after a time without any") {
  const Directory directory;
  Lines lines;
  const auto trail = open_trail(options_for(directory, free_port()), lines.log());
  for (int i = 0; i < 50; ++i) trail->record(alert("no " + std::to_string(i) + "."));
  REQUIRE(eventually([&] { return trail->numbers()->waiting == 50; }));
  change(*trail, std::nullopt);
  change(*trail, options_for(directory, free_port()));
  trail->record(alert("no 50."));
  const Collector collector;
  change(*trail, options_for(directory, collector.port));
  for (int i = 0; i < 51; ++i) CHECK(has(collector.receive(), "no " + std::to_string(i) + "."));
  REQUIRE(eventually([&] { return trail->numbers()->waiting == 0; }));
  CHECK(trail->numbers()->sent == 51);
  CHECK(trail->numbers()->lost == 0);
  CHECK(collector.silent());
}

TEST_CASE("no message is lost or overtaken while collectors are exchanged under load") {
  const Directory directory;
  const Collector one, other;
  Lines lines;
  auto options = options_for(directory, one.port);
  const auto trail = open_trail(options, lines.log());
  constexpr int count = 2000;
  std::thread writer([&trail] {
    for (int i = 0; i < count; ++i) {
      trail->record(alert("no " + std::to_string(i) + "."));
      if (i % 50 == 0) std::this_thread::yield();
    }
  });
  for (int i = 0; i < 20; ++i) {
    options.syslog.target.port = i % 2 == 0 ? other.port : one.port;
    change(*trail, options);
  }
  writer.join();
  // What nobody has written down yet does not count as waiting.
  REQUIRE(eventually([&] { return trail->numbers()->sent >= count; }));
  REQUIRE(eventually([&] { return trail->numbers()->waiting == 0; }));
  std::vector<bool> arrived(count);
  for (const Collector* collector : {&one, &other}) {
    while (!collector->silent()) {
      const std::string message = collector->receive();
      const auto at = message.find("Description>no ");
      REQUIRE(at != std::string::npos);
      arrived[static_cast<std::size_t>(std::stoi(message.substr(at + 15)))] = true;
    }
  }
  CHECK(std::count(arrived.begin(), arrived.end(), true) == count);
  CHECK(trail->numbers()->lost == 0);
}

TEST_CASE("a collector that stays keeps its sender; a file that cannot be used changes nothing") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  auto options = options_for(directory, collector.port);
  const auto trail = open_trail(options, lines.log());
  trail->record(alert("one."));
  CHECK(has(collector.receive(), "AuditSourceID=\"gate\""));
  options.rules.source.id = "renamed";
  change(*trail, options);
  trail->record(alert("two."));
  CHECK(has(collector.receive(), "AuditSourceID=\"renamed\""));

  auto wrong = options;
  wrong.syslog.target.transport = SyslogTarget::Transport::tls;
  wrong.syslog.tls.trusted = "/nonexistent";
  const auto prepared = trail->prepare(wrong);
  REQUIRE(!prepared.ok());
  CHECK(has(prepared.fault().what, "[audit] tls_trusted: cannot use /nonexistent"));
  trail->record(alert("three."));
  CHECK(has(collector.receive(), "three."));

  AuditTrail off(lines.log());
  auto nowhere = options;
  nowhere.state_dir = "/nonexistent";
  CHECK(!off.prepare(nowhere).ok());
  CHECK(!off.on());
}

TEST_CASE("what this gateway tells of itself") {
  const Directory directory;
  const Collector collector;
  Lines lines;
  const auto trail = open_trail(options_for(directory, collector.port), lines.log());
  trail->record_own(audit_code::software_configuration, "The configuration was read again");
  const std::string message = collector.receive();
  CHECK(has(message, "csd-code=\"110131\""));
  CHECK(has(message, "EventOutcomeIndicator=\"0\""));
  CHECK(has(message, "The configuration was read again"));
}
