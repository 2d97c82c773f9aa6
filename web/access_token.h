// A bearer token (RFC 6750), as a file, a token endpoint or a caller gives it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/outcome.h"

namespace web {

/// A token, or why there is none. Never logged.
struct AccessToken {
  enum class How : std::uint8_t {
    ready,
    refused,      ///< who gives tokens out refused us
    unavailable,  ///< there is none at the moment; event says why
  };
  How how = How::ready;
  std::string value;
  mapping::NetworkEvent event = mapping::NetworkEvent::none;
};

/// Whether it may stand in a header: visible ASCII, not too long for what servers take.
inline bool is_token(std::string_view text) {
  constexpr std::size_t longest = 16u << 10;
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

}  // namespace web
