// N-CREATE and N-SET of the Modality Performed Procedure Step, N-GET of its Retrieve class,
// answered by an MppsService. PS3.4, Annex F; PS3.7, 10.1.
#pragma once

#include "dimse/scp_peer.h"

namespace dimse {

/// Each answers one request that came on a context of the right SOP class (rule F14). False: the
/// connection is broken.
bool answer_n_create(ScpPeer& peer, const Message& request);
bool answer_n_set(ScpPeer& peer, const Message& request);
bool answer_n_get(ScpPeer& peer, const Message& request);

}  // namespace dimse
