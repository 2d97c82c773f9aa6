// How the rooms below gateway/ tell that they refused somebody, without knowing the audit trail.
// PS3.15, A.5.3.11.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "mapping/services.h"

namespace mapping {

struct SecurityAlert {
  enum class Kind : std::uint8_t {
    node_authentication,  ///< a peer did not show who it is, or is nobody we know
    restricted_function   ///< it is known, and may not do this
  };
  Kind kind = Kind::node_authentication;
  Caller caller;     ///< who it claims to be; its name may be empty, and hold what it likes
  std::string what;  ///< one sentence without a full stop, no patient data
};

/// Called from any thread. Does not block, never throws. May be empty.
using OnSecurityAlert = std::function<void(const SecurityAlert&)>;

}  // namespace mapping
