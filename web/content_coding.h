// Content codings of the origin server: answers in gzip for who asks for it, request bodies out of
// it. PS3.18, 8.4; RFC 9110, 8.4; rule B13.
#pragma once

#include <cstddef>
#include <string>
#include <variant>

#include "web/dispatcher.h"

namespace web {

/// Puts the body in gzip where the request prefers that, unless it is too small to gain by it. What
/// is compressed is freed as it goes, so that a long body is not held twice.
void encode_body(Answer& answer, const RawRequest& request);

/// Whether the request's body is in a content coding.
bool is_coded(const RawRequest& request);
/// The body of such a request out of its coding, never more than max_bytes of it; or the answer
/// that refuses it: 400 damaged, 413 too large, 415 another coding than gzip.
std::variant<std::string, Answer> decode_body(const RawRequest& request, std::size_t max_bytes);

}  // namespace web
