#include "web/cors.h"

#include <algorithm>
#include <string_view>

namespace web {
namespace {

bool is_origin(const std::string& text) {
  const std::size_t scheme = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : 0;
  if (scheme == 0) return text == "*";
  // As browsers send it: lower case, no path.
  const std::string_view rest = std::string_view(text).substr(scheme);
  return !rest.empty() && std::all_of(rest.begin(), rest.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view(".-:[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

mapping::Result<bool> CrossOrigin::check(const std::vector<std::string>& allowed) {
  if (std::all_of(allowed.begin(), allowed.end(), is_origin)) return true;
  return mapping::Fault{mapping::Fault::Kind::invalid_value,
                        "an allowed origin is * or http(s)://host[:port] in lower case"};
}

bool CrossOrigin::allows(const RawRequest& request) const {
  const auto origin = request.header("origin");
  return origin && std::any_of(allowed_.begin(), allowed_.end(), [&](const std::string& each) {
           return each == "*" || each == *origin;
         });
}

bool CrossOrigin::is_preflight(const RawRequest& request) {
  return request.method == "OPTIONS" && request.header("origin") &&
         request.header("access-control-request-method");
}

Headers CrossOrigin::headers(const RawRequest& request) const {
  if (allowed_.empty()) return {};
  Headers headers{{"Vary", "Origin"}};
  if (!allows(request)) return headers;
  const bool any = std::find(allowed_.begin(), allowed_.end(), "*") != allowed_.end();
  headers.emplace_back("Access-Control-Allow-Origin", any ? "*" : *request.header("origin"));
  headers.emplace_back("Access-Control-Expose-Headers",
                       "Allow, Content-Location, Location, Retry-After, Warning, WWW-Authenticate");
  return headers;
}

Headers CrossOrigin::preflight_headers(const std::string& methods) {
  return {{"Access-Control-Allow-Methods", methods},
          {"Access-Control-Allow-Headers",
           "Accept, Accept-Charset, Authorization, Content-Encoding, Content-Type"},
          {"Access-Control-Max-Age", "600"}};
}

}  // namespace web
