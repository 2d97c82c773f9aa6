// A small HTTP server of fixed paths over the connection front: for ports that are no origin
// server. Each path is a GET that a function answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "web/authentication.h"

namespace web {

struct PageServerOptions {
  std::string bind = "127.0.0.1";      ///< numeric IPv4 or IPv6 address
  std::uint16_t port = 0;              ///< 0 = any free one
  AuthenticationFiles authentication;  ///< without files everybody is served
};

/// What a path answers.
struct Page {
  int status = 200;
  std::string content_type;
  std::string body;
};

/// By absolute path. Called by several threads at a time; must not block.
using Pages = std::map<std::string, std::function<Page()>>;

/// start and stop once each, and prepare with its change, from one thread; stop may be left to the
/// destructor. Serves few clients at a time, and requests without a body.
class PageServer {
 public:
  PageServer(PageServerOptions options, Pages pages, mapping::Log log);
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  /// Listens and serves from threads of its own. Returns the port really used. Fault: the address
  /// cannot be bound, a file of credentials not be used.
  mapping::Result<std::uint16_t> start();
  /// Who is served after the change. Fault: a file of credentials cannot be used.
  mapping::Result<mapping::Change> prepare(const AuthenticationFiles& files);
  void stop(std::chrono::milliseconds grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
