// What systemd is told of this process, where it asked for that (Type=notify). sd_notify(3)
#pragma once

#include <string_view>

namespace gateway {

/// state: "READY=1" once everything listens, "STOPPING=1". Without a service manager that listens,
/// or when it is gone, nothing happens. Does not block.
void tell_service_manager(std::string_view state);

}  // namespace gateway
