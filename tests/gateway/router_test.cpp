// Who is answered by which backend.
#include "gateway/router.h"

#include <catch2/catch.hpp>

using namespace gateway;

namespace {

Config config_of(const std::string& text) {
  const auto reading =
      read_config(text, [](const std::string&) { return std::optional<std::string>(); });
  for (const ConfigFault& fault : reading.faults) FAIL(to_string(fault, "test"));
  return reading.config;
}

mapping::Caller modality(const std::string& ae_title) {
  return {mapping::Caller::Protocol::dimse, ae_title, "127.0.0.1"};
}

}  // namespace

TEST_CASE("callers reach the backends of their front, modalities those of their own section") {
  const Config config = config_of(
      "[dimse]\nworklist = a\nmpps = b\n[web]\nworklist = b\n"
      "[backend a]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = 1\n"
      "[backend b]\nkind = origin-server\nbase_uri = http://127.0.0.1:1\n"
      "[modality own]\nae_title = CT1\nworklist = b\n"
      "[modality less]\nae_title = CT2\nmpps =\n");
  const Router router(config, [](mapping::LogLevel, std::string_view) {});
  const auto any = router.route(modality("OTHER"));
  const auto web = router.route({mapping::Caller::Protocol::web, "", "127.0.0.1"});
  REQUIRE(any.worklist != nullptr);
  REQUIRE(any.mpps != nullptr);
  CHECK(web.worklist != nullptr);
  CHECK(web.worklist != any.worklist);
  CHECK(web.mpps == nullptr);  // not offered
  const auto own = router.route(modality("CT1"));
  CHECK(own.worklist == web.worklist);
  CHECK(own.mpps == any.mpps);
  const auto less = router.route(modality("CT2"));
  CHECK(less.worklist == any.worklist);
  CHECK(less.mpps == nullptr);
}
