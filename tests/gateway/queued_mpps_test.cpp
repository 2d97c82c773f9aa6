#include "gateway/queued_mpps.h"

#include <catch2/catch.hpp>

#include "gateway/sqlite_mpps_queue.h"
#include "mapping/tags.h"
#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using mapping::Outcome;
using mapping::Transaction;

namespace {

const mapping::Log silent = [](mapping::LogLevel, std::string_view) {};

struct Queued {
  Directory directory;
  std::unique_ptr<SqliteMppsQueue> queue =
      SqliteMppsQueue::open(directory.path(), SqliteMppsQueue::Role::gateway).value();
  Receiver first;
  std::vector<std::string> woken;
  QueuedMppsOptions options{.receivers = {{"ris", {}}, {"pacs", {{"COMPLETED"}, {}}}},
                            .wake = [this](const std::string& name) { woken.push_back(name); }};
  QueuedMpps mpps() { return {*queue, first, options, silent}; }
  MirroredMpps mirrored() {
    options.receivers.erase(options.receivers.begin());
    return {*queue, first, options, silent};
  }
  std::size_t open() { return queue->list({}).size(); }
};

}  // namespace

TEST_CASE("queued: success means kept; no receiver is asked") {
  Queued q;
  auto mpps = q.mpps();
  CHECK(mpps.create(uid(1), created(1), {}).status == 0x0000);
  CHECK(mpps.update(uid(1), described("a"), {}).status == 0x0000);
  CHECK(q.first.requests() == 0);
  CHECK(q.queue->list({.receiver = "ris"}).size() == 2);
  CHECK(q.queue->list({.receiver = "pacs", .state = DeliveryState::withheld}).size() == 2);
  CHECK(q.woken == std::vector<std::string>{"ris", "pacs", "ris", "pacs"});
}

TEST_CASE("queued: the state machine of F.7.2 answers at once") {
  Queued q;
  auto mpps = q.mpps();
  CHECK(mpps.update(uid(1), described("a"), {}).status == 0x0112);
  REQUIRE(mpps.create(uid(1), created(1), {}).good());
  CHECK(mpps.create(uid(1), created(1), {}).status == 0x0111);
  // F19: an attribute that the N-CREATE did not hold.
  const auto unknown =
      mpps.update(uid(1), data_set(R"({"00400280":{"vr":"ST","Value":["comment"]}})"), {});
  CHECK(unknown.status == 0x0105);
  q.options.strict = false;
  auto lenient = q.mpps();
  CHECK(lenient.update(uid(1), in_state("COMPLETED"), {}).good());
  const auto final = lenient.update(uid(1), described("late"), {});
  CHECK(final.status == 0x0110);
  CHECK(final.error_id == 0xA710);
  // Not created here, perhaps elsewhere: the receivers say.
  CHECK(lenient.update(uid(2), described("a"), {}).good());
  // Its N-CREATE is no second one.
  CHECK(lenient.create(uid(2), created(2), {}).good());
  CHECK(lenient.create(uid(2), created(2), {}).status == 0x0111);
  CHECK(q.queue->step(uid(2))->created);
}

TEST_CASE("queued: what is discarded is as accepted: the modality was told so") {
  Queued q;
  q.options.strict = false;
  q.options.retrieve_from = RetrieveFrom::gateway;
  auto mpps = q.mpps();
  REQUIRE(mpps.create(uid(1), created(1), {}).good());
  REQUIRE(mpps.update(uid(1), in_state("COMPLETED"), {}).good());
  for (const auto& entry : q.queue->list({})) REQUIRE(q.queue->discard(entry.id, entry.receiver));
  CHECK(mpps.create(uid(1), created(1), {}).status == 0x0111);
  CHECK(mpps.update(uid(1), described("late"), {}).error_id == 0xA710);
  mapping::DataSet found;
  CHECK(mpps.retrieve(uid(1), {}, found, {}).good());
  CHECK(found.view().text(mapping::tags::PerformedProcedureStepStatus) == "COMPLETED");
  // Of another step only what was to come first: the rest goes on without it.
  REQUIRE(mpps.create(uid(2), created(2), {}).good());
  for (const auto& entry : q.queue->list({})) REQUIRE(q.queue->discard(entry.id, entry.receiver));
  CHECK(mpps.update(uid(2), described("a"), {}).good());
  CHECK(take(*q.queue, "ris", later())->message.operation == mapping::Transaction::update);
}

TEST_CASE("queued: Retrieve asks the first receiver, and the record where it cannot say") {
  Queued q;
  mapping::DataSet found;
  auto mpps = q.mpps();
  REQUIRE(mpps.create(uid(1), created(1), {}).good());
  SECTION("automatic: the receiver has not got it yet") {
    CHECK(mpps.retrieve(uid(1), {}, found, {}).status == 0x0000);
    CHECK(found == created(1));
    const auto some =
        mpps.retrieve(uid(1), {mapping::tags::Modality, mapping::tags::AccessionNumber}, found, {});
    CHECK(some.status == 0x0107);
    CHECK(some.attributes == std::vector<mapping::Tag>{mapping::tags::AccessionNumber});
    CHECK(found.view().text(mapping::tags::Modality) == "CT");
    CHECK(mpps.retrieve(uid(1), {mapping::tags::Modality, mapping::tags::Modality}, found, {})
              .status == 0x0000);
    CHECK(mpps.retrieve(uid(2), {}, found, {}).status == 0x0112);
  }
  SECTION("automatic: the receiver offers no N-GET, or is away") {
    q.first.offers_retrieve = false;
    CHECK(mpps.retrieve(uid(1), {}, found, {}).good());
  }
  SECTION("automatic: what the receiver says is what counts, once it has all") {
    q.first.create(uid(1), created(7), {});
    CHECK(mpps.retrieve(uid(1), {}, found, {}).good());
    CHECK(found == created(1));  // whoever was told success reads what was accepted
    q.queue->discard(1, "ris");
    CHECK(mpps.retrieve(uid(1), {}, found, {}).good());
    CHECK(found == created(7));
    q.first.create(uid(3), created(3), {});
    q.options.strict = false;
    CHECK(q.mpps().update(uid(3), described("a"), {}).good());
    CHECK(mpps.retrieve(uid(3), {}, found, {}).good());
    CHECK(found == created(3));  // the record alone is no step
    q.first.fault = [](Transaction, int) { return Outcome::answered(0x0124); };
    CHECK(mpps.retrieve(uid(1), {}, found, {}).status == 0x0124);
  }
  SECTION("backend") {
    q.options.retrieve_from = RetrieveFrom::backend;
    CHECK(q.mpps().retrieve(uid(1), {}, found, {}).status == 0x0112);
  }
  SECTION("gateway") {
    q.options.retrieve_from = RetrieveFrom::gateway;
    CHECK(q.mpps().retrieve(uid(1), {}, found, {}).good());
    CHECK(q.first.requests() == 0);
  }
}

TEST_CASE("mirrored: the first receiver's answer is the answer, the others get what it accepted") {
  Queued q;
  auto mpps = q.mirrored();
  CHECK(mpps.create(uid(1), created(1), {}).status == 0x0000);
  CHECK(q.first.log().size() == 1);
  CHECK(q.queue->list({.receiver = "pacs"}).size() == 1);
  CHECK(mpps.create(uid(1), created(1), {}).status == 0x0111);
  CHECK(q.queue->list({.receiver = "pacs"}).size() == 1);
  q.first.fault = [](Transaction, int) {
    return Outcome::unreachable(Transaction::update, mapping::NetworkEvent::connect_failed, "");
  };
  CHECK(mpps.update(uid(1), in_state("COMPLETED"), {}).how == Outcome::How::unreachable);
  CHECK(q.queue->list({.receiver = "pacs"}).size() == 1);
  CHECK(q.queue->step(uid(1))->attributes == created(1));
}

TEST_CASE("mirrored: what the first receiver may have done goes to the others, once") {
  Queued q;
  auto mpps = q.mirrored();
  q.first.lost_answer = [](Transaction transaction, int) {
    return std::optional(
        Outcome::unknown(transaction, mapping::NetworkEvent::connection_lost, "closed"));
  };
  CHECK(mpps.create(uid(1), created(1), {}).how == Outcome::How::unknown);
  CHECK(q.queue->list({.receiver = "pacs"}).size() == 1);
  // The modality repeats, and hears that the step is there. Its next message finds it at the
  // mirror.
  q.first.lost_answer = nullptr;
  CHECK(mpps.create(uid(1), created(1), {}).status == 0x0111);
  CHECK(q.queue->list({.receiver = "pacs"}).size() == 1);
  CHECK(mpps.update(uid(1), in_state("COMPLETED"), {}).good());
  CHECK(q.queue->list({.receiver = "pacs"}).size() == 2);
}

TEST_CASE("a queue that cannot write is 0213, and in direct mode nothing is sent either") {
  Queued q;
  struct Broken : EmptyQueue {
    Accepted accept(const MppsMessage&, const Judge&) override { throw QueueFailure("disk full"); }
    void decide(MessageId, bool) override { throw QueueFailure("disk full"); }
    std::optional<RecordedStep> step(const mapping::Uid&) override { throw QueueFailure("no"); }
  } broken;
  std::string logged;
  const mapping::Log log = [&](mapping::LogLevel, std::string_view line) { logged += line; };
  QueuedMpps queued(broken, q.first, q.options, log);
  const auto refused = queued.create(uid(1), created(1), {});
  CHECK(refused.status == 0x0213);
  CHECK(logged.find("disk full") != std::string::npos);
  MirroredMpps mirrored(broken, q.first, q.options, log);
  CHECK(mirrored.create(uid(1), created(1), {}).status == 0x0213);
  CHECK(mirrored.update(uid(1), described("a"), {}).status == 0x0213);
  CHECK(q.first.requests() == 0);
  mapping::DataSet found;
  q.options.retrieve_from = RetrieveFrom::gateway;
  CHECK(QueuedMpps(broken, q.first, q.options, log).retrieve(uid(1), {}, found, {}).status ==
        0x0213);
}
