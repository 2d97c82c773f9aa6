// Runs the gateway: fronts up, wait for a signal, drain.
#pragma once

#include <chrono>

#include "gateway/config.h"

namespace gateway {

/// Operations that run when a stop is asked for have this long to finish.
inline constexpr std::chrono::seconds stop_grace{10};

/// Serves in the foreground until SIGTERM or SIGINT; prints the ready line. Returns the exit
/// status: 0 after a stop, 1 if a front could not start. config: without faults.
int serve(const Config& config);

}  // namespace gateway
