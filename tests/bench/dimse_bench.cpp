// What modgate adds to an exchange, beside the same exchange without it and in the same run: trust
// the ratios, not the milliseconds. Usage: dimse_bench MODGATE [SECTION…], sections search, web,
// mpps, memory; all of them without one. Prints what is wanted beside what was measured, and fails
// where it was missed. docs/performance.md holds the figures.
#include <dcmtk/oflog/oflog.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "dimse/library.h"
#include "dimse/scu.h"
#include "mapping/return_keys.h"
#include "tests/bench/dimse_orthanc.h"
#include "tests/bench/dimse_peers.h"
#include "tests/bench/targets.h"

namespace {

using namespace bench;
using Clock = std::chrono::steady_clock;

struct Size {
  std::size_t matches;
  int rounds;
};
constexpr Size sizes[] = {{1, 4000}, {10, 1500}, {100, 200}, {1000, 40}};

double percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * double(values.size() - 1))];
}

/// A way of asking, and what it took.
struct Way {
  std::string name;
  std::function<void(std::size_t matches)> ask;
  std::size_t most_matches = 1000;                            ///< it is not asked for more
  int one_in = 1;                                             ///< rounds; for slow ones
  std::map<std::size_t, std::vector<double>> milliseconds{};  ///< by number of matches and round

  void measure(std::size_t matches) {
    const auto begun = Clock::now();
    ask(matches);
    milliseconds[matches].push_back(
        std::chrono::duration<double, std::milli>(Clock::now() - begun).count());
  }
  double median(std::size_t matches) const { return percentile(milliseconds.at(matches), 0.5); }
};

/// Round by round, so that noise of the machine hits all alike. The first way is what the others
/// are set in relation to.
std::vector<Way> compare(std::vector<Way> ways) {
  for (const auto& size : sizes) {
    const auto asked = [&](const Way& way, int round) {
      return size.matches <= way.most_matches && round % way.one_in == 0;
    };
    for (int warm_up = 0; warm_up < 5; ++warm_up) {
      for (auto& way : ways) {
        if (asked(way, warm_up)) way.ask(size.matches);
      }
    }
    for (int round = 0; round < size.rounds; ++round) {
      for (auto& way : ways) {
        if (asked(way, round)) way.measure(size.matches);
      }
    }
    const double base = ways.front().median(size.matches);
    for (const Way& way : ways) {
      if (size.matches > way.most_matches) continue;
      const double median = way.median(size.matches);
      fmt::print("{:5} matches  {:44} p50 {:8.3f} ms  p95 {:8.3f} ms  x {:.2f}\n", size.matches,
                 way.name, median, percentile(way.milliseconds.at(size.matches), 0.95),
                 median / base);
    }
  }
  return ways;
}

/// The median, over all rounds, of what one way took beyond two others in the same round: in which
/// the threads of all three were where the scheduler had put them. Prints it for each tenth of the
/// rounds too, which shows how far it is to be trusted.
double added(const Way& whole, const Way& one, const Way& other, std::size_t matches) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < whole.milliseconds.at(matches).size(); ++i) {
    differences.push_back(whole.milliseconds.at(matches)[i] - one.milliseconds.at(matches)[i] -
                          other.milliseconds.at(matches)[i]);
  }
  const std::size_t tenth = differences.size() / 10;
  fmt::print("{:5} matches  {} over {} and {}, by tenths of the rounds:", matches, whole.name,
             one.name, other.name);
  for (auto at = differences.begin(); differences.end() - at >= std::ptrdiff_t(tenth);
       at += std::ptrdiff_t(tenth)) {
    fmt::print(" {:.3f}", percentile({at, at + std::ptrdiff_t(tenth)}, 0.5));
  }
  fmt::print("\n");
  return percentile(differences, 0.5);
}

mapping::DataSet identifier(std::size_t matches) {
  mapping::DataSetBuilder builder;
  builder.add(tags::AccessionNumber, mapping::Vr::SH, std::to_string(matches));
  return mapping::with_default_return_keys(builder.build().value());
}

mapping::Context context() {
  mapping::Context context;
  context.transaction = "bench";
  context.deadline = Clock::now() + 60s;
  return context;
}

Way library_way(std::string name, std::uint16_t port, const char* called) {
  auto scu = std::make_shared<LibraryScu>(port, called);
  auto identifiers = std::make_shared<std::map<std::size_t, DcmDataset>>();
  for (const auto& size : sizes) {
    (*identifiers)[size.matches] = to_library(identifier(size.matches));
  }
  return {std::move(name), [scu, identifiers](std::size_t matches) {
            need(scu->find(identifiers->at(matches)) == matches, "matches are missing");
          }};
}

/// Reads the matches as bytes: a fast modality, so that modgate is seen and not the SCU.
Way fast_way(std::string name, std::uint16_t port, const std::string& called) {
  dimse::ScuOptions options;
  options.ae_title = called;
  options.host = "127.0.0.1";
  options.port = port;
  auto scu = std::make_shared<dimse::Scu>(options, nullptr);
  return {std::move(name), [scu](std::size_t matches) {
            std::size_t found = 0;
            const mapping::Search search{identifier(matches)};
            const auto count = [&](mapping::Match&&) {
              ++found;
              return true;
            };
            const auto outcome = scu->search(search, count, context());
            need(outcome.status == 0 && found == matches, "matches are missing");
          }};
}

Way http_way(std::string name, std::uint16_t port) {
  auto client = std::make_shared<HttpClient>(port);
  return {std::move(name), [client](std::size_t matches) {
            const auto target =
                fmt::format("/modality-scheduled-procedure-steps?AccessionNumber={}", matches);
            need(client->get(target) > 1000 * matches, "matches are missing");
          }};
}

Way orthanc_way(std::string name, const std::shared_ptr<Orthanc>& orthanc) {
  return {.name = std::move(name),
          .ask =
              [orthanc](std::size_t matches) {
                need(orthanc->find(identifier(matches)) > 500 * matches, "matches are missing");
              },
          .most_matches = 10,
          .one_in = 20};
}

std::string configuration(std::uint16_t scp, std::uint16_t origin_server) {
  return fmt::format(
      "[gateway]\nstate_dir = /tmp\n"
      "[dimse]\nae_title = MODGATE\nbind = 127.0.0.1\nport = 0\nworklist = {}\nmpps = scp\n"
      "[web]\nbind = 127.0.0.1\nport = 0\nworklist = scp\nmpps = scp\n"
      "max_connections_per_address = 0\n"
      "[backend scp]\nkind = scp\nae_title = SCP\nhost = 127.0.0.1\nport = {}\n"
      "[backend server]\nkind = origin-server\nbase_uri = http://127.0.0.1:{}/\n",
      origin_server == 0 ? "scp" : "server", scp, origin_server == 0 ? 1 : origin_server);
}

void search(const std::string& binary, const MemoryScp& scp, Targets& targets) {
  const Modgate modgate(binary, configuration(scp.port(), 0));
  fmt::print("C-FIND of an SCP in memory, {} matches of {} bytes\n", "1 to 1000",
             item_of(1000).bytes().size());
  const auto ways = compare(
      {library_way("(i) DCMTK SCU, directly", scp.port(), "SCP"),
       http_way("(ii) HTTP Search through modgate", modgate.web_port()),
       library_way("(iii) DCMTK SCU through modgate", modgate.dimse_port(), "MODGATE"),
       orthanc_way("(iv) find-worklist through Orthanc", std::make_shared<Orthanc>(scp.port())),
       fast_way("SCU reading bytes, directly", scp.port(), "SCP"),
       fast_way("SCU reading bytes, through modgate", modgate.dimse_port(), "MODGATE")});
  const Way &direct = ways[0], &through = ways[1], &orthanc = ways[3];
  for (const auto& [matches, wanted] :
       {std::pair<std::size_t, double>{1, 1.4}, {10, 0.55}, {100, 0.3}, {1000, 0.3}}) {
    targets.at_most(fmt::format("Search of {} matches, times (i)", matches),
                    through.median(matches) / direct.median(matches), wanted);
  }
  targets.at_least("Search of 10 matches, times as fast as (iv)",
                   orthanc.median(10) / through.median(10), 25);
}

void web(const std::string& binary, const MemoryScp& scp, const MemoryOriginServer& server,
         Targets& targets) {
  const Modgate modgate(binary, configuration(scp.port(), server.port()));
  fmt::print("C-FIND of an origin server in memory\n");
  const auto ways = compare(
      {library_way("(i) DCMTK SCU, directly to the SCP", scp.port(), "SCP"),
       library_way("DCMTK SCU through modgate to the server", modgate.dimse_port(), "MODGATE"),
       fast_way("SCU reading bytes, directly to the SCP", scp.port(), "SCP"),
       http_way("GET, directly to the server", server.port()),
       fast_way("SCU reading bytes, through modgate", modgate.dimse_port(), "MODGATE")});
  targets.at_most("C-FIND of the web, 1 match: ms over a bare GET and a bare C-FIND",
                  added(ways[4], ways[3], ways[2], 1), 0.06);
  for (const std::size_t matches : {100, 1000}) {
    targets.at_most(fmt::format("C-FIND of the web, {} matches, times (i)", matches),
                    ways[1].median(matches) / ways[0].median(matches), 1.1);
  }
}

void mpps(const std::string& binary, const MemoryScp& scp, Targets& targets) {
  const Modgate modgate(binary, configuration(scp.port(), 0));
  constexpr int modalities = 8, steps = 2000;
  std::vector<std::thread> threads;
  const auto begun = Clock::now();
  for (int modality = 0; modality < modalities; ++modality) {
    threads.emplace_back([&, modality] {
      dimse::ScuOptions options;
      options.ae_title = "MODGATE";
      options.host = "127.0.0.1";
      options.port = modgate.dimse_port();
      dimse::Scu scu(options, nullptr);
      mapping::DataSetBuilder builder;
      builder.add(tags::PatientName, mapping::Vr::PN, "DOE^JANE")
          .add(tags::PerformedProcedureStepStatus, mapping::Vr::CS, "IN PROGRESS");
      const auto step = builder.build().value();
      for (int i = 0; i < steps; ++i) {
        const auto uid = mapping::Uid::parse(fmt::format("1.2.{}.{}", modality + 1, i + 1)).value();
        need(scu.create(uid, step, context()).good(), "N-CREATE failed");
        need(scu.update(uid, step, context()).good(), "N-SET failed");
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  targets.at_least(fmt::format("N-CREATE and N-SET of {} modalities, operations/s", modalities),
                   2.0 * modalities * steps / seconds, 8000);
}

void memory(const std::string& binary, const MemoryScp& scp, Targets& targets) {
  const Modgate modgate(binary, configuration(scp.port(), 0));
  constexpr int peers = 200;
  const auto alone = modgate.resident_kib();
  std::vector<std::unique_ptr<LibraryScu>> associations;
  std::vector<std::unique_ptr<HttpClient>> connections;
  auto one = to_library(identifier(1));
  for (int i = 0; i < peers; ++i) {
    associations.push_back(std::make_unique<LibraryScu>(modgate.dimse_port(), "MODGATE"));
    connections.push_back(std::make_unique<HttpClient>(modgate.web_port()));
    need(associations.back()->find(one) == 1, "matches are missing");
    connections.back()->get("/modality-scheduled-procedure-steps?AccessionNumber=1");
  }
  const auto idle = modgate.resident_kib();
  std::vector<std::thread> threads;
  for (auto& connection : connections) {
    threads.emplace_back([&connection] {
      connection->get("/modality-scheduled-procedure-steps?AccessionNumber=1000");
    });
  }
  for (auto& thread : threads) thread.join();
  auto thousand = to_library(identifier(1000));
  for (auto& association : associations) {
    need(association->find(thousand) == 1000, "matches are missing");
  }
  const auto mib = [](std::size_t kib) { return double(kib) / 1024; };
  fmt::print("resident after the start: {:.1f} MiB\n", mib(alone));
  targets.at_most(fmt::format("resident with {0} associations and {0} connections, MiB", peers),
                  mib(idle), 32);
  targets.at_most("… after each of them has asked for 1000 matches, MiB",
                  mib(modgate.resident_kib()), 64);
}

}  // namespace

int main(int count, char** arguments) {
  need(count >= 2, "usage: dimse_bench MODGATE [search|web|mpps|memory]...");
  ::setenv("TCP_NODELAY", "1", 1);  // of DCMTK's sockets
  dimse::set_up_library();
  const std::string binary = arguments[1];
  const std::vector<std::string> sections(arguments + 2, arguments + count);
  const auto wanted = [&](std::string_view name) {
    return sections.empty() || std::find(sections.begin(), sections.end(), name) != sections.end();
  };
  const MemoryScp scp;
  const MemoryOriginServer server;
  Targets targets;
  if (wanted("search")) search(binary, scp, targets);
  if (wanted("web")) web(binary, scp, server, targets);
  if (wanted("mpps")) mpps(binary, scp, targets);
  if (wanted("memory")) memory(binary, scp, targets);
  const bool met = targets.met();
  std::fflush(stdout);
  std::_Exit(met ? 0 : 1);  // the servers in memory have nobody to end them
}
