// An attribute by its path through sequences: "00400100.00080060",
// "ScheduledProcedureStepSequence.Modality", or mixed. PS3.18, 8.3.1; rules A3 to A5.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mapping/result.h"
#include "mapping/tag.h"

namespace mapping {

/// Tags from the outermost sequence inward; never empty.
using AttributePath = std::vector<Tag>;

/// Reads tags and keywords joined by dots. Every element but the last must be a sequence.
/// Fault: names the element that is neither eight hexadecimal digits nor a keyword of PS3.6 (unless
/// it looks like a value), or says that there are more levels than a data set may have.
Result<AttributePath> parse_attribute_path(std::string_view text);

/// Upper-case tags joined by dots.
std::string to_string(const AttributePath& path);

}  // namespace mapping
