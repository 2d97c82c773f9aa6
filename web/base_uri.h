// The service base URL of an origin server, taken apart. PS3.18, 8.2; RFC 3986.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/result.h"

namespace web {

/// Whether it is this machine, by its name or numbers. host: IPv6 without brackets.
inline bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
}

struct BaseUri {
  std::string host;  ///< name or numeric address, IPv6 without brackets
  std::uint16_t port = 80;
  bool tls = false;  ///< https
  std::string path;  ///< "" or "/radiology"; never ends in a slash

  bool is_loopback() const { return web::is_loopback(host); }
  bool same_origin(const BaseUri& other) const {
    return tls == other.tls && host == other.host && port == other.port;
  }
};

/// Fault: what is wrong, such as a scheme other than http and https.
mapping::Result<BaseUri> parse_base_uri(std::string_view text);

/// A resource on a server: what a request needs besides the connection.
struct AbsoluteUri {
  BaseUri server;      ///< its path is empty
  std::string target;  ///< path and query, as in a request line; "/" at least
};

/// Fault: what is wrong. A fragment is left out: it is never sent.
mapping::Result<AbsoluteUri> parse_absolute_uri(std::string_view text);

/// Where a redirect leads that came from this resource. RFC 9110, 10.2.2; RFC 3986, 5.2.
/// Fault: location is empty, or no reference to a resource by http or https.
mapping::Result<AbsoluteUri> resolve_redirect(const AbsoluteUri& from, std::string_view location);

}  // namespace web
