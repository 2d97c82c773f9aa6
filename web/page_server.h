// A small HTTP server of fixed paths over the connection front: for ports that are no origin
// server. Each path is a GET that a function answers, or a POST that a page of its own sends.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/security_alert.h"
#include "web/authentication.h"

namespace web {

struct PageServerOptions {
  std::string bind = "127.0.0.1";        ///< numeric IPv4 or IPv6 address
  std::uint16_t port = 0;                ///< 0 = any free one
  AuthenticationFiles authentication{};  ///< without files everybody is served
  /// Further names by which it is asked, see is_own_host; others get 421.
  std::vector<std::string> host_names{};
  mapping::OnSecurityAlert on_alert{};  ///< told of 401, and of the 403 of actions
};

/// What a path answers.
struct Page {
  int status = 200;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers{};
};

/// By absolute path. Called by several threads at a time; must not block.
using Pages = std::map<std::string, std::function<Page()>>;

/// Something that a person asks for by a page of this server.
struct PageAction {
  std::string_view form;     ///< the body: application/x-www-form-urlencoded
  std::string_view user;     ///< who was recognised; empty where nobody is asked
  std::string_view address;  ///< numeric
};
/// By absolute path. One at a time, so that it may wait for a disk; a second one gets 503.
using PageActions = std::map<std::string, std::function<Page(const PageAction&)>>;

/// start and stop once each, and prepare with its change, from one thread; stop may be left to the
/// destructor. Serves few clients at a time.
class PageServer {
 public:
  /// An action is called where a page of this server, or no browser, sends the token in a header
  /// X-Page-Token; and never where the port is open to others (bind is no loopback address) and
  /// nobody is asked who he is. Whatever else comes gets 403 or 415, and nothing happens.
  PageServer(PageServerOptions options, Pages pages, PageActions actions, mapping::Log log);
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  /// Listens and serves from threads of its own. Returns the port really used. Fault: the address
  /// cannot be bound, a file of credentials not be used.
  mapping::Result<std::uint16_t> start();
  /// Who is served after the change, and by which names it is asked. Fault: a file of credentials
  /// cannot be used.
  mapping::Result<mapping::Change> prepare(const AuthenticationFiles& files,
                                           std::vector<std::string> host_names);
  void stop(std::chrono::milliseconds grace);

  /// What a page of this server sends along with an action. Constant.
  const std::string& token() const;
  /// Whether actions are open to anybody at all.
  bool allows_actions() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
