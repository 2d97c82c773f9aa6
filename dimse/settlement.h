// What became of an N-CREATE or N-SET whose answer was lost: asked by N-GET before anything is
// repeated. mapping.md, 2b and 3b, from the side of DIMSE. Knows no association.
#pragma once

#include <functional>
#include <string_view>

#include "mapping/outcome.h"
#include "mapping/services.h"

namespace dimse {

/// A request to one SCP about one step, of which no answer came.
struct LostRequest {
  /// As it was answered last: Outcome::unknown.
  mapping::Outcome lost;
  std::function<mapping::Outcome()> repeat;
  std::function<mapping::Outcome(const mapping::AttributeList&, mapping::DataSet& found)> retrieve;
  std::function<void(std::string_view)> note;  ///< for the log, without patient data
};

/// Success if the step is there with this ID and status; sent once more if the SCP knows no such
/// step; request.lost if neither is certain, such as where the SCP offers no N-GET.
mapping::Outcome settle_create(const mapping::DataSet& attributes, const LostRequest& request);

/// Success if the step holds all modifications; sent once more if it does not, since replacing
/// twice is replacing once; request.lost if the SCP cannot be asked.
mapping::Outcome settle_update(const mapping::DataSet& modifications, const LostRequest& request);

}  // namespace dimse
