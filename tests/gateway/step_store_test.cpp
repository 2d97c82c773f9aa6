// The embedded store keeps performed steps: every status of F.7.2 and F.8, what survives a restart,
// and what a fault of the disk does. Scheduled ones: step_store_worklist_test.cpp.
#include "gateway/step_store.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "mapping/mpps_rules.h"
#include "tests/gateway/step_store_support.h"

using namespace step_store_test;

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
