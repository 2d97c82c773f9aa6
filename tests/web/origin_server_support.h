// What the tests of the origin server share: one that runs over services in memory.
#pragma once

#include <rapidjson/document.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "tests/web/web_support.h"
#include "web/origin_server.h"

namespace web_test {

inline const std::string sps = "/modality-scheduled-procedure-steps";
inline const std::string mpps = "/modality-performed-procedure-steps";

/// On a free port, with few workers.
inline web::OriginServerOptions on_loopback(web::OriginServerOptions options) {
  options.bind = "127.0.0.1";
  options.port = 0;
  options.workers = std::min<std::size_t>(options.workers, 4);
  return options;
}

/// A running origin server over services in memory.
struct Site {
  explicit Site(web::OriginServerOptions options = {})
      : server(
            on_loopback(std::move(options)),
            [this](const mapping::Caller&) {
              return mapping::Services{offer_worklist ? &worklist : nullptr,
                                       offer_mpps ? &steps : nullptr};
            },
            lines.log()) {
    const auto started = server.start();
    REQUIRE(started.ok());
    port = started.value();
  }
  void add_steps(int count) {
    for (int i = 0; i < count; ++i) worklist.matches.push_back(scheduled_step(i));
  }

  bool offer_worklist = true;
  bool offer_mpps = true;
  MemoryWorklist worklist;
  MemoryMpps steps;
  Lines lines;
  web::OriginServer server;
  std::uint16_t port = 0;
};

/// How many results the body holds, which is a JSON array.
inline std::size_t results(const Response& response) {
  rapidjson::Document document;
  document.Parse(response.body.c_str());
  REQUIRE_FALSE(document.HasParseError());
  REQUIRE(document.IsArray());
  return document.Size();
}

/// The response is a problem report of this status, well made.
inline void check_problem(const Response& response, int expected) {
  CHECK(response.status == expected);
  CHECK(response.header("content-type") == "application/problem+json");
  CHECK(response.header("cache-control") == "no-store");
  rapidjson::Document document;
  document.Parse(response.body.c_str());
  REQUIRE_FALSE(document.HasParseError());
  REQUIRE(document.IsObject());
  CHECK(std::string(document["type"].GetString()) == "about:blank");
  CHECK(document["status"].GetInt() == expected);
  CHECK(document["title"].IsString());
}

}  // namespace web_test
