// Servers that answer nothing, or never come to the end of what stands around a body.
#include "web/origin_stream.h"

#include "tests/support/listening_address.h"
#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

namespace {

/// Sends begin, and then piece without end, until the client has enough.
ScriptedServer::Step endless(std::string begin, std::string piece) {
  return [begin = std::move(begin), piece = std::move(piece)](Peer& peer, const Request&) {
    std::string block;
    while (block.size() < 64u << 10) block += piece;
    peer.send(begin);
    for (int i = 0; i < 1024 && peer.open(); ++i) peer.send(block);
    peer.wait_for_end();
  };
}

}  // namespace

TEST_CASE("An address of a server that answers nothing leaves time for the next") {
  ListeningAddress silent("127.0.0.2"), good("127.0.0.1");
  silent.fall_silent();
  std::string fault;
  const auto connect = [&](const addrinfo* addresses) {
    return web::connect_to(addresses, std::chrono::steady_clock::now() + 400ms, fault);
  };
  const int connected = connect(silent.then(good.then(nullptr)));
  CHECK(connected >= 0);
  ::close(connected);
  CHECK(connect(silent.then(nullptr)) == -1);
  CHECK(fault == "cannot connect: Connection timed out");
}

TEST_CASE(
    "An answer whose head or chunk never ends is given up as unreadable, with few bytes read") {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::vector<std::pair<std::string, ScriptedServer::Step>> rows{
      {"reason phrase", endless("HTTP/1.1 200 ", "OK ")},
      {"header", endless("HTTP/1.1 200 OK\r\nA: ", "a")},
      {"headers", endless("HTTP/1.1 200 OK\r\n", "A: a\r\n")},
      {"interim answers", endless("", "HTTP/1.1 100 Continue\r\n\r\n")},
      {"size of a chunk", endless(chunked, "0")},
      {"extension of a chunk", endless(chunked + "1;", "a")},
  };
  for (const auto& [what, step] : rows) {
    CAPTURE(what);
    Stage stage({step, step, step, step, step},
                [](UserAgentOptions& options) { options.response_timeout = 10s; });
    const Found found = search(*stage.agent);
    CHECK_FALSE(found.outcome.good());
    CHECK(found.outcome.event == NetworkEvent::protocol_error);
    CHECK(found.matches.empty());
    const Outcome created = stage.agent->create(uid, data_set(in_progress), patient());
    CHECK(created.how == Outcome::How::unknown);
  }
}

TEST_CASE("A long head, and a body in thousands of chunks, are read") {
  std::string head = "HTTP/1.1 200 " + std::string(2000, 'O') + "\r\n";
  for (int i = 0; i < 50; ++i) head += fmt::format("H{}: {}\r\n", i, std::string(1000, 'a'));
  std::string chunks;
  for (const char c : list(0, 300)) chunks += fmt::format("1;{}\r\n{}\r\n", "x", c);
  Stage stage({send_and_close(head +
                              "Content-Type: application/dicom+json\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n" +
                              chunks + "0\r\n\r\n")});
  const Found found = search(*stage.agent);
  CHECK(found.outcome.good());
  CHECK(found.matches.size() == 300);
}
