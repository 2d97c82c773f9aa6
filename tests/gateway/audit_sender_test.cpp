// What lies in the buffer goes to a collector, or waits for the next one.
#include "gateway/audit_sender.h"

#include <chrono>

#include "tests/gateway/audit_support.h"

using namespace gateway;
using namespace audit_test;
using namespace std::chrono_literals;
using queue_test::Directory;

namespace {

struct Room {
  Room() {
    auto opened = AuditBuffer::open(directory.path());
    REQUIRE(opened.ok());
    buffer = std::move(opened).value();
  }
  void write(int from, int until) const {
    buffer->transaction([&] {
      for (int i = from; i < until; ++i) buffer->append("no " + std::to_string(i) + ".");
    });
  }
  std::unique_ptr<AuditSender> sender(SyslogTarget target) {
    AuditSenderOptions options;
    options.syslog.target = std::move(target);
    options.retry_first = options.retry_max = 20ms;
    auto made = AuditSender::make(
        options, *buffer, [](const std::string&) {}, lines.log());
    REQUIRE(made.ok());
    return std::move(made).value();
  }
  std::unique_ptr<AuditSender> sender(std::uint16_t port) {
    return sender({SyslogTarget::Transport::udp, "127.0.0.1", port});
  }

  const Directory directory;
  std::unique_ptr<AuditBuffer> buffer;
  Lines lines;
};

void expect(const Collector& collector, int from, int until) {
  for (int i = from; i < until; ++i) {
    CHECK(collector.receive() == "no " + std::to_string(i) + ".");
  }
}

}  // namespace

TEST_CASE("what lies there goes out in order, what comes later on waking, and nothing stays") {
  Room room;
  room.write(0, 100);
  const Collector collector;
  const auto sender = room.sender(collector.port);
  CHECK(collector.silent());  // not before it is started
  sender->start();
  expect(collector, 0, 100);
  room.write(100, 101);
  sender->wake();
  expect(collector, 100, 101);
  REQUIRE(eventually([&] { return room.buffer->count() == 0; }));
  CHECK(sender->sent() == 101);
  CHECK(sender->up());
  CHECK(room.lines.all().empty());
}

TEST_CASE("what was written before the start, and waked for, is not missed") {
  Room room;
  const Collector collector;
  const auto sender = room.sender(collector.port);
  room.write(0, 1);
  sender->wake();
  sender->start();
  expect(collector, 0, 1);
}

TEST_CASE("a stop sends what lies there; what a dead collector does not take goes to the next") {
  Room room;
  room.write(0, 50);
  {
    const auto sender = room.sender(free_port());
    sender->start();
    REQUIRE(eventually([&] { return !sender->up(); }));
    sender->stop(10s);  // an attempt that fails ends it: no need to wait
    CHECK(sender->sent() == 0);
  }
  CHECK(room.buffer->count() == 50);
  CHECK(room.lines.all().size() == 1);
  const Collector collector;
  const auto sender = room.sender(collector.port);
  sender->start();
  sender->stop(10s);
  CHECK(room.buffer->count() == 0);
  expect(collector, 0, 50);
  CHECK(collector.silent());
}

TEST_CASE("a stop without grace ends an attempt that would last, and says nothing of it") {
  Room room;
  room.write(0, 1);
  // It takes connections, and never says a word of TLS.
  const dimse::Descriptor silent(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(silent.get(), any, size) == 0);
  REQUIRE(::listen(silent.get(), 1) == 0);
  REQUIRE(::getsockname(silent.get(), any, &size) == 0);
  AuditSenderOptions options;
  options.syslog.target = {SyslogTarget::Transport::tls, "127.0.0.1", ntohs(address.sin_port)};
  options.syslog.connect_timeout = 1h;
  auto made = AuditSender::make(
      options, *room.buffer, [](const std::string&) {}, room.lines.log());
  REQUIRE(made.ok());
  made.value()->start();
  pollfd asked{silent.get(), POLLIN, 0};
  REQUIRE(::poll(&asked, 1, 15'000) == 1);
  made.value()->stop(0ms);
  CHECK(room.buffer->count() == 1);
  CHECK(room.lines.all().empty());
}

TEST_CASE("a disk that lets nothing go is told of once, and nothing is sent twice") {
  Room room;
  room.write(0, 100);  // several batches
  const Collector collector;
  const auto sender = room.sender(collector.port);
  {
    const FullDisk full;
    sender->start();
    expect(collector, 0, 100);
    REQUIRE(eventually([&] { return sender->sent() == 100; }));
    REQUIRE(eventually([&] { return !room.lines.all().empty(); }));
  }
  CHECK(room.buffer->count() > 0);
  room.write(100, 101);
  sender->wake();
  expect(collector, 100, 101);
  REQUIRE(eventually([&] { return room.buffer->count() == 0; }));
  CHECK(collector.silent());
  REQUIRE(room.lines.all().size() == 1);
  CHECK(has(room.lines.all()[0], "messages that were sent stay in the buffer"));
}
