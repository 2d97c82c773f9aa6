// The command line. Faults of the configuration all come at once, as FILE:LINE: [section] key: …
#include "gateway/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "gateway/config.h"
#include "gateway/serve.h"

namespace gateway {
namespace {

constexpr int faults_found = 2;

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return std::nullopt;
  return text;
}

// The configuration, or nothing after its faults were printed.
std::optional<ConfigReading> load(const std::string& path) {
  const auto text = read_file(path);
  if (!text) {
    fmt::print(stderr, "{}: cannot be read: expected an INI file\n", path);
    return std::nullopt;
  }
  ConfigReading reading = read_config(*text, process_environment);
  for (const ConfigFault& fault : reading.faults) {
    fmt::print(stderr, "{}\n", to_string(fault, path));
  }
  if (!reading.faults.empty()) return std::nullopt;
  return reading;
}

int check(const std::string& path) {
  const auto reading = load(path);
  if (!reading) return faults_found;
  fmt::print("{}", reading->effective);
  return 0;
}

int run(const std::string& path) {
  const auto reading = load(path);
  if (!reading) return faults_found;
  return serve(reading->config);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app("modgate: a gateway between DIMSE and DICOMweb for worklist and MPPS", "modgate");
  app.set_version_flag("--version", "modgate " MODGATE_VERSION);
  std::string path;
  app.add_option("--config", path, "INI file; serves until SIGTERM or SIGINT")->type_name("FILE");
  CLI::App* const check_command = app.add_subcommand(
      "check", "read and validate the configuration, print it with its defaults");
  std::string check_path;
  check_command->add_option("--config", check_path, "INI file")->type_name("FILE")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : faults_found;
  }
  if (check_command->parsed()) return check(check_path);
  if (path.empty()) {
    fmt::print(stderr, "modgate: expected --config FILE; see modgate --help\n");
    return faults_found;
  }
  return run(path);
}

}  // namespace gateway
