// Text inside a JSON string, for lines and pages that are put together by hand.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

/// What stands between the quotes. Control characters, and bytes beyond ASCII where the text as a
/// whole is no UTF-8, become "?": peers choose some names. RFC 8259, 7 and 8.1.
std::string json_text(std::string_view text);

/// Control characters, and bytes that are no UTF-8, as "?".
std::string printable(std::string_view text);

}  // namespace gateway
