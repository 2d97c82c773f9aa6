// Rows of docs/spec/mapping.md, 1b to 5b, as cases: what a server does, and what must come of it.
#pragma once

#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/web/user_agent_support.h"

namespace user_agent_test {

using How = Outcome::How;
using mapping::Transaction;

struct Case {
  std::string row{};  ///< the first column
  Script script{};
  std::uint16_t dimse = 0;
  std::string comment{};
  std::string why{};
  How how = How::answered;
  NetworkEvent event = NetworkEvent::none;
  std::optional<std::uint16_t> error_id{};
  std::vector<mapping::Tag> attributes{};
  std::size_t requests = 1;
  std::size_t matches = 0;    ///< Search
  bool keys_honoured = true;  ///< Search: of every match
  std::string log{};          ///< a line of the log holds this
  std::function<void(UserAgentOptions&)> change{};
  bool cancel_on_request = false;
};

inline const std::string no_answer_in_time = "The origin server did not answer in time";
inline const std::string broke = "The connection to the origin server broke";
inline const std::string unreadable = "The answer of the origin server cannot be read";
inline const std::string no_model = "The origin server answered in no DICOM model";
inline const std::string refused_connection = "cannot connect: Connection refused";
inline const std::string no_handshake = "The TLS handshake with the origin server failed";

inline void to_nobody(UserAgentOptions& options) {
  options.base_uri = "http://127.0.0.1:" + std::to_string(web_test::dead_port());
}
/// The script's server speaks no TLS.
inline void by_tls(UserAgentOptions& options) {
  options.base_uri.replace(0, 4, "https");
  options.connect_timeout = 100ms;
}

inline const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n";

inline Outcome carry_out(Transaction transaction, UserAgent& agent, const Context& context,
                         std::vector<Match>& matches) {
  if (transaction == Transaction::create) return agent.create(uid, data_set(in_progress), context);
  if (transaction == Transaction::update) return agent.update(uid, data_set(completed), context);
  if (transaction == Transaction::retrieve) {
    DataSet found = data_set(completed);
    const Outcome outcome = agent.retrieve(
        uid, {tags::PerformedProcedureStepStatus, tags::PerformedProcedureStepID}, found, context);
    // Replaced where it is good, untouched otherwise.
    CHECK((found == data_set(completed)) != outcome.good());
    return outcome;
  }
  mapping::Search asked = by_modality();
  asked.fuzzy_matching = true;
  return agent.search(
      asked,
      [&](Match&& match) {
        matches.push_back(std::move(match));
        return true;
      },
      context);
}

inline void check(Transaction transaction, const Case& expected) {
  CAPTURE(expected.row, expected.why, expected.dimse, expected.comment);
  Trigger trigger(true);
  Script script = expected.script;
  if (expected.cancel_on_request) {
    script.front() = [&](Peer& peer, const Request& request) {
      trigger.fire();
      expected.script.front()(peer, request);
    };
  }
  ScriptedServer server(std::move(script));
  UserAgentOptions options = quick(server.base_uri());
  if (expected.change) expected.change(options);
  web_test::Lines lines;
  auto agent = UserAgent::make(options, lines.log());
  REQUIRE(agent.ok());
  Context context = patient();
  context.cancellation = &trigger;
  std::vector<Match> matches;
  const Outcome outcome = carry_out(transaction, *agent.value(), context, matches);
  CHECK(outcome.status == expected.dimse);
  CHECK(outcome.error_comment == expected.comment);
  CHECK(outcome.how == expected.how);
  CHECK(outcome.event == expected.event);
  CHECK(outcome.error_id == expected.error_id);
  CHECK(outcome.attributes == expected.attributes);
  CHECK(server.requests().size() == expected.requests);
  CHECK(matches.size() == expected.matches);
  for (const Match& match : matches) {
    CHECK(match.optional_keys_supported == expected.keys_honoured);
  }
  if (!expected.log.empty()) CHECK(lines.hold(expected.log));
  CHECK_FALSE(lines.hold("DOE^JANE"));
  CHECK_FALSE(lines.hold(uid.text()));
}

/// The first column of the table in this section of mapping.md.
inline std::set<std::string> rows_of(const std::string& section) {
  std::ifstream file(SOURCE_DIR "/docs/spec/mapping.md");
  std::set<std::string> rows;
  std::string line;
  bool inside = false;
  bool rule_seen = false;
  while (std::getline(file, line)) {
    if (line.starts_with("#")) inside = line.starts_with("### " + section + ".");
    if (!inside) continue;
    rule_seen = rule_seen || line.starts_with("|---");
    if (!rule_seen || !line.starts_with("| ")) continue;
    rows.insert(line.substr(2, line.find(" | ", 2) - 2));
  }
  return rows;
}

}  // namespace user_agent_test
