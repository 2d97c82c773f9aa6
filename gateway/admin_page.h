// The status page of the admin port: one HTML file with its own style and script, which shows what
// /readyz and /metrics say. Looks only; nothing can be changed by it.
#pragma once

#include <string_view>

namespace gateway {

/// Complete; asks for nothing but the two paths beside it.
extern const std::string_view admin_page;

}  // namespace gateway
