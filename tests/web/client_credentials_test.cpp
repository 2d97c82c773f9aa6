// Access tokens by OAuth 2: an agent, an origin server and a token endpoint that play scripts.
#include "web/client_credentials.h"

#include <thread>

#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

namespace {

ScriptedServer::Step token(const std::string& value, const std::string& more = "") {
  return answer(200, R"({"access_token":")" + value + R"(","token_type":"Bearer")" + more + "}",
                {{"Content-Type", "application/json;charset=UTF-8"}});
}

/// An origin server, a token endpoint, and an agent that uses both.
struct OAuthStage {
  OAuthStage(Script origin_script, Script token_script)
      : origin(std::move(origin_script)), endpoint(std::move(token_script)) {
    UserAgentOptions options = quick(origin.base_uri());
    options.response_timeout = 2s;
    web::ClientCredentialsOptions& oauth = options.credentials.oauth;
    oauth.token_uri = fmt::format("http://127.0.0.1:{}/realms/ris/token?x=y", endpoint.port());
    oauth.client_id = "mod:gate";
    oauth.client_secret = "s3cret&\xC3\xA4";
    oauth.scope = "worklist mpps";
    auto made = UserAgent::make(options, lines.log());
    REQUIRE(made.ok());
    agent = std::move(made).value();
  }
  web_test::Lines lines;
  ScriptedServer origin;
  ScriptedServer endpoint;
  std::unique_ptr<UserAgent> agent;
};

}  // namespace

TEST_CASE("OAuth 2: one token, asked for as RFC 6749, 4.4 says, serves many requests") {
  OAuthStage stage({answer(204), answer(201), answer(204)},
                   {token("t.1", R"(,"expires_in":3600)")});
  CHECK(search(*stage.agent).outcome.good());
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(search(*stage.agent).outcome.good());
  CHECK(authorizations(stage.origin) ==
        std::vector<std::string>{"Bearer t.1", "Bearer t.1", "Bearer t.1"});
  REQUIRE(stage.endpoint.requests().size() == 1);
  const Request asked = stage.endpoint.requests()[0];
  CHECK(asked.method + " " + asked.target == "POST /realms/ris/token?x=y");
  CHECK(asked.body == "grant_type=client_credentials&scope=worklist%20mpps");
  CHECK(asked.head.find("Content-Type: application/x-www-form-urlencoded\r\n") !=
        std::string::npos);
  // printf 'mod%%3Agate:s3cret%%26%%C3%%A4' | base64
  CHECK(authorization(asked) == "Basic bW9kJTNBZ2F0ZTpzM2NyZXQlMjYlQzMlQTQ=");
}

TEST_CASE("OAuth 2: a 401 is met by one fresh token and one more try, for a POST as for a GET") {
  OAuthStage stage({answer(401), answer(204), answer(401), answer(201), answer(401), answer(401)},
                   {token("t1"), token("t2"), token("t3"), token("t4")});
  CHECK(search(*stage.agent).outcome.good());
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(search(*stage.agent).outcome.status == status::upstream_refused_authorization);
  CHECK(authorizations(stage.origin) == std::vector<std::string>{"Bearer t1", "Bearer t2",
                                                                 "Bearer t2", "Bearer t3",
                                                                 "Bearer t3", "Bearer t4"});
  CHECK(stage.origin.requests()[3].body == in_progress);
}

TEST_CASE("OAuth 2: the same token again is not tried again") {
  OAuthStage stage({answer(401)}, {token("t1"), token("t1")});
  CHECK(search(*stage.agent).outcome.status == status::upstream_refused_authorization);
  CHECK(stage.origin.requests().size() == 1);
  CHECK(stage.endpoint.requests().size() == 2);
}

TEST_CASE("OAuth 2: a lifetime that is no number is none: the token serves until it is refused") {
  for (const std::string lifetime : {R"("soon")", R"("nan")", R"("inf")", R"("-nan")", "null"}) {
    CAPTURE(lifetime);
    OAuthStage stage({answer(204), answer(204)}, {token("t1", R"(,"expires_in":)" + lifetime)});
    CHECK(search(*stage.agent).outcome.good());
    CHECK(search(*stage.agent).outcome.good());
    CHECK(stage.endpoint.requests().size() == 1);
  }
}

TEST_CASE("OAuth 2: a token that has expired is replaced before it is sent") {
  for (const std::string lifetime :
       {R"(,"expires_in":0)", R"(,"expires_in":"0")", R"(,"expires_in":-5)"}) {
    OAuthStage stage({answer(204), answer(204)}, {token("t1", lifetime), token("t2")});
    CHECK(search(*stage.agent).outcome.good());
    CHECK(search(*stage.agent).outcome.good());
    CHECK(authorizations(stage.origin) == std::vector<std::string>{"Bearer t1", "Bearer t2"});
  }
}

TEST_CASE("OAuth 2: a token is renewed before it expires, and serves while that fails") {
  // Two seconds are renewed after 1.6. On a machine that sleeps through the rest, once more.
  bool in_time = false;
  for (int attempt = 0; attempt < 5 && !in_time; ++attempt) {
    OAuthStage stage({answer(204), answer(204), answer(204)},
                     {token("t1", R"(,"expires_in":2)"), answer(503), token("t2")});
    const auto begin = std::chrono::steady_clock::now();
    CHECK(search(*stage.agent).outcome.good());
    std::this_thread::sleep_until(begin + 1650ms);
    const Outcome outcome = search(*stage.agent).outcome;
    in_time = std::chrono::steady_clock::now() - begin < 1950ms;
    if (!in_time) continue;
    CHECK(outcome.good());
    CHECK(stage.endpoint.requests().size() == 2);
    CHECK(authorizations(stage.origin) == std::vector<std::string>{"Bearer t1", "Bearer t1"});
    std::this_thread::sleep_until(begin + 2010ms);
    CHECK(search(*stage.agent).outcome.good());
    CHECK(authorization(stage.origin.requests().back()) == "Bearer t2");
  }
  CHECK(in_time);
}

TEST_CASE("OAuth 2: many callers wait for one fetch") {
  constexpr int callers = 8;
  std::atomic<int> asking = 0;
  OAuthStage stage(Script(callers, answer(204)), {[&](Peer& peer, const Request& request) {
                     web_test::eventually([&] { return asking == callers; });
                     std::this_thread::sleep_for(50ms);  // for the last one to come to the lock
                     token("t1")(peer, request);
                   }});
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      ++asking;
      if (search(*stage.agent).outcome.good()) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == callers);
  CHECK(stage.endpoint.requests().size() == 1);
}

TEST_CASE("OAuth 2: without a token nothing is sent, and why is told apart") {
  struct Row {
    ScriptedServer::Step step;
    Outcome::How how;
    std::uint16_t found, created;
    std::string log;
  };
  using How = Outcome::How;
  const auto json = [](int http, const std::string& body) {
    return answer(http, body, {{"Content-Type", "application/json"}});
  };
  for (const Row& row : {
           Row{json(400, R"({"error":"invalid_client","error_description":"s3cret"})"),
               How::answered, 0xC006, 0x0124, "HTTP 400 invalid_client"},
           Row{json(401, R"({"error":"<script>"})"), How::answered, 0xC006, 0x0124, "HTTP 401"},
           Row{answer(403), How::answered, 0xC006, 0x0124, "HTTP 403"},
           Row{answer(503), How::unreachable, 0xA700, 0x0213, "HTTP 503"},
           Row{answer(404), How::unreachable, 0xA700, 0x0213, "HTTP 404"},
           Row{answer(302, "", {{"Location", "/other"}}), How::unreachable, 0xA700, 0x0213,
               "HTTP 302"},
           Row{json(200, "junk"), How::unreachable, 0xA700, 0x0213,
               "the answer holds no bearer token"},
           Row{json(200, "[]"), How::unreachable, 0xA700, 0x0213,
               "the answer holds no bearer token"},
           Row{json(200, R"({"access_token":"a","token_type":"mac"})"), How::unreachable, 0xA700,
               0x0213, "the answer holds no bearer token"},
           Row{json(200, R"({"access_token":7,"token_type":"Bearer"})"), How::unreachable, 0xA700,
               0x0213, "the answer holds no bearer token"},
           Row{json(200, R"({"access_token":"a\r\nHost: b","token_type":"Bearer"})"),
               How::unreachable, 0xA700, 0x0213, "the answer holds no bearer token"},
           Row{answer(200, std::string(300'000, ' ')), How::unreachable, 0xA700, 0x0213,
               "no answer"},
           Row{drop, How::unreachable, 0xA700, 0x0213, "no answer"},
       }) {
    CAPTURE(row.log);
    OAuthStage stage({}, {row.step, row.step, row.step, row.step});
    const Outcome found = search(*stage.agent).outcome;
    const Outcome created = stage.agent->create(uid, data_set(in_progress), patient());
    CHECK(found.status == row.found);
    CHECK(found.how == row.how);
    CHECK(created.status == row.created);
    CHECK(created.how == row.how);
    CHECK(stage.origin.requests().empty());
    CHECK(stage.lines.hold("token endpoint at 127.0.0.1: " + row.log));
    CHECK_FALSE(stage.lines.hold("s3cret"));
    CHECK_FALSE(stage.lines.hold("script"));
  }
}

TEST_CASE("OAuth 2: a caller that gives up or runs out of time does not wait for the token") {
  OAuthStage stage({answer(204)}, {say_nothing, say_nothing, token("t1")});
  Trigger trigger(true);
  Context context = patient();
  context.cancellation = &trigger;
  std::thread asking([&] {
    CHECK(web_test::eventually([&] { return !stage.endpoint.requests().empty(); }));
    trigger.fire();
  });
  CHECK(search(*stage.agent, {}, context).outcome.status == status::cancel);
  asking.join();
  Context hurried = patient();
  hurried.deadline = std::chrono::steady_clock::now() + 100ms;
  CHECK(search(*stage.agent, {}, hurried).outcome.how == Outcome::How::unreachable);
  CHECK(search(*stage.agent).outcome.good());
}
