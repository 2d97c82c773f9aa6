// The user agent against an HTTP server that may lie, and against our own origin server.
// Section numbers are those of spec/mapping.md.
#include "web/user_agent.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>

#include "mapping/tags.h"
#include "mapping/xml.h"
#include "tests/web/web_support.h"
#include "web/origin_server.h"

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

namespace {

using Script = std::vector<ScriptedServer::Step>;
using Headers = std::vector<std::pair<std::string, std::string>>;

ScriptedServer::Step answer(int http, std::string body = {}, Headers headers = {}) {
  return [=](Peer& peer, const Request&) { peer.answer(http, body, headers); };
}
ScriptedServer::Step send_and_close(std::string bytes) {
  return [=](Peer& peer, const Request&) {
    peer.send(bytes);
    peer.close();
  };
}
void drop(Peer& peer, const Request&) { peer.close(); }
void reset(Peer& peer, const Request&) { peer.reset(); }
void say_nothing(Peer& peer, const Request&) { peer.wait_for_end(); }

UserAgentOptions quick(std::string base_uri) {
  UserAgentOptions options;
  options.base_uri = std::move(base_uri);
  options.connect_timeout = 2s;
  options.response_timeout = 200ms;
  return options;
}

std::unique_ptr<UserAgent> agent_for(UserAgentOptions options) {
  auto made = UserAgent::make(std::move(options), web_test::silent());
  REQUIRE(made.ok());
  return std::move(made).value();
}

Context patient() {
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

Found search(UserAgent& agent, const mapping::Search& asked = {},
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

std::string list(int first, int count) {
  std::string text = "[";
  for (int i = first; i < first + count; ++i) {
    text += (i == first ? "" : ",") + web_test::json(web_test::scheduled_step(i));
  }
  return text + "]";
}

Headers remaining(int number) {
  return {{"Warning",
           fmt::format("299 http://ris.example/ris: There are {} additional results that can be "
                       "requested",
                       number)}};
}

const Uid uid = *Uid::parse("1.2.3.77");
const std::string target = "/ris/modality-performed-procedure-steps/1.2.3.77";
const std::string in_progress =
    R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS1"]}})";
const std::string completed =
    R"({"00400250":{"vr":"DA","Value":["20250102"]},"00400251":{"vr":"TM","Value":["101010"]},)"
    R"("00400252":{"vr":"CS","Value":["COMPLETED"]}})";

mapping::Search by_modality() {
  mapping::Search search;
  search.identifier = data_set(
      R"({"00100010":{"vr":"PN"},"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["CT"]}}]}})");
  return search;
}

}  // namespace

// --- Search, 1b ---------------------------------------------------------------------------------

TEST_CASE("Search asks for one page in DICOM JSON and hands on what comes") {
  Stage stage({answer(200, list(0, 2))});
  const Found found = search(*stage.agent, by_modality());
  CHECK(found.outcome.status == status::success);
  REQUIRE(found.matches.size() == 2);
  CHECK(found.matches[1].data_set == web_test::scheduled_step(1));
  CHECK(found.matches[1].optional_keys_supported);
  REQUIRE(stage.server.requests().size() == 1);
  const Request request = stage.server.requests()[0];
  CHECK(request.target.starts_with("/ris/modality-scheduled-procedure-steps?"));
  CHECK(request.target.find("00400100.00080060=CT") != std::string::npos);
  CHECK(request.target.find("includefield=") != std::string::npos);
  CHECK(request.target.find("limit=1000") != std::string::npos);
  CHECK(request.head.find("Accept: application/dicom+json\r\n") != std::string::npos);
  CHECK(request.head.find("Host: 127.0.0.1:") != std::string::npos);
}

TEST_CASE("All forms of no match are no match (rule J4)") {
  for (const auto& step :
       Script{answer(204), answer(200, "[]"), answer(200, ""), answer(200, " \r\n"),
              send_and_close("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
              send_and_close("HTTP/1.0 200 OK\r\n\r\n")}) {
    Stage stage({step});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::success);
    CHECK(found.outcome.how == Outcome::How::answered);
    CHECK(found.matches.empty());
  }
}

TEST_CASE("An HTTP status of a Search is the DIMSE status that 1b gives") {
  struct Row {
    int http;
    std::uint16_t dimse;
  };
  for (const Row& row :
       {Row{400, 0xA900}, Row{401, 0xC006}, Row{403, 0xC006}, Row{404, 0x0122}, Row{405, 0x0122},
        Row{410, 0x0122}, Row{501, 0x0122}, Row{304, 0xC003}, Row{408, 0xA700}, Row{425, 0xA700},
        Row{429, 0xA700}, Row{503, 0xA700}, Row{409, 0xC001}, Row{415, 0xC001}, Row{418, 0xC001},
        Row{500, 0xC002}, Row{502, 0xC002}, Row{504, 0xC002}, Row{599, 0xC002}, Row{206, 0xC005},
        Row{300, 0xC007}}) {
    CAPTURE(row.http);
    // 415, like 406, is met by one more try with a wider Accept header.
    const auto step = answer(row.http, row.http == 206 ? list(0, 1) : "");
    Stage stage({step, row.http == 415 ? step : answer(204)});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == row.dimse);
    CHECK(found.outcome.error_comment.find(std::to_string(row.http)) != std::string::npos);
    CHECK(found.matches.empty());
  }
}

TEST_CASE("A 2xx that cannot be read is never an empty worklist, but C003") {
  struct Row {
    ScriptedServer::Step step;
    std::string why;
  };
  for (const Row& row : std::vector<Row>{
           {answer(200, "<html/>", {{"Content-Type", "text/html"}}), "another type"},
           {answer(200, list(0, 1), {{"Content-Type", "text/plain"}}), "JSON called text"},
           {answer(200, "<html/>", {{"Content-Type", ""}}), "no type and no JSON"},
           {answer(200, "[{]"), "no JSON"},
           {answer(200, "17"), "a number"},
           {answer(200, "null"), "null"},
           {answer(200, R"([{"00100010":7}])"), "no DICOM JSON"},
           {answer(200, "[]", remaining(5)), "an empty page of a longer list"},
           {send_and_close("HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
                           "Content-Length: 5000\r\n\r\n[]"),
            "shorter than it says"},
           {send_and_close("HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"),
            "chunks without an end"},
           {send_and_close("HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
                           "Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n"),
            "chunks that are none"},
           {send_and_close("HTTP/1.0 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n[{"),
            "an end without an end"},
           {send_and_close("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "no HTTP"},
           {send_and_close("HTTP/1.1 200 OK\r\nContent-Le"), "half a head"},
       }) {
    CAPTURE(row.why);
    Stage stage({row.step, row.step});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::upstream_answer_unreadable);
    CHECK(found.outcome.how == Outcome::How::unknown);
    CHECK(found.matches.empty());
  }
}

TEST_CASE("What breaks after the first match is C005, on the first page or a later one") {
  for (const Script& script : {
           Script{answer(200, list(0, 2).substr(0, list(0, 2).size() - 30))},
           Script{answer(200, list(0, 2), remaining(2)), answer(503)},
           Script{answer(200, list(0, 2), remaining(2)), answer(200, "[{")},
           Script{answer(200, list(0, 2), remaining(2)), say_nothing},
           Script{answer(200, list(0, 2), remaining(2)), answer(200, list(0, 2), remaining(2))},
           Script{answer(200, list(0, 2), remaining(2)), answer(200, "[]", remaining(2))},
       }) {
    Stage stage(script);
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::aborted_after_partial_results);
    CHECK(found.matches.size() >= 1);
    CHECK(found.matches.size() <= 2);
  }
}

TEST_CASE("Types and forms that servers really send are read (rules B10, B11, J5)") {
  const std::string one = web_test::json(web_test::scheduled_step(1));
  for (const auto& step : Script{
           answer(200, one), answer(200, "[" + one + "]"),
           answer(200, one, {{"Content-Type", "application/json"}}),
           answer(200, one, {{"Content-Type", "application/dicom+json; charset=UTF-8"}}),
           answer(200, one, {{"Content-Type", ""}}), answer(203, one),
           send_and_close("HTTP/1.0 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n" + one),
           send_and_close(fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json"
                                      "\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n"
                                      "0\r\n\r\n",
                                      one.size(), one))}) {
    Stage stage({step});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::success);
    REQUIRE(found.matches.size() == 1);
    CHECK(found.matches[0].data_set == web_test::scheduled_step(1));
  }
}

TEST_CASE("XML and parts of either model are read, whatever was asked for (rules B6, B8)") {
  std::vector<DataSet> steps;
  std::vector<std::string> documents;
  std::vector<std::string> objects;
  for (int i = 0; i < 3; ++i) {
    steps.push_back(web_test::scheduled_step(i));
    objects.push_back(web_test::json(steps.back()));
    std::string document;
    REQUIRE(mapping::write_xml(steps.back(), document).ok());
    documents.push_back(document);
  }
  const auto parts = [](const std::vector<std::string>& contents, const std::string& type) {
    std::string body = "--b\r\n";
    for (const std::string& content : contents) {
      body += type + "\r\n" + content + "\r\n--b" + (&content == &contents.back() ? "--" : "\r\n");
    }
    return body;
  };
  const std::string xml = "Content-Type: application/dicom+xml\r\n";
  const std::string json = "Content-Type: application/dicom+json; charset=utf-8\r\n";
  const std::string related = "multipart/related; boundary=b; type=";
  struct Row {
    std::string type;
    std::string body;
    std::size_t results;
  };
  for (const Row& row : {
           Row{"application/dicom+xml", documents[0], 1},
           Row{"text/xml; charset=utf-8", documents[0], 1},
           Row{"", documents[0], 1},
           Row{related + "\"application/dicom+xml\"", parts(documents, xml), 3},
           Row{related + "application/dicom+xml", parts(documents, ""), 3},
           Row{related + "\"application/dicom+json\"", parts(objects, json), 3},
           Row{related + "\"application/dicom+json\"",
               parts({"[" + objects[0] + "," + objects[1] + "]", objects[2]}, json), 3},
           Row{"multipart/related; boundary=\"b\"", parts({objects[0]}, json), 1},
       }) {
    CAPTURE(row.type, row.body);
    Stage stage({answer(200, row.body, {{"Content-Type", row.type}})});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::success);
    REQUIRE(found.matches.size() == row.results);
    for (std::size_t i = 0; i < row.results; ++i) CHECK(found.matches[i].data_set == steps[i]);
  }
  for (const Row& row : {
           Row{"multipart/related", parts(documents, xml), 0},
           Row{related + "\"text/html\"", parts({"<html/>"}, "Content-Type: text/html\r\n"), 0},
           Row{related + "\"application/dicom+xml\"", parts({"<html/>"}, xml), 0},
           Row{"multipart/related; boundary=c", parts(documents, xml), 0},
           Row{"application/dicom+xml; charset=latin1", documents[0], 0},
       }) {
    CAPTURE(row.type, row.body);
    Stage stage({answer(200, row.body, {{"Content-Type", row.type}})});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::upstream_answer_unreadable);
    CHECK(found.matches.empty());
  }
}

TEST_CASE("An agent set to XML asks for XML and sends it") {
  Stage stage({answer(204), answer(201), answer(404)},
              [](UserAgentOptions& options) { options.xml = true; });
  search(*stage.agent);
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status == status::success);
  DataSet found;
  stage.agent->retrieve(uid, {}, found, patient());
  for (const Request& request : stage.server.requests()) {
    CHECK(request.head.find("Accept: application/dicom+xml, multipart/related; "
                            "type=\"application/dicom+xml\"\r\n") != std::string::npos);
  }
}

TEST_CASE("Tags in lower case are read (rule D2)") {
  Stage stage({answer(200, R"([{"0020000d":{"vr":"UI","Value":["1.2.3"]}}])")});
  const Found found = search(*stage.agent);
  REQUIRE(found.matches.size() == 1);
  CHECK(found.matches[0].data_set.view().text(tags::StudyInstanceUID) == "1.2.3");
}

TEST_CASE("Pages are followed by offset while the server says that more is left (rule A18)") {
  Stage stage({answer(200, list(0, 2), remaining(3)), answer(200, list(2, 2), remaining(1)),
               answer(200, list(4, 1))},
              [](UserAgentOptions& options) { options.page_size = 2; });
  const Found found = search(*stage.agent);
  CHECK(found.outcome.status == status::success);
  REQUIRE(found.matches.size() == 5);
  for (int i = 0; i < 5; ++i) {
    CHECK(found.matches[static_cast<std::size_t>(i)].data_set == web_test::scheduled_step(i));
  }
  const auto targets = stage.targets();
  CHECK(targets[0].find("limit=2") != std::string::npos);
  CHECK(targets[1].find("offset=2") != std::string::npos);
  CHECK(targets[2].find("offset=4") != std::string::npos);
}

TEST_CASE("A server that ignores limit and says nothing of more has sent everything") {
  Stage stage({answer(200, list(0, 5))}, [](UserAgentOptions& options) { options.page_size = 2; });
  const Found found = search(*stage.agent);
  CHECK(found.outcome.status == status::success);
  CHECK(found.matches.size() == 5);
  CHECK(stage.targets().size() == 1);
}

TEST_CASE("Warnings about keys and matching come with the matches, in both forms (rule A16)") {
  mapping::Search asked;
  asked.fuzzy_matching = true;
  const std::string fuzzy =
      "The fuzzymatching parameter is not supported. Only literal matching has been performed.";
  for (const std::string& warning :
       {"299 http://ris.example/ris: " + fuzzy, "299 ris \"" + fuzzy + "\""}) {
    Stage stage({answer(200, list(0, 1), {{"Warning", warning}})});
    const Found found = search(*stage.agent, asked);
    CHECK(stage.targets()[0].find("fuzzymatching=true") != std::string::npos);
    CHECK(found.outcome.fuzzy_matching_ignored);
    CHECK_FALSE(found.outcome.empty_value_matching_ignored);
    CHECK_FALSE(found.matches.at(0).optional_keys_supported);
  }
  Stage stage({answer(200, list(0, 1),
                      {{"Warning", "299 ris: One or more optional keys were not supported."}})});
  const Found found = search(*stage.agent);
  CHECK_FALSE(found.outcome.fuzzy_matching_ignored);
  CHECK_FALSE(found.matches.at(0).optional_keys_supported);
}

TEST_CASE("414 is answered by one short query with includefield=all, 413 by smaller pages") {
  Stage stage({answer(414), answer(200, list(0, 1))});
  CHECK(search(*stage.agent, by_modality()).outcome.good());
  const std::string second = stage.targets()[1];
  CHECK(second.find("00400100.00080060=CT") != std::string::npos);
  CHECK(second.find("includefield=all") != std::string::npos);
  CHECK(second.find("00100010") == std::string::npos);
  Stage again({answer(414), answer(414)});
  CHECK(search(*again.agent).outcome.status == status::data_set_does_not_match_sop_class);
  CHECK(again.targets().size() == 2);

  Stage large({answer(413), answer(413), answer(200, list(0, 1))});
  CHECK(search(*large.agent).matches.size() == 1);
  CHECK(large.targets()[2].ends_with("limit=10"));
  Stage never({answer(413), answer(413), answer(413), answer(413)});
  CHECK(search(*never.agent).outcome.status == status::out_of_resources);
  CHECK(never.targets().size() == 4);
}

TEST_CASE("A query that grows too long asks for all attributes instead (rule A29)") {
  mapping::DataSetBuilder builder;
  for (std::uint16_t i = 0; i < 900; ++i) {
    builder.add(mapping::Tag(0x0040, static_cast<std::uint16_t>(0x1000 + i)), mapping::Vr::LO, "");
  }
  mapping::Search asked;
  asked.identifier = builder.build().value();
  Stage stage({answer(204)});
  CHECK(search(*stage.agent, asked).outcome.good());
  CHECK(stage.targets()[0].size() < 200);
  CHECK(stage.targets()[0].find("includefield=all") != std::string::npos);
}

TEST_CASE("An identifier that has no form in a query is refused, not sent (rule A29)") {
  Stage stage({});
  mapping::Search asked;
  asked.identifier =
      data_set(R"({"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["CT"]}},{}]}})");
  const Outcome outcome = search(*stage.agent, asked).outcome;
  CHECK(outcome.status == status::data_set_does_not_match_sop_class);
  CHECK(outcome.how == Outcome::How::local);
  CHECK(stage.targets().empty());
}

TEST_CASE("on_match false ends the search without a failure") {
  Stage stage({answer(200, list(0, 5), remaining(7))});
  int seen = 0;
  const Outcome outcome = stage.agent->search(
      {}, [&](Match&&) { return ++seen < 2; }, patient());
  const bool ended = outcome.status == status::success || outcome.status == status::cancel;
  CHECK(ended);
  CHECK(seen == 2);
  CHECK(stage.targets().size() == 1);
}

namespace {
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
}  // namespace

TEST_CASE("A cancellation stops a Search that waits, whether it has a descriptor or not") {
  for (const bool with_descriptor : {true, false}) {
    Trigger trigger(with_descriptor);
    std::atomic<bool> ended = false;
    Stage stage({[&](Peer& peer, const Request&) {
                  trigger.fire();
                  peer.wait_for_end();
                  ended = true;
                }},
                [](UserAgentOptions& options) { options.response_timeout = 30s; });
    Context context = patient();
    context.cancellation = &trigger;
    const Found found = search(*stage.agent, {}, context);
    CHECK(found.outcome.status == status::cancel);
    CHECK(web_test::eventually([&] { return ended.load(); }));  // the connection is ended
  }
}

TEST_CASE("A cancellation does not cut a Create short") {
  Trigger trigger(true);
  Stage stage({[&](Peer& peer, const Request&) {
    trigger.fire();
    peer.answer(201);
  }});
  Context context = patient();
  context.cancellation = &trigger;
  CHECK(stage.agent->create(uid, data_set(in_progress), context).status == status::success);
}

TEST_CASE("An answer over max_response_bytes is not read to its end") {
  Stage stage({answer(200, std::string(20'000, ' ')), answer(200, std::string(20'000, ' ')),
               answer(200, std::string(20'000, ' ')), answer(200, std::string(20'000, ' '))},
              [](UserAgentOptions& options) { options.max_response_bytes = 10'000; });
  const Found found = search(*stage.agent);
  CHECK(found.outcome.status == status::upstream_answer_unreadable);
  CHECK(found.matches.empty());
}

// --- Redirects ----------------------------------------------------------------------------------

TEST_CASE("A GET follows three redirects on the same host, no more and no further (1b)") {
  const auto to = [](const std::string& location) {
    return answer(302, "", {{"Location", location}});
  };
  Stage stage({answer(301, "", {{"Location", "/a"}}), answer(307, "", {{"Location", "/b?c=d"}}),
               to("/c"), answer(200, list(0, 1))});
  CHECK(search(*stage.agent).matches.size() == 1);
  CHECK(stage.targets()[2] == "GET /b?c=d");

  Stage endless({to("/a"), to("/b"), to("/c"), to("/d"), answer(200, list(0, 1))});
  CHECK(search(*endless.agent).outcome.status == status::redirect_denied);
  CHECK(endless.targets().size() == 4);

  for (const std::string location :
       {"http://localhost:1/a", "https://127.0.0.1/a", "//other/a", ""}) {
    CAPTURE(location);
    Stage away({to(location)});
    CHECK(search(*away.agent).outcome.status == status::redirect_denied);
    CHECK(away.targets().size() == 1);
  }
}

TEST_CASE("A POST follows 307 and 308 as a POST, and nothing else (2b)") {
  Stage stage({answer(308, "", {{"Location", "/moved"}}), answer(201)});
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(stage.targets()[1] == "POST /moved");
  CHECK(stage.server.requests()[1].body == in_progress);
  for (const int http : {301, 302, 303}) {
    Stage refused({answer(http, "", {{"Location", "/moved"}})});
    CHECK(refused.agent->create(uid, data_set(in_progress), patient()).status ==
          status::processing_failure);
    CHECK(refused.targets().size() == 1);
  }
}

// --- Create, 2b ---------------------------------------------------------------------------------

TEST_CASE("Create posts a JSON object and takes every success for one (rules J2, J6)") {
  for (const int http : {200, 201, 202, 204}) {
    Stage stage({answer(http)});
    const Outcome outcome = stage.agent->create(uid, data_set(in_progress), patient());
    CHECK(outcome.status == status::success);
    REQUIRE(stage.server.requests().size() == 1);
    const Request request = stage.server.requests()[0];
    CHECK(request.method + " " + request.target == "POST " + target);
    CHECK(request.head.find("Content-Type: application/dicom+json\r\n") != std::string::npos);
    CHECK(request.head.find("Accept: application/dicom+json\r\n") != std::string::npos);
    CHECK(request.body == in_progress);
  }
}

TEST_CASE("An HTTP status of a Create is the DIMSE status that 2b gives") {
  struct Row {
    int http;
    std::uint16_t dimse;
  };
  for (const Row& row :
       {Row{400, 0x0106}, Row{401, 0x0124}, Row{403, 0x0124}, Row{404, 0x0110}, Row{405, 0x0211},
        Row{409, 0x0111}, Row{410, 0x0111}, Row{411, 0x0110}, Row{415, 0x0110}, Row{413, 0x0213},
        Row{429, 0x0213}, Row{503, 0x0213}, Row{501, 0x0118}, Row{500, 0x0110}, Row{502, 0x0110},
        Row{504, 0x0110}, Row{422, 0x0110}}) {
    CAPTURE(row.http);
    Stage stage({answer(row.http)});
    const Outcome outcome = stage.agent->create(uid, data_set(in_progress), patient());
    CHECK(outcome.status == row.dimse);
    CHECK(outcome.how == Outcome::How::answered);
    // A refused type is worth the other one; whatever else was refused is not sent again.
    CHECK(stage.targets().size() == (row.http == 415 ? 2 : 1));
  }
}

TEST_CASE("A type that is refused with 415 is replaced by the other one, once (2b, 3b)") {
  for (const bool xml : {false, true}) {
    CAPTURE(xml);
    Stage stage({answer(415), answer(201)}, [=](UserAgentOptions& options) { options.xml = xml; });
    CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status == status::success);
    const auto requests = stage.server.requests();
    REQUIRE(requests.size() == 2);
    const std::string type = "Content-Type: application/dicom+";
    CHECK(requests[xml ? 1 : 0].head.find(type + "json\r\n") != std::string::npos);
    CHECK(requests[xml ? 1 : 0].body == in_progress);
    CHECK(requests[xml ? 0 : 1].head.find(type + "xml\r\n") != std::string::npos);
    CHECK(mapping::read_xml(requests[xml ? 0 : 1].body).value() == data_set(in_progress));
  }
}

TEST_CASE("Warnings of a Create and Update are 0116 and 0107; others are success (2b)") {
  struct Row {
    std::string warning;
    std::uint16_t dimse;
  };
  for (const Row& row :
       {Row{"299 ris: The Modality Performed Procedure Step was created with modifications.",
            status::attribute_value_out_of_range},
        Row{"299 ris: Requested optional Attributes are not supported.",
            status::attribute_list_error},
        Row{"299 ris: Fine weather today.", status::success}}) {
    CAPTURE(row.warning);
    Stage stage(
        {answer(201, "", {{"Warning", row.warning}}), answer(200, "", {{"Warning", row.warning}})});
    CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status == row.dimse);
    CHECK(stage.agent->update(uid, data_set(completed), patient()).status == row.dimse);
  }
}

TEST_CASE("A problem report tells apart what 400 and 409 do not (2b, 3b)") {
  const Headers problem{{"Content-Type", "application/problem+json"}};
  Stage stage({answer(400,
                      R"({"dimseStatus":"0120","attributes":["00400252"],)"
                      R"("errorComment":"Missing: \u00e4"})",
                      problem),
               answer(400, R"({"dimseStatus":"C001"})", problem),
               answer(500, R"({"dimseStatus":"0120"})", problem),
               answer(409, R"({"dimseStatus":"0110","errorId":"A710"})", problem),
               answer(409, R"({"dimseStatus":"0105"})", problem)});
  const Outcome missing = stage.agent->create(uid, data_set(in_progress), patient());
  CHECK(missing.status == status::missing_attribute);
  CHECK(missing.attributes == std::vector<mapping::Tag>{tags::PerformedProcedureStepStatus});
  CHECK(missing.error_comment == "Missing: ?");
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status ==
        status::invalid_attribute_value);
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status ==
        status::processing_failure);
  const Outcome final = stage.agent->update(uid, data_set(completed), patient());
  CHECK(final.status == status::processing_failure);
  CHECK(final.error_id == status::error_id_may_no_longer_be_updated);
  CHECK(stage.agent->update(uid, data_set(completed), patient()).status ==
        status::no_such_attribute);
}

TEST_CASE("A server that cannot be reached leaves nothing in doubt (5b)") {
  const auto agent = agent_for(quick("http://127.0.0.1:" + std::to_string(web_test::dead_port())));
  const Outcome found = search(*agent).outcome;
  CHECK(found.status == status::out_of_resources);
  DataSet object;
  for (const Outcome& outcome : {agent->create(uid, data_set(in_progress), patient()),
                                 agent->update(uid, data_set(completed), patient()),
                                 agent->retrieve(uid, {}, object, patient()), found}) {
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::connect_failed);
    if (&outcome != &found) {
      const bool as_5b = outcome.status == status::resource_limitation ||
                         outcome.status == status::out_of_resources;
      CHECK(as_5b);
    }
  }
}

TEST_CASE("A Create without an answer is settled by a Retrieve (2b)") {
  struct Row {
    Script script;
    std::uint16_t dimse;
    Outcome::How how;
    std::vector<std::string> methods;
    std::string why;
  };
  const std::string other_id =
      R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400253":{"vr":"SH","Value":["PPS2"]}})";
  const std::string other_status =
      R"({"00400252":{"vr":"CS","Value":["COMPLETED"]},"00400253":{"vr":"SH","Value":["PPS1"]}})";
  using How = Outcome::How;
  const std::vector<Row> rows{
      {{drop, answer(200, in_progress)}, 0x0000, How::answered, {"POST", "GET"}, "it was done"},
      {{reset, answer(200, "[" + in_progress + "]")},
       0x0000,
       How::answered,
       {"POST", "GET"},
       "it was done"},
      {{say_nothing, answer(200, in_progress)},
       0x0000,
       How::answered,
       {"POST", "GET"},
       "the answer came too late"},
      {{send_and_close("HTTP/1.1 2"), answer(200, in_progress)},
       0x0000,
       How::answered,
       {"POST", "GET"},
       "half an answer"},
      {{drop, answer(404), answer(201)},
       0x0000,
       How::answered,
       {"POST", "GET", "POST"},
       "it was not done, so once more"},
      {{drop, answer(404), answer(503)},
       0x0213,
       How::answered,
       {"POST", "GET", "POST"},
       "once more, and refused"},
      {{drop, answer(404), answer(409), answer(200, in_progress)},
       0x0000,
       How::answered,
       {"POST", "GET", "POST", "GET"},
       "the first one arrived after all"},
      {{drop, answer(404), answer(409), answer(200, other_id)},
       0x0111,
       How::answered,
       {"POST", "GET", "POST", "GET"},
       "somebody else has the UID"},
      {{drop, answer(404), drop}, 0x0110, How::unknown, {"POST", "GET", "POST"}, "lost again"},
      {{drop, answer(200, other_id)}, 0x0110, How::unknown, {"POST", "GET"}, "another PPS ID"},
      {{drop, answer(200, other_status)}, 0x0110, How::unknown, {"POST", "GET"}, "not our status"},
      {{drop, answer(501)}, 0x0110, How::unknown, {"POST", "GET"}, "no Retrieve offered"},
      {{drop, answer(200, "junk")}, 0x0110, How::unknown, {"POST", "GET"}, "Retrieve unreadable"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    Stage stage(row.script);
    const Outcome outcome = stage.agent->create(uid, data_set(in_progress), patient());
    CHECK(outcome.status == row.dimse);
    CHECK(outcome.how == row.how);
    std::vector<std::string> methods;
    for (const Request& request : stage.server.requests()) methods.push_back(request.method);
    CHECK(methods == row.methods);
  }
}

// --- Update, 3b ---------------------------------------------------------------------------------

TEST_CASE("Update posts to ?update, or to /update where that is configured (rule J1)") {
  Stage query({answer(200)});
  CHECK(query.agent->update(uid, data_set(completed), patient()).status == status::success);
  CHECK(query.targets() == std::vector{"POST " + target + "?update"});
  CHECK(query.server.requests()[0].body == completed);
  Stage path({answer(200)},
             [](UserAgentOptions& options) { options.update_uri = web::UpdateUri::path; });
  CHECK(path.agent->update(uid, data_set(completed), patient()).status == status::success);
  CHECK(path.targets() == std::vector{"POST " + target + "/update"});
}

TEST_CASE("An HTTP status of an Update is the DIMSE status that 3b gives") {
  struct Row {
    int http;
    std::uint16_t dimse;
  };
  for (const Row& row :
       {Row{200, 0}, Row{201, 0}, Row{202, 0}, Row{204, 0}, Row{400, 0x0106}, Row{401, 0x0124},
        Row{403, 0x0124}, Row{404, 0x0112}, Row{405, 0x0211}, Row{410, 0x0112}, Row{413, 0x0213},
        Row{429, 0x0213}, Row{503, 0x0213}, Row{501, 0x0118}, Row{500, 0x0110}, Row{415, 0x0110}}) {
    CAPTURE(row.http);
    Stage stage({answer(row.http)});
    CHECK(stage.agent->update(uid, data_set(completed), patient()).status == row.dimse);
  }
}

TEST_CASE("409 to an Update of a final step gets the triple of F.7.2-2 (3b)") {
  for (const std::string state : {"COMPLETED", "DISCONTINUED"}) {
    Stage stage(
        {answer(409), answer(200, R"([{"00400252":{"vr":"CS","Value":[")" + state + R"("]}}])")});
    const Outcome outcome = stage.agent->update(uid, data_set(completed), patient());
    CHECK(outcome.status == status::processing_failure);
    CHECK(outcome.error_id == status::error_id_may_no_longer_be_updated);
    CHECK(outcome.error_comment == "Performed Procedure Step Object may no longer be updated");
  }
  Stage stage({answer(409), answer(200, in_progress)});
  const Outcome outcome = stage.agent->update(uid, data_set(completed), patient());
  CHECK(outcome.status == status::processing_failure);
  CHECK_FALSE(outcome.error_id.has_value());
  CHECK(outcome.error_comment == "HTTP 409 Conflict");
}

TEST_CASE("An Update without an answer is settled by a Retrieve (3b)") {
  struct Row {
    Script script;
    std::uint16_t dimse;
    bool final;
    std::size_t requests;
    std::string why;
  };
  const std::string other_end =
      R"({"00400250":{"vr":"DA","Value":["20250102"]},"00400251":{"vr":"TM","Value":["111111"]},)"
      R"("00400252":{"vr":"CS","Value":["COMPLETED"]}})";
  const std::vector<Row> rows{
      {{drop, answer(200, completed)}, 0x0000, false, 2, "it was done"},
      {{say_nothing, answer(200, completed)}, 0x0000, false, 2, "it was done"},
      {{drop, answer(200, in_progress), answer(200)}, 0x0000, false, 3, "once more"},
      {{drop, answer(501), answer(200)}, 0x0000, false, 3, "no Retrieve, yet repeatable"},
      {{drop, answer(404), answer(404)}, 0x0112, false, 3, "there is no such step"},
      {{drop, answer(200, in_progress), answer(409), answer(200, completed)},
       0x0000,
       false,
       4,
       "the first one arrived after all"},
      {{drop, answer(200, in_progress), answer(409), answer(200, other_end)},
       0x0110,
       true,
       4,
       "somebody else finished it"},
      {{drop, answer(200, in_progress), drop}, 0x0110, false, 3, "lost again"},
      {{drop, say_nothing, say_nothing}, 0x0110, false, 3, "the Retrieves are lost too"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    Stage stage(row.script);
    const Outcome outcome = stage.agent->update(uid, data_set(completed), patient());
    CHECK(outcome.status == row.dimse);
    CHECK(outcome.error_id.has_value() == row.final);
    CHECK(stage.targets().size() == row.requests);
  }
}

// --- Retrieve, 4b -------------------------------------------------------------------------------

TEST_CASE("Retrieve asks for top-level attributes and takes an object or an array of one (J5)") {
  for (const std::string& body : {in_progress, "[" + in_progress + "]"}) {
    Stage stage({answer(200, body), answer(200, body)});
    DataSet found;
    CHECK(stage.agent
              ->retrieve(uid,
                         {tags::SpecificCharacterSet, tags::PerformedProcedureStepStatus,
                          tags::PerformedProcedureStepID},
                         found, patient())
              .status == status::success);
    CHECK(found == data_set(in_progress));
    CHECK(stage.agent->retrieve(uid, {}, found, patient()).status == status::success);
    const auto targets = stage.targets();
    CHECK(targets[0].starts_with("GET " + target + "?includefield="));
    CHECK(targets[0].find("00400252") != std::string::npos);
    CHECK(targets[0].find("00080005") == std::string::npos);
    CHECK(targets[1] == "GET " + target);
  }
}

TEST_CASE("What a Retrieve did not bring is said, and what it could not is told apart (4b)") {
  struct Row {
    ScriptedServer::Step step;
    std::uint16_t dimse;
    std::string why;
  };
  const std::vector<Row> rows{
      {answer(200, R"([{"00400253":{"vr":"SH","Value":["PPS1"]}}])"), 0x0001, "one is absent"},
      {answer(200, in_progress,
              {{"Warning", "299 ris: Requested optional Attributes are not supported."}}),
       0x0001, "it says so itself"},
      {answer(204), 0x0112, "nothing there"},
      {answer(200, "[]"), 0x0112, "nothing there"},
      {answer(200, ""), 0x0112, "nothing there"},
      {answer(404), 0x0112, ""},
      {answer(410), 0x0112, ""},
      {answer(400), 0x0110, ""},
      {answer(401), 0x0124, ""},
      {answer(403), 0x0124, ""},
      {answer(405), 0x0211, ""},
      {answer(501), 0x0211, ""},
      {answer(413), 0x0213, ""},
      {answer(429), 0x0213, ""},
      {answer(503), 0x0213, ""},
      {answer(500), 0x0110, ""},
      {answer(200, "[" + in_progress + "," + in_progress + "]"), 0x0110, "two objects"},
      {answer(200, "junk"), 0x0110, "no JSON"},
      {answer(200, "<a/>", {{"Content-Type", "text/html"}}), 0x0110, "another type"},
      {say_nothing, 0x0110, "no answer"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why, row.dimse);
    Stage stage({row.step});
    DataSet found = data_set(completed);
    const Outcome outcome =
        stage.agent->retrieve(uid, {tags::PerformedProcedureStepStatus}, found, patient());
    CHECK(outcome.status == row.dimse);
    if (!outcome.good()) CHECK(found == data_set(completed));  // untouched
  }
}

TEST_CASE("406 is met by one more try with a wider Accept header") {
  Stage stage({answer(406), answer(200, list(0, 1))});
  CHECK(search(*stage.agent).matches.size() == 1);
  CHECK(stage.server.requests()[1].head.find("Accept: application/dicom+json, */*;q=0.1\r\n") !=
        std::string::npos);
  Stage again({answer(406), answer(406), answer(406), answer(406)});
  CHECK(search(*again.agent).outcome.status == status::upstream_client_error);
  CHECK(again.agent->create(uid, data_set(in_progress), patient()).status ==
        status::processing_failure);
}

// --- Connections --------------------------------------------------------------------------------

TEST_CASE("A connection is kept and used again") {
  Stage stage({answer(204), answer(201), answer(200, in_progress)});
  DataSet found;
  CHECK(search(*stage.agent).outcome.good());
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
  CHECK(stage.agent->retrieve(uid, {}, found, patient()).good());
  for (const Request& request : stage.server.requests()) CHECK(request.connection == 1);
}

TEST_CASE("A kept connection that the server ended is noticed, even with a farewell on it") {
  for (const std::string farewell :
       {"", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}) {
    std::atomic<bool> ended = false;
    Stage stage({[&](Peer& peer, const Request&) {
                   peer.answer(204);
                   peer.send(farewell);
                   peer.close();
                   ended = true;
                 },
                 answer(201)});
    CHECK(search(*stage.agent).outcome.good());
    REQUIRE(web_test::eventually([&] { return ended.load(); }));
    CHECK(stage.agent->create(uid, data_set(in_progress), patient()).good());
    CHECK(stage.server.requests().back().connection == 2);
    CHECK(stage.targets().size() == 2);
  }
}

TEST_CASE("A GET whose connection broke before an answer came is repeated, once") {
  Stage stage({answer(204), drop, answer(200, list(0, 1))});
  CHECK(search(*stage.agent).outcome.good());
  CHECK(search(*stage.agent).matches.size() == 1);
  Stage twice({drop, drop, answer(200, list(0, 1))});
  const Outcome outcome = search(*twice.agent).outcome;
  CHECK(outcome.status == status::upstream_answer_unreadable);
  CHECK(outcome.event == NetworkEvent::connection_lost);
  CHECK(twice.targets().size() == 2);
}

TEST_CASE("A server that drips its answer is held to the caller's deadline") {
  for (const std::string start : {"", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"}) {
    Stage stage({[&](Peer& peer, const Request&) {
      peer.send(start);
      while (peer.open()) {
        peer.send("H");
        std::this_thread::sleep_for(5ms);
      }
    }});
    Context context = patient();
    context.deadline = std::chrono::steady_clock::now() + 300ms;
    const Outcome outcome = search(*stage.agent, {}, context).outcome;
    CHECK(outcome.how == Outcome::How::unknown);
    CHECK_FALSE(outcome.good());
  }
}

TEST_CASE("When the deadline has passed, nothing is sent that would leave doubts") {
  Stage stage({});
  Context context = patient();
  context.deadline = std::chrono::steady_clock::now();
  DataSet found;
  for (const Outcome& outcome : {stage.agent->create(uid, data_set(in_progress), context),
                                 stage.agent->update(uid, data_set(completed), context),
                                 stage.agent->retrieve(uid, {}, found, context),
                                 search(*stage.agent, {}, context).outcome}) {
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::busy);
  }
  CHECK(stage.targets().empty());
}

TEST_CASE("Callers beyond max_connections wait for a free one, and are told busy at the deadline") {
  std::atomic<bool> release = false;
  std::atomic<bool> arrived = false;
  Stage stage({[&](Peer& peer, const Request&) {
                 arrived = true;
                 web_test::eventually([&] { return release.load(); });
                 peer.answer(204);
               },
               answer(204)},
              [](UserAgentOptions& options) {
                options.max_connections = 1;
                options.response_timeout = 20s;
              });
  Outcome first_outcome = Outcome::answered(status::cancel);
  Outcome second_outcome = first_outcome;
  std::thread first([&] { first_outcome = search(*stage.agent).outcome; });
  REQUIRE(web_test::eventually([&] { return arrived.load(); }));
  Context context = patient();
  context.deadline = std::chrono::steady_clock::now() + 100ms;
  const Outcome busy = search(*stage.agent, {}, context).outcome;
  CHECK(busy.how == Outcome::How::unreachable);
  CHECK(busy.event == NetworkEvent::busy);
  CHECK(busy.status == status::out_of_resources);
  std::thread second([&] { second_outcome = search(*stage.agent).outcome; });
  release = true;
  first.join();
  second.join();
  CHECK(first_outcome.good());
  CHECK(second_outcome.good());
  CHECK(stage.server.requests().back().connection == 1);
}

// --- Both ends ours -----------------------------------------------------------------------------

namespace {

/// Our origin server over services in memory, and our user agent in front of it.
struct BothEnds {
  explicit BothEnds(const std::function<void(UserAgentOptions&)>& change = {})
      : server(
            options(),
            [this](const mapping::Caller&) {
              return mapping::Services{&worklist, &steps};
            },
            web_test::silent()) {
    const auto port = server.start();
    REQUIRE(port.ok());
    UserAgentOptions agent_options = quick(fmt::format("http://127.0.0.1:{}/a/b/", port.value()));
    agent_options.response_timeout = 10s;
    if (change) change(agent_options);
    agent = agent_for(agent_options);
  }
  static web::OriginServerOptions options() {
    web::OriginServerOptions options;
    options.bind = "127.0.0.1";
    options.port = 0;
    options.base_path = "/a/b";
    options.workers = 4;
    return options;
  }
  web_test::MemoryWorklist worklist;
  web_test::MemoryMpps steps;
  web::OriginServer server;
  std::unique_ptr<UserAgent> agent;
};

}  // namespace

TEST_CASE("Web to web: a search crosses unchanged, page by page, with its warnings") {
  BothEnds ends([](UserAgentOptions& options) { options.page_size = 7; });
  for (int i = 0; i < 50; ++i) ends.worklist.matches.push_back(web_test::scheduled_step(i));
  ends.worklist.optional_keys_supported = false;
  ends.worklist.outcome.fuzzy_matching_ignored = true;
  mapping::Search asked = by_modality();
  asked.fuzzy_matching = true;
  const Found found = search(*ends.agent, asked);
  CHECK(found.outcome.status == status::success);
  CHECK(found.outcome.fuzzy_matching_ignored);
  REQUIRE(found.matches.size() == 50);
  for (std::size_t i = 0; i < 50; ++i) {
    CHECK(found.matches[i].data_set == ends.worklist.matches[i]);
    CHECK_FALSE(found.matches[i].optional_keys_supported);
  }
  const auto arrived = ends.worklist.last();
  CHECK(arrived.fuzzy_matching);
  CHECK(arrived.identifier.view()
            .first_item(tags::ScheduledProcedureStepSequence)
            ->text(tags::Modality) == "CT");
}

TEST_CASE("Web to web: a failed search stays a failed search") {
  BothEnds ends;
  ends.worklist.matches.push_back(web_test::scheduled_step(1));
  for (const int word : {0xA700, 0xA900, 0x0122, 0xC123, 0x0110}) {
    CAPTURE(word);
    ends.worklist.outcome = Outcome::answered(static_cast<std::uint16_t>(word));
    const Found found = search(*ends.agent);
    CHECK_FALSE(found.outcome.good());
    CHECK(found.matches.empty());
  }
}

TEST_CASE("Web to web: Create, Update and Retrieve cross with their data sets and statuses") {
  for (const auto& [update_path, xml] :
       {std::pair(false, false), std::pair(true, false), std::pair(false, true)}) {
    BothEnds ends([path = update_path, in_xml = xml](UserAgentOptions& options) {
      if (path) options.update_uri = web::UpdateUri::path;
      options.xml = in_xml;
    });
    UserAgent& agent = *ends.agent;
    const DataSet step = data_set(
        R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"M\u00fcller^J\u00fcrgen"}]},
            "00400252":{"vr":"CS","Value":["IN PROGRESS"]},
            "00400253":{"vr":"SH","Value":["PPS1"]},
            "00400270":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["SPS1"]}},{}]},
            "00400340":{"vr":"SQ"}})");
    CHECK(agent.create(uid, step, patient()).status == status::success);
    CHECK(ends.steps.stored(uid.text()) == step);
    CHECK(agent.create(uid, step, patient()).status == status::duplicate_sop_instance);
    DataSet found;
    CHECK(agent.retrieve(uid, {}, found, patient()).status == status::success);
    CHECK(found == step);
    CHECK(agent.retrieve(uid, {tags::PerformedProcedureStepID}, found, patient()).status ==
          status::success);
    CHECK(found == data_set(R"({"00400253":{"vr":"SH","Value":["PPS1"]}})"));
    CHECK(agent.retrieve(uid, {tags::AccessionNumber}, found, patient()).status != status::success);
    CHECK(agent.update(uid, data_set(completed), patient()).status == status::success);
    const Outcome final = agent.update(uid, data_set(completed), patient());
    CHECK(final.status == status::processing_failure);
    CHECK(final.error_id == status::error_id_may_no_longer_be_updated);
    const Uid unknown = *Uid::parse("1.2.3.78");
    CHECK(agent.update(unknown, data_set(completed), patient()).status ==
          status::no_such_sop_instance);
    CHECK(agent.retrieve(unknown, {}, found, patient()).status == status::no_such_sop_instance);
    ends.steps.instead = [](const Context&) {
      return Outcome::local(status::missing_attribute_value, "a comment", {tags::Modality});
    };
    const Outcome missing = agent.create(uid, step, patient());
    CHECK(missing.status == status::missing_attribute_value);
    CHECK(missing.error_comment == "a comment");
    CHECK(missing.attributes == std::vector<mapping::Tag>{tags::Modality});
  }
}

TEST_CASE("Web to web: a client that goes away ends the search behind both") {
  BothEnds ends;
  std::atomic<bool> arrived = false;
  std::atomic<bool> cancelled = false;
  ends.worklist.before = [&](const Context& context) {
    arrived = true;
    cancelled = web_test::eventually([&] { return context.cancelled(); });
  };
  Trigger trigger(true);
  Context context = patient();
  context.cancellation = &trigger;
  Outcome outcome;
  std::thread asking([&] { outcome = search(*ends.agent, {}, context).outcome; });
  CHECK(web_test::eventually([&] { return arrived.load(); }));
  trigger.fire();
  asking.join();
  CHECK(outcome.status == status::cancel);
  CHECK(web_test::eventually([&] { return cancelled.load(); }));
}
