// Whether one text value keeps the length and character rules of its VR. PS3.5, Table 6.2-1;
// rules D8 and D19. Ranges and wildcards of queries are not values: see mapping/query.
#pragma once

#include <string_view>

#include "mapping/vr.h"

namespace mapping {

/// value: one value (for PN one component group), UTF-8, not empty, without padding.
/// True for VRs that are no text.
bool fits_vr(Vr vr, std::string_view value);

/// What fits_vr expects, such as "at most 16 characters"; lives for ever.
std::string_view expectation(Vr vr);

/// Characters, not bytes.
std::size_t utf_8_length(std::string_view text);

}  // namespace mapping
