// Create, Update and Retrieve of the user agent against an HTTP server that may lie. Section
// numbers are those of docs/spec/mapping.md.
#include "web/user_agent.h"

#include <thread>

#include "mapping/xml.h"
#include "tests/web/origin_server_support.h"
#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

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

TEST_CASE("query-then-path asks at /update where ?update is unknown, and only there (rule J1)") {
  const auto both = [](UserAgentOptions& options) {
    options.update_uri = web::UpdateUri::query_then_path;
  };
  for (const int http : {404, 405}) {
    Stage stage({answer(http), answer(200)}, both);
    CHECK(stage.agent->update(uid, data_set(completed), patient()).status == status::success);
    CHECK(stage.targets() ==
          std::vector{"POST " + target + "?update", "POST " + target + "/update"});
    CHECK(stage.server.requests()[1].body == completed);
  }
  for (const int http : {200, 400, 409, 410, 501, 503}) {
    CAPTURE(http);
    Stage stage({answer(http), answer(404)}, both);
    stage.agent->update(uid, data_set(completed), patient());
    CHECK(stage.targets()[0] == "POST " + target + "?update");
    for (const std::string& one : stage.targets()) CHECK(one.find("/update") == std::string::npos);
  }
  for (const auto uri : {web::UpdateUri::query, web::UpdateUri::path}) {
    Stage stage({answer(405)}, [=](UserAgentOptions& options) { options.update_uri = uri; });
    CHECK(stage.agent->update(uid, data_set(completed), patient()).status ==
          status::unrecognized_operation);
    CHECK(stage.targets().size() == 1);
  }
}

TEST_CASE("query-then-path asks first what worked, and the other again where it no longer does") {
  const std::string by_query = "POST " + target + "?update";
  const std::string by_path = "POST " + target + "/update";
  Stage stage(
      {answer(405), answer(200), answer(200), answer(404), answer(404), answer(404), answer(200),
       answer(200)},
      [](UserAgentOptions& options) { options.update_uri = web::UpdateUri::query_then_path; });
  const auto update = [&] {
    return stage.agent->update(uid, data_set(completed), patient()).status;
  };
  CHECK(update() == status::success);
  CHECK(update() == status::success);
  CHECK(update() == status::no_such_sop_instance);  // by neither: says nothing of the URI
  CHECK(update() == status::success);
  CHECK(update() == status::success);
  CHECK(stage.targets() == std::vector{by_query, by_path,  // found out
                                       by_path,            // known
                                       by_path, by_query,  // a step that is not there
                                       by_path, by_query,  // the server is another one by now
                                       by_query});
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
