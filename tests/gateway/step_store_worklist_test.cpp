// The embedded store answers the worklist: what an identifier finds, as started or completed as its
// performed steps have made it.
#include <thread>

#include "tests/gateway/step_store_support.h"

using namespace step_store_test;

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
