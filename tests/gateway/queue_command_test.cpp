#include "gateway/queue_command.h"

#include <catch2/catch.hpp>
#include <sstream>

#include "gateway/sqlite_mpps_queue.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using Verb = QueueCommand::Verb;

namespace {

/// Message 1 is held at ris, message 2 waits behind it; both were delivered to pacs.
struct Queue {
  Directory directory;
  std::unique_ptr<SqliteMppsQueue> queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  std::string out, error;

  Queue() {
    for (const auto& message : {create_message(1), update_message(1, described("Doe^Jane"))}) {
      queue->accept(message, [](const RecordedStep*) {
        return Acceptance{.destinations = {{"ris", Destination::How::deliver},
                                           {"pacs", Destination::How::deliver}}};
      });
    }
    const auto now = queue_now() + std::chrono::hours(1);
    hold_next(*queue, "ris");
    const Attempt delivered{.result = Attempt::Result::delivered};
    const auto next = finish(*queue, *take(*queue, "pacs", now), delivered, now);
    queue->finish("pacs", {{*next, delivered}}, now, 0);
  }
  int run(QueueCommand command, const std::string& answer = "") {
    std::istringstream in(answer);
    std::ostringstream out_stream, error_stream;
    const int status = run_queue_command(directory.path(), command, in, out_stream, error_stream);
    out = out_stream.str();
    error = error_stream.str();
    return status;
  }
  bool says(const std::string& text) const { return out.find(text) != std::string::npos; }
};

}  // namespace

TEST_CASE("list: what is open, by receiver, state and age") {
  Queue q;
  CHECK(q.run({}) == 0);
  CHECK(q.says("held"));
  CHECK(q.says("waiting"));
  CHECK(q.says("refused"));
  CHECK_FALSE(q.says("pacs"));
  CHECK(q.run({.filter = {.state = DeliveryState::delivered}}) == 0);
  CHECK(q.says("pacs"));
  CHECK(q.run({.filter = {.receiver = "pacs"}}) == 0);
  CHECK_FALSE(q.says("held"));
  CHECK(q.run({.filter = {.accepted_before = queue_now() - std::chrono::hours(1)}}) == 0);
  CHECK_FALSE(q.says("ris"));
  CHECK(q.run({.filter = {.limit = 1}}) == 0);
  CHECK(q.error.find("the first 1 only") != std::string::npos);
}

TEST_CASE("show: everything but the patient, unless told so") {
  Queue q;
  CHECK(q.run({.verb = Verb::show, .ids = {2}}) == 0);
  CHECK(q.says("receiver     ris"));
  CHECK(q.says("receiver     pacs"));
  CHECK(q.says("mpps         1.2.826.1"));
  CHECK_FALSE(q.says("Doe"));
  CHECK(q.run({.verb = Verb::show, .ids = {2}, .with_patient_data = true}) == 0);
  CHECK(q.says("Doe^Jane"));
  CHECK(q.run({.verb = Verb::show, .ids = {7}}) == 1);
  CHECK(q.error == "7: no such message\n");
}

TEST_CASE("retry: the held one at once; what cannot be tried again says why") {
  Queue q;
  CHECK(q.run({.verb = Verb::retry, .ids = {1}, .filter = {.receiver = "ris"}}) == 0);
  CHECK(q.says("message 1 for ris: is tried again now"));
  CHECK(take(*q.queue, "ris", queue_now())->id == 1);
  CHECK(q.run({.verb = Verb::retry, .ids = {1}, .filter = {.receiver = "pacs"}}) == 1);
  CHECK(q.error == "message 1 for pacs: is delivered and cannot be tried again\n");
}

TEST_CASE("retry without ids: everything that the filter finds") {
  Queue q;
  CHECK(q.run({.verb = Verb::retry, .filter = {.state = DeliveryState::held}}) == 0);
  CHECK(q.queue->list({.state = DeliveryState::held}).empty());
}

TEST_CASE("where not everything is meant that is there, that is said") {
  Queue q;
  for (const Verb verb : {Verb::list, Verb::export_messages, Verb::retry}) {
    q.run({.verb = verb, .filter = {.limit = 1}});
    CHECK(q.error == "the first 1 only, see --limit\n");
  }
}

TEST_CASE("discard asks; only a yes does it") {
  Queue q;
  for (const char* no : {"", "n\n", "what\n"}) {
    CHECK(q.run({.verb = Verb::discard, .ids = {1}, .filter = {.receiver = "ris"}}, no) == 1);
    CHECK(q.error == "nothing discarded\n");
    CHECK(
        q.says("1 message will never reach ris: what they say of a step is lost there.\n"
               "The record here keeps them: later messages of the step, and Retrieve, go on as "
               "if they had arrived.\nDiscard? [y/N] "));
  }
  CHECK(q.queue->list({.state = DeliveryState::held}).size() == 1);
  CHECK(q.run({.verb = Verb::discard, .ids = {1}, .filter = {.receiver = "ris"}}, "y\n") == 0);
  CHECK(take(*q.queue, "ris", queue_now())->id == 2);
  CHECK(q.run({.verb = Verb::discard, .ids = {1}, .filter = {.receiver = "ris"}, .yes = true}) ==
        1);
}

TEST_CASE("export: one JSON object a line") {
  Queue q;
  CHECK(q.run({.verb = Verb::export_messages}) == 0);
  CHECK(q.says(R"({"message":1,"receiver":"ris","state":"held","operation":"create",)"));
  CHECK(q.says("Doe^Jane"));
}

TEST_CASE("no queue there: one line that says what was expected") {
  const Directory directory;
  std::istringstream in;
  std::ostringstream out, error;
  CHECK(run_queue_command(directory.path(), {}, in, out, error) == 1);
  CHECK(error.str().find("mpps-queue.sqlite") != std::string::npos);
}

TEST_CASE("ages and states by name") {
  CHECK(parse_age("90") == std::chrono::seconds(90));
  CHECK(parse_age("90m") == std::chrono::minutes(90));
  CHECK(parse_age("2h") == std::chrono::hours(2));
  CHECK(parse_age("3d") == std::chrono::hours(72));
  for (const char* bad : {"", "h", "-1", "1w", "1 h", "99999999999999999999"}) {
    CHECK_FALSE(parse_age(bad));
  }
  CHECK(parse_delivery_state("held") == DeliveryState::held);
  CHECK_FALSE(parse_delivery_state("lost"));
}
