// "modgate probe": asks every backend and the audit trail's collector now and says in plain words
// what was tried, what came back, and what to change on which side.
#pragma once

#include <iosfwd>

#include "gateway/config.h"

namespace gateway {

/// Writes a block for each backend, and one for the collector. Changes nothing there: an
/// association with C-ECHO, or OPTIONS and a search that is ended at its first match, of which
/// nothing is shown; a TLS handshake without a message. config: without faults. Returns the exit
/// status: 0 if every backend can do what it is configured for and the collector can be reached,
/// else 1.
int run_probe_command(const Config& config, std::ostream& out);

}  // namespace gateway
