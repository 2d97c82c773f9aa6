// Search of the user agent, mapping.md 1b: forms of answers, pages, warnings, and what is no
// answer.

#include "mapping/xml.h"
#include "tests/web/user_agent_support.h"
#include "web/user_agent.h"

using namespace user_agent_test;

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

TEST_CASE("An answer over max_response_bytes is not read to its end") {
  Stage stage({answer(200, std::string(20'000, ' ')), answer(200, std::string(20'000, ' ')),
               answer(200, std::string(20'000, ' ')), answer(200, std::string(20'000, ' '))},
              [](UserAgentOptions& options) { options.max_response_bytes = 10'000; });
  const Found found = search(*stage.agent);
  CHECK(found.outcome.status == status::upstream_answer_unreadable);
  CHECK(found.matches.empty());
}
