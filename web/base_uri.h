// The service base URL of an origin server, taken apart. PS3.18, 8.2; RFC 3986.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/result.h"

namespace web {

struct BaseUri {
  std::string host;  ///< name or numeric address, IPv6 without brackets
  std::uint16_t port = 80;
  bool tls = false;  ///< https
  std::string path;  ///< "" or "/radiology"; never ends in a slash

  bool same_origin(const BaseUri& other) const {
    return tls == other.tls && host == other.host && port == other.port;
  }
};

/// Fault: what is wrong, such as a scheme other than http and https.
mapping::Result<BaseUri> parse_base_uri(std::string_view text);

/// Where a redirect leads: the request target of an absolute URI on the same scheme, host and port,
/// or of an absolute path. Fault: anything else.
mapping::Result<std::string> resolve_redirect(const BaseUri& base, std::string_view location);

}  // namespace web
