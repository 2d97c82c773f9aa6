// Which attributes an answer holds: what is asked of an SCP beyond the client's own keys, and what
// is taken away again before a modality or a client sees it. Rules A13, A14, F8, F9, F26.
#pragma once

#include <vector>

#include "mapping/attribute_path.h"
#include "mapping/data_set.h"

namespace mapping {

/// The identifier plus every attribute of Table K.6-1 with return type 1, 1C, 2 or 2C, zero length,
/// where it is not there yet: an SCP returns only what is asked (rule A13). A sequence key without
/// items asks for the whole sequence and stays so.
DataSet with_default_return_keys(DataSetView identifier);

/// The identifier plus every attribute of Table K.6-1 (rule A14).
DataSet with_all_return_keys(DataSetView identifier);

/// The match reduced to the keys of the identifier at every nesting level (rules A13, F8). A
/// sequence key without items, or whose item is empty, keeps the whole sequence. Keys of return
/// type 2 that the match lacks are there with zero length.
DataSet prune_to_identifier(DataSetView match, DataSetView identifier);

/// What an SCP answers of a step that it keeps: the same, and every other key that the step lacks
/// is there with zero length as well, except sequences and (0008,0201). PS3.4, K.4.1.1.3.2; rule
/// F8.
DataSet answer_to_identifier(DataSetView step, DataSetView identifier);

/// One data set for each item of the Scheduled Procedure Step Sequence, with the root attributes
/// copied (rule F9). A match without that sequence, or with an empty one, comes back as it is.
std::vector<DataSet> split_scheduled_procedure_steps(const DataSet& match);

/// The data set reduced to the paths, sequences to the parts named (rule F26); no paths = all.
DataSet prune_to_paths(DataSetView data_set, const std::vector<AttributePath>& paths);

/// The data set reduced to the top-level attributes of a list (N-GET); an empty list = all.
DataSet prune_to_attributes(DataSetView data_set, const std::vector<Tag>& attributes);

}  // namespace mapping
