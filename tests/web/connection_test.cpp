// One connection of the front: requests in their order, until when they are waited for, answers
// that the client takes as it likes, and whether it is still there.
#include "web/connection.h"

#include <poll.h>

#include <atomic>

#include "tests/web/connection_front_support.h"

using namespace connection_front_test;

TEST_CASE("A connection serves request after request, pipelined ones in order") {
  Front front;
  Client client(front.port);
  client.send(get("/1"));
  CHECK(client.receive().body == "/1|");
  client.send(get("/2") + post("/3", "abc") + get("/4"));
  CHECK(client.receive().body == "/2|");
  CHECK(client.receive().body == "/3|abc");
  CHECK(client.receive().body == "/4|");
}

TEST_CASE("A hundred pipelined requests are answered, and a fault among them ends the row") {
  Front front;
  Client client(front.port);
  std::string many;
  for (int i = 0; i < 100; ++i) many += get("/" + std::to_string(i));
  client.send(many + "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + get("/never"));
  for (int i = 0; i < 100; ++i) REQUIRE(client.receive().body == fmt::format("/{}|", i));
  CHECK(client.receive().status == 400);
  CHECK(client.closed());
}

TEST_CASE("A chunked body is decoded; Expect: 100-continue is met before the body is sent") {
  Front front;
  Client client(front.port);
  client.send(
      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
      "Expect: 100-continue\r\n\r\n");
  CHECK(client.receive().status == 100);
  client.send("3\r\nabc\r\n0\r\n\r\n");
  CHECK(client.receive().body == "/c|abc");
}

TEST_CASE("Expect: 100-continue is met behind a pipelined request, too") {
  Front front;
  Client client(front.port);
  client.send(get("/1") +
              "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  CHECK(client.receive().body == "/1|");
  CHECK(client.receive().status == 100);
  client.send("abc");
  CHECK(client.receive().body == "/2|abc");
}

TEST_CASE("HTTP/1.0 is answered and closed, or kept where it asks for that") {
  Front front;
  Client client(front.port);
  client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(client.receive().body == "/1|");
  client.send("GET /2 HTTP/1.0\r\n\r\n");
  CHECK(client.receive().body == "/2|");
  CHECK(client.closed());
}

TEST_CASE("A reader that takes its answer slowly holds no worker and gets all of it") {
  ConnectionFrontOptions options;
  options.workers = 1;
  const std::string large(20u << 20, 'x');
  Front front(options, [&](const RawRequest& request, const RequestContext& context) {
    return reply(request.target == "/large" ? large : "small", context.close);
  });
  Client slow(front.port);
  slow.send(get("/large") + get("/after"));
  CHECK(ask(front.port, get("/small")).body == "small");
  CHECK(slow.receive().body.size() == large.size());
  CHECK(slow.receive().body == "small");
}

TEST_CASE("A client that does not take its answer in time loses the connection") {
  ConnectionFrontOptions options;
  options.write_timeout = 100ms;
  const std::string large(20u << 20, 'x');
  Front front(options, [&](const RawRequest&, const RequestContext& context) {
    return reply(large, context.close);
  });
  Client slow(front.port);
  slow.send(get("/"));
  pollfd look{slow.descriptor(), POLLHUP | POLLRDHUP, 0};
  CHECK(::poll(&look, 1, 10'000) == 1);
  CHECK(slow.receive().status == 0);
}

TEST_CASE("A head or body that does not arrive in time is 408; an idle client is just let go") {
  ConnectionFrontOptions options;
  options.head_timeout = options.body_timeout = options.idle_timeout = 80ms;
  Front front(options);
  Client head(front.port);
  Client body(front.port);
  Client silent(front.port);
  Client idle(front.port);
  head.send("GET / HTTP/1.1\r\nHos");
  body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
  idle.send(get("/"));
  CHECK(idle.receive().status == 200);
  CHECK(head.receive().status == 408);
  CHECK(head.closed());
  CHECK(body.receive().status == 408);
  CHECK(body.closed());
  CHECK(silent.receive().status == 0);
  CHECK(idle.receive().status == 0);
}

TEST_CASE("Bytes that drip in do not put the deadline of a head off") {
  ConnectionFrontOptions options;
  options.head_timeout = 150ms;
  Front front(options);
  Client drip(front.port);
  bool open = true;
  REQUIRE(web_test::eventually([&] {
    open = open && drip.send("G");
    return !open || front.lines.hold("408");
  }));
}

TEST_CASE("Empty lines that drip in do not keep a connection") {
  ConnectionFrontOptions options;
  options.head_timeout = options.idle_timeout = 150ms;
  Front front(options);
  Client drip(front.port);
  bool open = true;
  REQUIRE(web_test::eventually([&] {
    open = open && drip.send("\r\n");
    return !open || front.lines.hold("400");
  }));
}

TEST_CASE("A pipelined body has the time of a body, and a silent client behind it gets 408") {
  ConnectionFrontOptions options;
  options.head_timeout = 50ms;
  options.body_timeout = 600ms;
  Front front(options);
  Client client(front.port);
  client.send(get("/1") + "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
  CHECK(client.receive().body == "/1|");
  // Other requests pass the time that a head would have had.
  const auto end = std::chrono::steady_clock::now() + 200ms;
  while (std::chrono::steady_clock::now() < end) REQUIRE(ask(front.port, get("/")).status == 200);
  client.send("bc");
  CHECK(client.receive().body == "/2|abc");
  client.send("POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
  CHECK(client.receive().status == 408);
}

TEST_CASE("A client that goes away fires the cancellation of its request") {
  std::atomic<bool> seen = false;
  std::atomic<bool> early = false;
  Gate gate;
  Front front({}, [&](const RawRequest&, const RequestContext& context) {
    early = context.cancellation->requested();
    gate.pass();
    pollfd look{context.cancellation->descriptor(), POLLIN, 0};
    const bool readable = ::poll(&look, 1, 10'000) == 1;
    seen = readable && context.cancellation->requested();
    return reply("", context.close);
  });
  Client client(front.port);
  client.send(get("/"));
  REQUIRE(gate.wait_for(1));
  client.close();
  gate.open();
  CHECK(web_test::eventually([&] { return seen.load(); }));
  CHECK_FALSE(early);
}

TEST_CASE("A pipelined request is no reason to cancel the one before it") {
  Gate gate;
  std::atomic<int> cancelled = 0;
  Front front({}, [&](const RawRequest& request, const RequestContext& context) {
    if (request.target == "/1") gate.pass();
    pollfd look{context.cancellation->descriptor(), POLLIN, 0};
    if (::poll(&look, 1, 0) != 0 || context.cancellation->requested()) ++cancelled;
    return echo(request, context);
  });
  Client client(front.port);
  client.send(get("/1"));
  REQUIRE(gate.wait_for(1));
  client.send(get("/2"));
  gate.open();
  CHECK(client.receive().body == "/1|");
  CHECK(client.receive().body == "/2|");
  CHECK(cancelled == 0);
}
