// Backends of each kind, asked through their services: what reaches a peer on the loopback.
#include "gateway/backend.h"

#include <catch2/catch.hpp>

#include "dimse/scp.h"
#include "mapping/tags.h"
#include "tests/gateway/audit_support.h"
#include "web/origin_server.h"

using namespace gateway;
using namespace queue_test;
using audit_test::has;
using mapping::Outcome;

namespace {

void no_log(mapping::LogLevel, std::string_view) {}

/// A scheduled step of this station at this time.
mapping::DataSet scheduled(const std::string& station, const std::string& time) {
  return data_set(R"({"0020000D":{"vr":"UI","Value":["1.2.3"]},"00400100":{"vr":"SQ","Value":[{)"
                  R"("00400001":{"vr":"AE","Value":[")" +
                  station +
                  R"("]},"00400002":{"vr":"DA","Value":["20260102"]},)"
                  R"("00400003":{"vr":"TM","Value":[")" +
                  time + R"("]}}]}})");
}

/// A peer's worklist, and what it was asked. It answers all it has, whatever it is asked.
struct Worklist : mapping::WorklistService {
  std::vector<mapping::DataSet> steps{scheduled("CT1", "0800"), scheduled("CT2", "1200")};
  mapping::DataSet asked;
  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const mapping::Context&) override {
    asked = search.identifier;
    for (const auto& step : steps) {
      if (!on_match({step, true})) break;
    }
    return {};
  }
};

template <class Options>
BackendConfig config_of(const Options& options) {
  BackendConfig config;
  config.options = options;
  return config;
}

/// Both services on the loopback.
struct Peer {
  Worklist worklist;
  Receiver steps;
  mapping::Router router() {
    return [this](const mapping::Caller&) { return mapping::Services{&worklist, &steps}; };
  }
};

struct Scp : Peer {
  BackendConfig config() {
    dimse::ScpOptions options;
    options.ae_title = "RIS";
    options.bind = "127.0.0.1";
    options.port = 0;
    scp = std::make_unique<dimse::Scp>(options, router(), no_log);
    const auto port = scp->start();
    REQUIRE(port.ok());
    dimse::ScuOptions scu;
    scu.ae_title = "RIS";
    scu.host = "127.0.0.1";
    scu.port = port.value();
    scu.calling_ae_title = "GATE";
    return config_of(scu);
  }
  std::unique_ptr<dimse::Scp> scp;
};

struct OriginServer : Peer {
  BackendConfig config() {
    web::OriginServerOptions options;
    options.bind = "127.0.0.1";
    options.port = 0;
    options.workers = 2;
    server = std::make_unique<web::OriginServer>(options, router(), no_log);
    const auto port = server->start();
    REQUIRE(port.ok());
    web::UserAgentOptions agent;
    agent.base_uri = "http://127.0.0.1:" + std::to_string(port.value());
    return config_of(agent);
  }
  std::unique_ptr<web::OriginServer> server;
};

AuditTrail no_audit{mapping::Log()};

std::unique_ptr<Backend> make(const BackendConfig& config, AuditTrail& audit = no_audit) {
  auto made = Backend::make("ris", config, nullptr, no_log, audit);
  if (!made) FAIL(made.fault().what);
  return std::move(made).value();
}

mapping::Context in_time() {
  mapping::Context context;
  context.caller = {mapping::Caller::Protocol::dimse, "CT1", "127.0.0.1"};
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  return context;
}

/// The stations of the steps that are found.
std::vector<std::string> search(const Backend& backend, const mapping::DataSet& identifier) {
  std::vector<std::string> stations;
  const auto outcome = backend.worklist->search(
      {.identifier = identifier},
      [&](mapping::Match&& match) {
        const auto steps = match.data_set.view().find(mapping::Tag(0x0040, 0x0100));
        for (const auto item : steps->items()) {
          stations.emplace_back(item.text(mapping::Tag(0x0040, 0x0001)));
        }
        return true;
      },
      in_time());
  CHECK(outcome.good());
  return stations;
}

using Stations = std::vector<std::string>;

/// Both services reach the peer, and it is found to be there.
void check_at_work(const Backend& backend, const Peer& peer) {
  CHECK(search(backend, scheduled("", "")) == Stations{"CT1", "CT2"});
  CHECK(backend.mpps->create(uid(1), created(1), in_time()).good());
  CHECK(peer.steps.log() == std::vector<std::string>{"create " + uid(1).text()});
  CHECK(backend.probe(in_time()).how == Outcome::How::answered);
}

}  // namespace

TEST_CASE("an SCP is asked by DIMSE, and its associations are counted") {
  Scp ris;
  const auto backend = make(ris.config());
  check_at_work(*backend, ris);
  BackendNumbers numbers;
  backend->count(numbers);
  REQUIRE(numbers.associations);
  CHECK(numbers.associations->idle > 0);
  CHECK(numbers.replaced_characters == 0u);
  CHECK_FALSE(numbers.connections);
  ris.scp.reset();
  CHECK(backend->probe(in_time()).how == Outcome::How::unreachable);
}

TEST_CASE("an origin server is asked by DICOMweb, and its connections are counted") {
  OriginServer ris;
  const auto backend = make(ris.config());
  check_at_work(*backend, ris);
  BackendNumbers numbers;
  backend->count(numbers);
  REQUIRE(numbers.connections);
  CHECK(numbers.connections->idle > 0);
  CHECK_FALSE(numbers.associations);
  ris.server.reset();
  CHECK(backend->probe(in_time()).how == Outcome::How::unreachable);
}

TEST_CASE("a backend that cannot be made says of which section it is, and why") {
  const Directory directory;
  dimse::ScuOptions scu;
  scu.tls.trusted = directory.path() / "missing.pem";
  const auto no_scu = Backend::make("pacs", config_of(scu), nullptr, no_log, no_audit);
  REQUIRE_FALSE(no_scu.ok());
  CHECK(no_scu.fault().what.starts_with("[backend pacs] tls_trusted: "));
  CHECK(has(no_scu.fault().what, "missing.pem"));
  web::UserAgentOptions agent;
  agent.base_uri = "https://127.0.0.1:1";
  agent.tls.trusted = directory.path() / "missing.pem";
  const auto made = Backend::make("ris", config_of(agent), nullptr, no_log, no_audit);
  REQUIRE_FALSE(made.ok());
  CHECK(made.fault().what.starts_with("[backend ris] "));
  CHECK(has(made.fault().what, "missing.pem"));
}

TEST_CASE("the embedded store is the one of this process: not probed, not counted, not audited") {
  const Directory directory;
  const audit_test::Collector collector;
  const auto trail =
      audit_test::open_trail(audit_test::options_for(directory, collector.port), no_log);
  const std::shared_ptr<StepStore> store = StepStore::open({directory.path(), {}}, no_log).value();
  const auto made = Backend::make("own", config_of(StepStoreOptions()), store, no_log, *trail);
  REQUIRE(made.ok());
  const Backend& backend = *made.value();
  CHECK(backend.worklist == store.get());
  CHECK(backend.mpps == store.get());
  CHECK_FALSE(backend.probe);
  CHECK_FALSE(backend.count);
}

TEST_CASE("what is issued to another program is recorded in the audit trail, of both services") {
  const Directory directory;
  const audit_test::Collector collector;
  const auto trail =
      audit_test::open_trail(audit_test::options_for(directory, collector.port), no_log);
  Scp ris;
  const auto backend = make(ris.config(), *trail);
  search(*backend, scheduled("", ""));
  const std::string query = collector.receive();
  CHECK(has(query, "csd-code=\"110112\""));
  CHECK(has(query, "AlternativeUserID=\"AETITLES=GATE\""));
  CHECK(has(query, "AlternativeUserID=\"AETITLES=RIS\""));
  backend->mpps->create(uid(1), created(1), in_time());
  const std::string record = collector.receive();
  CHECK(has(record, "csd-code=\"110111\""));
  CHECK(has(record, uid(1).text()));
}

TEST_CASE("verify_matches: what does not match is dropped, and counted") {
  Scp ris;
  BackendConfig config = ris.config();
  config.verify_matches = true;
  const auto backend = make(config);
  const auto of_ct2 =
      data_set(R"({"00400100":{"vr":"SQ","Value":[{"00400001":{"vr":"AE","Value":["CT2"]}}]}})");
  CHECK(search(*backend, of_ct2) == Stations{"CT2"});
  REQUIRE(backend->verified);
  CHECK(backend->verified->dropped() == 1);
}

TEST_CASE("combined_date_time = no: asked by the date, matched by the time, which is no news") {
  Scp ris;
  BackendConfig config = ris.config();
  config.combined_date_time = false;
  const auto backend = make(config);
  const auto morning = data_set(R"({"00400100":{"vr":"SQ","Value":[{)"
                                R"("00400001":{"vr":"AE"},)"
                                R"("00400002":{"vr":"DA","Value":["20260102-20260103"]},)"
                                R"("00400003":{"vr":"TM","Value":["0700-0900"]}}]}})");
  ris.worklist.steps.push_back(scheduled("CT3", "0600"));
  CHECK(search(*backend, morning) == Stations{"CT1", "CT2"});
  const auto asked = ris.worklist.asked.view().find(mapping::Tag(0x0040, 0x0100));
  REQUIRE(asked);
  for (const auto item : asked->items()) {
    CHECK(item.text(mapping::Tag(0x0040, 0x0002)) == "20260102-20260103");
    CHECK(item.text(mapping::Tag(0x0040, 0x0003)) == "");
  }
  REQUIRE(backend->verified);
  CHECK(backend->verified->dropped() == 0);
}

TEST_CASE("a backend that takes what it is answered does not check it again") {
  Scp ris;
  CHECK_FALSE(make(ris.config())->verified);
}
