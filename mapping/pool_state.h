// How busy a backend's associations or connections are.
#pragma once

#include <cstddef>

namespace mapping {

struct PoolState {
  std::size_t idle = 0;     ///< open, for whoever comes next
  std::size_t in_use = 0;   ///< by a caller, or being opened or released
  std::size_t waiting = 0;  ///< callers, for a free one
  std::size_t limit = 0;    ///< of idle and in_use together

  std::size_t taken() const { return idle + in_use; }
};

}  // namespace mapping
