// off, warn, reject: what breaks the rules of an MPPS.
#include "gateway/mpps_validation.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "mapping/json.h"
#include "mapping/tags.h"

using namespace gateway;

namespace {

struct Backend : mapping::MppsService {
  int asked = 0;
  mapping::Outcome create(const mapping::Uid&, const mapping::DataSet&,
                          const mapping::Context&) override {
    ++asked;
    return {};
  }
  mapping::Outcome update(const mapping::Uid&, const mapping::DataSet&,
                          const mapping::Context&) override {
    ++asked;
    return {};
  }
  mapping::Outcome retrieve(const mapping::Uid&, const mapping::AttributeList&, mapping::DataSet&,
                            const mapping::Context&) override {
    ++asked;
    return {};
  }
};

const auto uid = *mapping::Uid::parse("1.2.3");
const mapping::DataSet completed =
    mapping::read_json(R"({"00400252":{"vr":"CS","Value":["COMPLETED"]}})").value();
const mapping::DataSet name =
    mapping::read_json(R"({"00100010":{"vr":"PN","Value":["Doe^Jane"]}})").value();

}  // namespace

TEST_CASE("reject answers for the backend, with status and tags") {
  Backend backend;
  ValidatedMpps mpps(backend, Validation::reject, [](mapping::LogLevel, std::string_view) {});
  const auto created = mpps.create(uid, completed, {});
  CHECK(created.status == 0x0106);
  CHECK(created.attributes ==
        std::vector<mapping::Tag>{mapping::tags::PerformedProcedureStepStatus});
  CHECK(mpps.update(uid, name, {}).status == 0x0105);
  CHECK(backend.asked == 0);
  mapping::DataSet found;
  CHECK(mpps.update(uid, completed, {}).good());
  CHECK(mpps.retrieve(uid, {}, found, {}).good());
  CHECK(backend.asked == 2);
}

TEST_CASE("warn logs status and tags, no values, and passes on") {
  Backend backend;
  std::vector<std::string> lines;
  ValidatedMpps mpps(backend, Validation::warn,
                     [&](mapping::LogLevel, std::string_view line) { lines.emplace_back(line); });
  mapping::Context context;
  context.transaction = "7";
  CHECK(mpps.update(uid, name, context).good());
  CHECK(mpps.update(uid, completed, context).good());
  CHECK(backend.asked == 2);
  CHECK(lines == std::vector<std::string>{
                     "tx=7 update breaks the rules of PS3.4, F.7.2 (status 0105): 00100010"});
}
