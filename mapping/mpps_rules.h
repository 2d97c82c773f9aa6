// What N-CREATE and N-SET of a Modality Performed Procedure Step may and must hold, and the states
// a step goes through. PS3.4, F.7.2.1, F.7.2.2, Table F.7.2-1; rules F17 to F24. Pure: the stored
// step is given by whoever keeps it.
#pragma once

#include <optional>

#include "mapping/data_set.h"
#include "mapping/outcome.h"

namespace mapping {

/// What to answer to an N-CREATE with these attributes; nothing where they keep the rules.
/// 0106 if the status is not IN PROGRESS (F17); 0120 with the attributes of type 1 and 2 that are
/// missing, at any depth, by their top-level tags; 0121 with those of type 1 without a value (F18).
std::optional<Outcome> check_create(DataSetView attributes);

/// What to answer to an N-SET with these modifications, as far as they tell by themselves.
/// 0105 with attributes that an N-SET may not hold (F20); 0106 for a status that is none of the
/// three; 0120 and 0121 for what is missing in sequence items, which are always whole (F19, F21).
std::optional<Outcome> check_update(DataSetView modifications);

/// The same against the step as it is stored: 0110 with Error ID A710 if it is final (F22); 0105
/// with attributes that were never created (F19); and where the modifications set COMPLETED or
/// DISCONTINUED, 0120 or 0121 with what the final state lacks (F23).
std::optional<Outcome> check_update(DataSetView stored, DataSetView modifications);

/// COMPLETED or DISCONTINUED.
bool is_final(DataSetView step);

/// Whether found is the step that an N-CREATE with these attributes makes, whatever became of it
/// since: same Performed Procedure Step ID, start date and start time, which no N-SET may change.
bool is_step_of(DataSetView created, DataSetView found);

/// Whether found, as it was asked for at once, is what an N-CREATE with these attributes has just
/// made: same Performed Procedure Step ID and Status. Other modalities have UIDs of their own, but
/// a UID that was used twice must not pass for a success.
bool is_just_created(DataSetView created, DataSetView found);

/// Whether a step is already as these modifications make it.
bool holds_modifications(DataSetView step, DataSetView modifications);

/// Whether a final step may have become so by these modifications: they end it, and alike.
bool became_final_by(DataSetView modifications, DataSetView step);

/// The stored step with the modifications in place: sequences are replaced whole (F21).
DataSet apply_modifications(DataSetView stored, DataSetView modifications);

}  // namespace mapping
