#include "web/base_uri.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace web {
namespace {

using mapping::Fault;
using mapping::Result;

Fault fault(std::string what) { return {Fault::Kind::invalid_value, std::move(what)}; }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return result;
}

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

/// Cuts http:// or https:// off. Nothing if neither stands there.
std::optional<BaseUri> take_scheme(std::string_view& text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (lower(text.substr(0, scheme.size())) != scheme) continue;
    text.remove_prefix(scheme.size());
    BaseUri uri;
    uri.tls = scheme == "https://";
    uri.port = uri.tls ? 443 : 80;
    return uri;
  }
  return std::nullopt;
}

/// host[:port] or [IPv6][:port], into what its scheme made.
Result<BaseUri> parse_authority(std::string_view authority, BaseUri uri) {
  if (authority.find('@') != std::string_view::npos) {
    return fault("user names and passwords do not belong into a URI");
  }
  std::size_t after_host = authority.find(':');
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return fault("the IPv6 address has no closing bracket");
    uri.host = authority.substr(1, end - 1);
    after_host = end + 1;
  } else {
    after_host = std::min(after_host, authority.size());
    uri.host = lower(authority.substr(0, after_host));
  }
  if (uri.host.empty()) return fault("the host is missing");
  std::string_view port = authority.substr(after_host);
  if (port.empty() || port == ":") return uri;
  const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), uri.port);
  if (port[0] != ':' || error != std::errc() || end != port.data() + port.size() || uri.port == 0) {
    return fault("the port is not a number from 1 to 65535");
  }
  return uri;
}

/// The target with "." and ".." in its path worked out. RFC 3986, 5.2.4.
std::string without_dots(std::string_view target) {
  const std::size_t end = std::min(target.find('?'), target.size());
  const std::string_view query = target.substr(end);
  std::string result;
  for (std::string_view path = target.substr(0, end); !path.empty();) {
    const std::size_t next = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, next);
    path.remove_prefix(next);
    if (segment == "/..") result.erase(std::min(result.rfind('/'), result.size()));
    if (segment != "/." && segment != "/..") {
      result += segment;
    } else if (path.empty()) {
      result += '/';
    }
  }
  return result + std::string(query);
}

}  // namespace

Result<BaseUri> parse_base_uri(std::string_view text) {
  const auto scheme = take_scheme(text);
  if (!scheme) return fault("the URI must begin with http:// or https://");
  if (!is_visible(text)) return fault("the URI holds a blank or a character beyond ASCII");
  const std::size_t slash = text.find('/');
  auto uri = parse_authority(text.substr(0, slash), *scheme);
  if (!uri || slash == std::string_view::npos) return uri;
  std::string_view path = text.substr(slash);
  if (path.find_first_of("?#") != std::string_view::npos) {
    return fault("the URI must end before any query or fragment");
  }
  while (path.ends_with('/')) path.remove_suffix(1);
  for (const std::string_view resource :
       {"/modality-scheduled-procedure-steps", "/modality-performed-procedure-steps"}) {
    if (path.ends_with(resource)) {  // rule J29
      return fault("the URI must end before " + std::string(resource));
    }
  }
  uri.value().path = path;
  return uri;
}

Result<AbsoluteUri> parse_absolute_uri(std::string_view text) {
  const auto scheme = take_scheme(text);
  if (!scheme) return fault("the URI must begin with http:// or https://");
  text = text.substr(0, text.find('#'));
  if (!is_visible(text)) return fault("the URI holds a blank or a character beyond ASCII");
  const std::size_t end = std::min(text.find_first_of("/?"), text.size());
  auto server = parse_authority(text.substr(0, end), *scheme);
  if (!server) return server.fault();
  const std::string_view target = text.substr(end);
  return AbsoluteUri{std::move(server).value(),
                     (target.starts_with('/') ? "" : "/") + std::string(target)};
}

Result<AbsoluteUri> resolve_redirect(const AbsoluteUri& from, std::string_view location) {
  location = location.substr(0, location.find('#'));
  if (location.empty() || !is_visible(location)) return fault("the redirect leads to no URI");
  if (location.starts_with("//")) {
    return parse_absolute_uri((from.server.tls ? "https:" : "http:") + std::string(location));
  }
  if (location.starts_with('/')) return AbsoluteUri{from.server, without_dots(location)};
  const std::size_t colon = location.find_first_of(":/?");
  if (colon != std::string_view::npos && location[colon] == ':') {
    return parse_absolute_uri(location);
  }
  const std::string_view path = std::string_view(from.target).substr(0, from.target.find('?'));
  if (location.starts_with('?')) {
    return AbsoluteUri{from.server, std::string(path) + std::string(location)};
  }
  const std::string_view folder = path.substr(0, path.rfind('/') + 1);
  return AbsoluteUri{from.server, without_dots(std::string(folder) + std::string(location))};
}

}  // namespace web
