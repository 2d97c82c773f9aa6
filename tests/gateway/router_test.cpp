// Who is answered by which backend.
#include "gateway/router.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <vector>

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
  const auto made = Router::make(config, [](mapping::LogLevel, std::string_view) {});
  REQUIRE(made.ok());
  const Router& router = *made.value();
  const auto any = router.route(modality("OTHER"));
  const auto web = router.route({mapping::Caller::Protocol::web, "", "127.0.0.1"});
  REQUIRE(any.worklist != nullptr);
  REQUIRE(any.mpps != nullptr);
  CHECK(web.worklist != nullptr);
  CHECK(web.worklist != any.worklist);
  CHECK(web.mpps == nullptr);  // not offered
  const auto own = router.route(modality("CT1"));
  CHECK(own.worklist != nullptr);
  CHECK(own.mpps != nullptr);
  const auto less = router.route(modality("CT2"));
  CHECK(less.worklist != nullptr);
  CHECK(less.mpps == nullptr);
}

TEST_CASE("each route asks its own backend, seen by the address that nobody answers at") {
  std::vector<std::string> lines;
  const Config config = config_of(
      "[dimse]\nworklist = a\n[web]\nworklist = b\n"
      "[backend a]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = 1\n"
      "[backend b]\nkind = origin-server\nbase_uri = http://127.0.0.1:1\n"
      "[modality own]\nae_title = CT1\nworklist = b\n");
  const auto made = Router::make(config, [&](mapping::LogLevel, std::string_view line) {
    if (line.find(" search ") != std::string_view::npos) lines.emplace_back(line);
  });
  REQUIRE(made.ok());
  const Router& router = *made.value();
  const auto ask = [&](const mapping::Caller& caller) {
    mapping::Context context;
    context.caller = caller;
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    const auto outcome = router.route(caller).worklist->search(
        {}, [](mapping::Match&&) { return true; }, context);
    CHECK(outcome.how == mapping::Outcome::How::unreachable);
  };
  ask(modality("OTHER"));
  ask(modality("CT1"));
  ask({mapping::Caller::Protocol::web, "", "127.0.0.1"});
  const auto asked = [&](std::string_view way) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(way) != std::string::npos;
    });
  };
  CHECK(asked("dimse->a") == 1);
  CHECK(asked("dimse->b") == 1);
  CHECK(asked("web->b") == 1);
}

namespace {

// A state_dir with an empty worklist in it.
struct StateDirectory {
  StateDirectory()
      : path(std::filesystem::temp_directory_path() /
             ("modgate-router-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path / "worklist");
  }
  ~StateDirectory() { std::filesystem::remove_all(path); }
  const std::filesystem::path path;
};

}  // namespace

TEST_CASE("several worklists are asked as one, also for one modality") {
  const StateDirectory directory;
  const std::string backends =
      "[gateway]\nstate_dir = " + directory.path.string() +
      "\n[backend a]\nkind = store\nworklist_dir = " + (directory.path / "worklist").string() +
      "\n[backend b]\nkind = scp\nae_title = B\nhost = 127.0.0.1\nport = 1\n";
  const Config config = config_of(backends +
                                  "[dimse]\nworklist = a\n[web]\nworklist = a, b\n[modality "
                                  "one]\nae_title = CT1\nworklist = b,a\n");
  std::vector<std::string> lines;
  const auto made = Router::make(config, [&](mapping::LogLevel, std::string_view line) {
    if (line.find(" search ") != std::string_view::npos) lines.emplace_back(line);
  });
  REQUIRE(made.ok());
  const auto ask = [&](const mapping::Caller& caller) {
    mapping::Context context;
    context.caller = caller;
    return made.value()->route(caller).worklist->search(
        {}, [](mapping::Match&&) { return true; }, context);
  };
  CHECK(ask(modality("OTHER")).good());  // the store alone
  CHECK(ask(modality("CT1")).status == 0xA700);
  CHECK(ask({mapping::Caller::Protocol::web, "", "127.0.0.1"}).status == 0xA700);
  const auto logged = [&](std::string_view way) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(way) != std::string::npos;
    });
  };
  CHECK(logged("dimse->a "));
  CHECK(logged("dimse->b,a "));
  CHECK(logged("web->a,b "));
}

TEST_CASE("without a store that can be used there is no router, and the reason is said") {
  const Config config =
      config_of("[gateway]\nstate_dir = /nowhere\n[dimse]\nmpps = a\n[backend a]\nkind = store\n");
  const auto made = Router::make(config, [](mapping::LogLevel, std::string_view) {});
  REQUIRE_FALSE(made.ok());
  CHECK(made.fault().what.find("[backend a] /nowhere/performed_steps.lock: cannot be written") ==
        0);
}

TEST_CASE("of each backend the router tells what there is to tell") {
  const StateDirectory directory;
  const Config config = config_of("[gateway]\nstate_dir = " + directory.path.string() +
                                  "\n[dimse]\nworklist = a\nmpps = c\n"
                                  "[backend a]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = "
                                  "1\nmax_associations = 3\nverify_matches = yes\n"
                                  "[backend b]\nkind = origin-server\nbase_uri = "
                                  "http://127.0.0.1:1\nmax_connections = 4\n"
                                  "[backend c]\nkind = store\n");
  const auto made = Router::make(config, [](mapping::LogLevel, std::string_view) {});
  REQUIRE(made.ok());
  const auto numbers = made.value()->numbers();
  REQUIRE(numbers.size() == 3);
  CHECK(numbers[0].name == "a");
  REQUIRE(numbers[0].associations);
  CHECK(numbers[0].associations->limit == 3);
  CHECK(numbers[0].associations->taken() == 0);
  CHECK(numbers[0].replaced_characters == 0u);
  CHECK(numbers[0].mismatched_matches == 0u);
  CHECK_FALSE(numbers[0].connections);
  CHECK(numbers[1].name == "b");
  REQUIRE(numbers[1].connections);
  CHECK(numbers[1].connections->limit == 4);
  CHECK_FALSE(numbers[1].associations);
  CHECK_FALSE(numbers[1].mismatched_matches);
  CHECK(numbers[2].name == "c");
  CHECK_FALSE(numbers[2].associations);
  CHECK_FALSE(numbers[2].connections);
}
