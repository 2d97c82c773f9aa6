// A Search whose page is read while it comes.
#include <condition_variable>
#include <mutex>

#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

namespace {

/// A door between the server's thread and that of the search.
class Door {
 public:
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    opened_.notify_all();
  }
  /// False: it was not opened in time.
  bool pass() {
    std::unique_lock lock(mutex_);
    return opened_.wait_for(lock, web_test::patience, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

std::string step(int number) { return web_test::json(web_test::scheduled_step(number)); }

std::string head(std::size_t length) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: {}\r\n\r\n",
      length);
}

}  // namespace

TEST_CASE("A match is handed on before the rest of its page has come") {
  Door first_arrived;
  bool in_time = false;
  const std::string begin = "[" + step(1) + "," + step(2).substr(0, 20);
  const std::string rest = step(2).substr(20) + "]";
  Stage stage({[&](Peer& peer, const Request&) {
                peer.send(head(begin.size() + rest.size()) + begin);
                in_time = first_arrived.pass();
                peer.send(rest);
              }},
              [](UserAgentOptions& options) { options.response_timeout = web_test::patience; });
  std::size_t matches = 0;
  const Outcome outcome = stage.agent->search(
      {},
      [&](Match&& match) {
        CHECK(match.data_set == web_test::scheduled_step(static_cast<int>(++matches)));
        first_arrived.open();
        return true;
      },
      patient());
  CHECK(in_time);
  CHECK(outcome.status == status::success);
  CHECK(matches == 2);
}

TEST_CASE("A page that breaks off is never a whole one, wherever it breaks") {
  const std::string page = list(1, 3);
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, step(1).size(),
                                   step(1).size() + 1, step(1).size() + 2, page.size() - 1}) {
    CAPTURE(length);
    // The length is announced; or the end of a chunked body is missing.
    for (const std::string& answer :
         {head(page.size()) + page.substr(0, length),
          fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n",
                      std::max<std::size_t>(length, 1), length == 0 ? " " : page.substr(0, length)),
          // Nothing is missing but the end of the array.
          head(length) + page.substr(0, length)}) {
      const bool nothing = answer.ends_with("Content-Length: 0\r\n\r\n");
      if (nothing) continue;
      Stage stage({send_and_close(answer), send_and_close(answer)});
      const Found found = search(*stage.agent);
      CHECK_FALSE(found.outcome.good());
      CHECK((found.outcome.status == status::aborted_after_partial_results) ==
            !found.matches.empty());
      CHECK(found.matches.size() ==
            (length > step(1).size() ? (length < page.size() - 1 ? 1 : 3) : 0));
    }
  }
}

TEST_CASE("The body of a failure is not taken for matches") {
  Stage stage({answer(500, list(1, 2), {{"Content-Type", "application/dicom+json"}})});
  const Found found = search(*stage.agent);
  CHECK(found.outcome.status == status::upstream_server_error);
  CHECK(found.matches.empty());
}

TEST_CASE("A page that is too large goes on in smaller ones behind what was handed on") {
  Door two_arrived;
  const std::string begin = "[" + step(1) + "," + step(2) + ",";
  const std::string rest(2000, ' ');
  Stage stage({[&](Peer& peer, const Request&) {
                 peer.send(head(begin.size() + rest.size()) + begin);
                 two_arrived.pass();
                 peer.send(rest);
                 peer.close();
               },
               answer(200, list(3, 1), remaining(1)), answer(200, list(4, 1))},
              [](UserAgentOptions& options) {
                options.max_response_bytes = 2000;
                options.response_timeout = web_test::patience;
              });
  Found found;
  found.outcome = stage.agent->search(
      {},
      [&](Match&& match) {
        found.matches.push_back(std::move(match));
        if (found.matches.size() == 2) two_arrived.open();
        return true;
      },
      patient());
  CHECK(found.outcome.status == status::success);
  REQUIRE(found.matches.size() == 4);
  for (int i = 0; i < 4; ++i) {
    CHECK(found.matches[static_cast<std::size_t>(i)].data_set == web_test::scheduled_step(i + 1));
  }
  const auto asked = stage.targets();
  REQUIRE(asked.size() == 3);
  CHECK(asked[1].find("offset=2") != std::string::npos);
  CHECK(asked[1].find("limit=100") != std::string::npos);
  CHECK(asked[2].find("offset=3") != std::string::npos);
}
