// What the tests of the connection front share: one with a handler that echoes.
#pragma once

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <string>

#include "tests/web/web_support.h"
#include "web/connection_front.h"
#include "web/dispatcher.h"

namespace connection_front_test {

using namespace std::chrono_literals;
using web::ConnectionFront;
using web::ConnectionFrontOptions;
using web::RawRequest;
using web::RawResponse;
using web::RequestContext;
using web_test::ask;
using web_test::Client;
using web_test::get;
using web_test::post;

inline RawResponse reply(const std::string& body, bool close) {
  return {fmt::format("HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n",
                      close ? "Connection: close\r\n" : "", body.size()),
          body, false};
}

inline RawResponse echo(const RawRequest& request, const RequestContext& context) {
  return reply(request.target + "|" + request.body, context.close);
}

/// Holds requests until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait_for(lock, web_test::patience, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait_for(int number) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, web_test::patience, [&] { return waiting_ >= number; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

class Front {
 public:
  explicit Front(ConnectionFrontOptions options = {}, web::RequestHandler handler = echo)
      : front(options, std::move(handler), web::to_raw_response, lines.log()) {
    const auto started = front.start();
    REQUIRE(started.ok());
    port = started.value();
  }
  web_test::Lines lines;
  ConnectionFront front;
  std::uint16_t port = 0;
};

}  // namespace connection_front_test
