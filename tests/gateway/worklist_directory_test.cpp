// Files of every form, files that change, that are bad, that are half there.
#include "gateway/worklist_directory.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "mapping/json.h"
#include "mapping/tags.h"
#include "mapping/wire.h"

using namespace gateway;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

struct Directory {
  Directory()
      : path(fs::temp_directory_path() / ("modgate-worklist-" + std::to_string(::getpid()))) {
    fs::remove_all(path);
    fs::create_directory(path);
  }
  ~Directory() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path / name, std::ios::binary) << content;
  }
  const fs::path path;
};

struct Lines {
  mapping::Log log() {
    return [this](mapping::LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(line);
    };
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex);
    return lines;
  }
  std::mutex mutex;
  std::vector<std::string> lines;
};

void wait_until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) FAIL("waited too long");
    std::this_thread::sleep_for(2ms);
  }
}

std::string item(const std::string& patient_id) {
  return R"({"00100020":{"vr":"LO","Value":[")" + patient_id +
         R"("]},"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]}}]}})";
}

mapping::DataSet data_set(const std::string& patient_id) {
  return mapping::read_json(item(patient_id)).value();
}

std::string encoded(const std::string& patient_id, mapping::TransferSyntax syntax) {
  return mapping::write_data_set(data_set(patient_id), syntax).value();
}

std::string part_10(const std::string& patient_id, mapping::TransferSyntax syntax) {
  std::string uid(to_uid(syntax));
  if (uid.size() % 2 != 0) uid += '\0';
  std::string file(128, '\0');
  file += "DICM";
  file += std::string("\x02\x00\x00\x00UL\x04\x00\x1c\x00\x00\x00", 12);
  file += std::string("\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01", 14);
  file += std::string("\x02\x00\x10\x00UI", 6);
  file += static_cast<char>(uid.size());
  file += '\0';
  return file + uid + encoded(patient_id, syntax);
}

std::vector<std::string> patients(const WorklistDirectory& directory) {
  std::vector<std::string> ids;
  const auto steps = directory.steps();
  if (!steps) return {"fault: " + steps.fault().what};
  for (const auto& file : *steps.value()) {
    for (const auto& step : *file) ids.emplace_back(step.view().text(mapping::tags::PatientID));
  }
  return ids;
}

using Ids = std::vector<std::string>;

}  // namespace

TEST_CASE("files of every form are read, in the order of their names") {
  using mapping::TransferSyntax;
  const Directory files;
  files.write("a.json", item("A"));
  files.write("b.json", "[" + item("B1") + "," + item("B2") + "]");
  files.write("c.DCM", part_10("C", TransferSyntax::implicit_vr_little_endian));
  files.write("d.dcm", part_10("D", TransferSyntax::explicit_vr_little_endian));
  files.write("e.wl", part_10("E", TransferSyntax::explicit_vr_big_endian));
  files.write("f.wl", encoded("F", TransferSyntax::implicit_vr_little_endian));
  files.write("g.wl", encoded("G", TransferSyntax::explicit_vr_little_endian));
  files.write("h.wl", encoded("H", TransferSyntax::explicit_vr_big_endian));
  files.write("i.dump", "(0010,0020) LO I\n");
  files.write(".hidden.json", item("X"));
  files.write("lockfile", "");
  files.write("j.json~", item("X"));
  fs::create_directory(files.path / "k.json");
  Lines lines;
  const WorklistDirectory directory(files.path, 1h, lines.log());
  CHECK(patients(directory) == Ids{"A", "B1", "B2", "C", "D", "E", "F", "G", "H", "I"});
  CHECK(lines.all().empty());
}

TEST_CASE("a file with several scheduled steps in one sequence holds several steps (F9)") {
  const Directory files;
  files.write(
      "a.json",
      R"({"00100020":{"vr":"LO","Value":["A"]},"00400100":{"vr":"SQ","Value":[)"
      R"({"00400009":{"vr":"SH","Value":["1"]}},{"00400009":{"vr":"SH","Value":["2"]}}]}})");
  Lines lines;
  const WorklistDirectory directory(files.path, 1h, lines.log());
  CHECK(patients(directory) == Ids{"A", "A"});
}

TEST_CASE("a bad file is reported once, without its values, and the others are served") {
  const Directory files;
  const std::string truncated =
      part_10("SECRET", mapping::TransferSyntax::explicit_vr_little_endian);
  files.write("a.json", item("A"));
  files.write("b.json", R"({"00100020":{"vr":"LO","Value":["SECRET"})");
  files.write("c.dump", "(0010,0020) LO [SECRET\n");
  files.write("d.wl", truncated.substr(0, truncated.size() - 3));
  files.write("e.wl", "");
  files.write("f.wl", std::string(128, '\0') + "DICM" + "SECRET");
  // Two data sets read before the fault are no half of a worklist.
  files.write("g.json", "[" + item("G") + ",7]");
  files.write("h.json", item("H"));
  std::filesystem::create_symlink("later", files.path / "i.json");
  Lines lines;
  const WorklistDirectory directory(files.path, 5ms, lines.log());
  CHECK(patients(directory) == Ids{"A", "H"});
  CHECK(lines.all().empty());  // they may still be being written
  wait_until([&] { return lines.all().size() >= 7; });
  std::this_thread::sleep_for(50ms);  // further looks report nothing
  const auto said = lines.all();
  CHECK(said.size() == 7);
  for (const char* name : {"b.json", "c.dump", "d.wl", "e.wl", "f.wl", "g.json", "i.json"}) {
    const bool named = std::any_of(said.begin(), said.end(), [&](const std::string& line) {
      return line.find("worklist file " + std::string(name) + " is left out: ") == 0;
    });
    CHECK(named);
  }
  for (const std::string& line : said) CHECK(line.find("SECRET") == std::string::npos);
  CHECK(patients(directory) == Ids{"A", "H"});
  files.write("later", item("I"));  // what the link leads to
  wait_until([&] { return patients(directory) == Ids{"A", "H", "I"}; });
}

TEST_CASE("files that come, change and go are seen, a change of the same size too") {
  const Directory files;
  Lines lines;
  const WorklistDirectory directory(files.path, 5ms, lines.log());
  CHECK(patients(directory).empty());
  files.write("a.json", item("A"));
  wait_until([&] { return patients(directory) == Ids{"A"}; });
  files.write("b.json", item("B"));
  wait_until([&] { return patients(directory) == Ids{"A", "B"}; });
  for (int round = 0; round < 20; ++round) {
    const std::string id(1, static_cast<char>('C' + round));
    files.write("a.json", item(id));
    wait_until([&] { return patients(directory) == Ids{id, "B"}; });
  }
  files.write("new", item("D"));
  fs::rename(files.path / "new", files.path / "a.json");
  wait_until([&] { return patients(directory) == Ids{"D", "B"}; });
  fs::remove(files.path / "a.json");
  wait_until([&] { return patients(directory) == Ids{"B"}; });
  CHECK(lines.all().empty());
}

TEST_CASE("whoever holds the steps keeps them as they were") {
  const Directory files;
  files.write("a.json", item("A"));
  Lines lines;
  const WorklistDirectory directory(files.path, 5ms, lines.log());
  const auto held = directory.steps().value();
  fs::remove(files.path / "a.json");
  wait_until([&] { return patients(directory).empty(); });
  CHECK(held->at(0)->at(0).view().text(mapping::tags::PatientID) == "A");
}

TEST_CASE("a file that is being written is served as it was until it is whole, and not reported") {
  const Directory files;
  files.write("a.json", item("OLD"));
  Lines lines;
  const WorklistDirectory directory(files.path, 5ms, lines.log());
  const std::string whole = item("NEW");
  {
    std::ofstream writer(files.path / "a.json", std::ios::trunc);
    for (const char c : whole) {  // each look sees another half of it
      writer << c << std::flush;
      std::this_thread::sleep_for(100us);
      const Ids now = patients(directory);
      CHECK((now == Ids{"OLD"} || now == Ids{"NEW"}));
    }
  }
  wait_until([&] { return patients(directory) == Ids{"NEW"}; });
  CHECK(lines.all().empty());
}

TEST_CASE("a file that stays half is reported, and picked up when it is whole") {
  const Directory files;
  Lines lines;
  const std::string whole = item("A");
  files.write("a.json", whole.substr(0, 30));
  const WorklistDirectory directory(files.path, 5ms, lines.log());
  wait_until([&] { return lines.all().size() == 1; });
  files.write("a.json", whole);
  wait_until([&] { return patients(directory) == Ids{"A"}; });
  CHECK(lines.all().back() == "worklist file a.json can be read now");
}

TEST_CASE("a directory that is gone is a fault, not an empty worklist, until it is back") {
  const Directory files;
  files.write("a.json", item("A"));
  Lines lines;
  const WorklistDirectory directory(files.path, 5ms, lines.log());
  CHECK(patients(directory) == Ids{"A"});
  const fs::path elsewhere = files.path.string() + "-elsewhere";
  fs::rename(files.path, elsewhere);
  wait_until([&] { return !directory.steps().ok(); });
  CHECK(directory.steps().fault().what ==
        files.path.string() + ": expected a directory that can be read: No such file or directory");
  fs::rename(elsewhere, files.path);
  wait_until([&] { return directory.steps().ok(); });
  CHECK(patients(directory) == Ids{"A"});
  CHECK(lines.all().size() == 2);
}

TEST_CASE("files with bytes changed, lost and doubled are read or refused, whatever their form") {
  using mapping::TransferSyntax;
  const std::pair<std::string, std::string> files[] = {
      {"a.json", "[" + item("A") + "," + item("B") + "]"},
      {"a.wl", part_10("A", TransferSyntax::implicit_vr_little_endian)},
      {"a.dcm", part_10("A", TransferSyntax::explicit_vr_big_endian)},
      {"b.wl", encoded("A", TransferSyntax::explicit_vr_little_endian)},
      {"a.dump",
       "(0008,0005) CS [ISO_IR 100]\n(0010,0020) LO [A] # comment\n(0028,0009) AT (3004,000c)\n"
       "(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS MR\n(0042,0011) OB 01\\ff\n(fffe,e00d) -\n"
       "(fffe,e0dd) -\n(0008,0016) UI =MRImageStorage\n"},
  };
  std::minstd_rand random(4711);
  const auto any = [&](std::size_t below) { return random() % below; };
  for (const auto& [name, whole] : files) {
    REQUIRE(read_worklist_file(name, whole).ok());
    std::size_t refused = 0;
    for (int round = 0; round < 4000; ++round) {
      std::string content = whole;
      for (std::size_t change = 0; change <= any(3) && !content.empty(); ++change) {
        const std::size_t at = any(content.size());
        const std::size_t count = 1 + any(std::min<std::size_t>(8, content.size() - at));
        const int kind = static_cast<int>(any(4));
        if (kind == 0) content[at] = static_cast<char>(any(256));
        if (kind == 1) content.erase(at, count);
        if (kind == 2) content.insert(at, content.substr(at, count));
        if (kind == 3) content.resize(at);
      }
      const auto read = read_worklist_file(name, content);
      if (!read) {
        ++refused;
        CHECK_FALSE(read.fault().what.empty());
        continue;
      }
      for (const auto& data_set : read.value()) {
        CHECK(mapping::DataSet::from_bytes(data_set.bytes()).ok());  // canonical, whatever it says
      }
    }
    CHECK(refused > 0);
  }
}
