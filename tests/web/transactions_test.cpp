// Search, Create, Update and Retrieve over services in memory, through the origin server: what the
// services are asked, and what a client is told.
#include "web/transactions.h"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <catch2/catch.hpp>
#include <set>

#include "mapping/tags.h"
#include "tests/web/origin_server_support.h"
#include "web/result_reader.h"

using namespace std::chrono_literals;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using web::OriginServerOptions;
using web_test::ask;
using web_test::check_problem;
using web_test::get;
using web_test::mpps;
using web_test::post;
using web_test::Response;
using web_test::results;
using web_test::Site;
using web_test::sps;
namespace status = mapping::dimse_status;

namespace {

const std::string uid = "1.2.840.99999.1.77";
const std::string step = R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},)"
                         R"("00400253":{"vr":"SH","Value":["PPS1"]}})";

}  // namespace

TEST_CASE("Search answers the worklist as one JSON array") {
  Site site;
  site.add_steps(3);
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

TEST_CASE("limit and offset take a page, and the rest is counted for the Warning (rule A18)") {
  Site site;
  site.add_steps(10);
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
  site.add_steps(1000);
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
  site.add_steps(1000);
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
    site.add_steps(row.matches);
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

// What rule B19 would put into a Warning stands in the body, which is JSON whatever is accepted.
TEST_CASE("A failed transaction's problem report names the DIMSE status, and more (B18, B19)") {
  Site site;
  site.steps.store(uid, web_test::data_set(R"({"00400252":{"vr":"CS","Value":["COMPLETED"]}})"));
  const Response response = ask(site.port, post(mpps + "/" + uid + "?update", step,
                                                "application/dicom+json", "Accept: text/html\r\n"));
  check_problem(response, 409);
  CHECK(response.header("warning") == "-");
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
  site.add_steps(1);
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
  site.add_steps(1);
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
  site.add_steps(1);
  const Response response = ask(site.port, get(sps));
  CHECK(response.status == 200);
  CHECK(results(response) == 1);
  CHECK(response.header("warning").find("left out") != std::string::npos);
}

TEST_CASE("Results over max_response_bytes are 413, and the search is stopped (J27)") {
  OriginServerOptions options;
  options.max_response_bytes = 1000;
  Site site(options);
  site.add_steps(1000);
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

TEST_CASE("Results are written in the form that was negotiated (rules B2, B7 to B10, J14)") {
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
    site.add_steps(row.results);
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
  CHECK(created.header("content-length") == "0");  // rules B12, J16
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

TEST_CASE("Warnings of the services become 2xx with a Warning header (rules B20, J19)") {
  struct Row {
    std::uint16_t status;
    std::string request;
    int http;
    std::string warning;
  };
  const std::string target = mpps + "/" + uid;
  const std::vector<Row> rows{
      {status::attribute_value_out_of_range, post(target, step), 201,
       "The Modality Performed Procedure Step was created with modifications."},
      {status::attribute_list_error, post(target, step), 201, "not supported. 00400254"},
      {0xB000, post(target, step), 201, "with a warning"},
      {status::attribute_value_out_of_range, post(target + "?update", step), 200,
       "The Modality Performed Procedure Step was updated with modifications."},
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

TEST_CASE("A service that names thousands of attributes makes no header that clients refuse") {
  Site site;
  site.steps.good = Outcome::answered(0x0107);
  for (std::uint16_t i = 0; i < 4000; ++i) site.steps.good.attributes.emplace_back(0x0040, i);
  const auto response = ask(site.port, post(mpps + "/" + uid, step));
  CHECK(response.status == 201);
  CHECK(response.header("warning").find("00400001") != std::string::npos);
  CHECK(response.header("warning").size() < 4096);
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
