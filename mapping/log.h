// How the rooms below gateway/ say something to the log without knowing the logger.
#pragma once

#include <functional>
#include <string_view>

namespace mapping {

enum class LogLevel { error, warn, info, debug };

/// One line, without a line end and without patient data. Safe from any thread; never throws.
using Log = std::function<void(LogLevel, std::string_view)>;

}  // namespace mapping
