// What the durable MPPS queue costs, beside bare SQLite commits and the direct way, in the same
// run. Usage: queue_bench MODGATE DIRECTORY [SECTION…], sections latency, rate, backlog; all of
// them without one. DIRECTORY: on a disk. docs/performance.md holds the figures.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "dimse/library.h"
#include "dimse/scu.h"
#include "mapping/data_set.h"
#include "tests/bench/dimse_peers.h"
#include "tests/bench/targets.h"

namespace {

using namespace bench;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}
double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

/// A step as a modality creates it, and as it ends it: all of PS3.4, Table F.7.2-1 that is
/// required, with one scheduled step and one series of three images.
const std::string created_json = R"({
"00080060":{"vr":"CS","Value":["MR"]},"00081032":{"vr":"SQ"},"00081120":{"vr":"SQ"},
"00100010":{"vr":"PN","Value":[{"Alphabetic":"DOE^JANE"}]},"00100020":{"vr":"LO","Value":["PID004711"]},
"00100030":{"vr":"DA","Value":["19700131"]},"00100040":{"vr":"CS","Value":["F"]},
"00200010":{"vr":"SH","Value":["STUDY1"]},"00400241":{"vr":"AE","Value":["MR1"]},
"00400242":{"vr":"SH","Value":["MR-ROOM"]},"00400243":{"vr":"SH","Value":["BASEMENT"]},
"00400244":{"vr":"DA","Value":["20261120"]},"00400245":{"vr":"TM","Value":["0806"]},
"00400250":{"vr":"DA"},"00400251":{"vr":"TM"},"00400252":{"vr":"CS","Value":["IN PROGRESS"]},
"00400253":{"vr":"SH","Value":["PPS1"]},"00400254":{"vr":"LO","Value":["KNEE"]},
"00400255":{"vr":"LO"},"00400260":{"vr":"SQ"},
"00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH","Value":["A20261120"]},"00081110":{"vr":"SQ"},
 "0020000D":{"vr":"UI","Value":["1.2.276.0.7230010.3.2.101.4711"]},
 "00321060":{"vr":"LO","Value":["MR OF THE KNEE"]},"00400007":{"vr":"LO","Value":["KNEE"]},
 "00400008":{"vr":"SQ"},"00400009":{"vr":"SH","Value":["SPS1"]},"00401001":{"vr":"SH","Value":["RP1"]}}]},
"00400340":{"vr":"SQ"}})";
const std::string completed_json = R"({
"00400250":{"vr":"DA","Value":["20261120"]},"00400251":{"vr":"TM","Value":["0831"]},
"00400252":{"vr":"CS","Value":["COMPLETED"]},
"00400340":{"vr":"SQ","Value":[{"00080054":{"vr":"AE","Value":["PACS"]},
 "0008103E":{"vr":"LO","Value":["T1 SAG"]},"00081050":{"vr":"PN"},"00081070":{"vr":"PN"},
 "00081140":{"vr":"SQ","Value":[
  {"00081150":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.4"]},"00081155":{"vr":"UI","Value":["1.2.276.0.7230010.3.1.4.1"]}},
  {"00081150":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.4"]},"00081155":{"vr":"UI","Value":["1.2.276.0.7230010.3.1.4.2"]}},
  {"00081150":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.4"]},"00081155":{"vr":"UI","Value":["1.2.276.0.7230010.3.1.4.3"]}}]},
 "00181030":{"vr":"LO","Value":["KNEE"]},"0020000E":{"vr":"UI","Value":["1.2.276.0.7230010.3.1.3.1"]},
 "00400220":{"vr":"SQ"}}]}})";

const mapping::DataSet created = mapping::read_json(created_json).value();
const mapping::DataSet completed = mapping::read_json(completed_json).value();

/// A directory that goes away.
class Scratch {
 public:
  explicit Scratch(const std::string& parent) {
    std::string name = parent + "/modgate-queue-bench-XXXXXX";
    need(::mkdtemp(name.data()) != nullptr, "cannot make a directory in " + parent);
    path_ = name;
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string configuration(const Scratch& state, std::string_view delivery, std::uint16_t receiver) {
  return fmt::format(
      "[gateway]\nstate_dir = {}\n"
      "[queue]\nprobe_max_seconds = 1\n"
      "[dimse]\nae_title = MODGATE\nbind = 127.0.0.1\nport = 0\nmpps = scp\nmpps_delivery = {}\n"
      "validate = reject\n"
      "[backend scp]\nkind = scp\nae_title = SCP\nhost = 127.0.0.1\nport = {}\n"
      "max_associations = 16\n",
      state.path().string(), delivery, receiver);
}

mapping::Context context() {
  mapping::Context context;
  context.transaction = "bench";
  context.deadline = Clock::now() + 60s;
  return context;
}

/// Performs steps, each with UIDs of its own, on one association.
class Modality {
 public:
  Modality(const Modgate& modgate, int number) : number_(number), scu_(options(modgate), nullptr) {
    need(scu_.echo(context()).good(), "modgate does not answer");
  }
  void perform() {
    const auto uid = mapping::Uid::parse(fmt::format("1.2.826.0.1.3680043.10.{}.20261120.{:06}",
                                                     100 + number_, 100'000 + ++steps_))
                         .value();
    answered(scu_.create(uid, created, context()));
    between_();
    answered(scu_.update(uid, completed, context()));
    between_();
  }
  std::function<void()> between_ = [] {};

 private:
  static void answered(const mapping::Outcome& outcome) {
    need(outcome.status == 0 && outcome.good(),
         fmt::format("refused: {:04X} {}", outcome.status, outcome.error_comment));
  }
  static dimse::ScuOptions options(const Modgate& modgate) {
    dimse::ScuOptions options;
    options.ae_title = "MODGATE";
    options.host = "127.0.0.1";
    options.port = modgate.dimse_port();
    return options;
  }
  const int number_;
  int steps_ = 0;
  dimse::Scu scu_;
};

/// Modalities at work at the same time.
class Department {
 public:
  Department(const Modgate& modgate, int modalities) {
    for (int i = 0; i < modalities; ++i) {
      modalities_.push_back(std::make_unique<Modality>(modgate, i));
    }
  }
  /// Returns operations per second; each step is two.
  double perform(std::size_t operations) {
    const auto steps = operations / 2 / modalities_.size();
    const auto begun = Clock::now();
    std::vector<std::thread> threads;
    for (const auto& modality : modalities_) {
      threads.emplace_back([&modality, steps] {
        for (std::size_t i = 0; i < steps; ++i) modality->perform();
      });
    }
    for (auto& thread : threads) thread.join();
    return 2.0 * double(steps * modalities_.size()) / seconds_since(begun);
  }

 private:
  std::vector<std::unique_ptr<Modality>> modalities_;
};

void await_performed(const MemoryScp& receiver, std::size_t count) {
  const auto begun = Clock::now();
  while (receiver.performed() < count) {
    need(seconds_since(begun) < 120, "the receiver does not get what was accepted");
    ::poll(nullptr, 0, 1);
  }
}

/// One commit after the other of a row as large as a message.
class BareCommits {
 public:
  explicit BareCommits(const Scratch& directory)
      : database_((directory.path() / "bare.sqlite").string(),
                  SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE) {
    database_.exec("PRAGMA journal_mode=WAL");
    database_.exec("PRAGMA synchronous=FULL");
    database_.exec("CREATE TABLE rows(id INTEGER PRIMARY KEY, payload BLOB)");
    insert_.emplace(database_, "INSERT INTO rows(payload) VALUES(?)");
  }
  void commit(const mapping::DataSet& payload) {
    insert_->bindNoCopy(1, payload.bytes().data(), static_cast<int>(payload.bytes().size()));
    insert_->exec();
    insert_->reset();
  }

 private:
  SQLite::Database database_;
  std::optional<SQLite::Statement> insert_;
};

// Short blocks of bare commits while the gateway has nothing to do, and of operations, so that
// noise of the disk hits both alike.
void latency(const std::string& binary, const std::string& directory, Targets& targets) {
  constexpr int blocks = 200, steps = 10;
  const Scratch state(directory), bare_state(directory);
  const MemoryScp receiver;
  const Modgate modgate(binary, configuration(state, "queued", receiver.port()));
  BareCommits bare(bare_state);
  Modality modality(modgate, 0);
  std::vector<double> bare_times, times;
  for (int block = 0; block < blocks; ++block) {
    auto since = Clock::now();
    const auto lap = [&since](std::vector<double>& into) {
      into.push_back(1e6 * seconds_since(since));
      since = Clock::now();
    };
    for (int i = 0; i < steps; ++i) {
      for (const auto* payload : {&created, &completed}) {
        bare.commit(*payload);
        lap(bare_times);
      }
    }
    since = Clock::now();
    modality.between_ = [&] { lap(times); };
    for (int i = 0; i < steps; ++i) modality.perform();
    await_performed(receiver, 2 * steps * static_cast<std::size_t>(block + 1));
  }
  fmt::print("one modality: p50 {:.0f} us; a bare commit: p50 {:.0f} us\n", median(times),
             median(bare_times));
  targets.at_most("one modality: p50, times a bare commit", median(times) / median(bare_times),
                  1.6);
}

void rate(const std::string& binary, const std::string& directory, Targets& targets) {
  const Scratch state(directory);
  const MemoryScp receiver;
  const Modgate modgate(binary, configuration(state, "queued", receiver.port()));
  Department modalities(modgate, 16);
  modalities.perform(1'600);
  const double accepted = modalities.perform(48'000);
  fmt::print("16 modalities: {:.0f} operations/s; {} delivered meanwhile\n", accepted,
             receiver.performed());
  targets.at_least("16 modalities, the receiver up: operations/s", accepted, 6'000);
}

double direct_rate(const std::string& binary, const std::string& directory, int modalities) {
  const Scratch state(directory);
  const MemoryScp receiver;
  const Modgate modgate(binary, configuration(state, "direct", receiver.port()));
  Department department(modgate, modalities);
  department.perform(1'600);
  const double rate = department.perform(32'000);
  fmt::print("direct, {} modalities: {:.0f} operations/s\n", modalities, rate);
  return rate;
}

void backlog(const std::string& binary, const std::string& directory, Targets& targets) {
  constexpr std::size_t warm_up = 1'600, part = 16'000, all = 100'000 - warm_up - part;
  const double direct =
      std::max(direct_rate(binary, directory, 8), direct_rate(binary, directory, 16));
  const Scratch state(directory);
  const auto port = free_port();
  const Modgate modgate(binary, configuration(state, "queued", port));
  double empty = 0, full = 0;
  {
    Department modalities(modgate, 16);
    const auto before = modgate.resident_kib();
    modalities.perform(warm_up);
    empty = modalities.perform(part);
    const double filling = modalities.perform(all);
    const auto after = modgate.resident_kib();
    full = modalities.perform(part);
    fmt::print("receiver down: {:.0f} operations/s at first, {:.0f} then, {:.0f} behind 100,000\n",
               empty, filling, full);
    targets.at_most("100,000 messages wait: growth of resident memory, MiB",
                    double(after - before) / 1024, 64);
    targets.at_least("… messages/s accepted, of those with an empty queue", full / empty, 0.8);
  }
  const MemoryScp receiver(port);
  await_performed(receiver, 1);
  const auto begun = Clock::now();
  await_performed(receiver, warm_up + part + all + part);
  const double drained = double(warm_up + part + all + part) / seconds_since(begun);
  fmt::print("drained at {:.0f} messages/s\n", drained);
  targets.at_least("… drained, of the direct rate", drained / direct, 0.7);
}

}  // namespace

int main(int count, char** arguments) {
  need(count >= 3, "usage: queue_bench MODGATE DIRECTORY [latency|rate|backlog]...");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  dimse::set_up_library();
  const std::string binary = arguments[1], directory = arguments[2];
  const std::vector<std::string> sections(arguments + 3, arguments + count);
  const auto wanted = [&](std::string_view name) {
    return sections.empty() || std::find(sections.begin(), sections.end(), name) != sections.end();
  };
  Targets targets;
  if (wanted("latency")) latency(binary, directory, targets);
  if (wanted("rate")) rate(binary, directory, targets);
  if (wanted("backlog")) backlog(binary, directory, targets);
  return targets.met() ? 0 : 1;
}
