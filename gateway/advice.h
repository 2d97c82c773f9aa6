// What a failure means in plain words, and what to try, for a person who is called at night.
#pragma once

#include <string>
#include <string_view>

#include "mapping/outcome.h"

namespace gateway {

/// What to try first, one sentence or two; empty if nothing happened on the network.
std::string_view advice_for(mapping::NetworkEvent event);

/// What this status word says, by PS3.7 Annex C, PS3.4 and this gateway's own words; empty for one
/// that nobody knows.
std::string_view words_for(std::uint16_t dimse_status);

/// What to try where a backend answered with this failure; never empty.
std::string_view advice_for(std::uint16_t dimse_status);

/// True if whoever repeats what failed so fails again until somebody changes something on one of
/// the two sides: what is not offered, or not allowed.
bool stays(mapping::NetworkEvent event, std::uint16_t dimse_status);

}  // namespace gateway
