// The embedded store: states of performed steps with every status of F.7.2 and F.8, what survives a
// restart, what a fault of the disk does, and which scheduled steps are shown as started.
#include "gateway/step_store.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <thread>

#include "mapping/json.h"
#include "mapping/mpps_rules.h"
#include "mapping/tags.h"

using namespace gateway;
using namespace std::chrono_literals;
namespace tags = mapping::tags;

namespace {

namespace fs = std::filesystem;

mapping::DataSet from(const std::string& json) {
  const auto read = mapping::read_json(json);
  if (!read) FAIL(read.fault().what);
  return read.value();
}

// Everything that N-CREATE needs, of the scheduled step STEP of study 1.2.9 (or another).
std::string created(const std::string& study = "1.2.9", const std::string& step = "STEP") {
  return R"({"00080060":{"vr":"CS","Value":["MR"]},"00081032":{"vr":"SQ"},"00081120":{"vr":"SQ"},)"
         R"("00100010":{"vr":"PN","Value":[{"Alphabetic":"SECRET^NAME"}]},"00100020":{"vr":"LO"},)"
         R"("00100030":{"vr":"DA"},"00100040":{"vr":"CS"},)"
         R"("00200010":{"vr":"SH"},"00400241":{"vr":"AE","Value":["MR1"]},"00400242":{"vr":"SH"},)"
         R"("00400243":{"vr":"SH"},"00400244":{"vr":"DA","Value":["20261120"]},)"
         R"("00400245":{"vr":"TM","Value":["0806"]},"00400250":{"vr":"DA"},"00400251":{"vr":"TM"},)"
         R"("00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS1"]},)"
         R"("00400254":{"vr":"LO"},"00400255":{"vr":"LO"},"00400260":{"vr":"SQ"},)"
         R"("00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH"},"00081110":{"vr":"SQ"},)"
         R"("0020000D":{"vr":"UI","Value":[")" +
         study +
         R"("]},"00321060":{"vr":"LO"},"00400007":{"vr":"LO"},)"
         R"("00400008":{"vr":"SQ"},"00400009":{"vr":"SH","Value":[")" +
         step + R"("]},"00401001":{"vr":"SH"}}]},"00400340":{"vr":"SQ"}})";
}

const std::string series =
    R"("00400340":{"vr":"SQ","Value":[{"00080054":{"vr":"AE"},"0008103E":{"vr":"LO"},)"
    R"("00081050":{"vr":"PN"},"00081070":{"vr":"PN"},"00081140":{"vr":"SQ"},)"
    R"("00181030":{"vr":"LO","Value":["KNEE"]},"0020000E":{"vr":"UI","Value":["1.2.3"]},)"
    R"("00400220":{"vr":"SQ"}}]})";

std::string ended(const std::string& state) {
  return R"({"00400250":{"vr":"DA","Value":["20261120"]},"00400251":{"vr":"TM","Value":["0900"]},)"
         R"("00400252":{"vr":"CS","Value":[")" +
         state + "\"]}," + series + "}";
}

struct Directories {
  Directories()
      : path(fs::temp_directory_path() / ("modgate-store-" + std::to_string(::getpid()))),
        state(path / "state"),
        worklist(path / "worklist") {
    fs::remove_all(path);
    fs::create_directories(state);
    fs::create_directories(worklist);
  }
  ~Directories() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(worklist / name, std::ios::binary) << content;
  }
  StepStoreOptions options(bool hide_started = false) const {
    return {.state_dir = state,
            .worklist_dir = worklist,
            .hide_started = hide_started,
            .watch_interval = 5ms};
  }
  fs::path database() const { return state / "performed_steps.sqlite"; }
  const fs::path path;
  const fs::path state;
  const fs::path worklist;
};

const mapping::Log silent = [](mapping::LogLevel, std::string_view) {};

std::unique_ptr<StepStore> open(const StepStoreOptions& options) {
  auto store = StepStore::open(options, silent);
  if (!store) FAIL(store.fault().what);
  return std::move(store).value();
}

mapping::Uid uid(int number) { return *mapping::Uid::parse("1.2.3." + std::to_string(number)); }

std::string scheduled(const std::string& study, const std::string& step,
                      const std::string& modality = "MR") {
  return R"({"0020000D":{"vr":"UI","Value":[")" + study +
         R"("]},"00100020":{"vr":"LO","Value":["PID"]},"00400100":{"vr":"SQ","Value":[{)"
         R"("00080060":{"vr":"CS","Value":[")" +
         modality + R"("]},"00400009":{"vr":"SH","Value":[")" + step + R"("]}}]}})";
}

struct Found {
  mapping::Outcome outcome;
  std::vector<mapping::DataSet> matches;
  /// Scheduled Procedure Step ID, and its status behind a colon.
  std::vector<std::string> steps() const {
    std::vector<std::string> texts;
    for (const auto& match : matches) {
      const auto item = *match.view().first_item(tags::ScheduledProcedureStepSequence);
      texts.push_back(std::string(item.text(tags::ScheduledProcedureStepID)) + ":" +
                      std::string(item.text({0x0040, 0x0020})));
    }
    return texts;
  }
};
using Steps = std::vector<std::string>;

Found search(StepStore& store, const std::string& step_keys = "", const std::string& root_keys = "",
             const mapping::Context& context = {}) {
  mapping::Search asked;
  asked.identifier = from("{" + root_keys + R"("00400100":{"vr":"SQ","Value":[{)" + step_keys +
                          R"("00400009":{"vr":"SH"},"00400020":{"vr":"CS"}}]}})");
  Found found;
  found.outcome = store.search(
      asked,
      [&](mapping::Match&& match) {
        found.matches.push_back(std::move(match.data_set));
        return true;
      },
      context);
  return found;
}

void check_answer(const mapping::Outcome& outcome, std::uint16_t status,
                  const std::vector<mapping::Tag>& attributes = {}) {
  INFO(outcome.error_comment);
  CHECK(outcome.status == status);
  CHECK(outcome.how == mapping::Outcome::How::answered);
  CHECK(outcome.attributes == attributes);
}

}  // namespace

TEST_CASE(
    "a step is created once, updated until it is final, and retrieved as it is (F.7.2, F.8)") {
  const Directories directories;
  const auto store = open(directories.options());
  const mapping::Context context;
  mapping::DataSet found;
  check_answer(store->retrieve(uid(1), {}, found, context), 0x0112);
  check_answer(store->update(uid(1), from(ended("COMPLETED")), context), 0x0112);
  check_answer(store->create(uid(1), from(created()), context), 0x0000);
  check_answer(store->create(uid(1), from(created()), context), 0x0111);
  check_answer(store->retrieve(uid(1), {}, found, context), 0x0000);
  CHECK(found == from(created()));

  // Sequences are replaced whole (F21).
  check_answer(store->update(uid(1), from("{" + series + "}"), context), 0x0000);
  check_answer(store->update(uid(1), from(R"({"00400340":{"vr":"SQ"}})"), context), 0x0000);
  check_answer(store->retrieve(uid(1), {tags::PerformedSeriesSequence}, found, context), 0x0000);
  CHECK(found == from(R"({"00400340":{"vr":"SQ"}})"));

  check_answer(store->update(uid(1), from(ended("COMPLETED")), context), 0x0000);
  for (const char* state : {"IN PROGRESS", "COMPLETED", "DISCONTINUED"}) {
    const auto refused = store->update(uid(1), from(ended(state)), context);  // F22
    check_answer(refused, 0x0110);
    CHECK(refused.error_id == 0xA710);
    CHECK(refused.error_comment == "Performed Procedure Step Object may no longer be updated");
  }
  store->retrieve(uid(1), {}, found, context);
  CHECK(found.view().text(tags::PerformedProcedureStepStatus) == "COMPLETED");
  CHECK(found.view().text(tags::PatientName) == "SECRET^NAME");
}

TEST_CASE("what breaks Table F.7.2-1 is refused with its status and tags, and changes nothing") {
  const Directories directories;
  const auto store = open(directories.options());
  const mapping::Context context;
  const auto with = [](const std::string& change) {
    return mapping::apply_modifications(from(created()), from(change));
  };
  const auto completed = with(R"({"00400252":{"vr":"CS","Value":["COMPLETED"]}})");
  check_answer(store->create(uid(1), completed, context), 0x0106,
               {tags::PerformedProcedureStepStatus});
  check_answer(store->create(uid(1), with(R"({"00080060":{"vr":"CS"}})"), context), 0x0121,
               {tags::Modality});
  const auto lacking = store->create(uid(1), from("{}"), context);
  CHECK(lacking.status == 0x0120);
  CHECK(lacking.attributes.size() > 10);
  mapping::DataSet found;
  check_answer(store->retrieve(uid(1), {}, found, context), 0x0112);

  check_answer(store->create(uid(1), from(created()), context), 0x0000);
  const struct {
    std::string change;
    std::uint16_t status;
    mapping::Tag tag;
  } rows[] = {
      {R"({"00100010":{"vr":"PN"}})", 0x0105, tags::PatientName},  // F20
      {R"({"00400281":{"vr":"SQ"}})", 0x0105, {0x0040, 0x0281}},   // F19
      {R"({"00400252":{"vr":"CS","Value":["PAUSED"]}})", 0x0106, {0x0040, 0x0252}},
      {R"({"00400340":{"vr":"SQ","Value":[{}]}})", 0x0120, {0x0040, 0x0340}},  // F21
  };
  for (const auto& row : rows) {
    check_answer(store->update(uid(1), from(row.change), context), row.status, {row.tag});
  }
  const auto early = store->update(
      uid(1), from(R"({"00400252":{"vr":"CS","Value":["COMPLETED"]}})"), context);  // F23
  CHECK(early.status == 0x0121);
  check_answer(store->retrieve(uid(1), {}, found, context), 0x0000);
  CHECK(found == from(created()));
}

TEST_CASE(
    "an attribute list is answered with what there is, 0001 or 0107 where that is not all (F28)") {
  const Directories directories;
  const auto store = open(directories.options());
  const mapping::Context context;
  REQUIRE(store->create(uid(1), from(created()), context).good());
  mapping::DataSet found;
  check_answer(
      store->retrieve(uid(1), {tags::Modality, tags::SpecificCharacterSet}, found, context),
      0x0000);
  CHECK(found == from(R"({"00080060":{"vr":"CS","Value":["MR"]}})"));
  const mapping::Tag comments{0x0040, 0x0280};  // of Table F.8.2-1, not of this step
  const mapping::Tag pixels{0x7FE0, 0x0010};
  check_answer(store->retrieve(uid(1), {tags::Modality, comments}, found, context), 0x0001);
  CHECK(found == from(R"({"00080060":{"vr":"CS","Value":["MR"]}})"));
  check_answer(store->retrieve(uid(1), {pixels, tags::Modality, comments}, found, context), 0x0107,
               {pixels});
  CHECK(found == from(R"({"00080060":{"vr":"CS","Value":["MR"]}})"));
}

TEST_CASE("a scheduled step is answered with what its performed steps have made of it") {
  const Directories directories;
  directories.write("a.json", "[" + scheduled("1.2.9", "STEP") + "," + scheduled("1.2.9", "OTHER") +
                                  "," + scheduled("1.2.10", "STEP") + "]");
  const auto store = open(directories.options());
  const mapping::Context context;
  CHECK(search(*store).steps() == Steps{"STEP:", "OTHER:", "STEP:"});
  REQUIRE(store->create(uid(1), from(created()), context).good());
  CHECK(search(*store).steps() == Steps{"STEP:STARTED", "OTHER:", "STEP:"});
  REQUIRE(store->create(uid(2), from(created()), context).good());
  REQUIRE(store->update(uid(1), from(ended("DISCONTINUED")), context).good());
  CHECK(search(*store).steps()[0] == "STEP:STARTED");
  REQUIRE(store->update(uid(2), from(ended("COMPLETED")), context).good());
  CHECK(search(*store).steps()[0] == "STEP:COMPLETED");
}

TEST_CASE("the status of a scheduled step is matched as it is shown") {
  const Directories directories;
  directories.write("a.json",
                    "[" + scheduled("1.2.9", "STEP") + "," + scheduled("1.2.9", "OTHER") + "]");
  const auto store = open(directories.options());
  REQUIRE(store->create(uid(1), from(created()), {}).good());
  mapping::Search asked;
  asked.identifier = from(
      R"({"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH"},"00400020":{"vr":"CS","Value":["STARTED"]}}]}})");
  std::vector<mapping::DataSet> matches;
  const auto take = [&](mapping::Match&& match) {
    matches.push_back(std::move(match.data_set));
    return true;
  };
  CHECK(store->search(asked, take, {}).good());
  REQUIRE(matches.size() == 1);
  CHECK(matches[0] == from(R"({"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":)"
                           R"(["STEP"]},"00400020":{"vr":"CS","Value":["STARTED"]}}]}})"));
}

TEST_CASE("hide_started leaves out what has been started, whatever became of it") {
  const Directories directories;
  directories.write("a.json",
                    "[" + scheduled("1.2.9", "STEP") + "," + scheduled("1.2.9", "OTHER") + "]");
  const auto store = open(directories.options(true));
  CHECK(search(*store).steps() == Steps{"STEP:", "OTHER:"});
  REQUIRE(store->create(uid(1), from(created()), {}).good());
  CHECK(search(*store).steps() == Steps{"OTHER:"});
  REQUIRE(store->update(uid(1), from(ended("DISCONTINUED")), {}).good());
  CHECK(search(*store).steps() == Steps{"OTHER:"});
}

TEST_CASE("scheduled steps come from elsewhere after a change, performed ones stay") {
  const Directories directories;
  directories.write("a.json", scheduled("1.2.9", "STEP"));
  fs::create_directories(directories.path / "other");
  std::ofstream(directories.path / "other" / "b.json")
      << "[" << scheduled("1.2.9", "STEP") << "," << scheduled("1.2.10", "NEW") << "]";
  const auto store = open(directories.options());
  REQUIRE(store->create(uid(1), from(created()), {}).good());
  CHECK(search(*store).steps() == Steps{"STEP:STARTED"});
  auto options = directories.options();
  options.worklist_dir = directories.path / "other";
  store->prepare(options)();
  CHECK(search(*store).steps() == Steps{"STEP:STARTED", "NEW:"});
  options.hide_started = true;
  store->prepare(options)();
  CHECK(search(*store).steps() == Steps{"NEW:"});
  options.worklist_dir.clear();
  store->prepare(options)();
  CHECK(search(*store).steps().empty());
}

TEST_CASE("a performed step that names no scheduled one marks none") {
  const Directories directories;
  directories.write("a.json", "[" + scheduled("1.2.9", "") + "," + scheduled("", "STEP") + "]");
  const auto store = open(directories.options());
  REQUIRE(store->create(uid(1), from(created("1.2.9", "")), {}).good());
  CHECK(search(*store).steps() == Steps{":", "STEP:"});
}

TEST_CASE("sequences that are none, or have no item, are no steps that anything could start") {
  const Directories directories;
  directories.write(
      "a.json", R"([{"00100020":{"vr":"LO","Value":["A"]},"00400100":{"vr":"LO","Value":["x"]}},)"
                R"({"00100020":{"vr":"LO","Value":["B"]},"00400100":{"vr":"SQ"}},)"
                R"({"00100020":{"vr":"LO","Value":["C"]}}])");
  const auto store = open(directories.options());
  REQUIRE(store->create(uid(1), from(created()), {}).good());
  mapping::Search all;
  all.identifier = from(R"({"00100020":{"vr":"LO"}})");
  std::size_t found = 0;
  CHECK(store->search(all, [&](mapping::Match&&) { return ++found > 0; }, {}).good());
  CHECK(found == 3);
  CHECK(search(*store, R"("00080060":{"vr":"CS","Value":["MR"]},)").matches.empty());
}

TEST_CASE("all of it is there after a restart") {
  const Directories directories;
  directories.write("a.json", scheduled("1.2.9", "STEP"));
  {
    const auto store = open(directories.options());
    REQUIRE(store->create(uid(1), from(created()), {}).good());
    REQUIRE(store->create(uid(2), from(created("1.2.10")), {}).good());
    REQUIRE(store->update(uid(1), from(ended("COMPLETED")), {}).good());
  }
  const auto store = open(directories.options());
  CHECK(search(*store).steps() == Steps{"STEP:COMPLETED"});
  mapping::DataSet found;
  CHECK(store->retrieve(uid(1), {}, found, {}).good());
  CHECK(found.view().text(tags::PerformedProcedureStepStatus) == "COMPLETED");
  CHECK(store->update(uid(1), from(ended("COMPLETED")), {}).error_id == 0xA710);
  CHECK(store->create(uid(2), from(created()), {}).status == 0x0111);
  CHECK(store->update(uid(2), from(ended("DISCONTINUED")), {}).good());
}

TEST_CASE("a match holds what the identifier asks for, and no more (F8)") {
  const Directories directories;
  directories.write("a.json", scheduled("1.2.9", "STEP"));
  const auto store = open(directories.options());
  const auto found =
      search(*store, R"("00080060":{"vr":"CS","Value":["MR"]},)", R"("00100020":{"vr":"LO"},)");
  REQUIRE(found.matches.size() == 1);
  CHECK(
      found.matches[0] ==
      from(
          R"({"00100020":{"vr":"LO","Value":["PID"]},"00400100":{"vr":"SQ","Value":[)"
          R"({"00080060":{"vr":"CS","Value":["MR"]},"00400009":{"vr":"SH","Value":["STEP"]},"00400020":{"vr":"CS"}}]}})"));
  CHECK(search(*store, R"("00080060":{"vr":"CS","Value":["CT"]},)").matches.empty());
}

TEST_CASE("a search ends when nobody wants it any more, or when its time is over") {
  const Directories directories;
  std::string items;
  for (int number = 0; number < 1000; ++number) {
    items += (number == 0 ? "[" : ",") + scheduled("1.2.9", std::to_string(number));
  }
  directories.write("a.json", items + "]");
  const auto store = open(directories.options());
  struct Asked : mapping::Cancellation {
    bool requested() override { return ++times > 2; }
    int times = 0;
  } asked;
  mapping::Context context;
  context.cancellation = &asked;
  const auto cancelled = search(*store, "", "", context);
  CHECK(cancelled.outcome.status == 0xFE00);
  CHECK(cancelled.matches.size() < 200);

  mapping::Context late;
  late.deadline = std::chrono::steady_clock::now() - 1s;
  CHECK(search(*store, "", "", late).outcome.status == 0xA700);

  int taken = 0;
  mapping::Search all;
  CHECK(store->search(all, [&](mapping::Match&&) { return ++taken < 3; }, {}).good());
  CHECK(taken == 3);
}

TEST_CASE("a worklist that cannot be read fails the search: it is not empty (A700)") {
  const Directories directories;
  directories.write("a.json", scheduled("1.2.9", "STEP"));
  const auto store = open(directories.options());
  fs::rename(directories.worklist, directories.path / "elsewhere");
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (search(*store).outcome.good() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(2ms);
  }
  const auto found = search(*store);
  check_answer(found.outcome, 0xA700);
  CHECK(found.matches.empty());
}

TEST_CASE(
    "what is asked for by names that sound alike is answered by the letter, and says so (A16)") {
  const Directories directories;
  const auto store = open(directories.options());
  mapping::Search asked;
  asked.fuzzy_matching = asked.empty_value_matching = asked.multiple_value_matching = true;
  const auto outcome = store->search(asked, [](mapping::Match&&) { return true; }, {});
  CHECK(outcome.good());
  CHECK(outcome.fuzzy_matching_ignored);
  CHECK_FALSE(outcome.empty_value_matching_ignored);
  CHECK_FALSE(outcome.multiple_value_matching_ignored);
}

TEST_CASE("many modalities at once: each N-CREATE succeeds once, each step becomes final once") {
  const Directories directories;
  directories.write("a.json", scheduled("1.2.9", "STEP"));
  const auto store = open(directories.options());
  constexpr int steps = 200;
  std::atomic<int> created_now{0};
  std::atomic<int> final_now{0};
  std::vector<std::thread> modalities;
  for (int modality = 0; modality < 4; ++modality) {
    modalities.emplace_back([&] {  // all of them claim every step
      for (int number = 0; number < steps; ++number) {
        if (store->create(uid(number), from(created()), {}).good()) ++created_now;
        if (store->update(uid(number), from(ended("COMPLETED")), {}).good()) ++final_now;
      }
    });
  }
  for (auto& modality : modalities) modality.join();
  CHECK(created_now == steps);
  CHECK(final_now == steps);
  CHECK(search(*store).steps() == Steps{"STEP:COMPLETED"});
}

TEST_CASE(
    "a file that is no database, is damaged, or is of another program is refused, with advice") {
  const Directories directories;
  const auto refused = [&] {
    const auto store = StepStore::open(directories.options(), silent);
    return store ? std::string("opened") : store.fault().what;
  };
  {
    const auto store = open(directories.options());
    for (int number = 0; number < 50; ++number) {
      REQUIRE(store->create(uid(number), from(created()), {}).good());
    }
    CHECK(refused() ==
          (directories.state / "performed_steps.lock").string() +
              ": is in use by another modgate: expected a state_dir of its own for each");
    for (const auto& file : std::filesystem::directory_iterator(directories.state)) {
      INFO(file.path());  // patient data: for nobody else's eyes
      CHECK((file.status().permissions() &
             (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) ==
            std::filesystem::perms::none);
    }
  }
  CHECK(refused() == "opened");
  {
    std::fstream file(directories.database(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 5);
    file << std::string(4096 * 3, '\x5A');
  }
  CHECK(refused().find("performed_steps.sqlite: is damaged (") != std::string::npos);
  CHECK(refused().find("move it away with its -wal and -shm") != std::string::npos);
  std::ofstream(directories.database(), std::ios::trunc) << std::string(9000, 'x');
  CHECK(refused().find("is damaged (file is not a database)") != std::string::npos);
  fs::remove(directories.database());
  fs::create_directory(directories.database());
  CHECK(refused().find("cannot be used (unable to open database file)") != std::string::npos);
}

TEST_CASE("a state_dir that is none is refused with what was expected there") {
  const Directories directories;
  auto options = directories.options();
  options.state_dir = directories.path / "nowhere";
  const auto store = StepStore::open(options, silent);
  REQUIRE_FALSE(store.ok());
  CHECK(store.fault().what ==
        (options.state_dir / "performed_steps.lock").string() +
            ": cannot be written (No such file or directory): expected state_dir to be a directory "
            "that this user may write");
}

TEST_CASE(
    "a full disk: 0213 and a log line, never success, and all is well when there is room again") {
  const Directories directories;
  std::vector<std::string> lines;
  auto opened =
      StepStore::open(directories.options(),
                      [&](mapping::LogLevel, std::string_view line) { lines.emplace_back(line); });
  REQUIRE(opened.ok());
  StepStore& store = *opened.value();
  REQUIRE(store.create(uid(1), from(created()), {}).good());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit full{fs::file_size(directories.state / "performed_steps.sqlite-wal"),
                    before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  const auto create = store.create(uid(2), from(created()), {});
  const auto update = store.update(uid(1), from(ended("COMPLETED")), {});
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  check_answer(create, 0x0213);
  check_answer(update, 0x0213);
  CHECK(lines.size() == 2);
  for (const auto& line : lines) CHECK(line.find("SECRET") == std::string::npos);

  mapping::DataSet found;
  CHECK(store.retrieve(uid(2), {}, found, {}).status == 0x0112);
  CHECK(store.retrieve(uid(1), {}, found, {}).good());
  CHECK(found == from(created()));
  CHECK(store.create(uid(2), from(created()), {}).good());
  CHECK(store.update(uid(1), from(ended("COMPLETED")), {}).good());
}
