// Pages and actions by real requests.
#include "web/page_server.h"

#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/web/web_support.h"

using namespace web;

namespace {

constexpr auto form = "application/x-www-form-urlencoded";

/// A server with a page and an action that counts its calls and waits while it is told to.
struct Site {
  std::atomic<int> done{0};
  std::promise<void> entered, released;
  std::atomic<bool> waits{false};
  std::string user, address, body;
  std::unique_ptr<PageServer> server;
  int port = 0;

  explicit Site(PageServerOptions options = {}) {
    const Pages pages{{"/", [] { return Page{200, "text/html", "<p>", {{"X-More", "more"}}}; }}};
    const PageActions actions{{"/act", [this](const PageAction& action) {
                                 if (waits) {
                                   entered.set_value();
                                   released.get_future().wait();
                                 }
                                 user = action.user;
                                 address = action.address;
                                 body = action.form;
                                 ++done;
                                 return Page{200, "application/json", "{}"};
                               }}};
    server = std::make_unique<PageServer>(std::move(options), pages, actions,
                                          [](mapping::LogLevel, std::string_view) {});
    const auto started = server->start();
    REQUIRE(started.ok());
    port = started.value();
  }
  httplib::Result post(httplib::Headers headers, const std::string& type = form) const {
    httplib::Client client("127.0.0.1", port);
    return client.Post("/act", headers, "a=1", type.c_str());
  }
  std::string host() const { return "127.0.0.1:" + std::to_string(port); }
};

}  // namespace

TEST_CASE("a page comes with its headers; a Host that is not ours gets 421 and no page") {
  Site site({.host_names = {"gateway.example"}});
  httplib::Client client("127.0.0.1", site.port);
  const auto page = client.Get("/");
  REQUIRE(page);
  CHECK(page->status == 200);
  CHECK(page->get_header_value("X-More") == "more");
  CHECK(page->get_header_value("Cache-Control") == "no-store");
  const auto hostile = client.Get("/", {{"Host", "evil.example:8082"}});
  REQUIRE(hostile);
  CHECK(hostile->status == 421);
  CHECK(hostile->body.find("<p>") == std::string::npos);
  CHECK(hostile->body.find("evil") == std::string::npos);
  const auto named = client.Get("/", {{"Host", "gateway.example:8082"}});
  REQUIRE(named);
  CHECK(named->status == 200);
}

TEST_CASE("an action is done for the page with its token, and for nobody else") {
  Site site;
  const std::string token = site.server->token();
  const auto done = site.post({{"X-Page-Token", token}, {"Origin", "http://" + site.host()}});
  REQUIRE(done);
  CHECK(done->status == 200);
  CHECK(site.done == 1);
  CHECK(site.body == "a=1");
  CHECK(site.address == "127.0.0.1");
  CHECK(site.user.empty());

  const std::string wrong(64, '0');
  struct Case {
    httplib::Headers headers;
    std::string type;
    int status;
  };
  for (const Case& one : {
           Case{{}, form, 403},
           Case{{{"X-Page-Token", wrong}}, form, 403},
           Case{{{"X-Page-Token", ""}}, form, 403},
           Case{{{"X-Page-Token", token}, {"Origin", "http://evil.example"}}, form, 403},
           Case{{{"X-Page-Token", token}, {"Origin", "null"}}, form, 403},
           Case{{{"X-Page-Token", token}, {"Sec-Fetch-Site", "cross-site"}}, form, 403},
           Case{{{"X-Page-Token", token}, {"Host", "evil.example"}}, form, 421},
           Case{{{"X-Page-Token", token}}, "text/plain", 415},
           Case{{{"X-Page-Token", token}}, "multipart/form-data", 415},
       }) {
    const auto refused = site.post(one.headers, one.type);
    REQUIRE(refused);
    CHECK(refused->status == one.status);
    CHECK(refused->body.find(token) == std::string::npos);
  }
  httplib::Client client("127.0.0.1", site.port);
  const auto got = client.Get("/act?a=1", {{"X-Page-Token", token}});
  REQUIRE(got);
  CHECK(got->status == 405);
  CHECK(got->get_header_value("Allow") == "POST, OPTIONS");
  CHECK(site.done == 1);
}

TEST_CASE(
    "whoever is refused, or asks for an action that no page did, is a Security Alert: rule I5") {
  const web_test::File tokens(std::string(64, 'a') + " prometheus\n");
  std::vector<mapping::SecurityAlert> alerts;
  std::mutex mutex;
  const auto keep = [&](const mapping::SecurityAlert& alert) {
    const std::lock_guard lock(mutex);
    alerts.push_back(alert);
  };
  const auto last = [&] {
    const std::lock_guard lock(mutex);
    REQUIRE(alerts.size() == 1);
    return alerts[0];
  };
  SECTION("an action without its token") {
    const Site site({.on_alert = keep});
    CHECK(site.post({})->status == 403);
    CHECK(last().kind == mapping::SecurityAlert::Kind::restricted_function);
    CHECK(last().caller.address == "127.0.0.1");
  }
  SECTION("credentials that nobody has") {
    const Site site({.authentication = {.users = {}, .tokens = tokens.path}, .on_alert = keep});
    httplib::Client client("127.0.0.1", site.port);
    CHECK(client.Get("/", {{"Authorization", "Bearer guessed"}})->status == 401);
    CHECK(last().kind == mapping::SecurityAlert::Kind::node_authentication);
    CHECK(last().what.find("guessed") == std::string::npos);
  }
}

TEST_CASE("where others reach the port and nobody is asked who he is, there are no actions") {
  Site site({.bind = "0.0.0.0"});
  CHECK_FALSE(site.server->allows_actions());
  const auto refused = site.post({{"X-Page-Token", site.server->token()}});
  REQUIRE(refused);
  CHECK(refused->status == 403);
  CHECK(site.done == 0);
  CHECK(Site().server->allows_actions());
}

TEST_CASE("while an action waits, pages are served and another action gets 503") {
  Site site;
  site.waits = true;
  const httplib::Headers token{{"X-Page-Token", site.server->token()}};
  auto first = std::async(std::launch::async, [&] { return site.post(token); });
  site.entered.get_future().wait();
  const auto second = site.post(token);
  REQUIRE(second);
  CHECK(second->status == 503);
  httplib::Client client("127.0.0.1", site.port);
  const auto page = client.Get("/");
  REQUIRE(page);
  CHECK(page->status == 200);
  site.released.set_value();
  const auto done = first.get();
  REQUIRE(done);
  CHECK(done->status == 200);
  CHECK(site.done == 1);
}

TEST_CASE("whoever holds connections, of one address or of several, keeps no probe out") {
  Site site;
  const auto port = static_cast<std::uint16_t>(site.port);
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::vector<std::unique_ptr<web_test::Client>> held;
  const auto hold = [&](const char* from, std::string_view bytes) {
    held.push_back(std::make_unique<web_test::Client>(port, from));
    held.back()->send(bytes);
  };
  const auto served = [&] {
    for (int i = 0; i < 5; ++i) {
      if (web_test::ask(port, request).status != 200) return false;
    }
    return true;
  };
  hold("127.0.0.1", request);  // idle
  CHECK(held.front()->receive().status == 200);
  for (int i = 0; i < 40; ++i)
    hold("127.0.0.1", std::string_view(request).substr(0, i % 2 == 0 ? 0 : 20));
  CHECK(served());
  for (int i = 0; i < 40; ++i) hold("127.0.0.2", "");
  for (int i = 0; i < 40; ++i) hold("127.0.0.3", "");
  CHECK(served());
}
