// Warning headers as origin servers send them: in the form of PS3.18 (299 <service>: text) or the
// quoted one of RFC 7234 (299 agent "text"). Rules A16, A18.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace web {

/// The text of one Warning header's value; all of it where neither form is met.
std::string warning_text(std::string_view value);

/// The number of "There are N additional results that can be requested". rule A18
std::optional<std::uint64_t> remaining_results(std::string_view warning_text);

}  // namespace web
