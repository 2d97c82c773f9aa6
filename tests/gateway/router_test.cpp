// Who is answered by which backend.
#include "gateway/router.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

using namespace gateway;

namespace {

AuditTrail no_audit{mapping::Log()};

mapping::Result<std::unique_ptr<Router>> make(const Config& config, const mapping::Log& log) {
  return Router::make(config, log, no_audit);
}

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

TEST_CASE("each route asks its own backend, seen by the address that nobody answers at") {
  std::vector<std::string> lines;
  const Config config = config_of(
      "[dimse]\nworklist = a\n[web]\nworklist = b\n"
      "[backend a]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = 1\n"
      "[backend b]\nkind = origin-server\nbase_uri = http://127.0.0.1:1\n"
      "[modality own]\nae_title = CT1\nworklist = b\n");
  const auto made = make(config, [&](mapping::LogLevel, std::string_view line) {
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

TEST_CASE("without a store that can be used there is no router, and the reason is said") {
  const Config config =
      config_of("[gateway]\nstate_dir = /nowhere\n[dimse]\nmpps = a\n[backend a]\nkind = store\n");
  const auto made = make(config, [](mapping::LogLevel, std::string_view) {});
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
  const auto made = make(config, [](mapping::LogLevel, std::string_view) {});
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

namespace {

void change(Router& router, const Config& config) {
  auto prepared = router.prepare(config);
  REQUIRE(prepared.ok());
  prepared.value().change();
}

std::map<std::string, std::shared_ptr<const void>> owners(const Router& router) {
  std::map<std::string, std::shared_ptr<const void>> owners;
  for (const auto& backend : router.watched()) owners[backend.name] = backend.owner;
  return owners;
}

const std::string backend_a = "[backend a]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = 1\n";
const std::string backend_b = "[backend b]\nkind = scp\nae_title = B\nhost = 127.0.0.1\nport = 1\n";

}  // namespace

TEST_CASE("a change routes anew; backends that are as they were stay, others go with their users") {
  const auto made =
      make(config_of("[dimse]\nworklist = a\n[web]\nworklist = b\n" + backend_a + backend_b),
           [](mapping::LogLevel, std::string_view) {});
  REQUIRE(made.ok());
  Router& router = *made.value();
  auto before = owners(router);
  auto in_use = router.route(modality("CT1"));
  const std::weak_ptr<const void> first_a = before["a"];

  change(router, config_of("[dimse]\nworklist = a\nmpps = b\n[modality own]\nae_title = CT2\nmpps "
                           "=\n" +
                           backend_a + "max_associations = 3\n" + backend_b));
  const auto after = owners(router);
  CHECK(after.at("a") != before["a"]);
  CHECK(after.at("b") == before["b"]);
  CHECK(router.route(modality("CT1")).mpps != nullptr);
  CHECK(router.route(modality("CT2")).mpps == nullptr);
  CHECK(router.route({mapping::Caller::Protocol::web, "", ""}).worklist == nullptr);
  CHECK(router.offered().size() == 3);
  before.clear();
  CHECK_FALSE(first_a.expired());
  mapping::Context context;
  CHECK(in_use.worklist
            ->search(
                {}, [](auto&&) { return true; }, context)
            .how == mapping::Outcome::How::unreachable);
  in_use = {};
  CHECK(first_a.expired());
}

TEST_CASE("a change that cannot be made, or is not, changes nothing") {
  const auto made = make(config_of("[dimse]\nworklist = a\n" + backend_a),
                         [](mapping::LogLevel, std::string_view) {});
  REQUIRE(made.ok());
  Router& router = *made.value();
  const auto before = owners(router);
  CHECK_FALSE(router
                  .prepare(config_of("[gateway]\nstate_dir = /nowhere\n[dimse]\nmpps = "
                                     "b\nmpps_delivery = queued\n" +
                                     backend_b))
                  .ok());
  CHECK(router.prepare(config_of("[dimse]\nmpps = b\n" + backend_b)).ok());
  CHECK(owners(router) == before);
  CHECK(router.route(modality("CT1")).worklist != nullptr);
  CHECK(router.route(modality("CT1")).mpps == nullptr);
  CHECK(router.queue() == nullptr);
}

TEST_CASE("the store and the queue are opened by the first change that needs them, and stay open") {
  const StateDirectory directory;
  const std::string state = "[gateway]\nstate_dir = " + directory.path.string() + "\n";
  const auto made = make(config_of(state + "[dimse]\nworklist = a\n" + backend_a),
                         [](mapping::LogLevel, std::string_view) {});
  REQUIRE(made.ok());
  Router& router = *made.value();
  const std::string queued = "[dimse]\nmpps = own\nmpps_delivery = queued\n";
  change(router, config_of(state + queued + "[backend own]\nkind = store\n"));
  REQUIRE(router.queue() != nullptr);
  const auto queue = router.queue();
  change(router, config_of(state +
                           "[dimse]\nworklist = renamed\n[backend renamed]\nkind = "
                           "store\nworklist_dir = " +
                           (directory.path / "worklist").string() + "\n"));
  mapping::Context context;
  const auto route = router.route(modality("CT1"));
  CHECK(route.worklist
            ->search(
                {}, [](auto&&) { return true; }, context)
            .good());
  change(router, config_of(state + "[dimse]\nworklist = a\n" + backend_a));
  change(router, config_of(state + queued + "[backend own]\nkind = store\n"));
  CHECK(router.queue() == queue);
}

namespace {

/// For a receiver ris that is away.
void accept_a_step(const mapping::Services& services) {
  mapping::DataSetBuilder attributes;
  attributes.add(mapping::Tag(0x00400252), mapping::Vr::CS, "IN PROGRESS");
  mapping::Context context;
  const auto built = attributes.build();
  REQUIRE(built.ok());
  const auto step = mapping::Uid::parse("1.2.3").value();
  CHECK(services.mpps->create(step, built.value(), context).good());
}
/// By a gateway with this configuration.
void accept_a_step(const Router& router) { accept_a_step(router.route(modality("CT1"))); }

/// The store is asked: it refuses a step that lacks what it must hold.
void expect_delivery(const Router& router) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (router.queue()->list({.state = DeliveryState::held}).size() != 1) {
    REQUIRE(std::chrono::steady_clock::now() < end);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

const std::string queued = "[dimse]\nmpps = ris\nmpps_delivery = queued\nvalidate = off\n";
const std::string away = "[backend ris]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = 1\n";
const std::string back = "[backend ris]\nkind = store\n";

std::string state_in(const StateDirectory& directory) {
  return "[gateway]\nstate_dir = " + directory.path.string() +
         "\n[queue]\nretry_first_milliseconds = 5\nprobe_max_seconds = 1\n";
}

}  // namespace

TEST_CASE("an accepted message goes to the receiver as it is now, and one that is gone keeps its") {
  const StateDirectory directory;
  const std::string state = state_in(directory);
  std::vector<std::string> lines;
  std::mutex mutex;
  const auto made =
      make(config_of(state + queued + away), [&](mapping::LogLevel level, std::string_view line) {
        const std::lock_guard lock(mutex);
        if (level <= mapping::LogLevel::warn) lines.emplace_back(line);
      });
  REQUIRE(made.ok());
  Router& router = *made.value();
  accept_a_step(router);
  change(router, config_of(state + "[dimse]\nworklist = a\n" + backend_a));  // it is gone
  CHECK(router.queue()->list({.receiver = "ris"}).size() == 1);
  {
    const std::lock_guard lock(mutex);
    CHECK(std::count(lines.begin(), lines.end(),
                     "the MPPS queue holds messages for ris that nobody delivers, since there is "
                     "no [backend ris]: 1; name it again, or export and discard them") == 1);
  }
  change(router, config_of(state + queued + back));
  expect_delivery(router);
}

TEST_CASE("what has begun before a change is delivered, although no route needs a queue any more") {
  const StateDirectory directory;
  const std::string state = state_in(directory);
  const auto made =
      make(config_of(state + queued + away), [](mapping::LogLevel, std::string_view) {});
  REQUIRE(made.ok());
  Router& router = *made.value();
  const auto begun = router.route(modality("CT1"));
  change(router, config_of(state + "[dimse]\nworklist = a\n" + backend_a + back));
  accept_a_step(begun);
  expect_delivery(router);
}

TEST_CASE("what a queue of before holds is delivered, although no route needs it any more") {
  const StateDirectory directory;
  const std::string state = state_in(directory);
  const auto silent = [](mapping::LogLevel, std::string_view) {};
  {
    const auto before = make(config_of(state + queued + away), silent);
    REQUIRE(before.ok());
    accept_a_step(*before.value());
  }
  const std::string other = "[dimse]\nworklist = a\n" + backend_a;
  SECTION("to a backend that is still there") {
    const auto now = make(config_of(state + other + back), silent);
    REQUIRE(now.ok());
    expect_delivery(*now.value());
  }
  SECTION("unless another gateway does it, or nobody can: that is told, and no reason to stop") {
    const auto holder = make(config_of(state + queued + away), silent);
    REQUIRE(holder.ok());
    std::vector<std::string> lines;
    const auto now = make(config_of(state + other), [&](mapping::LogLevel, std::string_view line) {
      lines.emplace_back(line);
    });
    REQUIRE(now.ok());
    CHECK(now.value()->queue() == nullptr);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("what an MPPS queue of before may hold is not delivered: ") == 0);
    CHECK(lines[0].find("is in use by another modgate") != std::string::npos);
  }
}
