// Warning headers as origin servers send them: in the form of PS3.18 (299 <service>: text) or the
// quoted one of RFC 7234 (299 agent "text"). Rules A16, A18.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/tag.h"

namespace web {

/// The text of one Warning header's value; all of it where neither form is met.
std::string warning_text(std::string_view value);

/// The number of "There are N additional results that can be requested". rule A18
std::optional<std::uint64_t> remaining_results(std::string_view warning_text);

/// The tags behind the sentence, as in "... with modifications. 00400252, 00400253", the way this
/// gateway's origin server names them; empty where there are none.
std::vector<mapping::Tag> attributes_named(std::string_view warning_text);

}  // namespace web
