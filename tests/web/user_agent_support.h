// What the tests of the user agent share: a server that plays a script and an agent that asks it.
#pragma once

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mapping/tags.h"
#include "tests/web/web_support.h"
#include "web/user_agent.h"

namespace user_agent_test {

using namespace std::chrono_literals;
using mapping::Context;
using mapping::DataSet;
using mapping::Match;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Uid;
using web::UserAgent;
using web::UserAgentOptions;
using web_test::data_set;
using web_test::Peer;
using web_test::Request;
using web_test::ScriptedServer;
namespace status = mapping::dimse_status;
namespace tags = mapping::tags;

using Script = std::vector<ScriptedServer::Step>;
using Headers = std::vector<std::pair<std::string, std::string>>;

inline ScriptedServer::Step answer(int http, std::string body = {}, Headers headers = {}) {
  return [=](Peer& peer, const Request&) { peer.answer(http, body, headers); };
}
inline ScriptedServer::Step send_and_close(std::string bytes) {
  return [=](Peer& peer, const Request&) {
    peer.send(bytes);
    peer.close();
  };
}
inline void drop(Peer& peer, const Request&) { peer.close(); }
inline void reset(Peer& peer, const Request&) { peer.reset(); }
inline void say_nothing(Peer& peer, const Request&) { peer.wait_for_end(); }

inline UserAgentOptions quick(std::string base_uri) {
  UserAgentOptions options;
  options.base_uri = std::move(base_uri);
  options.connect_timeout = 2s;
  options.response_timeout = 200ms;
  return options;
}

inline std::unique_ptr<UserAgent> agent_for(UserAgentOptions options) {
  auto made = UserAgent::make(std::move(options), web_test::silent());
  REQUIRE(made.ok());
  return std::move(made).value();
}

inline Context patient() {
  web_test::cross_the_wire();
  Context context;
  context.transaction = "T1";
  context.deadline = std::chrono::steady_clock::now() + web_test::patience;
  return context;
}

/// A server that plays a script and an agent that asks it.
struct Stage {
  explicit Stage(Script script) : server(std::move(script)) { agent = agent_for(options()); }
  Stage(Script script, const std::function<void(UserAgentOptions&)>& change)
      : server(std::move(script)) {
    UserAgentOptions changed = options();
    change(changed);
    agent = agent_for(changed);
  }
  UserAgentOptions options() const { return quick(server.base_uri()); }
  std::vector<std::string> targets() {
    std::vector<std::string> result;
    for (const Request& request : server.requests()) {
      result.push_back(request.method + " " + request.target);
    }
    return result;
  }

  ScriptedServer server;
  std::unique_ptr<UserAgent> agent;
};

struct Found {
  Outcome outcome;
  std::vector<Match> matches;
};

inline Found search(UserAgent& agent, const mapping::Search& asked = {},
                    const Context& context = patient()) {
  Found found;
  found.outcome = agent.search(
      asked,
      [&](Match&& match) {
        found.matches.push_back(std::move(match));
        return true;
      },
      context);
  return found;
}

inline std::string list(int first, int count) {
  std::string text = "[";
  for (int i = first; i < first + count; ++i) {
    text += (i == first ? "" : ",") + web_test::json(web_test::scheduled_step(i));
  }
  return text + "]";
}

inline Headers remaining(int number) {
  return {{"Warning",
           fmt::format("299 http://ris.example/ris: There are {} additional results that can be "
                       "requested",
                       number)}};
}

/// The value of the request's Authorization header; "-" without one.
inline std::string authorization(const Request& request) {
  const std::string name = "Authorization: ";
  const std::size_t at = request.head.find(name);
  if (at == std::string::npos) return "-";
  const std::size_t end = request.head.find("\r\n", at);
  return request.head.substr(at + name.size(), end - at - name.size());
}

inline std::vector<std::string> authorizations(ScriptedServer& server) {
  std::vector<std::string> values;
  for (const Request& request : server.requests()) values.push_back(authorization(request));
  return values;
}

inline const Uid uid = *Uid::parse("1.2.3.77");
inline const std::string target = "/ris/modality-performed-procedure-steps/1.2.3.77";
inline const std::string in_progress =
    R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS1"]}})";
inline const std::string completed =
    R"({"00400250":{"vr":"DA","Value":["20250102"]},"00400251":{"vr":"TM","Value":["101010"]},)"
    R"("00400252":{"vr":"CS","Value":["COMPLETED"]}})";

inline mapping::Search by_modality() {
  mapping::Search search;
  search.identifier = data_set(
      R"({"00100010":{"vr":"PN"},"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["CT"]}}]}})");
  return search;
}

/// Fires when told to.
class Trigger : public mapping::Cancellation {
 public:
  explicit Trigger(bool with_descriptor)
      : event_(with_descriptor ? ::eventfd(0, EFD_NONBLOCK) : -1) {}
  ~Trigger() override {
    if (event_ >= 0) ::close(event_);
  }
  void fire() {
    fired_ = true;
    const std::uint64_t one = 1;
    if (event_ >= 0 && ::write(event_, &one, sizeof one) < 0) ::perror("eventfd");
  }
  bool requested() override { return fired_; }
  int descriptor() const override { return event_; }

 private:
  const int event_;
  std::atomic<bool> fired_ = false;
};

}  // namespace user_agent_test
