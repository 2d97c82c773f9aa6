// The origin server over services in memory: every route, every refusal, and what a client is told.
#include "web/origin_server.h"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <set>

#include "mapping/tags.h"
#include "tests/web/web_support.h"
#include "web/result_reader.h"

using namespace std::chrono_literals;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using web::OriginServer;
using web::OriginServerOptions;
using web_test::ask;
using web_test::Client;
using web_test::get;
using web_test::post;
using web_test::Response;
namespace status = mapping::dimse_status;

namespace {

const std::string sps = "/modality-scheduled-procedure-steps";
const std::string mpps = "/modality-performed-procedure-steps";
const std::string uid = "1.2.840.99999.1.77";
const std::string step = R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},)"
                         R"("00400253":{"vr":"SH","Value":["PPS1"]}})";

OriginServerOptions on_loopback(OriginServerOptions options = {}) {
  options.bind = "127.0.0.1";
  options.port = 0;
  options.workers = 4;
  return options;
}

/// A running origin server over services in memory.
struct Site {
  explicit Site(OriginServerOptions options = {})
      : server(
            on_loopback(options),
            [this](const mapping::Caller&) {
              return mapping::Services{offer_worklist ? &worklist : nullptr,
                                       offer_mpps ? &steps : nullptr};
            },
            lines.log()) {
    const auto started = server.start();
    REQUIRE(started.ok());
    port = started.value();
  }

  bool offer_worklist = true;
  bool offer_mpps = true;
  web_test::MemoryWorklist worklist;
  web_test::MemoryMpps steps;
  web_test::Lines lines;
  OriginServer server;
  std::uint16_t port = 0;
};

void add_steps(Site& site, int count) {
  for (int i = 0; i < count; ++i) site.worklist.matches.push_back(web_test::scheduled_step(i));
}

std::size_t results(const Response& response) {
  rapidjson::Document document;
  document.Parse(response.body.c_str());
  REQUIRE_FALSE(document.HasParseError());
  REQUIRE(document.IsArray());
  return document.Size();
}

/// The response is a problem report of this status, well made.
void check_problem(const Response& response, int expected) {
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

}  // namespace

TEST_CASE("Search answers the worklist as one JSON array") {
  Site site;
  add_steps(site, 3);
  for (const std::string& target : {sps, sps + "/", sps + "?", sps + "?&PatientName="}) {
    CAPTURE(target);
    const Response response = ask(site.port, get(target));
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/dicom+json");
    CHECK(response.header("cache-control") == "no-store");
    CHECK(response.header("server") == "-");
    CHECK(response.header("warning") == "-");
    CHECK(results(response) == 3);
  }
}

TEST_CASE("Search asks for its match keys and all attributes that must come back (rule A13)") {
  Site site;
  ask(site.port, get(sps + "?00400100.00080060=CT&PatientName=DOE%5E*&includefield=00080090" +
                     "&fuzzymatching=true"));
  const mapping::Search search = site.worklist.last();
  CHECK(search.fuzzy_matching);
  const auto identifier = search.identifier.view();
  CHECK(identifier.text(mapping::tags::PatientName) == "DOE^*");
  CHECK(identifier.find(mapping::Tag(0x00080090)).has_value());
  CHECK(identifier.find(mapping::tags::StudyInstanceUID).has_value());
  const auto item = identifier.first_item(mapping::tags::ScheduledProcedureStepSequence);
  REQUIRE(item);
  CHECK(item->text(mapping::tags::Modality) == "CT");
  CHECK(item->find(mapping::tags::ScheduledProcedureStepID).has_value());
  CHECK_FALSE(identifier.find(mapping::Tag(0x00102180)).has_value());
  ask(site.port, get(sps + "?includefield=all"));
  CHECK(site.worklist.last().identifier.view().find(mapping::Tag(0x00102180)).has_value());
}

TEST_CASE("The services are told who asks, until when, and whether he still waits") {
  Site site;
  const auto before = std::chrono::steady_clock::now();
  bool can_be_cancelled = false;
  site.worklist.before = [&](const mapping::Context& context) {
    can_be_cancelled = context.cancellation != nullptr && !context.cancelled();
  };
  ask(site.port, get(sps));
  const mapping::Context context = site.worklist.last_context();
  CHECK(context.caller.protocol == mapping::Caller::Protocol::web);
  CHECK(context.caller.address == "127.0.0.1");
  CHECK_FALSE(context.transaction.empty());
  CHECK(context.deadline > before + 50s);
  CHECK(can_be_cancelled);
}

TEST_CASE("limit and offset take a page, and the rest is counted for the Warning (rule A18)") {
  Site site;
  add_steps(site, 10);
  const std::string service = "299 http://gateway.example: ";
  struct Row {
    std::string query;
    int status;
    std::size_t results;
    std::string warning;
  };
  const std::vector<Row> rows{
      {"?limit=4", 200, 4, service + "There are 6 additional results that can be requested"},
      {"?limit=4&offset=4", 200, 4,
       service + "There are 2 additional results that can be requested"},
      {"?limit=4&offset=8", 200, 2, "-"},
      {"?limit=10", 200, 10, "-"},
      {"?offset=9", 200, 1, "-"},
      {"?offset=10", 204, 0, "-"},
      {"?offset=11&limit=1", 204, 0, "-"},
      {"?limit=0", 204, 0, service + "There are 10 additional results that can be requested"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.query);
    const Response response = ask(site.port, get(sps + row.query));
    CHECK(response.status == row.status);
    if (row.status == 200) CHECK(results(response) == row.results);
    CHECK(response.header("warning") == row.warning);
  }
}

TEST_CASE("Counting behind a full page ends at count_cap, and the search with it (rule A20)") {
  OriginServerOptions options;
  options.count_cap = 5;
  Site site(options);
  add_steps(site, 1000);
  const Response response = ask(site.port, get(sps + "?limit=10"));
  CHECK(response.status == 200);
  CHECK(results(response) == 10);
  CHECK(response.header("warning") ==
        "299 http://gateway.example: There are 5 additional results that can be requested");
  CHECK(site.worklist.handed_on() == 15);
}

TEST_CASE("Counting behind a full page ends after count_cap_milliseconds") {
  OriginServerOptions options;
  options.count_cap_milliseconds = 0ms;
  Site site(options);
  add_steps(site, 1000);
  CHECK(ask(site.port, get(sps + "?limit=10")).status == 200);
  CHECK(site.worklist.handed_on() == 11);
}

TEST_CASE("No match is 204, or 200 with an empty list where that is configured (rule J4)") {
  {
    Site site;
    const Response response = ask(site.port, get(sps));
    CHECK(response.status == 204);
    CHECK(response.body.empty());
    CHECK(response.header("content-length") == "-");
    CHECK(response.header("content-type") == "-");
  }
  OriginServerOptions options;
  options.no_match_status = 200;
  Site site(options);
  const Response response = ask(site.port, get(sps));
  CHECK(response.status == 200);
  CHECK(response.header("content-type") == "application/dicom+json");
  CHECK(response.body == "[]");
}

TEST_CASE("A failed search is never an empty or partial list (mapping.md 1a, 5a)") {
  struct Row {
    Outcome outcome;
    int matches;
    int status;
    bool retry_after;
  };
  const std::vector<Row> rows{
      {Outcome::answered(status::out_of_resources), 0, 503, true},
      {Outcome::answered(status::out_of_resources), 2, 413, false},
      {Outcome::answered(status::data_set_does_not_match_sop_class), 0, 400, false},
      {Outcome::answered(status::sop_class_not_supported), 0, 501, false},
      {Outcome::answered(status::not_authorized), 0, 403, false},
      {Outcome::answered(0xC123), 0, 503, false},
      {Outcome::answered(0xC123), 2, 503, false},
      {Outcome::answered(status::cancel), 2, 503, false},
      {Outcome::answered(status::mistyped_argument), 0, 500, false},
      {Outcome::unreachable(Transaction::search, NetworkEvent::connect_failed, ""), 0, 503, true},
      {Outcome::unknown(Transaction::search, NetworkEvent::connection_lost, ""), 2, 503, true},
      {Outcome::unknown(Transaction::search, NetworkEvent::response_timeout, ""), 0, 503, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.outcome.status, row.matches);
    Site site;
    add_steps(site, row.matches);
    site.worklist.outcome = row.outcome;
    const Response response = ask(site.port, get(sps));
    check_problem(response, row.status);
    CHECK((response.header("retry-after") != "-") == row.retry_after);
  }
}

TEST_CASE("With gateway_status_codes an upstream at fault is 502 or 504") {
  OriginServerOptions options;
  options.gateway_status_codes = true;
  Site site(options);
  site.worklist.outcome =
      Outcome::unreachable(Transaction::search, NetworkEvent::connect_failed, "");
  CHECK(ask(site.port, get(sps)).status == 502);
  site.worklist.outcome = Outcome::unknown(Transaction::search, NetworkEvent::response_timeout, "");
  CHECK(ask(site.port, get(sps)).status == 504);
}

TEST_CASE("A failed transaction's problem report names the DIMSE status and what came with it") {
  Site site;
  site.steps.store(uid, web_test::data_set(R"({"00400252":{"vr":"CS","Value":["COMPLETED"]}})"));
  const Response response = ask(site.port, post(mpps + "/" + uid + "?update", step));
  check_problem(response, 409);
  rapidjson::Document document;
  document.Parse(response.body.c_str());
  CHECK(std::string(document["dimseStatus"].GetString()) == "0110");
  CHECK(std::string(document["errorId"].GetString()) == "A710");
  CHECK(std::string(document["errorComment"].GetString()) ==
        "Performed Procedure Step Object may no longer be updated");

  site.steps.instead = [](const mapping::Context&) {
    return Outcome::local(status::missing_attribute, "", {mapping::Tag(0x00400252)});
  };
  const Response missing = ask(site.port, post(mpps + "/" + uid, step));
  check_problem(missing, 400);
  CHECK(missing.body.find(R"("dimseStatus":"0120")") != std::string::npos);
  CHECK(missing.body.find(R"("attributes":["00400252"])") != std::string::npos);
}

TEST_CASE("What the search could not honour is said in Warning headers (rule A16)") {
  Site site;
  add_steps(site, 1);
  site.worklist.optional_keys_supported = false;
  site.worklist.outcome.fuzzy_matching_ignored = true;
  site.worklist.outcome.empty_value_matching_ignored = true;
  site.worklist.outcome.multiple_value_matching_ignored = true;
  const Response response = ask(site.port, get(sps + "?fuzzymatching=true"));
  CHECK(response.status == 200);
  const auto warnings = response.all("warning");
  const std::set<std::string> said(warnings.begin(), warnings.end());
  const std::string service = "299 http://gateway.example: ";
  CHECK(said == std::set<std::string>{
                    service + "The fuzzymatching parameter is not supported. Only literal matching "
                              "has been performed.",
                    service + "The emptyvaluematching parameter is not supported. Empty Value "
                              "Matching has not been performed.",
                    service + "The multiplevaluematching parameter is not supported. Multiple "
                              "Value Matching has not been performed.",
                    service + "One or more optional keys were not supported."});
}

TEST_CASE("Matches that could not be read are left out with a Warning; if none could, it is 503") {
  Site site;
  site.worklist.outcome.dropped_matches = 2;
  check_problem(ask(site.port, get(sps)), 503);
  add_steps(site, 1);
  const Response response = ask(site.port, get(sps));
  CHECK(response.status == 200);
  CHECK(response.header("warning").find("left out") != std::string::npos);
}

TEST_CASE("A result that JSON cannot hold is left out; if none can be written, it is 503 (D10)") {
  Site site;
  mapping::DataSetBuilder builder;
  builder.add(mapping::Tag(0x00109431), mapping::Vr::FL, std::string("\0\0\xC0\x7F", 4));  // NaN
  site.worklist.matches.push_back(builder.build().value());
  check_problem(ask(site.port, get(sps)), 503);
  add_steps(site, 1);
  const Response response = ask(site.port, get(sps));
  CHECK(response.status == 200);
  CHECK(results(response) == 1);
  CHECK(response.header("warning").find("left out") != std::string::npos);
}

TEST_CASE("Results over max_response_bytes are 413, and the search is stopped") {
  OriginServerOptions options;
  options.max_response_bytes = 1000;
  Site site(options);
  add_steps(site, 1000);
  check_problem(ask(site.port, get(sps)), 413);
  CHECK(site.worklist.handed_on() < 20);
  CHECK(ask(site.port, get(sps + "?limit=1")).status == 200);
}

TEST_CASE("Several steps in one match become one result each, for pages too (rule J7)") {
  Site site;
  site.worklist.matches.push_back(web_test::data_set(
      R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"DOE^JANE"}]},
          "00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["A"]}},
                                         {"00400009":{"vr":"SH","Value":["B"]}}]}})"));
  const Response both = ask(site.port, get(sps));
  CHECK(results(both) == 2);
  CHECK(both.body.find(R"(["A"])") < both.body.find(R"(["B"])"));
  const Response one = ask(site.port, get(sps + "?limit=1&offset=1"));
  CHECK(results(one) == 1);
  CHECK(one.body.find(R"(["B"])") != std::string::npos);
  CHECK(one.body.find("DOE^JANE") != std::string::npos);
}

TEST_CASE("Accept is negotiated, and 406 names what is served (rules B3 to B5, A27)") {
  Site site;
  add_steps(site, 1);
  struct Row {
    std::string header;
    std::string query;
    int status;
  };
  const std::vector<Row> rows{
      {"", "", 200},
      {"Accept: */*\r\n", "", 200},
      {"Accept: application/*\r\n", "", 200},
      {"Accept: application/dicom+json\r\n", "", 200},
      {"Accept: application/json\r\n", "", 200},
      {"Accept: APPLICATION/DICOM+JSON; charset=UTF-8\r\n", "", 200},
      {"Accept: text/html, application/dicom+json;q=0.1\r\n", "", 200},
      {"Accept: text/html,,nonsense, */*;q=0.1\r\n", "", 200},
      {"Accept: text/html\r\nAccept: application/dicom+json\r\n", "", 200},
      {"Accept: text/html\r\n", "", 406},
      {"Accept: application/dicom+xml\r\n", "", 200},
      {"Accept: application/dicom+json;q=0\r\n", "", 406},
      {"Accept: application/dicom+json;q=0, */*\r\n", "", 200},
      {"Accept: */*;q=0\r\n", "", 406},
      {"Accept: \r\n", "", 406},
      {"Accept: multipart/related; type=\"application/dicom+json\"\r\n", "", 200},
      {"Accept: multipart/related; type=\"application/dicom\"\r\n", "", 406},
      {"Accept-Charset: iso-8859-1\r\n", "", 200},
      {"Accept-Charset: utf-8;q=0\r\n", "", 406},
      {"Accept-Charset: utf-8;q=0\r\n", "?charset=utf-8", 200},
      {"Accept: */*\r\n", "?accept=application/dicom%2Bjson", 200},
      {"Accept: */*\r\n", "?accept=application/dicom+json", 200},
      {"Accept: */*\r\n", "?accept=application/dicom+xml", 200},
      {"Accept: */*\r\n", "?accept=text/html", 200},
      {"Accept: text/html\r\n", "?accept=application/dicom+json", 406},
  };
  for (const Row& row : rows) {
    CAPTURE(row.header, row.query);
    const Response response = ask(site.port, get(sps + row.query, row.header));
    CHECK(response.status == row.status);
    if (row.status == 406) {
      check_problem(response, 406);
    }
  }
  const Response refused = ask(site.port, get(sps, "Accept: text/html\r\n"));
  rapidjson::Document document;
  document.Parse(refused.body.c_str());
  CHECK(std::string(document["detail"].GetString()) ==
        "Results are served as application/dicom+json, application/dicom+xml, "
        "multipart/related; type=\"application/dicom+json\", "
        "multipart/related; type=\"application/dicom+xml\"");
}

TEST_CASE("Results are written in the form that was negotiated (rules B2, B7 to B10)") {
  struct Row {
    std::string accept;
    int results;
    std::string type;
    std::size_t parts;
  };
  for (const Row& row : {
           Row{"application/dicom+json", 1, "application/dicom+json", 0},
           Row{"application/dicom+xml", 1, "application/dicom+xml", 0},
           Row{"application/dicom+xml", 3, "multipart/related; type=\"application/dicom+xml\"", 3},
           Row{"multipart/related; type=application/dicom+xml", 1,
               "multipart/related; type=\"application/dicom+xml\"", 1},
           Row{"multipart/related; type=\"application/dicom+json\"", 3,
               "multipart/related; type=\"application/dicom+json\"", 3},
       }) {
    CAPTURE(row.accept, row.results);
    Site site;
    add_steps(site, row.results);
    const Response response = ask(site.port, get(sps, "Accept: " + row.accept + "\r\n"));
    CHECK(response.status == 200);
    const std::string type = response.header("content-type");
    CHECK(type.substr(0, type.find("; boundary=")) == row.type);
    CHECK((type.find("; boundary=") != std::string::npos) == (row.parts > 0));
    web::OriginReply reply;
    reply.content_type = type;
    reply.body = response.body;
    std::vector<mapping::DataSet> read;
    const auto done = web::read_results(
        reply, [&](mapping::DataSet&& result) { return read.push_back(std::move(result)), true; },
        1u << 20);
    CHECK(done.ok());
    CHECK(read == site.worklist.matches);
  }
}

TEST_CASE("No result is 204 in every form that has parts; 200 with an empty list is JSON's (B7)") {
  OriginServerOptions options;
  options.no_match_status = 200;
  Site site(options);
  for (const char* accept :
       {"application/dicom+xml", "multipart/related; type=\"application/dicom+json\""}) {
    CAPTURE(accept);
    const Response response = ask(site.port, get(sps, fmt::format("Accept: {}\r\n", accept)));
    CHECK(response.status == 204);
    CHECK(response.header("content-type") == "-");
  }
}

TEST_CASE("An MPPS is created, updated and retrieved in XML") {
  Site site;
  const std::string target = mpps + "/" + uid;
  const auto document = [](const std::string& attribute) {
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><NativeDicomModel xml:space=\"preserve\">" +
           attribute + "</NativeDicomModel>";
  };
  const std::string in_progress = document(
      "<DicomAttribute tag=\"00400252\" vr=\"CS\"><Value number=\"1\">IN PROGRESS</Value>"
      "</DicomAttribute>");
  const std::string described = document(
      "<DicomAttribute tag=\"00400254\" vr=\"LO\"><Value number=\"1\">Sch\xC3\xA4"
      "del</Value></DicomAttribute>");
  CHECK(ask(site.port, post(target, in_progress, "application/dicom+xml")).status == 201);
  CHECK(ask(site.port, post(target + "?update", described, "application/dicom+xml")).status == 200);
  const std::string expected =
      R"({"00080005":{"vr":"CS","Value":["ISO_IR 192"]},)"
      R"("00400252":{"vr":"CS","Value":["IN PROGRESS"]},"00400254":{"vr":"LO","Value":["Sch)"
      "\xC3\xA4"
      R"(del"]}})";
  CHECK(web_test::json(site.steps.stored(uid)) == expected);
  const Response found = ask(site.port, get(target, "Accept: application/dicom+xml\r\n"));
  CHECK(found.status == 200);
  CHECK(found.header("content-type") == "application/dicom+xml");
  CHECK(found.body.find("keyword=\"PerformedProcedureStepDescription\"") != std::string::npos);
  const Response parts = ask(site.port, get(target, "Accept: multipart/related\r\n"));
  check_problem(parts, 406);
  CHECK(parts.body.find("multipart") == std::string::npos);
}

TEST_CASE("An MPPS is created, updated by both URI forms, and retrieved (rules J1, J2, B14)") {
  Site site;
  const std::string target = mpps + "/" + uid;
  const Response created = ask(site.port, post(target, step));
  CHECK(created.status == 201);
  CHECK(created.header("location") == target);
  CHECK(created.header("content-length") == "0");
  CHECK(created.header("content-type") == "-");
  for (const std::string update : {"?update", "?update=", "?update=true", "/update", "/update/"}) {
    CAPTURE(update);
    const Response updated =
        ask(site.port, post(target + update, R"({"00400254":{"vr":"LO","Value":["Head"]}})"));
    CHECK(updated.status == 200);
    CHECK(updated.header("content-length") == "0");
  }
  const Response found = ask(site.port, get(target));
  CHECK(found.status == 200);
  CHECK(found.header("content-type") == "application/dicom+json");
  CHECK(found.header("content-location") == target);
  CHECK(results(found) == 1);
  CHECK(found.body.find("Head") != std::string::npos);
  CHECK(found.body.find("PPS1") != std::string::npos);
  CHECK(ask(site.port, post(target, step)).status == 409);
  CHECK(ask(site.port, post(mpps + "/1.2.3?update", step)).status == 404);
  CHECK(ask(site.port, get(mpps + "/1.2.3")).status == 404);
}

TEST_CASE("Retrieve asks for whole attributes and prunes the answer to the paths (rule F26)") {
  Site site;
  site.steps.store(uid, web_test::data_set(
                            R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},
      "00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH","Value":["ACC"]},
                                      "0020000D":{"vr":"UI","Value":["1.2.3"]}}]}})"));
  const Response response =
      ask(site.port,
          get(mpps + "/" + uid + "?includefield=00400270.0020000D,PerformedProcedureStepID"));
  CHECK(response.status == 200);
  CHECK(response.body ==
        R"([{"00400270":{"vr":"SQ","Value":[{"0020000D":{"vr":"UI","Value":["1.2.3"]}}]}}])");
  const mapping::AttributeList asked = site.steps.last_attributes();
  CHECK(asked == mapping::AttributeList{mapping::tags::PerformedProcedureStepID,
                                        mapping::tags::ScheduledStepAttributesSequence});
}

TEST_CASE("A base path stands before every resource, its slash at the end or not") {
  for (const std::string base : {"/ris/dicom-web", "/ris/dicom-web/"}) {
    OriginServerOptions options;
    options.base_path = base;
    Site site(options);
    add_steps(site, 3);
    const Response page = ask(site.port, get("/ris/dicom-web" + sps + "?limit=1"));
    CHECK(page.status == 200);
    CHECK(page.header("warning") ==
          "299 http://gateway.example/ris/dicom-web: There are 2 additional results that can be "
          "requested");
    CHECK(ask(site.port, get(sps)).status == 404);
    CHECK(ask(site.port, post("/ris/dicom-web" + mpps + "/" + uid, step)).header("location") ==
          "/ris/dicom-web" + mpps + "/" + uid);
  }
}

TEST_CASE("Options that make no sense are faults of start") {
  const auto started = [](OriginServerOptions options) {
    return OriginServer(
               on_loopback(std::move(options)), [](const auto&) { return mapping::Services{}; },
               web_test::silent())
        .start()
        .ok();
  };
  OriginServerOptions options;
  CHECK(started(options));
  for (const std::string path : {"ris", "/a b", "/a//b", "/a?b", "/%41"}) {
    CAPTURE(path);
    options = {};
    options.base_path = path;
    CHECK_FALSE(started(options));
  }
  options = {};
  options.no_match_status = 404;
  CHECK_FALSE(started(options));
}

TEST_CASE("Bad input is a precise 4xx problem report, and the next request works") {
  OriginServerOptions options;
  options.max_body_bytes = 5000;
  Site site(options);
  add_steps(site, 1);
  const std::string target = mpps + "/" + uid;
  struct Row {
    std::string request;
    int status;
    std::string detail;  ///< words that must be in the report
    std::string why;
  };
  const std::vector<Row> rows{
      {post(target, "{"), 400, "", "malformed JSON"},
      {post(target, "{\"00400252\":}"), 400, "", "malformed JSON"},
      {post(target, step + "x"), 400, "", "something behind the JSON"},
      {post(target, "\"text\"", "application/dicom+json"), 400, "", "a body that is no object"},
      {post(target, "17"), 400, "", "a body that is no object"},
      {post(target, "null"), 400, "", "a body that is no object"},
      {post(target, "[]"), 400, "", "an array of no object (B10)"},
      {post(target, "[" + step + "," + step + "]"), 400, "", "an array of two (B10)"},
      {post(target, "{}"), 400, "no attributes", "a data set without attributes"},
      {post(target, ""), 400, "empty", "no body"},
      {post(target, " \r\n "), 400, "empty", "a blank body"},
      {post(target, R"({"00400252":"IN PROGRESS"})"), 400, "00400252", "an attribute no object"},
      {post(target, R"({"00400252":{"vr":"CS","Value":"IN PROGRESS"}})"), 400, "00400252",
       "Value no array (D20)"},
      {post(target, R"({"00400252":{"vr":"CS","Value":[7]}})"), 400, "00400252",
       "a number for a CS (D20)"},
      {post(target, R"({"00400252":{"vr":"XY","Value":["a"]}})"), 400, "00400252",
       "an unknown VR (D20)"},
      {post(target, R"({"0040025":{"vr":"CS"}})"), 400, "", "a name that is no tag"},
      {post(target, R"({"00080018":{"vr":"UI","Value":["1.2.3"]}})"), 400, "0008,0018",
       "another SOP Instance UID than the path's (D3)"},
      {post(target, R"({"7FE00010":{"vr":"OW","BulkDataURI":"http://evil/"}})"), 400, "",
       "BulkDataURI (D15)"},
      {post(target, step, "application/dicom+xml"), 400, "", "JSON that is said to be XML"},
      {post(target, "<a/>"), 400, "", "XML that is said to be JSON"},
      {post(target, "<!DOCTYPE a []><NativeDicomModel/>", "application/dicom+xml"), 400, "", "DTD"},
      {post(target, step, "text/plain"), 415, "application/dicom+json", "a text"},
      {post(target, step, "application/dicom+json; charset=latin1"), 415, "", "charset (B11)"},
      {post(target, step, "nonsense"), 415, "", "no media type"},
      {post(target, step, "application/x-www-form-urlencoded"), 415, "", "a form"},
      {post(target, step, "multipart/form-data; boundary=x"), 415, "", "a form"},
      {post(target, step, "application/dicom+json", "Content-Encoding: br\r\n"), 415,
       "Content-Encoding", "a coding that is not known (B13)"},
      {post(target, std::string(5001, '[')), 413, "5000", "a body over the limit"},
      {post(target, "{\"00400270\":" + std::string(4000, '[')), 400, "", "a deep body"},
      {post(mpps + "/1.02.3", step), 400, "UID", "a leading zero (B24)"},
      {post(mpps + "/1..3", step), 400, "UID", "an empty component"},
      {post(mpps + "/abc", step), 400, "UID", "no UID"},
      {post(mpps + "/" + std::string(65, '1'), step), 400, "UID", "65 characters"},
      {post(mpps + "/%00", step), 400, "UID", "a NUL"},
      {get(mpps + "/abc"), 400, "UID", "no UID"},
      {post(mpps + "/abc/update", step), 400, "UID", "no UID"},
      {post(target + "?update=false", step), 400, "update", "update=false (A28)"},
      {post(target + "?update=%zz", step), 400, "", "bad percent-coding"},
      {post(mpps, step), 404, "followed by its UID", "Create without a UID"},
      {post(mpps + "/", step), 404, "followed by its UID", "Create without a UID"},
      {get(mpps), 404, "followed by its UID", "there is no Search for MPPS"},
      {get("/"), 404, sps, "an unknown path"},
      {get("/nowhere/else"), 404, sps, "an unknown path"},
      {get("/.." + sps), 404, "", "a path that climbs"},
      {get(sps + "/1"), 404, "", "a step by itself"},
      {get(sps + "%2F1"), 404, "", "an encoded slash"},
      {get("/" + std::string(2000, 'a')), 414, "", "a path longer than any resource's"},
      {post(sps, step), 405, "GET, HEAD, OPTIONS", "a method that is not allowed"},
      {"DELETE " + target + " HTTP/1.1\r\nHost: h\r\n\r\n", 405, "POST", "and another"},
      {"PUT " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405, "POST",
       "PUT of the early drafts (J30)"},
      {"PATCH " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405, "POST",
       "PATCH of the early drafts (J30)"},
      {"TRACE " + sps + " HTTP/1.1\r\nHost: h\r\n\r\n", 405, "GET", "TRACE"},
      {get(target + "/update"), 405, "POST", "a GET of the Update"},
      {"BREW " + sps + " HTTP/1.1\r\nHost: h\r\n\r\n", 501, "", "a method that nobody knows"},
      {get(sps + "?limit=-1"), 400, "limit", "limit (A17)"},
      {get(sps + "?limit=1x"), 400, "limit", "limit (A17)"},
      {get(sps + "?offset=99999999999999999999999"), 400, "offset", "offset (A17)"},
      {get(sps + "?fuzzymatching=yes"), 400, "fuzzymatching", "no boolean (A15)"},
      {get(sps + "?PatientID=1&PatientID=2"), 400, "PatientID", "a key twice (A6)"},
      {get(sps + "?PatientID=%FF"), 400, "", "no UTF-8 (A8)"},
      {get(sps + "?PatientID=%0"), 400, "", "bad percent-coding (A8)"},
      {get(sps + "?includefield=all&includefield=00100010"), 400, "includefield", "all (A12)"},
      {get(target + "?includefield=%zz"), 400, "", "bad percent-coding"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why, row.request.substr(0, 150));
    const Response response = ask(site.port, row.request);
    check_problem(response, row.status);
    CAPTURE(response.body);
    CHECK(response.body.find(row.detail) != std::string::npos);
    CHECK((response.header("allow") != "-") == (row.status == 405));
    REQUIRE(ask(site.port, get(sps)).status == 200);
  }
  CHECK(site.steps.stored(uid).empty());
}

TEST_CASE("No problem report holds a value that the client sent") {
  Site site;
  const std::string target = mpps + "/" + uid;
  for (const std::string& request :
       {get(sps + "?PatientName=SECRET&PatientName=SECRET"), get(sps + "?limit=SECRET"),
        get("/SECRET"), get(mpps + "/SECRET"), get(sps + "?PatientBirthDate=SECRET&limit=x"),
        post(target, R"({"00100010":{"vr":"PN","Value":["SECRET",7]}})"),
        post(target, R"({"00400250":{"vr":"DA","Value":["SECRET"]}})"),
        post(target, R"({"00080018":{"vr":"UI","Value":["1.2.SECRET"]}})"), post(target, "SECRET"),
        get(sps, "Accept: SECRET/SECRET\r\n")}) {
    CAPTURE(request);
    const Response response = ask(site.port, request);
    CHECK(response.status >= 400);
    CHECK(response.body.find("SECRET") == std::string::npos);
  }
  CHECK_FALSE(site.lines.hold("SECRET"));
}

TEST_CASE("Bodies are tolerated as the rules say (B10, B11, J6, J11, D1, D3)") {
  struct Row {
    std::string request;
    std::string why;
  };
  const std::string target = mpps + "/" + uid;
  const std::string untyped = fmt::format(
      "POST {} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}", target, step.size(), step);
  const std::vector<Row> rows{
      {post(target, step), "an object"},
      {post(target, "[" + step + "]"), "an array of one"},
      {post(target, step, "application/json"), "application/json"},
      {post(target, step, "Application/DICOM+JSON ; Charset=\"UTF-8\""), "charset=utf-8"},
      {post(target, "\xEF\xBB\xBF" + step), "a byte order mark"},
      {untyped, "no Content-Type, but it shows"},
      {post(target, step, "application/dicom+json", "Content-Encoding: identity\r\n"),
       "no encoding at all"},
      {post(target + "?Accept=application/json", step), "no parameters are defined (A28)"},
      {"POST " + target +
           " HTTP/1.1\r\nHost: h\r\nContent-Type: application/dicom+json\r\n"
           "Transfer-Encoding: chunked\r\n\r\n" +
           fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", step.size(), step),
       "a chunked body"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    Site site;
    CHECK(ask(site.port, row.request).status == 201);
    CHECK(web_test::json(site.steps.stored(uid)) == step);
  }
  Site site;
  const std::string named =
      R"({"00080016":{"vr":"UI","Value":["1.2.840.10008.3.1.2.3.3"]},"00080018":{"vr":"UI",)"
      R"("Value":[")" +
      uid + R"("]},)" + step.substr(1);
  CHECK(ask(site.port, post(target, named)).status == 201);
  CHECK(web_test::json(site.steps.stored(uid)) == step);
}

TEST_CASE("Warnings of the services become 2xx with a Warning header (rule J19)") {
  struct Row {
    std::uint16_t status;
    std::string request;
    int http;
    std::string warning;
  };
  const std::string target = mpps + "/" + uid;
  const std::vector<Row> rows{
      {status::attribute_value_out_of_range, post(target, step), 201, "with modifications"},
      {status::attribute_list_error, post(target, step), 201, "not supported. 00400254"},
      {0xB000, post(target, step), 201, "with a warning"},
      {status::attribute_value_out_of_range, post(target + "?update", step), 200,
       "with modifications"},
      {status::requested_optional_attributes_not_supported, get(target), 200,
       "Requested optional Attributes are not supported."},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status, row.http);
    Site site;
    if (row.http == 200) site.steps.store(uid, web_test::data_set(step));
    site.steps.good = Outcome::answered(row.status);
    site.steps.good.attributes = {mapping::Tag(0x00400254)};
    const Response response = ask(site.port, row.request);
    CHECK(response.status == row.http);
    CHECK(response.header("warning").find(row.warning) != std::string::npos);
    CHECK(response.header("warning").starts_with("299 http://gateway.example: "));
  }
}

TEST_CASE("Failures of the MPPS service become what mapping.md 2a, 3a and 4a say") {
  const std::string target = mpps + "/" + uid;
  const std::string create = post(target, step);
  const std::string update = post(target + "?update", step);
  const std::string retrieve = get(target);
  struct Row {
    std::string request;
    Outcome outcome;
    int status;
    bool retry_after;
  };
  const std::vector<Row> rows{
      {create, Outcome::answered(status::duplicate_sop_instance), 409, false},
      {create, Outcome::answered(status::invalid_attribute_value), 400, false},
      {create, Outcome::answered(status::no_such_sop_class), 501, false},
      {create, Outcome::answered(status::not_authorized), 403, false},
      {create, Outcome::answered(status::resource_limitation), 503, true},
      {create, Outcome::answered(status::processing_failure), 503, false},
      {create, Outcome::unreachable(Transaction::create, NetworkEvent::connect_failed, ""), 503,
       true},
      {create, Outcome::unknown(Transaction::create, NetworkEvent::connection_lost, ""), 503,
       false},
      {update, Outcome::answered(status::no_such_sop_instance), 404, false},
      {update, Outcome::answered(status::no_such_attribute), 409, false},
      {update, Outcome::answered(status::processing_failure), 503, false},
      {update,
       Outcome::answered(status::processing_failure,
                         "Performed Procedure Step Object may no longer be updated"),
       409, false},
      {retrieve, Outcome::answered(status::no_such_sop_instance), 404, false},
      {retrieve, Outcome::answered(status::unrecognized_operation), 501, false},
      {retrieve, Outcome::answered(status::success), 503, false},  // without an Attribute List
      {retrieve,
       Outcome::unreachable(Transaction::retrieve, NetworkEvent::abstract_syntax_refused, ""), 501,
       false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.request.substr(0, 70), row.outcome.status);
    Site site;
    site.steps.instead = [&](const mapping::Context&) { return row.outcome; };
    const Response response = ask(site.port, row.request);
    check_problem(response, row.status);
    CHECK((response.header("retry-after") != "-") == row.retry_after);
  }
}

TEST_CASE("A service that is not offered to the caller is 501") {
  Site site;
  site.offer_worklist = site.offer_mpps = false;
  check_problem(ask(site.port, get(sps)), 501);
  check_problem(ask(site.port, get(mpps + "/" + uid)), 501);
  check_problem(ask(site.port, post(mpps + "/" + uid, step)), 501);
}

TEST_CASE("HEAD is GET without the body, OPTIONS tells the methods (rule B23)") {
  Site site;
  add_steps(site, 1);
  const Response got = ask(site.port, get(sps));
  Client client(site.port);
  client.send("HEAD " + sps + " HTTP/1.1\r\nHost: h\r\n\r\n");
  const Response head = client.receive(true);
  CHECK(head.status == 200);
  CHECK(head.header("content-length") == std::to_string(got.body.size()));
  client.send("OPTIONS " + sps + " HTTP/1.1\r\nHost: h\r\n\r\n");
  const Response options = client.receive();
  CHECK(options.status == 200);
  CHECK(options.header("allow") == "GET, HEAD, OPTIONS");
  client.send("OPTIONS " + mpps + "/" + uid + " HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(client.receive().header("allow") == "POST, GET, HEAD, OPTIONS");
}

TEST_CASE("A slash at the end of a resource is no other resource (rule J3)") {
  Site site;
  add_steps(site, 1);
  const std::string target = mpps + "/" + uid + "/";
  CHECK(ask(site.port, get(sps + "/?limit=1")).status == 200);
  const Response created = ask(site.port, post(target, step));
  CHECK(created.status == 201);
  CHECK(created.header("location") == mpps + "/" + uid);
  CHECK(ask(site.port, post(target + "?update", step)).status == 200);
  CHECK(ask(site.port, post(target + "update/", step)).status == 200);
  const Response found = ask(site.port, get(target));
  CHECK(found.status == 200);
  CHECK(found.header("content-location") == mpps + "/" + uid);
  const Response head = ask(site.port, "HEAD " + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(head.status == 200);
  CHECK(head.header("content-length") == std::to_string(found.body.size()));
  CHECK(head.body.empty());
  check_problem(ask(site.port, get(target + "/")), 404);
}

TEST_CASE("HTTP/1.0 is served by the origin server, without chunks and closed unless it asks") {
  Site site;
  add_steps(site, 1000);
  Client client(site.port);
  client.send("GET " + sps + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const Response kept = client.receive();
  CHECK(kept.status == 200);
  CHECK(kept.header("connection") == "keep-alive");
  CHECK(kept.header("transfer-encoding") == "-");
  CHECK(results(kept) == 1000);
  client.send("GET " + sps + "?limit=1 HTTP/1.0\r\n\r\n");
  const Response last = client.receive();
  CHECK(last.status == 200);
  CHECK(last.header("connection") == "close");
  CHECK(client.closed());
}

TEST_CASE("Range changes nothing of an answer") {
  Site site;
  add_steps(site, 3);
  const Response whole = ask(site.port, get(sps));
  const Response other = ask(site.port, get(sps, "Range: bytes=0-9\r\n"));
  CHECK(other.status == 200);
  CHECK(other.body == whole.body);
}

TEST_CASE("A Host header that is none is not echoed in a Warning") {
  Site site;
  add_steps(site, 2);
  Client client(site.port);
  client.send("GET " + sps + "?limit=1 HTTP/1.1\r\nHost: a b\"c\r\n\r\n");
  CHECK(client.receive().header("warning") ==
        "299 modgate: There are 1 additional results that can be requested");
}

TEST_CASE("An exception of a service is 500 without its text, and the next request works") {
  Site site;
  site.steps.instead = [](const mapping::Context&) -> Outcome {
    throw std::runtime_error("DOE^JANE");
  };
  Client client(site.port);
  client.send(get(mpps + "/" + uid));
  const Response response = client.receive();
  check_problem(response, 500);
  CHECK(response.body.find("DOE") == std::string::npos);
  CHECK(response.header("exception_what") == "-");
  CHECK_FALSE(site.lines.hold("DOE"));
  client.send(get(sps));
  CHECK(client.receive().status == 204);
}

TEST_CASE("A client that goes away stops the search") {
  Site site;
  add_steps(site, 5000);
  std::atomic<bool> gone = false;
  site.worklist.before = [&](const mapping::Context& context) {
    gone = web_test::eventually([&] { return context.cancelled(); });
  };
  {
    Client client(site.port);
    client.send(get(sps));
  }
  CHECK(web_test::eventually([&] { return gone.load(); }));
  site.server.stop(5s);
  CHECK(site.worklist.handed_on() <= 16);
}

TEST_CASE("curl, which nobody here wrote, creates, updates, retrieves and searches") {
  Site site;
  add_steps(site, 1);
  const std::string base = fmt::format("http://127.0.0.1:{}", site.port);
  const auto curl = [](const std::string& arguments) {
    const std::string command = "curl -sS -m 10 -w ' %{http_code}' " + arguments + " 2>&1";
    std::string said;
    std::array<char, 4096> buffer{};
    web_test::cross_the_wire();
    FILE* pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) said += buffer.data();
    ::pclose(pipe);
    return said;
  };
  if (curl("--version").find("libcurl") == std::string::npos) {
    WARN("no curl here");
    return;
  }
  const std::string send = " -H 'Content-Type: application/dicom+json' -d '" + step + "' ";
  const std::string object = "'" + base + mpps + "/" + uid;
  CHECK(curl(send + object + "'") == " 201");
  CHECK(curl(send + "-H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' " + object +
             "?update'") == " 200");
  CHECK(curl(object + "'") == "[" + step + "] 200");
  CHECK(curl("--http1.0 " + object + "'") == "[" + step + "] 200");
  CHECK(curl("-I '" + base + sps + "'").find("HTTP/1.1 200 OK") == 0);
  CHECK(curl("'" + base + sps + "?PatientName=DOE*' '" + base + sps + "'").ends_with("] 200"));
}

TEST_CASE("Eight clients at a time get each their own answer") {
  Site site;
  add_steps(site, 50);
  std::vector<std::thread> clients;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      Client client(site.port);
      for (int j = 0; j < 50; ++j) {
        client.send(get(fmt::format("{}?limit=1&offset={}", sps, (i * 7 + j) % 50)));
        const Response response = client.receive();
        const std::string expected = fmt::format("\"ACC{}\"", (i * 7 + j) % 50);
        if (response.body.find(expected) == std::string::npos) ++wrong;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  CHECK(wrong == 0);
}
