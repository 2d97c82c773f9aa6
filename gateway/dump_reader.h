// DCMTK's dump format → DataSet: what dcmdump prints and dump2dcm reads (its manual page describes
// it), in which DCMTK's example worklist is kept.
#pragma once

#include <string_view>

#include "mapping/data_set.h"
#include "mapping/result.h"

namespace gateway {

/// Reads one data set. text: lines "(gggg,eeee) VR value # comment", in any order of tags, text in
/// the Specific Character Set that the dump declares; of a tag that stands twice the first. File
/// meta information is left out; a value of "=file" is refused: a dump names no other files here.
/// Faults say the line and what was expected there, never a value.
mapping::Result<mapping::DataSet> read_dump(std::string_view text);

}  // namespace gateway
