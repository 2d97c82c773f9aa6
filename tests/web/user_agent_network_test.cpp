// Every row of docs/spec/mapping.md 5b: what happens on the network between us and an HTTP server,
// and what a DIMSE peer is told of it. A row without a case fails, and so does a case without a
// row.
#include "tests/web/user_agent_cases.h"

using namespace user_agent_test;

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
             .comment = refused_connection,
             .how = How::unreachable,
             .event = NetworkEvent::connect_failed,
             .requests = 0,
             .change = to_nobody});
    }
    shown(connect, transaction,
          {.dimse = busy,
           .comment = no_handshake,
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
  const std::string faults = "tests/dimse/scp_faults_test.cpp";
  const std::string named = "Requests with faults get the status that names them";
  struct Elsewhere {
    std::string row, file, test;
  };
  for (const Elsewhere& one : {
           Elsewhere{"unknown called AE / calling AE", "tests/dimse/negotiation_test.cpp",
                     "Association requests are rejected with result, source and reason"},
           Elsewhere{"too many associations", "tests/dimse/scp_limits_test.cpp",
                     "the 201st is refused until they leave"},
           Elsewhere{"operation not for this class on the context (e.g. N-GET on 3.3)", faults,
                     "Commands that are unknown or not of the context's class answer 0211"},
           Elsewhere{"unknown SOP class in command although context differs", faults, named},
           Elsewhere{"data set undecodable in request", faults, named},
           Elsewhere{"(0008,0005) unsupported", faults, named},
           Elsewhere{"second request while one runs and async window is 1",
                     "tests/dimse/scp_hostile_test.cpp",
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
