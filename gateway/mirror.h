// Which messages about a step a further receiver of it gets. PS3.2 (Supplement 246), N.1.3.7:
// whether performed procedure steps are mirrored, and in which states.
#pragma once

#include <set>
#include <string>

#include "gateway/mpps_queue.h"

namespace gateway {

/// What one receiver wants. Empty sets: everything.
struct MirrorFilter {
  std::set<std::string> states;      ///< of Performed Procedure Step Status
  std::set<std::string> modalities;  ///< of Modality
  bool operator==(const MirrorFilter&) const = default;
};

/// How a message is to be treated for a receiver; nothing if it is not for it.
///
/// A message counts as the state that it leaves the step in. One in a state that is not wanted is
/// withheld: if the step comes to a state that is, the receiver gets all of it, in order, so that
/// no N-SET comes before its N-CREATE; if it ends in one that is not, none.
std::optional<Destination> destination(const std::string& receiver, const MirrorFilter& filter,
                                       const MppsMessage& message, const RecordedStep* recorded);

}  // namespace gateway
