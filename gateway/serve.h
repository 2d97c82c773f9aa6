// Runs the gateway: fronts up, wait for a signal, drain.
#pragma once

#include <chrono>
#include <optional>

#include "gateway/config.h"
#include "gateway/trace.h"

namespace gateway {

/// Operations that run when a stop is asked for have this long to finish.
inline constexpr std::chrono::seconds stop_grace{10};

/// Serves in the foreground until SIGTERM or SIGINT; prints the ready line. Returns the exit
/// status: 0 after a stop, 1 if a front or the trace could not start. config: without faults.
/// trace: of whom, and how long, from now on.
int serve(const Config& config, std::optional<TraceOptions> trace = std::nullopt);

}  // namespace gateway
