// Base64 of InlineBinary. RFC 4648; rule D14.
#pragma once

#include <string>
#include <string_view>

namespace mapping {

/// Appends the alphabet of section 4, padded.
void append_base64(std::string_view bytes, std::string& out);

/// Appends the bytes. Takes the alphabets of sections 4 and 5, with or without padding; false for
/// anything else, out is then undefined.
bool decode_base64(std::string_view text, std::string& out);

}  // namespace mapping
