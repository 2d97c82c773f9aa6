// The log: one line an event to standard error, as text or JSON. The rooms below write through
// mapping::Log and do not know the logger.
#pragma once

#include "gateway/config.h"
#include "mapping/log.h"

namespace gateway {

/// Makes the sink for everything this process logs. Control characters of a line and what is no
/// UTF-8 (a peer may have sent them) come out as "?". Safe from any thread.
mapping::Log make_log(mapping::LogLevel level, LogFormat format);

}  // namespace gateway
