// What stands between a caller and the backends, seen from both ends.
#include "gateway/routes.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "gateway/sqlite_mpps_queue.h"
#include "gateway/trace.h"
#include "mapping/tags.h"
#include "tests/gateway/audit_support.h"

using namespace gateway;
using namespace queue_test;
using audit_test::has;
using mapping::Caller;
using mapping::Outcome;
using Names = std::vector<std::string>;

namespace {

const std::string three_backends =
    "[backend a]\nkind = scp\nae_title = A\nhost = 127.0.0.1\nport = 1\n"
    "[backend b]\nkind = scp\nae_title = B\nhost = 127.0.0.1\nport = 1\n"
    "[backend c]\nkind = scp\nae_title = C\nhost = 127.0.0.1\nport = 1\n";

Config config_of(const std::string& text) {
  const auto reading = read_config(text + three_backends,
                                   [](const std::string&) { return std::optional<std::string>(); });
  for (const ConfigFault& fault : reading.faults) FAIL(to_string(fault, "test"));
  return reading.config;
}

/// A worklist of one step, which is named after its backend.
struct Worklist : mapping::WorklistService {
  std::string name;
  Outcome outcome;
  Outcome search(const mapping::Search&, const mapping::OnMatch& on_match,
                 const mapping::Context&) override {
    if (outcome.good()) {
      on_match({data_set(R"({"0020000D":{"vr":"UI","Value":["1.2.3"]},"00080050":{"vr":"SH",)"
                         R"("Value":[")" +
                         name + R"("]},"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH",)" +
                         R"("Value":[")" + name + R"("]}}]}})"),
                true});
    }
    return outcome;
  }
};

/// Routes over backends in memory.
struct Room {
  explicit Room(const std::string& text, bool with_queue = false) : config(config_of(text)) {
    for (const auto& [name, options] : config.backends) {
      auto backend = std::make_shared<Backend>();
      backend->config = options;
      worklists[name].name = name;
      backend->worklist = &worklists[name];
      backend->mpps = &receivers[name];
      backends[name] = std::move(backend);
    }
    if (with_queue) {
      queue = SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
      shared.queue = queue.get();
      shared.wake = [this](const std::string& receiver) { woken.insert(receiver); };
    }
    shared.log = lines.log();
  }
  const Routes& routes() {
    if (!made) made = std::make_unique<Routes>(config, backends, shared);
    return *made;
  }
  mapping::Services of(Caller::Protocol protocol, const std::string& name) {
    return routes().services({protocol, name, "10.0.0.7"});
  }
  mapping::Services of_modality(const std::string& name) {
    return of(Caller::Protocol::dimse, name);
  }
  mapping::Services of_web(const std::string& name = {}) { return of(Caller::Protocol::web, name); }
  /// Of which backends matches come.
  static Names search(const mapping::Services& services, Outcome* outcome = nullptr) {
    Names found;
    mapping::Context context;
    context.caller = {Caller::Protocol::dimse, "CT1", "10.0.0.7"};
    const auto answered = services.worklist->search(
        {},
        [&](mapping::Match&& match) {
          found.emplace_back(match.data_set.view().text(mapping::tags::AccessionNumber));
          return true;
        },
        context);
    if (outcome != nullptr) *outcome = answered;
    return found;
  }
  static Outcome create(const mapping::Services& services, int number,
                        const mapping::DataSet& attributes) {
    mapping::Context context;
    context.caller = {Caller::Protocol::dimse, "CT1", "10.0.0.7"};
    context.transaction = "t" + std::to_string(number);
    return services.mpps->create(uid(number), attributes, context);
  }
  static Outcome create(const mapping::Services& services, int number) {
    return create(services, number, created(number));
  }
  /// For whom messages are in the queue.
  Names queued() const {
    Names names;
    for (const auto& entry : queue->list({})) names.push_back(entry.receiver);
    return names;
  }
  bool logged(std::string_view part) const {
    for (const auto& line : lines.all()) {
      if (has(line, part)) return true;
    }
    return false;
  }

  const Config config;
  const Directory directory;
  std::map<std::string, Worklist> worklists;
  std::map<std::string, Receiver> receivers;
  Backends backends;
  audit_test::Lines lines;
  Metrics metrics;
  std::unique_ptr<MppsQueue> queue;
  std::set<std::string> woken;
  AuditTrail audit{lines.log()};
  Routes::Shared shared{metrics, audit};
  std::unique_ptr<Routes> made;
};

const mapping::DataSet empty_step;  // lacks everything that Table F.7.2-1 wants

}  // namespace

TEST_CASE("a caller meets the backends of its front, a modality those of its own section") {
  Room room(
      "[dimse]\nworklist = a\nmpps = a\n[web]\nworklist = b\n"
      "[modality one]\nae_title = CT1\nworklist = c\n[modality two]\nae_title = CT2\nmpps =\n");
  CHECK(Room::search(room.of_modality("OTHER")) == Names{"a"});
  CHECK(Room::search(room.of_modality("CT1")) == Names{"c"});
  CHECK(Room::search(room.of_modality("CT2")) == Names{"a"});
  CHECK(Room::search(room.of_web()) == Names{"b"});
  CHECK(Room::search(room.of_web("CT1")) == Names{"b"});  // a user of that name is no modality
  CHECK(room.of_web().mpps == nullptr);
  CHECK(room.of_modality("CT2").mpps == nullptr);
  Room::create(room.of_modality("CT1"), 1);
  CHECK(room.receivers["a"].log().size() == 1);
}

TEST_CASE("a front that is not configured offers nothing") {
  Room room("[web]\nworklist = a\n");
  CHECK(room.of_modality("CT1").worklist == nullptr);
  CHECK(room.of_modality("CT1").mpps == nullptr);
}

TEST_CASE("what is offered is told by front and modality, with who answers it") {
  Room room(
      "[dimse]\nworklist = a, b\nmpps = c\n[web]\nworklist = b\n"
      "[modality one]\nae_title = CT1\nmpps = b, c\n",
      true);
  std::map<std::string, Names> offered;
  for (const auto& service : room.routes().offered()) offered[service.name] = service.backends;
  CHECK(offered == std::map<std::string, Names>{{"web worklist", {"b"}},
                                                {"dimse worklist", {"a", "b"}},
                                                {"dimse mpps", {"c"}},
                                                {"modality CT1 worklist", {"a", "b"}},
                                                {"modality CT1 mpps", {"b", "c"}}});
}

TEST_CASE("without which backend requests are refused, and for which they wait in the queue") {
  Room room(
      "[dimse]\nworklist = a, b\nmpps = b, c\n[web]\nworklist = a, b\nworklist_partial = yes\n"
      "mpps = b, c\nmpps_delivery = queued\n[modality one]\nae_title = CT1\nworklist = c\nmpps = "
      "a\n",
      true);
  using Set = std::set<std::string>;
  std::map<std::string, std::pair<Set, Set>> offered;
  for (const auto& service : room.routes().offered()) {
    offered[service.name] = {service.needed, service.queued};
  }
  CHECK(offered ==
        std::map<std::string, std::pair<Set, Set>>{{"web worklist", {{}, {}}},
                                                   {"web mpps", {{}, {"b", "c"}}},
                                                   {"dimse worklist", {{"a", "b"}, {}}},
                                                   {"dimse mpps", {{"b"}, {"c"}}},
                                                   {"modality CT1 worklist", {{"c"}, {}}},
                                                   {"modality CT1 mpps", {{"a"}, {}}}});
}

TEST_CASE("several worklists are one, in their order; without one of them only where it may be") {
  const std::string partial = GENERATE("", "worklist_partial = yes\n");
  Room room("[web]\nworklist = c, a\n" + partial);
  CHECK(Room::search(room.of_web()) == Names{"c", "a"});
  CHECK(room.logged(" dimse->c,a "));
  room.worklists["c"].outcome = Outcome::answered(mapping::dimse_status::out_of_resources);
  Outcome outcome;
  const auto found = Room::search(room.of_web(), &outcome);
  CHECK(outcome.good() == !partial.empty());
  if (!partial.empty()) CHECK(found == Names{"a"});
}

TEST_CASE("one receiver, asked at once: its answer is the answer; what is wrong is a warning") {
  Room room("[web]\nmpps = a\n");
  const auto services = room.of_web();
  CHECK(Room::create(services, 1).good());
  CHECK(Room::create(services, 1).status == mapping::dimse_status::duplicate_sop_instance);
  CHECK(Room::create(services, 2, empty_step).good());
  CHECK(room.receivers["a"].requests() == 3);
  CHECK(room.logged("tx=t2 create breaks the rules of PS3.4, F.7.2"));
  CHECK(room.logged(" create dimse->a "));
}

TEST_CASE("validate: reject asks nobody, off says nothing") {
  SECTION("reject") {
    Room room("[web]\nmpps = a\nvalidate = reject\n");
    CHECK_FALSE(Room::create(room.of_web(), 1, empty_step).good());
    CHECK(room.receivers["a"].requests() == 0);
    CHECK(room.logged("tx=t1 create dimse->a "));  // refusals are logged, too
  }
  SECTION("off") {
    Room room("[web]\nmpps = a\nvalidate = off\n");
    CHECK(Room::create(room.of_web(), 1, empty_step).good());
    CHECK_FALSE(room.logged("breaks the rules"));
  }
}

TEST_CASE("queued: kept for every receiver, nobody asked, and rejected if it is wrong") {
  Room room("[web]\nmpps = a, b\nmpps_delivery = queued\n", true);
  const auto services = room.of_web();
  CHECK(Room::create(services, 1).good());
  CHECK(room.queued() == Names{"a", "b"});
  CHECK(room.woken == std::set<std::string>{"a", "b"});
  CHECK_FALSE(Room::create(services, 2, empty_step).good());
  CHECK(room.queued().size() == 2);
  CHECK(room.receivers["a"].requests() == 0);
  CHECK(room.logged(" create dimse->queue "));
  // Strict: a step that was never created here cannot be changed.
  CHECK(services.mpps->update(uid(3), described("x"), {}).status ==
        mapping::dimse_status::no_such_sop_instance);
}

TEST_CASE("queued with less validation: what cannot be judged is kept") {
  Room room("[web]\nmpps = a\nmpps_delivery = queued\nvalidate = warn\n", true);
  CHECK(room.of_web().mpps->update(uid(3), described("x"), {}).good());
  CHECK(room.queued() == Names{"a"});
}

TEST_CASE("queued: a filter is not for the first receiver, the others get what they want") {
  Room room("[web]\nmpps = a, b, c\nmpps_delivery = queued\n", true);
  for (const char* name : {"a", "b"}) {
    auto filtered = std::make_shared<Backend>();
    filtered->config = room.backends[name]->config;
    filtered->config.mirror.modalities = {"MR"};
    filtered->mpps = room.backends[name]->mpps;
    room.backends[name] = std::move(filtered);
  }
  CHECK(Room::create(room.of_web(), 1).good());  // CT
  CHECK(room.queued() == Names{"a", "c"});
}

TEST_CASE("direct with several: the first is asked at once, the others get it from the queue") {
  Room room("[web]\nmpps = a, b, c\n", true);
  const auto services = room.of_web();
  CHECK(Room::create(services, 1).good());
  CHECK(room.receivers["a"].log().size() == 1);
  CHECK(room.queued() == Names{"b", "c"});
  CHECK(room.woken == std::set<std::string>{"b", "c"});
  CHECK_FALSE(Room::create(services, 1).good());  // the first refuses: nobody else gets it
  CHECK(room.queued().size() == 2);
  CHECK(room.logged(" create dimse->a,b,c "));
}

TEST_CASE("Retrieve is answered as retrieve_from says") {
  const auto [from, asked] =
      GENERATE(std::pair{"backend", 1}, std::pair{"gateway", 0}, std::pair{"auto", 1});
  Room room(std::string("[web]\nmpps = a\nmpps_delivery = queued\nretrieve_from = ") + from + "\n",
            true);
  const auto services = room.of_web();
  Room::create(services, 1);
  mapping::DataSet found;
  const auto outcome = services.mpps->retrieve(uid(1), {}, found, {});
  CHECK(room.receivers["a"].requests() == asked);
  CHECK(outcome.good() == (std::string(from) != "backend"));  // it has not got it yet
}

TEST_CASE("messages leave the queue for receivers of routes that need it") {
  CHECK(queue_receivers(config_of("[web]\nmpps = a\n")).empty());
  CHECK(queue_receivers(config_of("[web]\nworklist = a, b\n")).empty());
  using Set = std::set<std::string>;
  CHECK(queue_receivers(config_of("[web]\nmpps = a\n[dimse]\nmpps = b, c\n")) == Set{"b", "c"});
  CHECK(queue_receivers(config_of("[web]\nmpps = a\nmpps_delivery = queued\n")) == Set{"a"});
  CHECK(queue_receivers(config_of("[dimse]\nmpps = a\n[modality one]\nae_title = CT1\n"
                                  "mpps = c\nmpps_delivery = queued\n")) == Set{"c"});
}

TEST_CASE("audit, trace and log see what is refused before anybody is asked") {
  Room room("[dimse]\nworklist = a\nmpps = a\nvalidate = reject\n");
  const audit_test::Collector collector;
  audit_test::change(room.audit, audit_test::options_for(room.directory, collector.port));
  TraceOptions options;
  options.name = "CT1";
  options.duration = std::chrono::hours(1);
  options.leave_free_bytes = 0;
  auto trace = Trace::start(room.directory.path(), options, room.shared.log).value();
  room.shared.trace = trace.get();
  const auto services = room.of_modality("CT1");
  CHECK(Room::search(services) == Names{"a"});
  CHECK_FALSE(Room::create(services, 1, empty_step).good());
  CHECK(room.receivers["a"].requests() == 0);

  CHECK(has(collector.receive(), "csd-code=\"110112\""));
  const std::string refused = collector.receive();
  CHECK(has(refused, "csd-code=\"110111\""));
  CHECK(has(refused, "EventOutcomeIndicator=\"4\""));
  CHECK(room.logged("tx=t1 create dimse->a "));

  const auto file = trace->file();
  trace.reset();
  std::ifstream in(file);
  const std::string traced((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  CHECK(has(traced, R"("operation":"search","what":"match")"));
  CHECK(has(traced, R"("operation":"create")"));
  CHECK(has(traced, R"("status":"01)"));
}
