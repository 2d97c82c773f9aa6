// Every row of docs/spec/mapping.md 1b, 2b, 3b, 4b and 5b against an HTTP server: what a DIMSE peer
// is told, and how that came about. The rows are cases of the tables below under the words of
// their first column; a row without a case fails, and so does a case without a row.
#include <fstream>
#include <map>
#include <set>

#include "mapping/status.h"
#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

namespace {

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

/// "HTTP 404 Not Found"
std::string http(int code) { return fmt::format("HTTP {} {}", code, mapping::reason_phrase(code)); }

ScriptedServer::Step warned(int code, const std::string& body, const std::string& text) {
  return answer(code, body, {{"Warning", "299 http://ris.example/ris: " + text}});
}
ScriptedServer::Step moved(int code, const std::string& location) {
  return answer(code, "", {{"Location", location}});
}
ScriptedServer::Step problem(int code, const std::string& members) {
  return answer(code, "{" + members + "}", {{"Content-Type", "application/problem+json"}});
}

const std::string no_answer_in_time = "The origin server did not answer in time";
const std::string broke = "The connection to the origin server broke";
const std::string unreadable = "The answer of the origin server cannot be read";
const std::string no_model = "The origin server answered in no DICOM model";
const std::string cannot_be_reached = "The origin server cannot be reached";
const std::string final_comment = "Performed Procedure Step Object may no longer be updated";

/// Every step of the script is asked for.
Case told(const std::string& row, Script script, std::uint16_t dimse, const std::string& comment,
          Case rest = {}) {
  rest.row = row;
  rest.requests = script.size();
  rest.script = std::move(script);
  rest.dimse = dimse;
  rest.comment = comment;
  return rest;
}
Case passes(const std::string& row, Script script, Case rest = {}) {
  return told(row, std::move(script), 0, "", std::move(rest));
}
/// The request was sent, and what came is none, or not readable.
Case no_answer(const std::string& row, Script script, std::uint16_t dimse,
               const std::string& comment, NetworkEvent event, Case rest = {}) {
  rest.how = How::unknown;
  rest.event = event;
  return told(row, std::move(script), dimse, comment, std::move(rest));
}
Case never_sent(const std::string& row, NetworkEvent event,
                const std::function<void(UserAgentOptions&)>& change) {
  return told(row, {}, 0x0213, cannot_be_reached,
              {.how = How::unreachable, .event = event, .change = change});
}
/// One case for each code.
std::vector<Case> each(const std::string& row, const std::vector<int>& codes, std::uint16_t dimse) {
  std::vector<Case> cases;
  for (const int code : codes) cases.push_back(told(row, {answer(code)}, dimse, http(code)));
  return cases;
}
std::vector<Case> joined(std::initializer_list<std::vector<Case>> parts) {
  std::vector<Case> cases;
  for (const auto& part : parts) cases.insert(cases.end(), part.begin(), part.end());
  return cases;
}

void to_nobody(UserAgentOptions& options) {
  options.base_uri = "http://127.0.0.1:" + std::to_string(web_test::dead_port());
}
/// The script's server speaks no TLS.
void by_tls(UserAgentOptions& options) {
  options.base_uri.replace(0, 4, "https");
  options.connect_timeout = 100ms;
}

const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n";
const std::string other_id =
    R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS2"]}})";
const std::string other_end =
    R"({"00400250":{"vr":"DA","Value":["20250102"]},"00400251":{"vr":"TM","Value":["111111"]},)"
    R"("00400252":{"vr":"CS","Value":["COMPLETED"]}})";

// --- 1b -----------------------------------------------------------------------------------------

std::vector<Case> search_cases() {
  const std::string two_items = web_test::json(data_set(
      R"({"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["A"]}},
                                         {"00400009":{"vr":"SH","Value":["B"]}}]}})"));
  const std::string keys = "200 + Warning (optional key / fuzzy unsupported)";
  const std::string pages = R"(200 + Warning "remaining")";
  const std::string nothing = "200 `[]`, 200 empty body, 204";
  const std::string redirected = "301, 302, 303, 307, 308";
  const std::string negotiated = "406, 415";
  const std::string large = "413";
  const std::string junk = "2xx but wrong type / JSON or XML invalid / truncated body";
  const auto small_pages = [](UserAgentOptions& options) { options.page_size = 2; };
  const auto from_2 = answer(200, list(2, 2), remaining(1));
  return joined(
      {{passes("200, n items (n>=1)", {answer(200, list(0, 1))}, {.matches = 1}),
        passes("200, n items (n>=1)", {answer(200, list(0, 7))}, {.matches = 7}),
        passes("200, n items (n>=1)", {answer(200, "[" + two_items + "]")},
               {.why = "two steps in one result, which the DIMSE front splits (F9)", .matches = 1}),
        passes(keys, {warned(200, list(0, 2), "One or more optional keys were not supported.")},
               {.matches = 2, .keys_honoured = false}),
        passes(keys,
               {warned(200, list(0, 1),
                       "The fuzzymatching parameter is not supported. Only literal matching "
                       "has been performed.")},
               {.matches = 1, .keys_honoured = false}),
        passes(pages, {answer(200, list(0, 2), remaining(3)), from_2, answer(200, list(4, 1))},
               {.matches = 5, .change = small_pages}),
        passes(nothing, {answer(200, "[]")}), passes(nothing, {answer(200, "")}),
        passes(nothing, {answer(204)}),
        passes("203, 206", {answer(203, list(0, 3))}, {.matches = 3}),
        told("203, 206", {answer(206, list(0, 3))}, 0xC005, http(206)),
        passes(redirected,
               {moved(301, "/a"), moved(302, "/b"), moved(303, "/c"), answer(200, list(0, 1))},
               {.matches = 1}),
        passes(redirected, {moved(307, "/a"), moved(308, "/b"), answer(204)}),
        told(redirected, {moved(307, "/a"), moved(307, "/a"), moved(307, "/a"), moved(307, "/a")},
             0xC007, http(307)),
        told(redirected, {moved(302, "http://other.example/a")}, 0xC007, http(302))},
       each("304", {304}, 0xC003),
       each("400, 414", {400}, 0xA900),
       {passes("400, 414", {answer(414), answer(204)}),
        told("400, 414", {answer(414), answer(414)}, 0xA900, http(414))},
       each("401, 403", {401, 403}, 0xC006),
       each("404, 405, 410, 501", {404, 405, 410, 501}, 0x0122),
       {passes(negotiated, {answer(406), answer(200, list(0, 1))}, {.matches = 1}),
        passes(negotiated, {answer(415), answer(200, list(0, 1))}, {.matches = 1}),
        told(negotiated, {answer(406), answer(406)}, 0xC001, http(406)),
        told(negotiated, {answer(415), answer(415)}, 0xC001, http(415))},
       each("408, 425, 429, 503", {408, 425, 429, 503}, 0xA700),
       {passes(large, {answer(413), answer(200, list(0, 2))},
               {.why = "a smaller page", .matches = 2}),
        told(large, {answer(413), answer(413)}, 0xA700, http(413), {.change = small_pages})},
       each("500, 502, 504, 505, other 5xx", {500, 502, 504, 505, 507, 599}, 0xC002),
       each("other 4xx", {402, 409, 411, 418, 422, 451, 499}, 0xC001),
       {no_answer(junk, {answer(200, "<html/>", {{"Content-Type", "text/html"}})}, 0xC003, no_model,
                  NetworkEvent::unreadable_answer),
        no_answer(junk, {answer(200, "[{")}, 0xC003, unreadable, NetworkEvent::unreadable_answer),
        no_answer(junk,
                  {answer(200, "<NativeDicomModel>", {{"Content-Type", "application/dicom+xml"}})},
                  0xC003, unreadable, NetworkEvent::unreadable_answer),
        no_answer(junk, {send_and_close(head + "Content-Length: 5000\r\n\r\n[]")}, 0xC003, broke,
                  NetworkEvent::connection_lost),
        no_answer(junk, {answer(200, list(0, 2), remaining(1)), answer(200, "[{")}, 0xC005,
                  unreadable, NetworkEvent::unreadable_answer,
                  {.why = "matches were handed on already", .matches = 2}),
        told("C-CANCEL received", {say_nothing}, 0xFE00, "", {.cancel_on_request = true})}});
}

// --- 2b -----------------------------------------------------------------------------------------

std::vector<Case> create_cases() {
  const std::string modified = R"(2xx + Warning "...modifications")";
  const std::string content = "400";
  const std::string corrected = "411, 406, 415, 414";
  const std::string settled = "sent, no answer (timeout, reset)";
  const std::string repeated = "409 after our own resend";
  return joined(
      {{passes("201, 200, 204", {answer(201)}), passes("201, 200, 204", {answer(200)}),
        passes("201, 200, 204", {answer(204)}),
        passes("202", {answer(202)}, {.log = "create at 127.0.0.1: answered 202"}),
        told(modified,
             {warned(201, "",
                     "The Modality Performed Procedure Step was created with "
                     "modifications.")},
             0x0116, ""),
        told(R"(2xx + Warning "optional Attributes are not supported")",
             {warned(201, "", "Requested optional Attributes are not supported.")}, 0x0107, ""),
        passes("2xx + other Warning", {warned(201, "", "DOE^JANE was registered.")},
               {.log = "create at 127.0.0.1: a Warning says something not in PS3.18"})},
       each(content, {400}, 0x0106),
       {told(content, {problem(400, R"("dimseStatus":"0120","attributes":["00400252"])")}, 0x0120,
             http(400), {.attributes = {tags::PerformedProcedureStepStatus}}),
        told(content,
             {problem(400, R"("dimseStatus":"0121","errorComment":"Modality is empty",)"
                           R"("attributes":["00080060"])")},
             0x0121, "Modality is empty", {.attributes = {tags::Modality}})},
       each("401, 403", {401, 403}, 0x0124),
       each("404", {404}, 0x0110),
       each("405", {405}, 0x0211),
       each("409", {409}, 0x0111),
       each("410", {410}, 0x0111),
       each(corrected, {411, 414}, 0x0110),
       {passes(corrected, {answer(415), answer(201)}),
        passes(corrected, {answer(406), answer(201)}),
        told(corrected, {answer(415), answer(415)}, 0x0110, http(415)),
        told(corrected, {answer(406), answer(406)}, 0x0110, http(406))},
       each("413, 429, 503", {413, 429, 503}, 0x0213),
       each("501", {501}, 0x0118),
       each("500, 502, 504, other", {500, 502, 504, 402, 422, 505, 599}, 0x0110),
       {passes("3xx", {moved(307, "/a"), moved(308, "/b"), answer(201)})},
       each("3xx", {300, 301, 302, 303, 304}, 0x0110),
       {never_sent("request never sent (DNS, connect, TLS)", NetworkEvent::connect_failed,
                   to_nobody),
        never_sent(
            "request never sent (DNS, connect, TLS)", NetworkEvent::connect_failed,
            [](UserAgentOptions& options) { options.base_uri = "http://no-such-host.invalid"; }),
        never_sent("request never sent (DNS, connect, TLS)", NetworkEvent::tls_failed, by_tls),
        passes(settled, {drop, answer(200, in_progress)}),
        passes(settled, {reset, answer(200, in_progress)}),
        passes(settled, {say_nothing, answer(200, in_progress)}),
        passes(settled, {drop, answer(404), answer(201)}),
        no_answer(settled, {drop, answer(200, other_id)}, 0x0110, broke,
                  NetworkEvent::connection_lost),
        no_answer(settled, {say_nothing, answer(503)}, 0x0110, no_answer_in_time,
                  NetworkEvent::response_timeout),
        no_answer(settled, {drop, answer(404), drop}, 0x0110, broke, NetworkEvent::connection_lost,
                  {.why = "once, not twice"}),
        passes(repeated, {drop, answer(404), answer(409), answer(200, in_progress)}),
        told(repeated, {drop, answer(404), answer(409), answer(200, other_id)}, 0x0111,
             http(409))}});
}

// --- 3b -----------------------------------------------------------------------------------------

std::vector<Case> update_cases() {
  const std::string success = "200, 201, 204, 202";
  const std::string conflict = "409";
  const std::string corrected = "406, 411, 414, 415";
  const std::string settled = "sent, no answer";
  const std::string repeated = "409 after our own resend of a final N-SET";
  const auto both_uris = [](UserAgentOptions& options) {
    options.update_uri = web::UpdateUri::query_then_path;
  };
  return joined(
      {{passes(success, {answer(200)}),
        passes(success, {answer(201)},
               {.why = "note below the table", .log = "update at 127.0.0.1: answered 201 Created"}),
        passes(success, {answer(204)}),
        passes(success, {answer(202)}, {.log = "update at 127.0.0.1: answered 202"}),
        told(success,
             {warned(200, "",
                     "The Modality Performed Procedure Step was updated with "
                     "modifications.")},
             0x0116, ""),
        told(success, {warned(200, "", "Requested optional Attributes are not supported.")}, 0x0107,
             ""),
        passes(success, {warned(200, "", "Fine weather today.")},
               {.log = "update at 127.0.0.1: a Warning says something not in PS3.18"})},
       each("400", {400}, 0x0106),
       {told("400", {problem(400, R"("dimseStatus":"0105","attributes":["00400252"])")}, 0x0105,
             http(400), {.attributes = {tags::PerformedProcedureStepStatus}}),
        told("400", {problem(400, R"("dimseStatus":"0121","attributes":["00400252"])")}, 0x0121,
             http(400), {.attributes = {tags::PerformedProcedureStepStatus}})},
       each("401, 403", {401, 403}, 0x0124),
       each("404", {404}, 0x0112),
       each("405", {405}, 0x0211),
       {passes("405", {answer(405), answer(200)},
               {.why = "/update is tried where that is configured", .change = both_uris}),
        told("405", {answer(405), answer(404)}, 0x0211, http(405), {.change = both_uris}),
        passes("404", {answer(404), answer(200)}, {.change = both_uris}),
        told("404", {answer(404), answer(405)}, 0x0112, http(404), {.change = both_uris}),
        told(conflict, {answer(409), answer(200, completed)}, 0x0110, final_comment,
             {.why = "a Retrieve shows that it is final", .error_id = 0xA710}),
        told(conflict, {problem(409, R"("dimseStatus":"0110","errorId":"A710")")}, 0x0110,
             final_comment, {.why = "the problem report says so", .error_id = 0xA710}),
        told(conflict, {problem(409, R"("errorComment":"The object may no longer be updated")")},
             0x0110, final_comment, {.error_id = 0xA710}),
        told(conflict, {answer(409), answer(200, in_progress)}, 0x0110, http(409)),
        told(conflict, {answer(409), answer(501)}, 0x0110, http(409))},
       each("410", {410}, 0x0112),
       each(corrected, {411, 414}, 0x0110),
       {passes(corrected, {answer(415), answer(200)}),
        passes(corrected, {answer(406), answer(200)}),
        told(corrected, {answer(415), answer(415)}, 0x0110, http(415)),
        told(corrected, {answer(406), answer(406)}, 0x0110, http(406))},
       each("413, 429, 503", {413, 429, 503}, 0x0213),
       each("501", {501}, 0x0118),
       each("500, 502, 504, others", {500, 502, 504, 402, 422, 505, 599, 302}, 0x0110),
       {never_sent("never sent", NetworkEvent::connect_failed, to_nobody),
        passes(settled, {drop, answer(200, completed)}),
        passes(settled, {say_nothing, answer(200, completed)}),
        passes(settled, {drop, answer(200, in_progress), answer(200)}),
        no_answer(settled, {drop, answer(200, in_progress), drop}, 0x0110, broke,
                  NetworkEvent::connection_lost),
        passes(repeated, {drop, answer(200, in_progress), answer(409), answer(200, completed)}),
        told(repeated, {drop, answer(200, in_progress), answer(409), answer(200, other_end)},
             0x0110, final_comment, {.error_id = 0xA710})}});
}

// --- 4b -----------------------------------------------------------------------------------------

/// PerformedProcedureStepStatus and PerformedProcedureStepID are asked for.
std::vector<Case> retrieve_cases() {
  const std::string no_id = R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})";
  const std::string unsupported = "Requested optional Attributes are not supported.";
  const std::string nothing = "204 or empty array";
  const std::string negotiated = "406, 415";
  const std::string failed = "500, 502, 504, others, malformed body";
  const std::string network = "connect failure/timeout";
  return joined(
      {{passes("200 + object", {answer(200, in_progress)}),
        passes("200 + object", {answer(200, "[" + in_progress + "]")}),
        told("200, some requested optional tags absent", {answer(200, no_id)}, 0x0001, ""),
        told("200 + Warning unsupported attributes", {warned(200, no_id, unsupported)}, 0x0107, "",
             {.why = "which they are is seen", .attributes = {tags::PerformedProcedureStepID}}),
        told("200 + Warning unsupported attributes", {warned(200, in_progress, unsupported)},
             0x0001, "", {.why = "which they are is not seen"}),
        told(nothing, {answer(204)}, 0x0112, http(204)),
        told(nothing, {answer(200, "[]")}, 0x0112, ""),
        told(nothing, {answer(200, "")}, 0x0112, "")},
       each("400", {400}, 0x0110),
       each("401, 403", {401, 403}, 0x0124),
       each("404, 410", {404, 410}, 0x0112),
       each("405, 501", {405, 501}, 0x0211),
       {passes(negotiated, {answer(406), answer(200, in_progress)}),
        passes(negotiated, {answer(415), answer(200, in_progress)}),
        told(negotiated, {answer(406), answer(406)}, 0x0110, http(406)),
        told(negotiated, {answer(415), answer(415)}, 0x0110, http(415))},
       each("413, 429, 503", {413, 429, 503}, 0x0213),
       each(failed, {500, 502, 504, 402, 409, 422, 505, 599}, 0x0110),
       {no_answer(failed, {answer(200, "[{")}, 0x0110, unreadable, NetworkEvent::unreadable_answer),
        no_answer(failed, {answer(200, "[" + in_progress + "," + in_progress + "]")}, 0x0110,
                  unreadable, NetworkEvent::unreadable_answer),
        never_sent(network, NetworkEvent::connect_failed, to_nobody),
        passes(network, {say_nothing, answer(200, in_progress)}, {.why = "read-only: once more"}),
        no_answer(network, {say_nothing, say_nothing}, 0x0110, no_answer_in_time,
                  NetworkEvent::response_timeout)}});
}

// --- What is done with a case -------------------------------------------------------------------

Outcome carry_out(Transaction transaction, UserAgent& agent, const Context& context,
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

void check(Transaction transaction, const Case& expected) {
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
std::set<std::string> rows_of(const std::string& section) {
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

void check_table(const std::string& section, Transaction transaction,
                 const std::vector<Case>& cases) {
  std::set<std::string> rows;
  for (const Case& each_case : cases) {
    rows.insert(each_case.row);
    check(transaction, each_case);
  }
  CHECK(rows == rows_of(section));
}

}  // namespace

TEST_CASE("1b: every row of Search, HTTP to C-FIND") {
  check_table("1b", Transaction::search, search_cases());
}
TEST_CASE("2b: every row of Create, HTTP to N-CREATE") {
  check_table("2b", Transaction::create, create_cases());
}
TEST_CASE("3b: every row of Update, HTTP to N-SET") {
  check_table("3b", Transaction::update, update_cases());
}
TEST_CASE("4b: every row of Retrieve, HTTP to N-GET") {
  check_table("4b", Transaction::retrieve, retrieve_cases());
}

TEST_CASE("5b: every row of what happens on the network; the DIMSE front's own are shown there") {
  const std::string down = "upstream known to be down at association time";
  const std::string connect = "HTTP connect failure, TLS failure";
  const std::string silent = "HTTP timeout before any byte";
  const std::string cut = "body shorter than Content-Length, chunk error";
  const std::string type = "unsupported Content-Type in 2xx";
  const std::string gone = "SCU aborts / disconnects";
  std::set<std::string> rows;
  const auto shown = [&](const std::string& row, Transaction transaction, Case expected) {
    rows.insert(row);
    expected.row = row;
    check(transaction, expected);
  };
  for (const Transaction transaction :
       {Transaction::search, Transaction::create, Transaction::update, Transaction::retrieve}) {
    const std::uint16_t busy = transaction == Transaction::search ? 0xA700 : 0x0213;
    for (const std::string& row : {down, connect}) {
      shown(row, transaction,
            {.dimse = busy,
             .comment = cannot_be_reached,
             .how = How::unreachable,
             .event = NetworkEvent::connect_failed,
             .requests = 0,
             .change = to_nobody});
    }
    shown(connect, transaction,
          {.dimse = busy,
           .comment = cannot_be_reached,
           .how = How::unreachable,
           .event = NetworkEvent::tls_failed,
           .requests = 0,
           .change = by_tls});
    const bool post = transaction == Transaction::create || transaction == Transaction::update;
    // A POST is settled by a Retrieve, which is tried twice, as every Retrieve is.
    shown(
        silent, transaction,
        {.script = {say_nothing, say_nothing, say_nothing},
         .dimse = static_cast<std::uint16_t>(transaction == Transaction::search ? 0xA700 : 0x0110),
         .comment = no_answer_in_time,
         .how = How::unknown,
         .event = NetworkEvent::response_timeout,
         .requests = post                                   ? 3u
                     : transaction == Transaction::retrieve ? 2u
                                                            : 1u});
    if (post) {
      const auto html = answer(200, "<html/>", {{"Content-Type", "text/html"}});
      shown(type, transaction, {.script = {html}, .why = "the body is ignored"});
      shown(gone, transaction,
            {.script = {answer(200)}, .why = "it is finished", .cancel_on_request = true});
      continue;
    }
    for (const std::string body :
         {"Content-Length: 5000\r\n\r\n[]", "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
          "Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n"}) {
      CAPTURE(body);
      rows.insert(cut);
      ScriptedServer server({send_and_close(head + body)});
      const auto agent = agent_for(quick(server.base_uri()));
      std::vector<Match> matches;
      const Outcome outcome = carry_out(transaction, *agent, patient(), matches);
      CHECK(outcome.status == (transaction == Transaction::search ? 0xC003 : 0x0110));
      CHECK(outcome.how == How::unknown);
      CHECK(matches.empty());
      CHECK(server.requests().size() == 1);
    }
    shown(
        type, transaction,
        {.script = {answer(200, "<html/>", {{"Content-Type", "text/html"}})},
         .dimse = static_cast<std::uint16_t>(transaction == Transaction::search ? 0xC003 : 0x0110),
         .comment = no_model,
         .how = How::unknown,
         .event = NetworkEvent::unreadable_answer});
    shown(gone, transaction, {.script = {say_nothing}, .dimse = 0xFE00, .cancel_on_request = true});
  }
  shown(cut, Transaction::search,
        {.script = {answer(200, list(0, 1), remaining(1)),
                    send_and_close(head + "Content-Length: 5000\r\n\r\n[]")},
         .dimse = 0xC005,
         .comment = broke,
         .why = "a match was handed on already",
         .how = How::unknown,
         .event = NetworkEvent::connection_lost,
         .requests = 2,
         .matches = 1});

  // What happens before a service is called.
  const std::string hostile = "tests/dimse/scp_hostile_test.cpp";
  const std::string faults = "Requests with faults get the status that names them";
  struct Elsewhere {
    std::string row, file, test;
  };
  for (const Elsewhere& one : {
           Elsewhere{"unknown called AE / calling AE", hostile,
                     "Association requests are rejected with result, source and reason"},
           Elsewhere{"too many associations", "tests/dimse/scp_limits_test.cpp",
                     "the 201st is refused until they leave"},
           Elsewhere{"operation not for this class on the context (e.g. N-GET on 3.3)", hostile,
                     "Commands that are unknown or not of the context's class answer 0211"},
           Elsewhere{"unknown SOP class in command although context differs", hostile, faults},
           Elsewhere{"data set undecodable in request", hostile, faults},
           Elsewhere{"(0008,0005) unsupported", hostile, faults},
           Elsewhere{"second request while one runs and async window is 1", hostile,
                     "A second request while one runs waits its turn"},
       }) {
    CAPTURE(one.row);
    rows.insert(one.row);
    std::ifstream file(SOURCE_DIR "/" + one.file);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    CHECK(text.find(one.test) != std::string::npos);
  }
  CHECK(rows == rows_of("5b"));
}
