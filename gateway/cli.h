// The command line: modgate --config FILE | check | queue … | --version | --help.
#pragma once

namespace gateway {

/// Runs the program; returns its exit status: 0, 1 (could not start) or 2 (faults in the
/// configuration or the command line).
int run_command_line(int argc, char** argv);

}  // namespace gateway
