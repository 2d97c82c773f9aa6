// One attempt to bring an MPPS message to one receiver, which may have it already.
#pragma once

#include "gateway/mpps_queue.h"
#include "mapping/outcome.h"
#include "mapping/services.h"

namespace gateway {

/// Good if the receiver has it, now or before. Where an earlier attempt may have reached it, it is
/// asked for the step (N-GET, Retrieve) before anything is repeated; where it cannot be asked,
/// "duplicate SOP Instance" and "may no longer be updated" after our own repetition mean that it
/// has it. Blocks at most until the context's deadline. PS3.4, F.7.2 and F.8.2.
mapping::Outcome bring(const Delivery& delivery, mapping::MppsService& receiver,
                       const mapping::Context& context);

}  // namespace gateway
