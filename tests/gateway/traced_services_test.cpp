// What a trace holds of each of the four transactions.
#include "gateway/traced_services.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "mapping/tags.h"
#include "tests/gateway/queue_support.h"
#include "tests/gateway/services_support.h"

using namespace gateway;
using namespace queue_test;
using mapping::Outcome;

namespace {

mapping::DataSet named(const std::string& name) {
  return data_set(R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":")" + name + R"("}]}})");
}

struct Traced {
  Directory directory;
  services_test::Answering backend;
  std::unique_ptr<Trace> trace;
  mapping::Context context;
  std::vector<std::string> lines;

  Traced() {
    backend.matches = {named("One"), named("Two")};
    backend.step = named("Found");
    backend.retrieves = false;
    TraceOptions options;
    options.name = "CT1";
    options.duration = std::chrono::hours(1);
    options.leave_free_bytes = 0;
    trace =
        Trace::start(directory.path(), options, [](mapping::LogLevel, std::string_view) {}).value();
    context.caller = {mapping::Caller::Protocol::dimse, "CT1", "10.0.0.7", {}};
    context.transaction = "42";
  }
  /// Ends the trace and reads it; the times are cut away.
  void read() {
    const auto file = trace->file();
    trace.reset();
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      CHECK(line.starts_with(R"({"time":"20)"));
      lines.push_back(line.substr(line.find(R"("tx")")));
    }
  }
};

const std::string about = R"("tx":"42","front":"dimse","caller":"CT1","address":"10.0.0.7",)";

}  // namespace

TEST_CASE("a search: its identifier, each match, and the status") {
  Traced t;
  TracedWorklist worklist(t.backend, *t.trace);
  std::size_t matches = 0;
  const auto on_match = [&](mapping::Match&&) { return ++matches > 0; };
  CHECK(worklist.search({named("O*"), false, false, false}, on_match, t.context).good());
  CHECK(matches == 2);
  t.read();
  const std::string search = about + R"("operation":"search","what":)";
  const auto dataset = [](const std::string& name) {
    return R"("dataSet":{"00100010":{"vr":"PN","Value":[{"Alphabetic":")" + name + R"("}]}}})";
  };
  REQUIRE(t.lines.size() == 4);
  CHECK(t.lines[0] == search + R"("request",)" + dataset("O*"));
  CHECK(t.lines[1] == search + R"("match",)" + dataset("One"));
  CHECK(t.lines[2] == search + R"("match",)" + dataset("Two"));
  CHECK(t.lines[3] == search + R"("answer","status":"0000","how":"answered","comment":""})");
}

TEST_CASE("create, update and retrieve: the UID, what was sent, the answer") {
  Traced t;
  TracedMpps mpps(t.backend, *t.trace);
  CHECK_FALSE(mpps.offers_retrieve());
  mpps.create(uid(1), named("New"), t.context);
  t.backend.outcome = Outcome::answered(0x0110, "No \"Way\"");
  mpps.update(uid(1), named("Next"), t.context);
  t.backend.outcome = Outcome::answered(0);
  mapping::DataSet found;
  mpps.retrieve(uid(1), {mapping::tags::PatientName}, found, t.context);
  CHECK(found == named("Found"));
  t.read();
  REQUIRE(t.lines.size() == 6);
  const auto begin = [](const std::string& operation) {
    return about + R"("operation":")" + operation + R"(","mpps":"1.2.826.1","what":)";
  };
  CHECK(t.lines[0].starts_with(begin("create") + R"("request","dataSet":{)"));
  CHECK(t.lines[0].find("New") != std::string::npos);
  CHECK(t.lines[1] ==
        begin("create") + R"("answer","status":"0000","how":"answered","comment":""})");
  CHECK(t.lines[2].find("Next") != std::string::npos);
  CHECK(t.lines[3] ==
        begin("update") + R"("answer","status":"0110","how":"answered","comment":"No \"Way\""})");
  CHECK(t.lines[4] == begin("retrieve") + "\"request\",\"attributes\":[\"00100010\"]}");
  CHECK(t.lines[5].find("Found") != std::string::npos);
}

TEST_CASE("another caller's transactions, and a failed Retrieve's data set, are not in it") {
  Traced t;
  TracedWorklist worklist(t.backend, *t.trace);
  TracedMpps mpps(t.backend, *t.trace);
  mapping::DataSet found = named("Found");  // before
  t.backend.outcome = Outcome::answered(0x0112);
  mpps.retrieve(uid(1), {}, found, t.context);
  t.context.caller.name = "CT2";
  worklist.search(
      {}, [](mapping::Match&&) { return true; }, t.context);
  mpps.create(uid(1), named("New"), t.context);
  mpps.update(uid(1), named("Next"), t.context);
  mpps.retrieve(uid(1), {}, found, t.context);
  t.read();
  REQUIRE(t.lines.size() == 2);
  CHECK(t.lines[1].find("Found") == std::string::npos);
}
