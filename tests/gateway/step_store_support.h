// What the tests of the embedded store share: its directories, steps, and how it is asked.
#pragma once

#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gateway/step_store.h"
#include "mapping/json.h"
#include "mapping/tags.h"

namespace step_store_test {

using namespace gateway;
using namespace std::chrono_literals;
namespace tags = mapping::tags;

namespace fs = std::filesystem;

inline mapping::DataSet from(const std::string& json) {
  const auto read = mapping::read_json(json);
  if (!read) FAIL(read.fault().what);
  return read.value();
}

// Everything that N-CREATE needs, of the scheduled step STEP of study 1.2.9 (or another).
inline std::string created(const std::string& study = "1.2.9", const std::string& step = "STEP") {
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

inline const std::string series =
    R"("00400340":{"vr":"SQ","Value":[{"00080054":{"vr":"AE"},"0008103E":{"vr":"LO"},)"
    R"("00081050":{"vr":"PN"},"00081070":{"vr":"PN"},"00081140":{"vr":"SQ"},)"
    R"("00181030":{"vr":"LO","Value":["KNEE"]},"0020000E":{"vr":"UI","Value":["1.2.3"]},)"
    R"("00400220":{"vr":"SQ"}}]})";

inline std::string ended(const std::string& state) {
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

inline const mapping::Log silent = [](mapping::LogLevel, std::string_view) {};

inline std::unique_ptr<StepStore> open(const StepStoreOptions& options) {
  auto store = StepStore::open(options, silent);
  if (!store) FAIL(store.fault().what);
  return std::move(store).value();
}

inline mapping::Uid uid(int number) {
  return *mapping::Uid::parse("1.2.3." + std::to_string(number));
}

inline std::string scheduled(const std::string& study, const std::string& step,
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

inline Found search(StepStore& store, const std::string& step_keys = "",
                    const std::string& root_keys = "", const mapping::Context& context = {}) {
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

inline void check_answer(const mapping::Outcome& outcome, std::uint16_t status,
                         const std::vector<mapping::Tag>& attributes = {}) {
  INFO(outcome.error_comment);
  CHECK(outcome.status == status);
  CHECK(outcome.how == mapping::Outcome::How::answered);
  CHECK(outcome.attributes == attributes);
}

}  // namespace step_store_test
