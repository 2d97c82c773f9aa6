// C-FIND of the Modality Worklist, answered by a WorklistService. PS3.4, Annex K; PS3.7, 9.1.2.
#pragma once

#include "dimse/scp_peer.h"

namespace dimse {

/// Sends a response for each match as it comes, then the final one. False: the connection is
/// broken. request: a C-FIND-RQ on a context of the Modality Worklist.
bool answer_c_find(ScpPeer& peer, const Message& request);

}  // namespace dimse
