// off, warn, reject: what breaks the rules of an MPPS.
#include "gateway/mpps_validation.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "mapping/json.h"
#include "mapping/tags.h"
#include "tests/gateway/services_support.h"

using namespace gateway;
using services_test::Answering;

namespace {

const auto uid = *mapping::Uid::parse("1.2.3");
const mapping::DataSet completed =
    mapping::read_json(R"({"00400252":{"vr":"CS","Value":["COMPLETED"]}})").value();
const mapping::DataSet name =
    mapping::read_json(R"({"00100010":{"vr":"PN","Value":["Doe^Jane"]}})").value();

}  // namespace

TEST_CASE("reject answers for the backend, with status and tags") {
  Answering backend;
  ValidatedMpps mpps(backend, Validation::reject, [](mapping::LogLevel, std::string_view) {});
  const auto created = mpps.create(uid, completed, {});
  CHECK(created.status == 0x0106);
  CHECK(created.attributes ==
        std::vector<mapping::Tag>{mapping::tags::PerformedProcedureStepStatus});
  CHECK(mpps.update(uid, name, {}).status == 0x0105);
  CHECK(backend.changes == 0);
  CHECK(mpps.update(uid, completed, {}).good());
  CHECK(backend.changes == 1);
  backend.step = completed;
  mapping::DataSet found;
  CHECK(mpps.retrieve(uid, {}, found, {}).good());
  CHECK(found == completed);
}

TEST_CASE("warn logs status and tags, no values, and passes on") {
  Answering backend;
  std::vector<std::string> lines;
  ValidatedMpps mpps(backend, Validation::warn,
                     [&](mapping::LogLevel, std::string_view line) { lines.emplace_back(line); });
  mapping::Context context;
  context.transaction = "7";
  CHECK(mpps.update(uid, name, context).good());
  CHECK(mpps.update(uid, completed, context).good());
  CHECK(backend.changes == 2);
  CHECK(lines == std::vector<std::string>{
                     "tx=7 update breaks the rules of PS3.4, F.7.2 (status 0105): 00100010"});
}
