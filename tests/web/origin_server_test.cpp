// The origin server over services in memory: its resources, what it refuses, and what HTTP asks of
// it.
#include "web/origin_server.h"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <catch2/catch.hpp>

#include "tests/web/origin_server_support.h"

using namespace std::chrono_literals;
using mapping::Outcome;
using web::OriginServer;
using web::OriginServerOptions;
using web_test::ask;
using web_test::check_problem;
using web_test::Client;
using web_test::get;
using web_test::mpps;
using web_test::on_loopback;
using web_test::post;
using web_test::Response;
using web_test::results;
using web_test::Site;
using web_test::sps;

namespace {

const std::string uid = "1.2.840.99999.1.77";
const std::string step = R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]},)"
                         R"("00400253":{"vr":"SH","Value":["PPS1"]}})";

}  // namespace

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

TEST_CASE("Accept is negotiated, and 406 names what is served (rules B3 to B5, A27, J31)") {
  Site site;
  site.add_steps(1);
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

TEST_CASE("A base path stands before every resource, its slash at the end or not") {
  for (const std::string base : {"/ris/dicom-web", "/ris/dicom-web/"}) {
    OriginServerOptions options;
    options.base_path = base;
    Site site(options);
    site.add_steps(3);
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
  site.add_steps(1);
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
      {post(target, step, "application/x-www-form-urlencoded"), 415, "", "parts (J15)"},
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

TEST_CASE("A service that is not offered to the caller is 501 (J21)") {
  Site site;
  site.offer_worklist = site.offer_mpps = false;
  check_problem(ask(site.port, get(sps)), 501);
  check_problem(ask(site.port, get(mpps + "/" + uid)), 501);
  check_problem(ask(site.port, post(mpps + "/" + uid, step)), 501);
}

TEST_CASE("HEAD is GET without the body, OPTIONS tells the methods (rule B23)") {
  Site site;
  site.add_steps(1);
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
  site.add_steps(1);
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
  site.add_steps(1000);
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
  site.add_steps(3);
  const Response whole = ask(site.port, get(sps));
  const Response other = ask(site.port, get(sps, "Range: bytes=0-9\r\n"));
  CHECK(other.status == 200);
  CHECK(other.body == whole.body);
}

TEST_CASE("A Host header that is none is not echoed in a Warning") {
  Site site;
  site.add_steps(2);
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
  site.add_steps(5000);
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
  site.add_steps(1);
  const std::string base = fmt::format("http://127.0.0.1:{}", site.port);
  const auto curl = [](const std::string& arguments) {
    return web_test::run("curl -sS -m 10 -w ' %{http_code}' " + arguments).output;
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
  site.add_steps(50);
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
