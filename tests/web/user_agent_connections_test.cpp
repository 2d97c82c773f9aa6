// How the user agent deals with connections: kept, stale and slow ones, redirects, gzip, overload.

#include <thread>

#include "tests/web/user_agent_support.h"
#include "web/user_agent.h"

using namespace user_agent_test;

// --- Redirects ----------------------------------------------------------------------------------

TEST_CASE("A GET follows three redirects on the same host, no more and no further (1b)") {
  const auto to = [](const std::string& location) {
    return answer(302, "", {{"Location", location}});
  };
  Stage stage({answer(301, "", {{"Location", "/a"}}), answer(307, "", {{"Location", "/b?c=d"}}),
               to("/c"), answer(200, list(0, 1))});
  CHECK(search(*stage.agent).matches.size() == 1);
  CHECK(stage.targets()[2] == "GET /b?c=d");

  Stage endless({to("/a"), to("/b"), to("/c"), to("/d"), answer(200, list(0, 1))});
  CHECK(search(*endless.agent).outcome.status == status::redirect_denied);
  CHECK(endless.targets().size() == 4);

  for (const std::string location :
       {"http://localhost:1/a", "https://127.0.0.1/a", "//other/a", ""}) {
    CAPTURE(location);
    Stage away({to(location)});
    CHECK(search(*away.agent).outcome.status == status::redirect_denied);
    CHECK(away.targets().size() == 1);
  }
}

TEST_CASE("A POST follows 307 and 308 as a POST, and nothing else (2b)") {
  Stage stage({answer(308, "", {{"Location", "/moved"}}), answer(201)});
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(stage.targets()[1] == "POST /moved");
  CHECK(stage.server.requests()[1].body == in_progress);
  for (const int http : {301, 302, 303}) {
    Stage refused({answer(http, "", {{"Location", "/moved"}})});
    CHECK(refused.agent->create(uid, data_set(in_progress), patient()).status ==
          status::processing_failure);
    CHECK(refused.targets().size() == 1);
  }
}

TEST_CASE("406 is met by one more try with a wider Accept header") {
  Stage stage({answer(406), answer(200, list(0, 1))});
  CHECK(search(*stage.agent).matches.size() == 1);
  CHECK(stage.server.requests()[1].head.find("Accept: application/dicom+json, */*;q=0.1\r\n") !=
        std::string::npos);
  Stage again({answer(406), answer(406), answer(406), answer(406)});
  CHECK(search(*again.agent).outcome.status == status::upstream_client_error);
  CHECK(again.agent->create(uid, data_set(in_progress), patient()).status ==
        status::processing_failure);
}

TEST_CASE("A server that cannot be reached leaves nothing in doubt (5b)") {
  const auto agent = agent_for(quick("http://127.0.0.1:" + std::to_string(web_test::dead_port())));
  const Outcome found = search(*agent).outcome;
  CHECK(found.status == status::out_of_resources);
  DataSet object;
  for (const Outcome& outcome : {agent->create(uid, data_set(in_progress), patient()),
                                 agent->update(uid, data_set(completed), patient()),
                                 agent->retrieve(uid, {}, object, patient()), found}) {
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::connect_failed);
    if (&outcome != &found) {
      const bool as_5b = outcome.status == status::resource_limitation ||
                         outcome.status == status::out_of_resources;
      CHECK(as_5b);
    }
  }
}

// --- Connections --------------------------------------------------------------------------------

TEST_CASE("A connection is kept and used again") {
  Stage stage({answer(204), answer(201), answer(200, in_progress)});
  DataSet found;
  CHECK(search(*stage.agent).outcome.good());
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(stage.agent->retrieve(uid, {}, found, patient()).good());
  for (const Request& request : stage.server.requests()) CHECK(request.connection == 1);
}

TEST_CASE("A kept connection that the server ended is noticed, even with a farewell on it") {
  for (const std::string farewell :
       {"", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}) {
    std::atomic<bool> ended = false;
    Stage stage({[&](Peer& peer, const Request&) {
                   peer.answer(204);
                   peer.send(farewell);
                   peer.close();
                   ended = true;
                 },
                 answer(201)});
    CHECK(search(*stage.agent).outcome.good());
    REQUIRE(web_test::eventually([&] { return ended.load(); }));
    CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
    CHECK(stage.server.requests().back().connection == 2);
    CHECK(stage.targets().size() == 2);
  }
}

TEST_CASE("A GET whose connection broke before an answer came is repeated, once") {
  Stage stage({answer(204), drop, answer(200, list(0, 1))});
  CHECK(search(*stage.agent).outcome.good());
  CHECK(search(*stage.agent).matches.size() == 1);
  Stage twice({drop, drop, answer(200, list(0, 1))});
  const Outcome outcome = search(*twice.agent).outcome;
  CHECK(outcome.status == status::upstream_answer_unreadable);
  CHECK(outcome.event == NetworkEvent::connection_lost);
  CHECK(twice.targets().size() == 2);
}

TEST_CASE("A server that drips its answer is held to the caller's deadline") {
  for (const std::string start : {"", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"}) {
    Stage stage({[&](Peer& peer, const Request&) {
      peer.send(start);
      while (peer.open()) {
        peer.send("H");
        std::this_thread::sleep_for(5ms);
      }
    }});
    Context context = patient();
    context.deadline = std::chrono::steady_clock::now() + 300ms;
    const Outcome outcome = search(*stage.agent, {}, context).outcome;
    CHECK(outcome.how == Outcome::How::unknown);
    CHECK_FALSE(outcome.good());
  }
}

TEST_CASE("When the deadline has passed, nothing is sent that would leave doubts") {
  Stage stage({});
  Context context = patient();
  context.deadline = std::chrono::steady_clock::now();
  DataSet found;
  for (const Outcome& outcome : {stage.agent->create(uid, data_set(in_progress), context),
                                 stage.agent->update(uid, data_set(completed), context),
                                 stage.agent->retrieve(uid, {}, found, context),
                                 search(*stage.agent, {}, context).outcome}) {
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::busy);
  }
  CHECK(stage.targets().empty());
}

TEST_CASE("Callers beyond max_connections wait for a free one, and are told busy at the deadline") {
  std::atomic<bool> release = false;
  std::atomic<bool> arrived = false;
  Stage stage({[&](Peer& peer, const Request&) {
                 arrived = true;
                 web_test::eventually([&] { return release.load(); });
                 peer.answer(204);
               },
               answer(204)},
              [](UserAgentOptions& options) {
                options.max_connections = 1;
                options.response_timeout = 20s;
              });
  Outcome first_outcome = Outcome::answered(status::cancel);
  Outcome second_outcome = first_outcome;
  std::thread first([&] { first_outcome = search(*stage.agent).outcome; });
  REQUIRE(web_test::eventually([&] { return arrived.load(); }));
  Context context = patient();
  context.deadline = std::chrono::steady_clock::now() + 100ms;
  const Outcome busy = search(*stage.agent, {}, context).outcome;
  CHECK(busy.how == Outcome::How::unreachable);
  CHECK(busy.event == NetworkEvent::busy);
  CHECK(busy.status == status::out_of_resources);
  std::thread second([&] { second_outcome = search(*stage.agent).outcome; });
  release = true;
  first.join();
  second.join();
  CHECK(first_outcome.good());
  CHECK(second_outcome.good());
  CHECK(stage.server.requests().back().connection == 1);
}
