// What the admin port says, with backends that come and go as the test tells them.
#include "gateway/admin.h"

#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gateway/sqlite_mpps_queue.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using mapping::Outcome;
using mapping::Transaction;
using namespace std::chrono_literals;

namespace {

/// A backend whose answer the test chooses.
struct Peer {
  std::atomic<bool> there{true};
  std::atomic<bool> busy{false};
  std::atomic<int> asked{0};
  void wait_for_questions(int more) const {
    for (const int enough = asked + more; asked < enough;) std::this_thread::sleep_for(1ms);
  }
  WatchedBackend watched(const std::string& name) {
    return {name, [this](const mapping::Context&) {
              using mapping::NetworkEvent;
              ++asked;
              const auto gone = [](NetworkEvent event, std::string_view why) {
                return Outcome::unreachable(Transaction::retrieve, event, why);
              };
              if (busy) return gone(NetworkEvent::busy, "all associations are busy");
              if (there) return Outcome::answered(0);
              return gone(NetworkEvent::connect_failed, "cannot connect: Connection refused");
            }};
  }
};

struct Lines {
  std::mutex mutex;
  std::vector<std::string> all;
  mapping::Log log() {
    return [this](mapping::LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex);
      all.emplace_back(line);
    };
  }
  std::size_t with(const std::string& part) {
    const std::lock_guard lock(mutex);
    std::size_t count = 0;
    for (const std::string& line : all) count += line.find(part) != std::string::npos ? 1 : 0;
    return count;
  }
};

/// An admin port over what the test sets up.
struct Port {
  Metrics metrics;
  Lines lines;
  std::unique_ptr<Admin> admin;
  int number = 0;

  void open(std::vector<OfferedService> services, std::vector<WatchedBackend> backends,
            const std::string& users = {}) {
    AdminSources sources;
    sources.fronts.push_back({"dimse", "127.0.0.1:11112", [] { return std::size_t{3}; },
                              [] { return 5u; }, [] { return 11u; }});
    sources.services = [services = std::move(services)] { return services; };
    sources.numbers = [] {
      BackendNumbers ris{"ris"}, pacs{"pacs"}, store{"store"};
      ris.associations = mapping::PoolState{.idle = 2, .in_use = 1, .waiting = 4, .limit = 8};
      ris.replaced_characters = 9;
      ris.mismatched_matches = 7;
      pacs.connections = mapping::PoolState{.idle = 3, .in_use = 5, .waiting = 6, .limit = 10};
      return std::vector<BackendNumbers>{pacs, ris, store};
    };
    sources.metrics = &metrics;
    Config::Admin options;
    options.port = 0;
    options.authentication.users = users;
    admin = std::make_unique<Admin>(options, std::move(sources), BackendWatchOptions{10ms, 1s},
                                    lines.log());
    const auto port = admin->start(std::move(backends), nullptr);
    REQUIRE(port.ok());
    number = port.value();
  }
  httplib::Result get(const std::string& path, const httplib::Headers& headers = {}) {
    httplib::Client client("127.0.0.1", number);
    return client.Get(path, headers);
  }
  /// Waits until /readyz has this status, and returns what it says.
  std::string ready(int status) {
    for (int i = 0; i < 1000; ++i) {
      const auto answer = get("/readyz");
      REQUIRE(answer);
      if (answer->status == status) return answer->body;
      std::this_thread::sleep_for(5ms);
    }
    FAIL("/readyz never was " << status);
    return {};
  }
};

}  // namespace

TEST_CASE("the gateway is ready while one backend of each service answers, and says who does not") {
  Peer ris, other;
  Port port;
  port.open(
      {{"dimse worklist", {"ris", "other"}}, {"web mpps", {"ris"}}, {"web worklist", {"store"}}},
      {ris.watched("ris"), other.watched("other")});
  ris.wait_for_questions(2);
  other.wait_for_questions(2);
  CHECK(port.ready(200) ==
        "ready\ndimse front: ready: listening on 127.0.0.1:11112\n"
        "dimse worklist: ready: ris answers; other answers\nweb mpps: ready: ris answers\n"
        "web worklist: ready: store is part of this gateway\n");

  ris.there = false;
  CHECK(port.ready(503) ==
        "not ready\ndimse front: ready: listening on 127.0.0.1:11112\n"
        "dimse worklist: ready: ris does not answer: cannot connect: Connection refused; other "
        "answers\n"
        "web mpps: not ready: ris does not answer: cannot connect: Connection refused\n"
        "web worklist: ready: store is part of this gateway\n");
  CHECK(port.get("/metrics")->body.find("modgate_backend_up{backend=\"ris\"} 0") !=
        std::string::npos);
  CHECK(port.get("/healthz")->status == 200);

  ris.wait_for_questions(3);  // and one line all the same
  ris.there = true;
  port.ready(200);
  CHECK(port.lines.with("backend ris does not answer: cannot connect: Connection refused") == 1);
  CHECK(port.lines.with("backend ris answers again") == 1);
  CHECK(port.lines.with("backend other") == 0);
}

TEST_CASE("a backend of which all associations are in use is not taken for one that is gone") {
  Peer ris;
  Port port;
  port.open({{"dimse worklist", {"ris"}}}, {ris.watched("ris")});
  port.ready(200);
  ris.busy = true;
  ris.wait_for_questions(3);
  CHECK(port.get("/readyz")->status == 200);
  CHECK(port.lines.with("does not answer") == 0);
}

TEST_CASE("a gateway that stops is not ready, and still alive") {
  Port port;
  port.open({}, {});
  port.ready(200);
  port.admin->note_stopping();
  CHECK(port.ready(503).rfind("not ready\ngateway: not ready: it is stopping\n", 0) == 0);
  CHECK(port.get("/healthz")->body == "ok\n");
}

TEST_CASE("metrics come in Prometheus' text form, with what the fronts and backends tell") {
  Port port;
  port.metrics.series(Transaction::search, "ris");
  port.open({}, {});
  const auto answer = port.get("/metrics");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->get_header_value("Content-Type") == prometheus_text);
  for (const char* line : {
           R"(modgate_front_connections{front="dimse"} 3)",
           R"(modgate_front_refused_total{front="dimse"} 5)",
           R"(modgate_front_replaced_characters_total{front="dimse"} 11)",
           R"(modgate_backend_associations{backend="ris",state="idle"} 2)",
           R"(modgate_backend_associations{backend="ris",state="in_use"} 1)",
           R"(modgate_backend_associations_waiting{backend="ris"} 4)",
           R"(modgate_backend_associations_limit{backend="ris"} 8)",
           R"(modgate_backend_connections{backend="pacs",state="idle"} 3)",
           R"(modgate_backend_connections{backend="pacs",state="in_use"} 5)",
           R"(modgate_backend_connections_waiting{backend="pacs"} 6)",
           R"(modgate_backend_connections_limit{backend="pacs"} 10)",
           R"(modgate_backend_replaced_characters_total{backend="ris"} 9)",
           R"(modgate_mismatched_matches_total{backend="ris"} 7)",
       }) {
    CAPTURE(line);
    CHECK(answer->body.find(std::string("\n") + line + "\n") != std::string::npos);
  }
  for (const char* none : {R"(associations{backend="pacs")", R"(connections{backend="ris")",
                           R"(replaced_characters_total{backend="pacs")", R"("store")"}) {
    CAPTURE(none);
    CHECK(answer->body.find(none) == std::string::npos);
  }
}

TEST_CASE("other paths are 404, other methods 405 with Allow, nothing of the request is echoed") {
  Port port;
  port.open({}, {});
  const auto unknown = port.get("/admin/<script>", {{"X-More", "evil.example"}});
  REQUIRE(unknown);
  CHECK(unknown->status == 404);
  CHECK(unknown->body.find("script") == std::string::npos);
  CHECK(unknown->body.find("evil") == std::string::npos);
  const auto hostile = port.get("/", {{"Host", "evil.example"}});
  REQUIRE(hostile);
  CHECK(hostile->status == 421);
  CHECK(hostile->body.find("evil") == std::string::npos);
  CHECK(unknown->body.find("/healthz, /metrics, /readyz") != std::string::npos);
  httplib::Client client("127.0.0.1", port.number);
  const auto posted = client.Post("/metrics", "x=1", "text/plain");
  REQUIRE(posted);
  CHECK(posted->status == 405);
  CHECK(posted->get_header_value("Allow") == "GET, HEAD, OPTIONS");
  const auto large = client.Post("/metrics", std::string(1u << 20, 'x'), "text/plain");
  if (large) CHECK(large->status == 413);
  const auto head = client.Head("/readyz");
  REQUIRE(head);
  CHECK(head->status == 200);
  CHECK(port.get("/healthz")->status == 200);
}

TEST_CASE("the page comes with a policy, and what it shows as JSON; without its token no actions") {
  Port port;
  port.open({{"web worklist", {"store"}}}, {});
  const auto page = port.get("/");
  REQUIRE(page);
  CHECK(page->get_header_value("Content-Security-Policy").find("frame-ancestors 'none'") !=
        std::string::npos);
  const auto status = port.get("/status");
  REQUIRE(status);
  CHECK(status->get_header_value("Content-Type") == "application/json");
  CHECK(status->body.find("\"works\":true") != std::string::npos);
  CHECK(status->body.find("{\"name\":\"store\",\"state\":\"own\"") != std::string::npos);
  httplib::Client client("127.0.0.1", port.number);
  const auto action = client.Post("/queue/discard", "", "application/x-www-form-urlencoded");
  REQUIRE(action);
  CHECK(action->status == 403);  // without the token
}

TEST_CASE("a file of users that cannot be used keeps the admin port from starting") {
  Metrics metrics;
  AdminSources sources;
  sources.metrics = &metrics;
  Config::Admin options;
  options.port = 0;
  options.authentication.users = "nowhere.htpasswd";
  Admin admin(options, std::move(sources), {}, [](mapping::LogLevel, std::string_view) {});
  CHECK_FALSE(admin.start({}, nullptr).ok());
}

TEST_CASE("a change shows other services, backends and users, and a queue that was not there") {
  Peer ris, other;
  std::vector<OfferedService> services{{"dimse worklist", {"ris"}}};
  std::vector<WatchedBackend> backends{ris.watched("ris")};
  Metrics metrics;
  Lines lines;
  queue_test::Directory directory;
  const std::shared_ptr<MppsQueue> opened =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  std::shared_ptr<MppsQueue> queue;
  std::mutex mutex;
  AdminSources sources;
  sources.services = [&] {
    const std::lock_guard lock(mutex);
    return services;
  };
  sources.numbers = [] { return std::vector<BackendNumbers>(); };
  sources.metrics = &metrics;
  Config::Admin options;
  options.port = 0;
  Admin admin(options, std::move(sources), BackendWatchOptions{10ms, 1s}, lines.log());
  const auto port = admin.start(backends, queue);
  REQUIRE(port.ok());
  httplib::Client client("127.0.0.1", port.value());
  ris.wait_for_questions(2);
  CHECK(client.Get("/metrics")->body.find("modgate_queue_readable") == std::string::npos);

  const auto change = [&](const Config::Admin& to) {
    auto prepared = admin.prepare(to, backends, queue);
    REQUIRE(prepared.ok());
    prepared.value()();
  };
  {
    const std::lock_guard lock(mutex);
    services = {{"web mpps", {"other"}}};
  }
  backends = {other.watched("other")};
  queue = opened;
  change(options);
  other.wait_for_questions(2);
  CHECK(client.Get("/readyz")->body ==
        "ready\nweb mpps: ready: other answers\nmpps queue: ready: "
        "can be read and written\n");
  CHECK(client.Get("/metrics")->body.find("modgate_queue_readable 1") != std::string::npos);
  options.authentication.users = "nowhere.htpasswd";
  CHECK_FALSE(admin.prepare(options, backends, queue).ok());
  CHECK(client.Get("/readyz")->status == 200);
}
