// The connection front over real sockets, with a handler that echoes: what a client may do to it,
// and that nothing of it keeps others from being served.
#include "web/connection_front.h"

#include <fmt/format.h>
#include <poll.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "tests/web/web_support.h"
#include "web/dispatcher.h"

using namespace std::chrono_literals;
using web::ConnectionFront;
using web::ConnectionFrontOptions;
using web::RawRequest;
using web::RawResponse;
using web::RequestContext;
using web_test::ask;
using web_test::Client;
using web_test::get;
using web_test::post;

namespace {

RawResponse reply(const std::string& body, bool close) {
  return {fmt::format("HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n",
                      close ? "Connection: close\r\n" : "", body.size()),
          body, false};
}

RawResponse echo(const RawRequest& request, const RequestContext& context) {
  return reply(request.target + "|" + request.body, context.close);
}

/// Holds requests until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait_for(lock, web_test::patience, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait_for(int number) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, web_test::patience, [&] { return waiting_ >= number; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

class Front {
 public:
  explicit Front(ConnectionFrontOptions options = {}, web::RequestHandler handler = echo)
      : front(options, std::move(handler), web::to_raw_response, lines.log()) {
    const auto started = front.start();
    REQUIRE(started.ok());
    port = started.value();
  }
  web_test::Lines lines;
  ConnectionFront front;
  std::uint16_t port = 0;
};

}  // namespace

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

TEST_CASE("A refused request gets a problem report and the end of the connection") {
  Front front;
  struct Row {
    std::string bytes;
    int status;
  };
  const std::vector<Row> rows{
      {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
      {"GET / HTTP/1.1\n\n", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"\x16\x03\x01", 400},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
      {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(40000, 'a'), 431},
  };
  for (const Row& row : rows) {
    CAPTURE(row.bytes.substr(0, 60));
    Client client(front.port);
    client.send(row.bytes);
    const auto response = client.receive();
    CHECK(response.status == row.status);
    CHECK(response.header("content-type") == "application/problem+json");
    CHECK(response.header("connection") == "close");
    CHECK(client.closed());
    CHECK(ask(front.port, get("/next")).body == "/next|");
  }
  CHECK(front.lines.hold("TLS handshake"));
  CHECK(front.lines.hold("HTTP/2"));
}

TEST_CASE("A body over the limit is refused though the client goes on sending it") {
  ConnectionFrontOptions options;
  options.limits.max_body_bytes = 1000;
  Front front(options);
  Client client(front.port);
  client.send(post("/", std::string(500'000, 'x')));
  CHECK(client.receive().status == 413);
  CHECK(client.closed());
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

TEST_CASE("Fifty slow senders and fifty idle clients do not hold the only worker") {
  ConnectionFrontOptions options;
  options.workers = 1;
  Front front(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(std::make_unique<Client>(front.port));
    clients.back()->send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab");
    clients.push_back(std::make_unique<Client>(front.port));
  }
  CHECK(ask(front.port, get("/quick")).body == "/quick|");
  clients[0]->send("cdefghij");
  CHECK(clients[0]->receive().body == "/slow|abcdefghij");
}

TEST_CASE("Requests that wait apart keep no other waiting, and no other keeps them") {
  for (const std::string held : {"/apart", "/usual"}) {
    CAPTURE(held);
    Gate gate;
    ConnectionFrontOptions options;
    options.workers = 1;
    options.apart = [](const RawRequest& request) { return request.target == "/apart"; };
    Front front(options, [&](const RawRequest& request, const RequestContext& context) {
      if (request.target == held) gate.pass();
      return echo(request, context);
    });
    Client first(front.port), second(front.port);
    first.send(get(held));
    REQUIRE(gate.wait_for(1));
    second.send(get(held));
    const std::string other = held == "/apart" ? "/usual" : "/apart";
    CHECK(ask(front.port, get(other)).body == other + "|");
    gate.open();
    CHECK(first.receive().body == held + "|");
    CHECK(second.receive().body == held + "|");
  }
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

TEST_CASE("Over the limit of connections a client is told 503, and served once others left") {
  ConnectionFrontOptions options;
  options.max_connections = 2;
  Front front(options);
  Client first(front.port);
  first.send(get("/"));
  CHECK(first.receive().status == 200);
  {
    Client second(front.port);
    second.send(get("/"));
    CHECK(second.receive().status == 200);
    for (int i = 0; i < 100; ++i) {
      Client surplus(front.port);
      const auto response = surplus.receive();
      const bool told = response.status == 503 || response.status == 0;
      CHECK(told);
      if (i == 0) {
        CHECK(response.status == 503);
        CHECK(response.header("content-type") == "application/problem+json");
        CHECK(response.header("retry-after") == "5");
        CHECK(response.header("connection") == "close");
        CHECK(surplus.closed());
      }
    }
  }
  CHECK(web_test::eventually([&] { return ask(front.port, get("/")).status == 200; }));
  first.send(get("/"));
  CHECK(first.receive().status == 200);
}

TEST_CASE("No address has more than its share of connections; others are served meanwhile") {
  ConnectionFrontOptions options;
  options.max_connections = 10;
  options.max_connections_per_address = 2;
  Front front(options);
  const auto served = [&](Client& client) {
    client.send(get("/"));
    return client.receive().status == 200;
  };
  Client first(front.port);
  {
    Client second(front.port);
    CHECK(served(first));
    CHECK(served(second));
    for (int i = 0; i < 20; ++i) {
      Client third(front.port);
      const auto response = third.receive();
      CHECK(response.status == 503);
      CHECK(response.header("retry-after") == "5");
      CHECK(response.body.find("from this address") != std::string::npos);
      CHECK(third.closed());
    }
    Client other(front.port, "127.0.0.2");
    Client another(front.port, "127.0.0.3");
    CHECK(served(other));
    CHECK(served(another));
    CHECK(served(first));  // who is connected stays so
  }
  // Whoever leaves makes room, for as many as left.
  std::unique_ptr<Client> next;
  CHECK(web_test::eventually([&] {
    next = std::make_unique<Client>(front.port);
    return served(*next);
  }));
  CHECK(Client(front.port).receive().status == 503);
  CHECK(front.lines.hold("127.0.0.1 refused: 503"));
  CHECK_FALSE(front.lines.hold("127.0.0.2 refused"));
}

TEST_CASE("Without a limit for one address, the total is the only one") {
  ConnectionFrontOptions options;
  options.max_connections = 5;
  Front front(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(front.port));
    clients.back()->send(get("/"));
    CHECK(clients.back()->receive().status == 200);
  }
  const auto response = Client(front.port, "127.0.0.2").receive();
  CHECK(response.status == 503);
  CHECK(response.body.find("from this address") == std::string::npos);
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

TEST_CASE("An exception of the handler is a 500, and the next request is served") {
  Front front({}, [](const RawRequest& request, const RequestContext& context) {
    if (request.target == "/bad") throw std::runtime_error("DOE^JANE");
    return echo(request, context);
  });
  const auto response = ask(front.port, get("/bad"));
  CHECK(response.status == 500);
  CHECK(response.body.find("DOE") == std::string::npos);
  CHECK(ask(front.port, get("/good")).body == "/good|");
}

TEST_CASE("A stop ends idle connections, lets a running request finish and takes no new one") {
  Gate gate;
  Front front({}, [&](const RawRequest& request, const RequestContext& context) {
    if (request.target == "/held") gate.pass();
    return echo(request, context);
  });
  Client idle(front.port);
  idle.send(get("/"));
  CHECK(idle.receive().status == 200);
  Client running(front.port);
  running.send(get("/held"));
  REQUIRE(gate.wait_for(1));
  std::thread stopping([&] { front.front.stop(10s); });
  CHECK(idle.closed());
  gate.open();
  CHECK(running.receive().body == "/held|");
  CHECK(running.closed());
  running.close();
  stopping.join();
  CHECK_THROWS(Client(front.port));
}

TEST_CASE("When the grace of a stop is over, running requests are cancelled") {
  Gate gate;
  std::atomic<bool> cancelled = false;
  Front front({}, [&](const RawRequest& request, const RequestContext& context) {
    gate.pass();
    pollfd look{context.cancellation->descriptor(), POLLIN, 0};
    cancelled = ::poll(&look, 1, 10'000) == 1 && context.cancellation->requested();
    return echo(request, context);
  });
  Client client(front.port);
  client.send(get("/"));
  REQUIRE(gate.wait_for(1));
  gate.open();
  front.front.stop(50ms);
  CHECK(cancelled);
}

TEST_CASE("When the grace of a stop is over, requests that still wait for a worker are refused") {
  Gate gate;
  std::atomic<int> arrived = 0, begun = 0;
  ConnectionFrontOptions options;
  options.workers = 1;
  options.apart = [&](const RawRequest&) { return ++arrived < 0; };
  Front front(options, [&](const RawRequest& request, const RequestContext& context) {
    ++begun;
    gate.pass();
    return echo(request, context);
  });
  Client running(front.port), waiting(front.port);
  running.send(get("/1"));
  REQUIRE(gate.wait_for(1));
  waiting.send(get("/2"));
  REQUIRE(web_test::eventually([&] { return arrived == 2; }));
  std::thread stopping([&] { front.front.stop(0ms); });
  CHECK_THROWS([&] {
    while (true) Client(front.port).receive();  // until it listens no more
  }());
  gate.open();
  CHECK(running.receive().body == "/1|");
  CHECK(waiting.receive().status == 503);
  running.close();
  waiting.close();
  stopping.join();
  CHECK(begun == 1);
}

TEST_CASE("A port in use is a fault, not a second server on it") {
  Front front;
  ConnectionFrontOptions options;
  options.port = front.port;
  ConnectionFront second(options, echo, web::to_raw_response, web_test::silent());
  CHECK_FALSE(second.start().ok());
  options.bind = "no address";
  ConnectionFront third(options, echo, web::to_raw_response, web_test::silent());
  CHECK_FALSE(third.start().ok());
}

TEST_CASE("The front listens on IPv6 too") {
  ConnectionFrontOptions options;
  options.bind = "::1";
  ConnectionFront front(options, echo, web::to_raw_response, web_test::silent());
  const auto started = front.start();
  if (!started) {
    WARN("no IPv6 here: " << started.fault().what);
    return;
  }
  CHECK(started.value() > 0);
}
