// The status page of the admin port: one HTML file with its own style and script, which shows what
// /status says and lets a person retry or discard what is held in the queue.
#pragma once

#include <string_view>

namespace gateway {

/// Complete; asks for nothing but the paths beside it: status, queue/retry, queue/discard.
extern const std::string_view admin_page;

}  // namespace gateway
