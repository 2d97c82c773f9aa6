// multipart/related: several results in one body, one part a result. PS3.18, 8.6.1.2; RFC 2046;
// rules B6 to B8.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "mapping/result.h"

namespace web {

/// A boundary that no content of ours can hold by accident or design: 128 random bits.
std::string new_boundary();

/// Appends one part with its headers.
void append_part(std::string_view boundary, std::string_view content_type, std::string_view content,
                 std::string& out);
/// Appends the end of the last part.
void append_last_boundary(std::string_view boundary, std::string& out);

/// One part; views the body.
struct Part {
  std::string content_type;  ///< empty if it names none
  std::string_view content;
};

/// Hands on the parts in order, until on_part returns false. Tolerates a preamble, an epilogue, and
/// lines that end in LF only. Fault: no such boundary, a part without its end.
mapping::Result<bool> read_multipart(std::string_view body, std::string_view boundary,
                                     const std::function<bool(const Part&)>& on_part);

}  // namespace web
