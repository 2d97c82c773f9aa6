// The command line. Faults of the configuration all come at once, as FILE:LINE: [section] key: …
#include "gateway/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/config.h"
#include "gateway/probe_command.h"
#include "gateway/queue_command.h"
#include "gateway/serve.h"
#include "gateway/trace.h"

namespace gateway {
namespace {

constexpr int faults_found = 2;

// The configuration, or nothing after its faults were printed.
std::optional<ConfigReading> load(const std::string& path) {
  ConfigReading reading = read_config_file(path, process_environment);
  for (const ConfigFault& fault : reading.faults) {
    fmt::print(stderr, "{}\n", to_string(fault, path));
  }
  if (!reading.faults.empty()) return std::nullopt;
  return reading;
}

int check(const std::string& path) {
  const auto reading = load(path);
  if (!reading) return faults_found;
  for (const ConfigFault& warning : reading->warnings) {
    fmt::print(stderr, "warning: {}\n", to_string(warning, path));
  }
  fmt::print("{}", reading->effective);
  return 0;
}

int probe(const std::string& path) {
  const auto reading = load(path);
  if (!reading) return faults_found;
  return run_probe_command(reading->config, std::cout);
}

/// "--trace NAME --for TIME". Fault: what is wrong with the words.
mapping::Result<std::optional<TraceOptions>> read_trace(const std::string& name,
                                                        const std::string& time) {
  const auto fault = [](const char* what) {
    return mapping::Fault{mapping::Fault::Kind::invalid_value, what};
  };
  if (name.empty() && time.empty()) return std::optional<TraceOptions>();
  if (name.empty() || name.size() > 64) {
    return fault("--for: expected --trace NAME with it, of at most 64 characters");
  }
  const auto duration = parse_age(time);
  if (!duration || *duration < std::chrono::seconds(1) || *duration > TraceOptions::longest) {
    return fault("--trace: expected --for with 1s to 24h, such as 90s, 10m or 2h");
  }
  TraceOptions options;
  options.name = name;
  options.duration = *duration;
  return std::optional(options);
}

int run(const std::string& path, std::optional<TraceOptions> trace) {
  block_signals();
  auto reading = load(path);
  if (!reading) return faults_found;
  return serve(path, *std::move(reading), std::move(trace));
}

/// "modgate queue …": the words, and what they are turned into.
class QueueCommandLine {
 public:
  explicit QueueCommandLine(CLI::App& app)
      : queue_(*app.add_subcommand("queue", "the durable queue of MPPS messages")) {
    using Verb = QueueCommand::Verb;
    queue_.require_subcommand(1);
    add(Verb::list, "list", "what is open, or in the state that is named");
    CLI::App& show = add(Verb::show, "show", "everything about messages");
    show.add_flag("--with-patient-data", command_.with_patient_data, "their attributes, too");
    add(Verb::retry, "retry", "try held or waiting messages again now");
    CLI::App& discard = add(Verb::discard, "discard", "never deliver messages; asks first");
    discard.add_flag("--yes", command_.yes, "do not ask");
    add(Verb::export_messages, "export", "messages with their attributes, a JSON object a line");
  }
  bool parsed() const { return queue_.parsed(); }
  int run() {
    if (command_.verb != QueueCommand::Verb::list && command_.ids.empty() && !all_) {
      fmt::print(stderr, "modgate queue: expected numbers of messages, or --all\n");
      return faults_found;
    }
    const auto reading = load(path_);
    if (!reading) return faults_found;
    if (!older_than_.empty()) {
      command_.filter.accepted_before = queue_now() - parse_age(older_than_).value();
    }
    if (!state_.empty()) command_.filter.state = parse_delivery_state(state_);
    if (all_) command_.filter.limit = std::numeric_limits<std::int64_t>::max();
    if (limit_) command_.filter.limit = static_cast<std::size_t>(*limit_);
    return run_queue_command(reading->config.state_dir, command_, std::cin, std::cout, std::cerr);
  }

 private:
  CLI::App& add(QueueCommand::Verb verb, const std::string& name, const std::string& what) {
    CLI::App& app = *queue_.add_subcommand(name, what);
    app.callback([this, verb] { command_.verb = verb; });
    app.add_option("--config", path_, "INI file")->type_name("FILE")->required();
    app.add_option("--receiver", command_.filter.receiver, "name of a [backend …]");
    app.add_option("--state", state_, "such as held or delivered")
        ->check([](const std::string& text) {
          return parse_delivery_state(text) ? std::string()
                                            : "expected waiting, delivering, held, withheld, "
                                              "undecided, delivered or discarded";
        });
    app.add_option("--older-than", older_than_, "since acceptance, such as 90m, 2h or 3d")
        ->check([](const std::string& text) {
          return parse_age(text) ? std::string() : "expected a number with s, m, h or d behind it";
        });
    app.add_option("--limit", limit_, "at most so many")->check(CLI::PositiveNumber);
    if (verb != QueueCommand::Verb::list) {
      app.add_option("message", command_.ids, "numbers as list shows them");
      app.add_flag("--all", all_, "everything that the other options leave");
    }
    return app;
  }

  CLI::App& queue_;
  QueueCommand command_;
  std::string path_, state_, older_than_;
  std::optional<std::int64_t> limit_;
  bool all_ = false;
};

/// The status of a command, once all that it has printed is out: whoever exports the queue into a
/// full disk and then discards it must be told.
int printed(int status) {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return status;
  fmt::print(stderr,
             "modgate: not all of the output could be written: expected room on its disk\n");
  return status == 0 ? 1 : status;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app("modgate: a gateway between DIMSE and DICOMweb for worklist and MPPS", "modgate");
  app.set_version_flag("--version", "modgate " MODGATE_VERSION);
  std::string path;
  app.add_option("--config", path, "INI file; serves until SIGTERM or SIGINT")->type_name("FILE");
  std::string trace_name, trace_time;
  app.add_option("--trace", trace_name,
                 "write the data sets of this AE title, user or address to a file in state_dir")
      ->type_name("NAME");
  app.add_option("--for", trace_time, "how long the trace goes on, such as 10m; at most 24h")
      ->type_name("TIME");
  CLI::App* const check_command = app.add_subcommand(
      "check", "read and validate the configuration, print it with its defaults");
  std::string check_path;
  check_command->add_option("--config", check_path, "INI file")->type_name("FILE")->required();
  CLI::App* const probe_command = app.add_subcommand(
      "probe",
      "ask every backend and the audit collector now, say what came back and what to change");
  std::string probe_path;
  probe_command->add_option("--config", probe_path, "INI file")->type_name("FILE")->required();
  QueueCommandLine queue(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : faults_found;
  }
  auto trace = read_trace(trace_name, trace_time);
  if (!trace) {
    fmt::print(stderr, "modgate: {}\n", trace.fault().what);
    return faults_found;
  }
  if (trace.value() && !app.get_subcommands().empty()) {
    fmt::print(stderr, "modgate: --trace: expected no command with it, only --config FILE\n");
    return faults_found;
  }
  if (check_command->parsed()) return printed(check(check_path));
  if (probe_command->parsed()) return printed(probe(probe_path));
  if (queue.parsed()) return printed(queue.run());
  if (path.empty()) {
    fmt::print(stderr, "modgate: expected --config FILE; see modgate --help\n");
    return faults_found;
  }
  return run(path, std::move(trace).value());
}

}  // namespace gateway
