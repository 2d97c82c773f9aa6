// "modgate probe": asks every backend now and says in plain words what was tried, what came back,
// and what to change on which side.
#pragma once

#include <iosfwd>

#include "gateway/config.h"

namespace gateway {

/// Writes a block for each backend. Changes nothing there: an association with C-ECHO, or OPTIONS
/// and a search that is ended at its first match, of which nothing is shown. config: without
/// faults. Returns the exit status: 0 if every backend can do what it is configured for, else 1.
int run_probe_command(const Config& config, std::ostream& out);

}  // namespace gateway
