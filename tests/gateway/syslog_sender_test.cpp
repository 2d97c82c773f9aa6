// RFC 5424 to RFC 5426: the header, the URI of the collector, datagrams. TLS against a real peer is
// in tests/end_to_end/audit.test.js.
#include "gateway/syslog_sender.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/gateway/audit_support.h"

using namespace gateway;
using audit_test::Collector;
using Transport = SyslogTarget::Transport;

namespace {

std::unique_ptr<SyslogSender> sender_to(std::uint16_t port) {
  SyslogOptions options;
  options.target = {Transport::udp, "127.0.0.1", port};
  auto sender = SyslogSender::make(options, -1);
  REQUIRE(sender);
  return std::move(sender).value();
}

}  // namespace

TEST_CASE("where the collector is") {
  const std::pair<std::string, SyslogTarget> good[] = {
      {"udp://collector", {Transport::udp, "collector", 514}},
      {"tls://collector.example", {Transport::tls, "collector.example", 6514}},
      {"udp://10.0.0.1:1514", {Transport::udp, "10.0.0.1", 1514}},
      {"tls://[::1]", {Transport::tls, "::1", 6514}},
      {"tls://[2001:db8::1]:65535", {Transport::tls, "2001:db8::1", 65535}},
  };
  for (const auto& [uri, target] : good) {
    INFO(uri);
    const auto parsed = SyslogTarget::parse(uri);
    REQUIRE(parsed);
    CHECK(parsed.value() == target);
  }
  for (const std::string uri : {"",
                                "collector",
                                "tcp://collector",
                                "UDP://collector",
                                "udp:collector",
                                "udp://",
                                "udp://:514",
                                "udp://a:",
                                "udp://a:0",
                                "udp://a:65536",
                                "udp://a:-1",
                                "udp://a:1x",
                                "udp://a:1:2",
                                "udp://a/",
                                "udp://a?b",
                                "udp://u@a",
                                "udp://[::1",
                                "udp://[::1]1",
                                "udp://[]",
                                "udp://a b",
                                "udp://a%20b",
                                "udp://\xC3\xA9"}) {
    INFO(uri);
    const auto parsed = SyslogTarget::parse(uri);
    REQUIRE(!parsed);
    CHECK(parsed.fault().what == "expected udp://HOST[:514] or tls://HOST[:6514]");
  }
}

TEST_CASE("the header is RFC 5424's, whatever the host is called: rule I7") {
  CHECK(to_syslog({"gate", "modgate", "42", "2026-11-20T14:00:00.000Z"}, "<a/>") ==
        "<85>1 2026-11-20T14:00:00.000Z gate modgate 42 DICOM+RFC3881 - \xEF\xBB\xBF<a/>");
  CHECK(to_syslog({"a b\n\xC3\xA9", "", "", "T"}, "x") ==
        "<85>1 T a?b??? - - DICOM+RFC3881 - \xEF\xBB\xBFx");
  const std::string cut =
      to_syslog({std::string(300, 'h'), std::string(60, 'a'), std::string(200, 'p'), "T"}, "");
  CHECK(cut.find(" " + std::string(255, 'h') + " " + std::string(48, 'a') + " " +
                 std::string(128, 'p') + " ") != std::string::npos);
}

TEST_CASE("each message is a datagram of its own: RFC 5426") {
  const Collector collector;
  const auto sender = sender_to(collector.port);
  const std::string longest(32'768, 'x');
  CHECK(!sender->send({"one", longest}));
  CHECK(!sender->send({"two"}));
  CHECK(collector.receive() == "one");
  CHECK(collector.receive() == longest);
  CHECK(collector.receive() == "two");
}

TEST_CASE("a port that nobody listens on takes nothing, and takes all once somebody does") {
  std::uint16_t port = 0;
  {
    const Collector gone;
    port = gone.port;
  }
  const auto sender = sender_to(port);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto failure = sender->send({"lost", "lost"});
    REQUIRE(failure);
    CHECK(failure->why == "cannot send: Connection refused");
    CHECK(!failure->authentication);
  }
  const Collector collector(port);
  CHECK(!sender->send({"here"}));
  CHECK(collector.receive() == "here");
}

TEST_CASE("a host that has no address is told") {
  SyslogOptions options;
  options.target = {Transport::udp, "nowhere.invalid", 514};
  auto sender = SyslogSender::make(options, -1);
  REQUIRE(sender);
  const auto failure = sender.value()->send({"x"});
  REQUIRE(failure);
  CHECK(failure->why.starts_with("unknown host: "));
}

TEST_CASE("TLS without a file that can be used is refused, never plain") {
  SyslogOptions options;
  options.target = {Transport::tls, "127.0.0.1", 6514};
  options.tls.trusted = "/nonexistent";
  const auto sender = SyslogSender::make(options, -1);
  REQUIRE(!sender);
  CHECK(sender.fault().what.starts_with("tls_trusted: cannot use /nonexistent"));
}
