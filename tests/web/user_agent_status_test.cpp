// Every row of docs/spec/mapping.md 1b, 2b, 3b and 4b against an HTTP server: what a DIMSE peer
// is told, and how that came about. The rows are cases of the tables below under the words of
// their first column; a row without a case fails, and so does a case without a row.
#include <map>

#include "mapping/status.h"
#include "tests/web/user_agent_cases.h"

using namespace user_agent_test;

namespace {

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
Case never_sent(const std::string& row, const std::string& comment, NetworkEvent event,
                const std::function<void(UserAgentOptions&)>& change) {
  return told(row, {}, 0x0213, comment,
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
       {never_sent("request never sent (DNS, connect, TLS)", refused_connection,
                   NetworkEvent::connect_failed, to_nobody),
        never_sent(
            "request never sent (DNS, connect, TLS)", "unknown host: Name or service not known",
            NetworkEvent::connect_failed,
            [](UserAgentOptions& options) { options.base_uri = "http://no-such-host.invalid"; }),
        never_sent("request never sent (DNS, connect, TLS)", no_handshake, NetworkEvent::tls_failed,
                   by_tls),
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
       {never_sent("never sent", refused_connection, NetworkEvent::connect_failed, to_nobody),
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
        never_sent(network, refused_connection, NetworkEvent::connect_failed, to_nobody),
        passes(network, {say_nothing, answer(200, in_progress)}, {.why = "read-only: once more"}),
        no_answer(network, {say_nothing, say_nothing}, 0x0110, no_answer_in_time,
                  NetworkEvent::response_timeout)}});
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
