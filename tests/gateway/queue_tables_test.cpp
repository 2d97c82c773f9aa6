// What becomes of the rows, in a database in memory: order, single delivery, what is kept back,
// what is forgotten.
#include "gateway/queue_tables.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "tests/gateway/queue_tables_support.h"

using namespace gateway;
using namespace queue_test;

TEST_CASE("a message comes out as it was accepted, for its receiver only") {
  Tables tables;
  const MppsMessage message = create_message(1);
  const MessageId id = tables.keep(message);
  CHECK_FALSE(tables.next("other"));
  const auto delivery = tables.next("ris");
  REQUIRE(delivery);
  CHECK(delivery->id == id);
  CHECK(delivery->receiver == "ris");
  CHECK(delivery->message.operation == mapping::Transaction::create);
  CHECK(delivery->message.mpps == message.mpps);
  CHECK(delivery->message.attributes == message.attributes);
  CHECK(delivery->message.caller == "CT1");
  CHECK(delivery->message.transaction == "t1");
  CHECK(delivery->attempts == 0);
  CHECK_FALSE(delivery->maybe_sent);
  CHECK(tables.message(id)->attributes == message.attributes);
  CHECK_FALSE(tables.message(id + 1));
}

TEST_CASE("one MPPS and receiver: strictly one after the other; others at the same time") {
  Tables tables;
  const MessageId created = tables.keep(create_message(1));
  const MessageId described_id = tables.keep(update_message(1, described("a")));
  const MessageId completed = tables.keep(update_message(1, in_state("COMPLETED")));
  const MessageId other = tables.keep(create_message(2));

  const auto first = tables.next("ris");
  REQUIRE(first);
  CHECK(first->id == created);
  CHECK(tables.next("ris")->id == other);
  CHECK_FALSE(tables.next("ris"));  // the rest is behind

  SECTION("delivered: the next may go, and only it") {
    CHECK(tables.finish(*first, delivered, queue_now()));
    const auto second = tables.next("ris");
    REQUIRE(second);
    CHECK(second->id == described_id);
    CHECK_FALSE(tables.next("ris"));
    CHECK(tables.finish(*second, delivered, queue_now()));
    const auto third = tables.next("ris");
    REQUIRE(third);
    CHECK(third->id == completed);
    CHECK_FALSE(tables.finish(*third, delivered, queue_now()));  // nothing is behind it
    CHECK(tables.in_state(DeliveryState::delivered) == Ids{created, described_id, completed});
    CHECK(tables.in_state(DeliveryState::delivering) == Ids{other});
  }
  SECTION("to be tried again: not before its time, nor anything behind it") {
    const QueueTime now = later();
    const QueueTime due = now + std::chrono::minutes(5);
    const Attempt again{.due = due, .maybe_sent = true, .status = 0x0213, .reason = "busy"};
    CHECK_FALSE(tables.finish(*first, again, now));
    CHECK(tables.take("ris", now, 1).next_due == due);
    CHECK_FALSE(tables.next("ris", due - std::chrono::milliseconds(1)));
    CHECK(tables.entry(created).status == 0x0213);
    CHECK(tables.entry(created).reason == "busy");
    const auto retried = tables.next("ris", due);
    REQUIRE(retried);
    CHECK(retried->id == created);
    CHECK(retried->attempts == 1);
    CHECK(retried->maybe_sent);
  }
  SECTION("the receiver is back: at once, of this receiver only") {
    tables.keep(create_message(3), to({"pacs"}));
    const QueueTime now = later();
    const Attempt again{.due = now + std::chrono::minutes(5)};
    tables.finish(*tables.next("pacs", now), again, now);
    tables.finish(*first, again, now);
    tables.make_due("ris", now);
    CHECK(tables.next("ris", now)->id == created);
    CHECK_FALSE(tables.next("pacs", now));
  }
  SECTION("held: those behind it wait until a person says what becomes of it") {
    CHECK_FALSE(tables.finish(*first, held, queue_now()));
    CHECK_FALSE(tables.next("ris"));
    CHECK(tables.in_state(DeliveryState::held) == Ids{created});
    CHECK(tables.entry(created).reason == "refused");
    CHECK_FALSE(tables.retry(created, "pacs"));
    CHECK_FALSE(tables.discard(created, "pacs"));
    SECTION("retry") {
      CHECK(tables.retry(created, "ris"));
      CHECK(tables.deliver("ris") == Ids{created, described_id, completed});
    }
    SECTION("discard") {
      CHECK(tables.discard(created, "ris"));
      CHECK(tables.deliver("ris") == Ids{described_id, completed});
      CHECK(tables.in_state(DeliveryState::discarded) == Ids{created});
      CHECK_FALSE(tables.retry(created, "ris"));  // it is settled
    }
    SECTION("discard of one behind it") {
      CHECK(tables.discard(described_id, "ris"));
      CHECK_FALSE(tables.next("ris"));
      CHECK(tables.retry(created, "ris"));
      CHECK(tables.deliver("ris") == Ids{created, completed});
    }
  }
  SECTION("on its way: a person comes too late") {
    CHECK_FALSE(tables.retry(created, "ris"));
    CHECK_FALSE(tables.discard(created, "ris"));
  }
}

TEST_CASE("several at a time, each of another MPPS; what was not tried is as it was") {
  Tables tables;
  Ids creates, updates;
  for (const int step : {1, 2, 3}) {
    creates.push_back(tables.keep(create_message(step)));
    updates.push_back(tables.keep(update_message(step, described("a"))));
  }
  const auto first = tables.take("ris", queue_now(), 2);
  REQUIRE(first.deliveries.size() == 2);
  CHECK(first.deliveries[0].id == creates[0]);
  CHECK(first.deliveries[1].id == creates[1]);
  CHECK(first.next_due <= queue_now());  // of the third
  const Attempt returned{.result = Attempt::Result::returned};
  CHECK(tables.finish(first.deliveries[0], delivered, queue_now()));
  CHECK_FALSE(tables.finish(first.deliveries[1], returned, queue_now()));
  auto [next, due] = tables.take("ris", queue_now(), 9);
  REQUIRE(next.size() == 3);
  CHECK_FALSE(due);
  std::sort(next.begin(), next.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  CHECK(next[0].id == updates[0]);
  CHECK(next[1].id == creates[1]);
  CHECK(next[1].attempts == 0);
  CHECK_FALSE(next[1].maybe_sent);
  CHECK(next[2].id == creates[2]);
  CHECK(tables.take("ris", queue_now(), 9).deliveries.empty());
}

TEST_CASE("the longest due goes first") {
  Tables tables;
  const MessageId first = tables.keep(create_message(1));
  const MessageId second = tables.keep(create_message(2));
  const QueueTime now = queue_now();
  const auto taken = tables.take("ris", later(), 2);
  REQUIRE(taken.deliveries.size() == 2);
  tables.finish(taken.deliveries[0], {.due = now + std::chrono::seconds(20)}, now);
  tables.finish(taken.deliveries[1], {.due = now + std::chrono::seconds(10)}, now);
  CHECK(tables.deliver("ris") == Ids{second, first});
}

TEST_CASE("each receiver has a queue of its own") {
  Tables tables;
  const Ids both{tables.keep(create_message(1), to({"ris", "pacs"})),
                 tables.keep(update_message(1, in_state("COMPLETED")), to({"ris", "pacs"}))};
  tables.finish(*tables.next("ris"), held, queue_now());
  CHECK(tables.deliver("pacs") == both);
  CHECK_FALSE(tables.next("ris"));
  const auto at = tables.entries(both[0], "");
  REQUIRE(at.size() == 2);
  CHECK(at[0].receiver == "pacs");
  CHECK(at[0].state == DeliveryState::delivered);
  CHECK(at[1].receiver == "ris");
  CHECK(at[1].state == DeliveryState::held);
  REQUIRE(tables.entries(both[0], "ris").size() == 1);
  CHECK(tables.entries(both[0], "ris")[0].receiver == "ris");
}

TEST_CASE("withheld messages go with the one that is wanted, in order, or are dropped") {
  Tables tables;
  const MessageId created = tables.keep(create_message(1), to({"ris"}, How::withhold));
  const MessageId described_id =
      tables.keep(update_message(1, described("a")), to({"ris"}, How::withhold));
  CHECK_FALSE(tables.next("ris"));
  CHECK(tables.in_state(DeliveryState::withheld) == Ids{created, described_id});
  SECTION("wanted") {
    const MessageId completed = tables.keep(update_message(1, in_state("COMPLETED")));
    CHECK(tables.deliver("ris") == Ids{created, described_id, completed});
  }
  SECTION("not wanted") {
    const MessageId last =
        tables.keep(update_message(1, in_state("DISCONTINUED")), to({"ris"}, How::drop_withheld));
    CHECK_FALSE(tables.next("ris"));
    CHECK(tables.list({}).empty());
    CHECK(tables.in_state(DeliveryState::discarded) == Ids{created, described_id, last});
  }
  SECTION("one that a person discards is not in the way of the others") {
    CHECK(tables.discard(created, "ris"));
    const MessageId completed = tables.keep(update_message(1, in_state("COMPLETED")));
    CHECK(tables.deliver("ris") == Ids{described_id, completed});
  }
}

TEST_CASE("undecided: goes when the first receiver has it, and never was when it has not") {
  Tables tables;
  const MessageId first = tables.keep(create_message(1), undecided);
  const MessageId second = tables.keep(update_message(1, described("a")), undecided);
  CHECK_FALSE(tables.next("pacs"));
  CHECK_FALSE(tables.step(uid(1).text()));
  CHECK(tables.in_state(DeliveryState::undecided) == Ids{first, second});
  CHECK_FALSE(tables.retry(first, "pacs"));
  CHECK_FALSE(tables.discard(first, "pacs"));
  SECTION("happened, out of order") {
    tables.decide(second, true);
    CHECK_FALSE(tables.next("pacs"));  // behind the first, which is open yet
    tables.decide(first, true);
    CHECK(tables.step(uid(1).text())->created);
    CHECK(tables.deliver("pacs") == Ids{first, second});
  }
  SECTION("did not happen") {
    tables.decide(first, false);
    CHECK_FALSE(tables.message(first));
    tables.decide(second, true);
    CHECK(tables.deliver("pacs") == Ids{second});
  }
  SECTION("did not happen, where the one behind it did") {
    tables.decide(second, true);
    tables.decide(first, false);
    CHECK(tables.deliver("pacs") == Ids{second});
  }
  SECTION("a decision that comes twice changes nothing") {
    tables.decide(first, true);
    tables.decide(second, true);
    CHECK(tables.deliver("pacs") == Ids{first, second});
    tables.decide(first, false);
    CHECK(tables.message(first));
  }
  SECTION("the gateway died in between: a person is asked, nothing is lost, the order stays") {
    tables.take_back();
    CHECK_FALSE(tables.next("pacs"));
    CHECK(tables.in_state(DeliveryState::held) == Ids{first, second});
    CHECK(tables.entry(first).reason.find("before the first receiver answered") !=
          std::string::npos);
    CHECK(tables.retry(second, "pacs"));
    CHECK_FALSE(tables.next("pacs"));
    CHECK(tables.retry(first, "pacs"));
    CHECK(tables.deliver("pacs") == Ids{first, second});
  }
}

TEST_CASE("withheld and decided late: it goes with the later one that is wanted, or is dropped") {
  Tables tables;
  const MessageId created = tables.keep(create_message(1), to({"pacs"}, How::withhold));
  const MessageId late =
      tables.keep(update_message(1, described("a")), undecided_for({"pacs"}, How::withhold));
  SECTION("wanted") {
    const MessageId last = tables.keep(update_message(1, in_state("COMPLETED")), undecided);
    tables.decide(last, true);
    CHECK(tables.deliver("pacs") == Ids{created});  // the next is undecided yet
    SECTION("the next is decided while nothing is on its way") {
      tables.decide(late, true);
      CHECK(tables.deliver("pacs") == Ids{late, last});
    }
    SECTION("the next never happened") {
      tables.decide(late, false);
      CHECK(tables.deliver("pacs") == Ids{last});
    }
  }
  SECTION("wanted, the first of them still on its way") {
    const MessageId last = tables.keep(update_message(1, in_state("COMPLETED")), undecided);
    tables.decide(last, true);
    const auto on_its_way = tables.next("pacs");
    tables.decide(late, true);
    CHECK_FALSE(tables.next("pacs"));
    tables.finish(*on_its_way, delivered, queue_now());
    CHECK(tables.deliver("pacs") == Ids{late, last});
  }
  SECTION("the later one is withheld, too, or never happened") {
    const MessageId other =
        tables.keep(update_message(1, described("b")), undecided_for({"pacs"}, How::withhold));
    const MessageId last = tables.keep(update_message(1, in_state("COMPLETED")), undecided);
    tables.decide(other, true);
    tables.decide(late, true);
    CHECK(tables.in_state(DeliveryState::withheld) == Ids{created, late, other});
    tables.decide(last, false);
    CHECK_FALSE(tables.next("pacs"));
  }
  SECTION("not wanted") {
    const MessageId last = tables.keep(update_message(1, in_state("DISCONTINUED")),
                                       undecided_for({"pacs"}, How::drop_withheld));
    tables.decide(last, true);
    tables.decide(late, true);
    CHECK_FALSE(tables.next("pacs"));
    CHECK(tables.list({}).empty());
  }
}

TEST_CASE("withheld behind one that never happened: it goes with the next that is wanted") {
  Tables tables;
  const auto how = [](How wish, bool undecided) {
    return [=](const RecordedStep*) {
      return Acceptance{.destinations = {{"ris", wish}}, .undecided = undecided};
    };
  };
  const MessageId withheld = tables.keep(create_message(1), how(How::withhold, false));
  const MessageId never = tables.keep(update_message(1, described("a")), how(How::deliver, true));
  const MessageId wanted = tables.keep(update_message(1, described("b")), how(How::deliver, false));
  tables.decide(never, false);
  CHECK(tables.deliver("ris") == Ids{withheld, wanted});
}

TEST_CASE("dropped and decided late: what is behind it goes on") {
  Tables tables;
  const MessageId dropped = tables.keep(update_message(1, in_state("COMPLETED")),
                                        undecided_for({"pacs"}, How::drop_withheld));
  const MessageId behind = tables.keep(update_message(1, described("a")), undecided);
  tables.decide(behind, true);
  CHECK_FALSE(tables.next("pacs"));
  tables.decide(dropped, true);
  CHECK(tables.deliver("pacs") == Ids{behind});
}

TEST_CASE(
    "a message for nobody that was undecided at a stop is remembered, and forgotten in time") {
  Tables tables;
  const MessageId id = tables.keep(create_message(1), undecided_for({}));
  tables.take_back();
  CHECK(tables.message(id));
  CHECK(tables.step(uid(1).text())->created);
  CHECK(tables.forget(later()) == 1);
  CHECK_FALSE(tables.message(id));
}

TEST_CASE("a second N-CREATE of a step for one receiver: an earlier one may have reached it") {
  Tables tables;
  tables.keep(create_message(1));
  tables.deliver("ris");
  tables.keep(create_message(1), to({"ris", "pacs"}));
  CHECK(tables.next("ris")->maybe_sent);
  CHECK_FALSE(tables.next("pacs")->maybe_sent);
}

TEST_CASE("the judge sees the step as all messages have made it, and its refusal keeps nothing") {
  Tables tables;
  const auto refused =
      tables.accept(update_message(1, described("a")), [](const RecordedStep* recorded) {
        CHECK(recorded == nullptr);
        return Acceptance{.refusal = mapping::Outcome::local(0x0112, "no")};
      });
  CHECK(refused.id == 0);
  CHECK(refused.outcome.status == 0x0112);
  CHECK(tables.list({}).empty());
  CHECK_FALSE(tables.step(uid(1).text()));

  tables.keep(create_message(1), to({}));  // for nobody, and remembered
  tables.keep(update_message(1, described("a")));
  tables.keep(update_message(1, described("b")));
  tables.accept(update_message(1, in_state("COMPLETED")), [](const RecordedStep* recorded) {
    REQUIRE(recorded != nullptr);
    CHECK(recorded->created);
    CHECK(recorded->attributes == mapping::apply_modifications(created(1), described("b")));
    return Acceptance{};
  });
  CHECK(mapping::is_final(tables.step(uid(1).text())->attributes));
}

TEST_CASE("a step that was only changed here was not created here") {
  Tables tables;
  tables.keep(update_message(1, described("a")));
  const auto step = tables.step(uid(1).text());
  REQUIRE(step);
  CHECK_FALSE(step->created);
}

TEST_CASE("a restart: what was on its way, or may have been, may have been sent; all may go") {
  Tables tables;
  const MessageId sent = tables.keep(create_message(1));
  const MessageId behind = tables.keep(update_message(1, described("a")));
  CHECK_FALSE(tables.next("ris")->maybe_sent);
  tables.take_back();
  const auto again = tables.next("ris", queue_now());
  REQUIRE(again);
  CHECK(again->id == sent);
  CHECK(again->maybe_sent);
  tables.finish(*again, delivered, queue_now());
  const auto next = tables.next("ris");
  REQUIRE(next);
  CHECK(next->id == behind);
  CHECK_FALSE(next->maybe_sent);  // it could not go before
}

TEST_CASE("a restart after the clock was set back: nothing waits for the time that was") {
  using std::chrono::hours;
  Tables tables;
  const MessageId first = tables.keep(create_message(1));
  tables.keep(create_message(2));
  const auto taken = tables.take("ris", queue_now(), 2);
  REQUIRE(taken.deliveries.size() == 2);
  const Attempt tomorrow{.due = queue_now() + hours(24)};
  tables.finish(taken.deliveries[0], tomorrow, queue_now() + hours(23));
  tables.finish(taken.deliveries[1], tomorrow, queue_now());  // as it was told
  tables.take_back();
  CHECK(tables.next("ris", queue_now())->id == first);
  CHECK_FALSE(tables.next("ris", later()));
}

TEST_CASE("the clock is set back: what waits does not wait for the time that was") {
  using std::chrono::hours;
  Tables tables;
  const QueueTime wrong = queue_now() + hours(24 * 365);
  const MessageId first = tables.keep(create_message(1));
  const auto taken = tables.take("ris", wrong, 1);
  REQUIRE(taken.deliveries.size() == 1);
  tables.finish(taken.deliveries[0], {.due = wrong + hours(1)}, wrong);
  CHECK_FALSE(tables.next("ris", wrong));
  CHECK_FALSE(tables.next("ris", wrong - std::chrono::milliseconds(5)));  // another thread's
  CHECK(tables.next("ris", queue_now())->id == first);
  SECTION("also where a message comes first") {
    const MessageId second = tables.keep(create_message(2));
    CHECK(tables.next("ris", queue_now())->id == second);
  }
}

TEST_CASE("a restart with a file that was saved from damage: what waits behind a loss is held") {
  Tables tables;
  const MessageId lost = tables.keep(create_message(1));
  const MessageId behind = tables.keep(update_message(1, described("a")));
  const MessageId last = tables.keep(update_message(1, described("a")));
  tables.database.exec("DELETE FROM messages WHERE id=" + std::to_string(lost));
  tables.take_back();
  CHECK_FALSE(tables.next("ris"));
  CHECK(tables.in_state(DeliveryState::held) == Ids{behind});
  CHECK(tables.entry(behind).reason.find("lost with a damaged file") != std::string::npos);
  CHECK(tables.in_state(DeliveryState::waiting) == Ids{last});
  CHECK(tables.retry(behind, "ris"));
  CHECK(tables.deliver("ris") == Ids{behind, last});
}

TEST_CASE("what is remembered of a step is what its messages have made it, whatever happened") {
  Tables tables;
  std::minstd_rand random(1);
  const auto below = [&](std::size_t end) { return random() % end; };
  const auto is_as_it_stands = [&](int step) {
    const auto remembered = tables.step(uid(step).text());
    const auto stands = QueueTables(tables.database).step(uid(step).text());
    REQUIRE(remembered.has_value() == stands.has_value());
    if (!stands) return;
    REQUIRE(remembered->created == stands->created);
    REQUIRE(remembered->attributes == stands->attributes);
  };
  std::vector<MessageId> undecided;
  const auto something = [&](int number) {
    const int step = static_cast<int>(below(3));
    switch (below(8)) {
      case 0:
        tables.deliver("ris");
        return;
      case 1:
        if (!undecided.empty()) {
          const std::size_t one = below(undecided.size());
          tables.decide(undecided[one], below(3) > 0);
          undecided.erase(undecided.begin() + static_cast<std::ptrdiff_t>(one));
        }
        return;
      case 2:
        if (below(10) == 0) tables.forget(later());
        return;
      case 3:
        for (const MessageId id : tables.in_state(DeliveryState::waiting)) {
          if (below(4) == 0) tables.discard(id, "ris");
        }
        return;
      default:
        const bool to_be_decided = below(3) == 0;
        const auto how = static_cast<How>(below(3));
        const MessageId id = tables.keep(
            below(4) == 0 ? create_message(step)
                          : update_message(step, described(std::to_string(number))),
            [&](const RecordedStep*) {
              return Acceptance{.destinations = {{"ris", how}}, .undecided = to_be_decided};
            });
        if (to_be_decided) undecided.push_back(id);
    }
  };
  for (int round = 0; round < 3000; ++round) {
    CAPTURE(round);
    if (below(10) == 0) {
      const auto before = undecided;
      tables.database.exec("SAVEPOINT before");
      something(round);
      tables.database.exec("ROLLBACK TO before");
      tables.database.exec("RELEASE before");
      tables.undone();
      undecided = before;
    } else {
      something(round);
    }
    for (int step = 0; step < 3; ++step) is_as_it_stands(step);
  }
  for (const MessageId id : undecided) tables.decide(id, true);
  tables.keep(update_message(0, described("last")));
  tables.deliver("ris");
  CHECK(tables.in_state(DeliveryState::waiting).empty());
}

TEST_CASE("thousands of messages of one step go out in order, also while more of them come") {
  Tables tables;
  tables.keep(create_message(1));
  const auto first = tables.next("ris");
  REQUIRE(first);
  Ids ids;
  for (int i = 1; i < 3000; ++i) {
    ids.push_back(tables.keep(update_message(1, described(std::to_string(i)))));
    if (i < 1000) CHECK_FALSE(tables.next("ris"));
    if (i == 1000) tables.finish(*first, delivered, queue_now());
  }
  CHECK(tables.is_open(uid(1).text(), "ris"));
  CHECK(tables.deliver("ris") == ids);
  CHECK_FALSE(tables.is_open(uid(1).text(), "ris"));
}

TEST_CASE("a message that was damaged in its row is held, and others go on") {
  Tables tables;
  const MessageId damaged = tables.keep(create_message(1));
  const MessageId good = tables.keep(create_message(2));
  tables.database.exec("UPDATE messages SET attributes=x'0102' WHERE id=" +
                       std::to_string(damaged));
  CHECK(tables.deliver("ris") == Ids{good});
  CHECK(tables.entry(damaged).state == DeliveryState::held);
  CHECK(tables.entry(damaged).reason.find("cannot be read") != std::string::npos);
  CHECK_THROWS_AS(tables.message(damaged), QueueFailure);
  tables.undone();  // as after a restart: all is read again
  CHECK_THROWS_AS(tables.keep(update_message(1, described("a"))), QueueFailure);
}

TEST_CASE("delivered steps are forgotten as a whole, when all of their messages are old") {
  Tables tables;
  tables.keep(create_message(1));
  tables.keep(create_message(2));
  tables.keep(update_message(2, described("a")));
  for (const Delivery& delivery : tables.take("ris", later(), 2).deliveries) {
    tables.finish(delivery, delivered, queue_now());
  }
  CHECK(tables.forget(queue_now() - std::chrono::hours(1)) == 0);
  CHECK(tables.forget(later()) == 1);
  CHECK_FALSE(tables.step(uid(1).text()));
  CHECK(tables.step(uid(2).text()));  // its second one is open
  CHECK(tables.forget(later()) == 0);
  CHECK(tables.deliver("ris").size() == 1);
  CHECK(tables.forget(later()) == 2);
  CHECK(tables.list({.state = DeliveryState::delivered}).empty());
}

TEST_CASE("what is open for long does not keep others from being forgotten") {
  Tables tables;
  constexpr int held_up = 1500;
  for (int i = 1; i <= held_up; ++i) tables.keep(create_message(i));
  tables.keep(create_message(held_up + 1), to({"pacs"}));
  tables.deliver("pacs");
  std::size_t forgotten = 0;
  for (int calls = 0; calls < 3; ++calls) forgotten += tables.forget(later());
  CHECK(forgotten == 1);
  CHECK_FALSE(tables.step(uid(held_up + 1).text()));
  CHECK(tables.step(uid(held_up).text()));
}
