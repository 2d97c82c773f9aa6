// Bodies in gzip or without, whole or not, as a user agent meets them.
#include "web/answer_body.h"

#include <sys/resource.h>

#include "tests/web/user_agent_support.h"

using namespace user_agent_test;
using web_test::gzip;

namespace {

ScriptedServer::Step coded(const std::string& body, const std::string& coding, int http = 200) {
  return answer(http, body,
                {{"Content-Type", "application/dicom+json"}, {"Content-Encoding", coding}});
}

/// Of this process, at any time so far.
long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("Answers are asked for in gzip and read in it, or without (rule B13)") {
  const std::string body = list(0, 300);
  const std::string bytes = gzip(body);
  REQUIRE(bytes.size() < body.size() / 4);
  for (const auto& step : Script{
           coded(bytes, "gzip"), coded(bytes, "x-gzip"), coded(bytes, "GZIP"),
           coded(body, "identity"), answer(200, body),
           coded(gzip(body.substr(0, 100)) + gzip(body.substr(100)), "gzip"),
           send_and_close(fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
                                      "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                                      bytes.substr(0, 5), bytes.size() - 5, bytes.substr(5)))}) {
    Stage stage({step});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == status::success);
    REQUIRE(found.matches.size() == 300);
    CHECK(found.matches[299].data_set == web_test::scheduled_step(299));
    CHECK(stage.server.requests()[0].head.find("Accept-Encoding: gzip\r\n") != std::string::npos);
  }
  Stage stage({coded(gzip("[]"), "gzip"), coded("", "gzip"), coded(gzip(""), "gzip"),
               coded(gzip(in_progress), "gzip")});
  for (int i = 0; i < 3; ++i) {
    const Found none = search(*stage.agent);
    CHECK(none.outcome.status == status::success);
    CHECK(none.matches.empty());
  }
  DataSet found;
  CHECK(stage.agent->retrieve(uid, {}, found, patient()).good());
  CHECK(found == data_set(in_progress));
}

TEST_CASE("What is cut off, broken or coded otherwise is unreadable, never an empty worklist") {
  const std::string bytes = gzip("[]");
  const std::string steps = gzip(list(0, 3));
  struct Row {
    ScriptedServer::Step step;
    std::uint16_t dimse;
    std::string why;
  };
  for (const Row& row : {
           Row{coded(bytes.substr(0, 10), "gzip"), 0xC003, "only the header"},
           Row{coded(bytes.substr(0, bytes.size() - 1), "gzip"), 0xC003, "a byte too short"},
           Row{coded(bytes + "x", "gzip"), 0xC003, "something behind it"},
           Row{coded("[]", "gzip"), 0xC003, "not compressed at all"},
           Row{coded("", "br"), 0, "nothing, in whatever coding"},
           Row{coded("[]", "br"), 0xC003, "a coding that was not asked for"},
           Row{coded(gzip(bytes), "gzip, gzip"), 0xC003, "twice"},
           Row{coded(steps.substr(0, steps.size() - 8), "gzip"), 0xC005, "no check sum"},
       }) {
    CAPTURE(row.why);
    Stage stage({row.step});
    const Found found = search(*stage.agent);
    CHECK(found.outcome.status == row.dimse);
    CHECK(found.matches.size() == (row.dimse == 0xC005 ? 3 : 0));
    DataSet object;
    Stage again({row.step});
    CHECK_FALSE(again.agent->retrieve(uid, {}, object, patient()).good());
  }
  // Of other answers only the status counts.
  Stage posts({coded("junk", "gzip", 201), coded("junk", "gzip", 400), coded("junk", "gzip", 503)});
  CHECK(posts.agent->create(uid, data_set(in_progress), patient()).status == status::success);
  CHECK(posts.agent->create(uid, data_set(in_progress), patient()).status ==
        status::invalid_attribute_value);
  CHECK(search(*posts.agent).outcome.status == status::out_of_resources);
}

TEST_CASE("A zip bomb is given up at max_response_bytes, and memory does not grow with it") {
  std::string bomb;
  {
    web::Deflater deflater;
    const std::string blanks(1u << 20, ' ');
    deflater.add("[", bomb);
    for (int i = 0; i < 512; ++i) deflater.add(blanks, bomb);
    deflater.finish(bomb);
  }
  const auto step = coded(bomb, "gzip");
  Stage stage({step, step, step, step, step}, [](UserAgentOptions& options) {
    options.max_response_bytes = 4u << 20;
    options.response_timeout = 10s;
  });
  const long before = peak_kib();
  const Found found = search(*stage.agent);
  CHECK(found.outcome.status == status::upstream_answer_unreadable);
  CHECK(found.matches.empty());
  DataSet object;
  CHECK(stage.agent->retrieve(uid, {}, object, patient()).status == status::processing_failure);
  CHECK(peak_kib() - before < 64 * 1024);  // of 512 MiB
}
