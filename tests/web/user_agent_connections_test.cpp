// How the user agent deals with connections: kept, stale and slow ones, redirects, overload.

#include <thread>

#include "tests/web/certificates.h"
#include "tests/web/origin_server_support.h"
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
  CHECK(stage.agent->pool().idle == 1);
  CHECK(stage.agent->pool().in_use == 0);
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
  CHECK(web_test::eventually([&] { return stage.agent->pool().waiting == 1; }));
  CHECK(stage.agent->pool().in_use == 1);
  CHECK(stage.agent->pool().idle == 0);
  CHECK(stage.agent->pool().limit == 1);
  release = true;
  first.join();
  second.join();
  CHECK(stage.agent->pool().waiting == 0);
  CHECK(stage.agent->pool().in_use == 0);
  CHECK(first_outcome.good());
  CHECK(second_outcome.good());
  CHECK(stage.server.requests().back().connection == 1);
}

// --- A server that is overloaded ----------------------------------------------------------------

namespace {

ScriptedServer::Step overloaded(int http, const std::string& retry_after) {
  return answer(http, "", {{"Retry-After", retry_after}});
}
void ready_to_wait(UserAgentOptions& options) { options.response_timeout = 10s; }

}  // namespace

TEST_CASE("429 and 503 are repeated when Retry-After says so, for a POST as for a GET") {
  for (const int code : {429, 503}) {
    Stage stage({overloaded(code, "0"), answer(200, list(0, 1)), overloaded(code, "0"),
                 overloaded(code, "1"), answer(201), overloaded(code, "0"), answer(200),
                 overloaded(code, "0"), answer(200, in_progress)},
                ready_to_wait);
    CHECK(search(*stage.agent).matches.size() == 1);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status == status::success);
    CHECK(std::chrono::steady_clock::now() - begin >= 1s);
    CHECK(stage.agent->update(uid, data_set(completed), patient()).status == status::success);
    DataSet found;
    CHECK(stage.agent->retrieve(uid, {}, found, patient()).good());
    CHECK(stage.server.requests()[4].body == in_progress);
    CHECK(stage.targets().size() == 9);
  }
}

TEST_CASE("A conflict after such a repeat may be our own doing, which a Retrieve shows") {
  Stage stage({overloaded(503, "0"), answer(409), answer(200, in_progress),  // Create
               overloaded(503, "0"), answer(308, "", {{"Location", "/a"}}), answer(409),
               answer(200, in_progress),                                    // Create, moved
               overloaded(503, "0"), answer(409), answer(200, completed)},  // Update
              ready_to_wait);
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status == status::success);
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status == status::success);
  CHECK(stage.agent->update(uid, data_set(completed), patient()).status == status::success);
  CHECK(stage.targets().size() == 10);
}

TEST_CASE("Where waiting is not in time or not asked for, the status is passed on at once") {
  for (const std::string value : {"", "soon", "-1", "60", "Sun, 06 Nov 2094 08:49:37 GMT"}) {
    CAPTURE(value);
    Stage stage({overloaded(503, value), overloaded(503, value)}, ready_to_wait);
    CHECK(search(*stage.agent).outcome.status == status::out_of_resources);
    const Outcome refused = stage.agent->create(uid, data_set(in_progress), patient());
    CHECK(refused.status == status::resource_limitation);
    CHECK(refused.retry_after.has_value() == (value == "60" || value.size() > 4));
    if (value == "60") CHECK(refused.retry_after == 60s);
    CHECK(stage.targets().size() == 2);
  }
  Stage stage({overloaded(503, "2"), overloaded(500, "0")}, ready_to_wait);
  Context context = patient();
  context.deadline = std::chrono::steady_clock::now() + 2s;
  const Outcome outcome = search(*stage.agent, {}, context).outcome;
  CHECK(outcome.status == status::out_of_resources);
  CHECK(outcome.how == Outcome::How::answered);
  CHECK(context.deadline > std::chrono::steady_clock::now() + 1s);
  CHECK(search(*stage.agent).outcome.status == status::upstream_server_error);
  CHECK(stage.targets().size() == 2);
}

TEST_CASE("A server that is overloaded for good is asked four times, slower each time") {
  const auto step = overloaded(503, "0");
  Stage stage({step, step, step, step, answer(204)}, ready_to_wait);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(search(*stage.agent).outcome.status == status::out_of_resources);
  CHECK(stage.targets().size() == 4);
  CHECK(std::chrono::steady_clock::now() - begin >= 700ms);  // 100 + 200 + 400
}

TEST_CASE("A cancellation ends the waiting of a Search") {
  Trigger trigger(true);
  Stage stage({[&](Peer& peer, const Request& request) {
                overloaded(503, "5")(peer, request);
                trigger.fire();
              }},
              ready_to_wait);
  Context context = patient();
  context.cancellation = &trigger;
  const auto begin = std::chrono::steady_clock::now();
  CHECK(search(*stage.agent, {}, context).outcome.status == status::cancel);
  CHECK(std::chrono::steady_clock::now() - begin < 4s);
}

// --- Redirects to other servers -----------------------------------------------------------------

TEST_CASE("A redirect may be relative, and may lead to another server where that is allowed") {
  ScriptedServer other({answer(200, list(0, 3)), answer(201)});
  const std::string there = fmt::format("http://127.0.0.1:{}", other.port());
  Stage stage({answer(302, "", {{"Location", "./elsewhere?x=1"}}),
               answer(302, "", {{"Location", there + "/a/b"}}),
               answer(308, "", {{"Location", there + "/c"}})},
              [&](UserAgentOptions& options) { options.redirect_origins = {there}; });
  CHECK(search(*stage.agent).matches.size() == 3);
  CHECK(stage.targets()[1] == "GET /ris/elsewhere?x=1");
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(other.requests()[0].target == "/a/b");
  CHECK(other.requests()[1].body == in_progress);
}

TEST_CASE("Our certificate is not shown to another server that a redirect leads to") {
  const auto& made = web_test::certificates();
  // It wants a certificate of the CA that ours is of.
  web::OriginServerOptions server_options;
  server_options.tls = made.files("good", "ca");
  web_test::Site other(server_options);
  const std::string there = fmt::format("https://127.0.0.1:{}", other.port);
  Stage stage({answer(302, "", {{"Location", there + "/modality-scheduled-procedure-steps"}})},
              [&](UserAgentOptions& options) {
                options.redirect_origins = {there};
                options.tls = made.files("good", "ca");
                options.response_timeout = 5s;
              });
  CHECK_FALSE(search(*stage.agent).outcome.good());
  CHECK(
      web_test::eventually([&] { return other.lines.hold("peer did not return a certificate"); }));
  // It would have been served.
  UserAgentOptions direct = quick(there);
  direct.response_timeout = 5s;
  direct.tls = made.files("good", "ca");
  CHECK(search(*agent_for(direct)).outcome.good());
}
