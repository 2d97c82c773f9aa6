// Runs the gateway: fronts up, reload when asked to, drain at the end.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "gateway/config.h"
#include "gateway/trace.h"

namespace gateway {

/// Operations that run when a stop is asked for have this long to finish.
inline constexpr std::chrono::seconds stop_grace{10};

/// SIGTERM, SIGINT and SIGHUP wait for serve(), in this thread and those it starts: one that comes
/// while the configuration is read is not lost, and a reload does not end the program. Once, before
/// that.
void block_signals();

/// After block_signals: serves in the foreground until SIGTERM or SIGINT; prints the ready line.
/// Returns the exit status: 0 after a stop, 1 if something could not start. SIGHUP reads the file
/// again: what begins afterwards meets the new configuration, what has begun ends with the old one.
/// With a fault in it, or in what it names, nothing changes. path: of the file. reading: what was
/// read of it, without faults; its warnings are logged. trace: of whom, and how long, from now on.
int serve(const std::string& path, ConfigReading reading,
          std::optional<TraceOptions> trace = std::nullopt);

}  // namespace gateway
