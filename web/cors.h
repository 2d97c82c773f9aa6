// Which pages of other origins may use this server from a browser. Fetch standard, 3.2 (CORS).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mapping/result.h"
#include "web/request_reader.h"

namespace web {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// Constant after construction; safe from any thread.
class CrossOrigin {
 public:
  /// allowed: origins such as https://app.example:8443, or "*" for any; empty = none.
  explicit CrossOrigin(std::vector<std::string> allowed) : allowed_(std::move(allowed)) {}

  /// Fault: an entry that is neither.
  static mapping::Result<bool> check(const std::vector<std::string>& allowed);

  /// What every answer to this request says; empty where no origin is allowed.
  Headers headers(const RawRequest& request) const;
  /// What is added to them in the answer to a preflight.
  static Headers preflight_headers(const std::string& methods);
  /// A browser asks before it sends the request itself; not to be answered as OPTIONS. rule C3
  static bool is_preflight(const RawRequest& request);
  bool allows(const RawRequest& request) const;

 private:
  const std::vector<std::string> allowed_;
};

}  // namespace web
