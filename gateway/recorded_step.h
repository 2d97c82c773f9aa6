// How a Retrieve of a performed procedure step is answered where this gateway keeps it itself: the
// embedded store, and the record of the durable queue.
#pragma once

#include "mapping/services.h"

namespace gateway {

/// found: replaced by the attributes of step that were asked for; an empty list asks for all.
/// Success; 0001 if the step lacks some of Table F.8.2-1; 0107, with those that are none of that
/// table, if there are such. PS3.4, F.8.2; rule F28.
mapping::Outcome retrieve_recorded(const mapping::DataSet& step,
                                   const mapping::AttributeList& attributes,
                                   mapping::DataSet& found);

}  // namespace gateway
