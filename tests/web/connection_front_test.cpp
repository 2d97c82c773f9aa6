// The connection front over real sockets: what a client may do to it, and that nothing of it keeps
// others from being served.
#include "web/connection_front.h"

#include <poll.h>

#include <atomic>
#include <memory>
#include <thread>

#include "tests/web/connection_front_support.h"

using namespace connection_front_test;

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

TEST_CASE("A front that makes room ends who waits longest, of a full address its own") {
  Gate gate;
  std::atomic<int> held = 0;
  ConnectionFrontOptions options;
  options.max_connections = 4;
  options.max_connections_per_address = 3;
  options.makes_room = true;
  options.workers = 1;  // it has handed one connection back before it serves another
  options.apart = [&](const RawRequest& request) {
    held += request.target == "/held";
    return request.target == "/held";
  };
  Front front(options, [&](const RawRequest& request, const RequestContext& context) {
    if (request.target == "/held") gate.pass();
    return echo(request, context);
  });
  const auto served = [](Client& client) {
    client.send(get("/"));
    return client.receive().status == 200;
  };
  Client running(front.port);
  running.send(get("/held"));
  REQUIRE(gate.wait_for(1));
  Client other(front.port, "127.0.0.2");
  Client idle(front.port), unfinished(front.port);
  CHECK(served(idle));
  CHECK(served(other));
  unfinished.send("GET / HTTP/1.1\r\n");
  CHECK(served(other));
  Client first(front.port);  // over the share of its address
  CHECK(idle.closed());
  CHECK(served(first));
  Client second(front.port);
  CHECK(unfinished.closed());
  CHECK(served(second));
  CHECK(served(other));

  Client third(front.port, "127.0.0.3");  // over the total: of all that wait, first waits longest
  CHECK(first.closed());
  CHECK(served(third));
  CHECK(served(second));
  CHECK(front.lines.hold("127.0.0.1 ended"));

  CHECK(ask(front.port, get("/", "Connection: close\r\n")).status == 200);
  std::vector<std::unique_ptr<Client>> busy;
  for (int i = 2; i <= 4; ++i) {
    busy.push_back(std::make_unique<Client>(front.port, "127.0.0.4"));
    busy.back()->send(get("/held"));
    REQUIRE(web_test::eventually([&] { return held == i; }));
  }
  // Nobody whose request waits, or is answered, makes room.
  CHECK(Client(front.port, "127.0.0.5").receive().status == 503);
  gate.open();
  CHECK(running.receive().body == "/held|");
  for (const auto& client : busy) CHECK(client->receive().body == "/held|");
}

TEST_CASE("Few wait apart, so that who only guesses does not hold all connections") {
  Gate gate;
  ConnectionFrontOptions options;
  options.workers = 1;
  options.max_connections = 32;
  options.makes_room = true;
  options.apart = [](const RawRequest& request) { return request.target == "/guess"; };
  Front front(options, [&](const RawRequest& request, const RequestContext& context) {
    if (request.target == "/guess") gate.pass();
    return echo(request, context);
  });
  std::vector<std::unique_ptr<Client>> guessing;
  const auto guess = [&] {
    guessing.push_back(std::make_unique<Client>(front.port));
    guessing.back()->send(get("/guess"));
  };
  guess();
  REQUIRE(gate.wait_for(1));  // one is answered, and sixteen may wait
  for (int i = 0; i < 60; ++i) guess();
  CHECK(ask(front.port, get("/")).status == 200);
  gate.open();
  int served = 0, refused = 0;
  for (const auto& client : guessing) {
    const int status = client->receive().status;
    served += status == 200;
    refused += status == 503;
  }
  CHECK(served == 17);
  CHECK(refused == 44);
}

TEST_CASE("However many connect at once, a request that lies there is read before it makes room") {
  Gate gate;
  ConnectionFrontOptions options;
  options.max_connections = 64;
  options.max_connections_per_address = 32;
  options.makes_room = true;
  options.apart = [&](const RawRequest& request) {  // called by the thread that accepts
    if (request.target == "/halt") gate.pass();
    return false;
  };
  Front front(options);
  Client halting(front.port);
  halting.send(get("/halt"));
  REQUIRE(gate.wait_for(1));
  std::vector<std::unique_ptr<Client>> silent, asking;
  for (int i = 0; i < 10; ++i) {
    asking.push_back(std::make_unique<Client>(front.port));
    asking.back()->send(get("/"));
    for (int j = 0; j < 50; ++j) silent.push_back(std::make_unique<Client>(front.port));
  }
  gate.open();
  for (const auto& client : asking) CHECK(client->receive().status == 200);
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
