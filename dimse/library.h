// DCMTK's process-wide switches, set once, and its log led into ours. DCMTK negotiates our
// associations (negotiation.h); it never sees a data set of ours.
#pragma once

#include "mapping/log.h"

namespace dimse {

/// No DNS look-ups, no receive timeouts of its own, small limits, SIGPIPE ignored, silent log.
/// Idempotent, safe from any thread; called by Scp and Scu.
void set_up_library();

/// Leads DCMTK's own log lines of this level and above into log, until called again. An empty log
/// silences it.
void lead_library_log(mapping::Log log, mapping::LogLevel level);

}  // namespace dimse
