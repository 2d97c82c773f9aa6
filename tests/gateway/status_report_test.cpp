// What the status page is told.
#include "gateway/status_report.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>

using namespace gateway;
using namespace std::chrono_literals;
using mapping::NetworkEvent;
using mapping::Outcome;

namespace {

constexpr TransactionRecord::Time noon{1'800'000'000s};

struct Reported {
  Metrics metrics;
  AdminSources sources;
  StatusReport report;

  Reported() {
    sources.metrics = &metrics;
    sources.fronts.push_back(
        {"dimse", "127.0.0.1:104", [] { return std::size_t{3}; }, [] { return 5u; }});
    sources.services = [] {
      return std::vector<OfferedService>{{"dimse worklist", {"ris", "other"}},
                                         {"dimse mpps", {"ris"}, {"ris"}}};
    };
    report.now = noon;
    report.backends["ris"].is = BackendState::Is::down;
    report.backends["ris"].since = noon - 10s;
    report.backends["ris"].last_fault = BackendState::Fault{
        "cannot connect: Connection refused", NetworkEvent::connect_failed, noon - 10s};
  }
  bool has(const std::string& part) const {
    const std::string json = to_json(report, sources);
    INFO(json);
    return json.find(part) != std::string::npos;
  }
};

}  // namespace

TEST_CASE("fronts, services and backends with what is known of each, the cause and what to try") {
  Reported r;
  CHECK(r.has(R"("fronts":[{"name":"dimse","address":"127.0.0.1:104","in_use":3,"refused":5}])"));
  CHECK(r.has(R"({"name":"dimse worklist","works":true,"backends":["ris","other"],"queued":[]})"));
  CHECK(r.has(R"({"name":"dimse mpps","works":false,"backends":["ris"],"queued":[]})"));
  CHECK(r.has(R"({"name":"other","state":"own","since":0,"fault":null,"failure":null})"));
  CHECK(r.has(R"({"name":"ris","state":"down","since":1799999990000,"fault":{"at":1799999990000,)"
              R"("why":"cannot connect: Connection refused","try":"Is the program started there)"));
  CHECK(r.has(R"("token":"","fronts")"));
  CHECK(r.has(R"("queue":null)"));
}

TEST_CASE(
    "whether a service works while a backend is gone is a matter of who is needed, not how many") {
  Reported r;
  OfferedService service{.name = "web mpps", .backends = {"other", "ris"}};
  r.sources.services = [&] { return std::vector{service}; };
  const auto works = [&](bool does) {
    return r.has(fmt::format(R"({{"name":"web mpps","works":{},)", does));
  };
  CHECK(works(true));  // part of this gateway, and no other is needed
  service.needed = {"other"};
  CHECK(works(true));
  service.needed = {"other", "ris"};
  CHECK(works(false));
  service.needed = {"other"};
  service.queued = {"ris"};
  CHECK(works(true));
  CHECK(r.has(R"("queued":["ris"]})"));
  service = {.name = "web mpps", .backends = {"ris"}};
  CHECK(works(false));
  service.queued = {"ris"};
  CHECK(works(true));
}

TEST_CASE("a backend that says itself that it cannot serve has its advice, too") {
  Reported r;
  r.report.backends["ris"].last_fault =
      BackendState::Fault{"HTTP status 503", NetworkEvent::none, noon - 10s};
  CHECK(r.has(R"("why":"HTTP status 503","try":"It says so itself: look at its log)"));
}

TEST_CASE("a refusal that stays is told until there is a success, or for an hour") {
  Reported r;
  TransactionRecord record;
  record.at = noon - 59min;
  record.backend = "ris";
  record.status = mapping::dimse_status::not_authorized;
  r.metrics.recent().note(record);
  CHECK(r.has(R"("refusals":[{"at":1799996460000,)"));
  r.report.now = noon + 2min;
  CHECK(r.has(R"("refusals":[])"));
  r.report.now = noon;
  record.status = 0;
  r.metrics.recent().note(record);
  CHECK(r.has(R"("refusals":[])"));
}

TEST_CASE("transactions: who asked, how it ended in words, never a peer's own words") {
  Reported r;
  TransactionRecord record;
  record.at = noon;
  record.backend = "ris";
  record.caller = "CT\"1\n";
  record.address = "10.0.0.7";
  record.transaction = "42";
  record.status = 0xC002;
  record.took = 1234us;
  r.metrics.recent().note(record);
  CHECK(r.has(
      R"("recent":[{"at":1800000000000,"tx":"42","front":"dimse","backend":"ris","operation":"search",)"
      R"("caller":"CT\"1?","address":"10.0.0.7","status":"C002","failed":true,)"
      R"("words":"the origin server failed","try":"Look at its log)"));
  CHECK(r.has(R"("failure":{"at":1800000000000,"tx":"42")"));
  CHECK(r.has(R"([1,1,1.2,1.2]],"recent")"));

  record.how = Outcome::How::unreachable;
  record.event = NetworkEvent::acse_timeout;
  record.comment = "no answer to the association request";
  r.metrics.recent().note(record);
  CHECK(r.has(R"("words":"not reached: no answer to the association request","try":"It takes)"));
}

TEST_CASE("the queue: receivers with depth, and held messages with their reason") {
  Reported r;
  r.report.queue.emplace();
  CHECK(r.has(R"("queue":{"fault":"","write_fault":"","receivers":[],"held":[]})"));
  r.report.queue->receivers.push_back({"pacs", 3, 1, noon - 1h});
  QueueEntry held;
  held.id = 12;
  held.receiver = "pacs";
  held.mpps = "1.2.3.4";
  held.caller = "CT1";
  held.accepted = noon - 1h;
  held.attempts = 2;
  held.status = 0x0106;
  held.reason = "the receiver refuses what the message holds";
  r.report.queue->held.push_back(held);
  CHECK(r.has(R"({"name":"pacs","open":3,"held":1,"oldest":1799996400000})"));
  CHECK(r.has(R"({"message":12,"receiver":"pacs","operation":"create","caller":"CT1",)"
              R"("accepted":1799996400000,"attempts":2,"status":"0106",)"
              R"("reason":"the receiver refuses what the message holds"})"));
  CHECK_FALSE(r.has("1.2.3.4"));  // a step's UID leads to its patient
}

TEST_CASE("routes that have counted anything") {
  Reported r;
  const auto series = r.metrics.series(mapping::Transaction::create, "ris");
  r.metrics.series(mapping::Transaction::update, "ris");
  mapping::Caller web;
  web.protocol = mapping::Caller::Protocol::web;
  series.of(web).record(Outcome::answered(0), 500ms);
  series.of(web).record(Outcome::answered(0x0110), 500ms);
  CHECK(r.has(R"("routes":[{"front":"web","backend":"ris","operation":"create","count":2,)"
              R"("failed":1,"seconds":1.000000}])"));
}
