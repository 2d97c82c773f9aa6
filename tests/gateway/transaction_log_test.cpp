// One line a transaction, without patient data.
#include "gateway/transaction_log.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "mapping/tags.h"
#include "tests/gateway/services_support.h"

using namespace gateway;
using mapping::LogLevel;

namespace {

mapping::DataSet doe() {
  mapping::DataSetBuilder builder;
  builder.add(mapping::tags::PatientName, mapping::Vr::PN, "Doe^Jane");
  return builder.build().value();
}

struct Lines {
  std::vector<std::pair<LogLevel, std::string>> all;
  mapping::Log log() {
    return [this](LogLevel level, std::string_view line) { all.emplace_back(level, line); };
  }
};

}  // namespace

TEST_CASE("every transaction is one line that names front, backend, caller, status and time") {
  services_test::Answering backend;
  backend.matches = {doe()};
  backend.step = doe();
  Lines lines;
  Metrics metrics;
  LoggedWorklist worklist(backend, "ris", metrics, lines.log());
  LoggedMpps mpps(backend, "ris", metrics, lines.log());
  mapping::Context context;
  context.caller = {mapping::Caller::Protocol::dimse, "CT 1", "10.0.0.7"};
  context.transaction = "42";
  const auto uid = *mapping::Uid::parse("1.2.3");
  mapping::DataSet found;

  std::size_t matches = 0;
  worklist.search(
      {doe(), false, false, false}, [&](mapping::Match&&) { return ++matches > 0; }, context);
  backend.outcome = mapping::Outcome::answered(0x0111, "Doe^Jane is here already");
  mpps.create(uid, doe(), context);
  backend.outcome = mapping::Outcome::answered(0);
  mpps.update(uid, doe(), context);
  mpps.retrieve(uid, {}, found, context);

  REQUIRE(lines.all.size() == 4);
  CHECK(lines.all[0].second.rfind("tx=42 search dimse->ris caller=\"CT 1\" address=10.0.0.7 "
                                  "matches=1 status=0000 answered ms=",
                                  0) == 0);
  CHECK(lines.all[1].first == LogLevel::warn);
  CHECK(lines.all[1].second.find("create dimse->ris") != std::string::npos);
  CHECK(lines.all[1].second.find("status=0111") != std::string::npos);
  CHECK(lines.all[2].second.find("update dimse->ris") != std::string::npos);
  CHECK(lines.all[3].second.find("retrieve dimse->ris") != std::string::npos);
  CHECK(matches == 1);
  CHECK_FALSE(found.empty());
  for (const auto& [level, line] : lines.all) {
    CHECK(line.find("Doe") == std::string::npos);
    CHECK(line.find("1.2.3") == std::string::npos);
  }
}
