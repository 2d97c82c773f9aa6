#include "gateway/queue_view.h"

#include <catch2/catch.hpp>

#include "tests/gateway/queue_tables_support.h"

using namespace gateway;
using namespace queue_test;

TEST_CASE("the list: open ones by receiver, state and age, not more than asked for") {
  Tables tables;
  const MessageId first = tables.keep(create_message(1), to({"ris", "pacs"}));
  const MessageId second = tables.keep(create_message(2));
  const MessageId done = tables.keep(create_message(3), to({"pacs"}));
  tables.keep(create_message(4), to({}));  // for nobody: in no list
  tables.finish(*tables.next("ris"), held, queue_now());
  tables.finish(*tables.next("pacs"), {.due = later() + std::chrono::hours(1)}, queue_now());
  CHECK(tables.deliver("pacs") == Ids{done});

  const auto ids = [&](const QueueFilter& filter) {
    Ids found;
    for (const auto& entry : tables.list(filter)) found.push_back(entry.id);
    return found;
  };
  CHECK(ids({}) == Ids{first, first, second});
  CHECK(ids({.receiver = "ris"}) == Ids{first, second});
  CHECK(ids({.receiver = "pacs"}) == Ids{first});
  CHECK(ids({.state = DeliveryState::waiting}) == Ids{first, second});
  CHECK(ids({.state = DeliveryState::held}) == Ids{first});
  CHECK(ids({.state = DeliveryState::delivered}) == Ids{done});
  CHECK(ids({.limit = 2}) == Ids{first, first});
  CHECK(ids({.accepted_before = later()}).size() == 3);
  CHECK(ids({.accepted_before = queue_now() - std::chrono::hours(1)}).empty());
  const auto entry = tables.list({.receiver = "ris"})[0];
  CHECK(entry.mpps == uid(1).text());
  CHECK(entry.caller == "CT1");
  CHECK(entry.transaction == "t1");
  CHECK(entry.attempts == 1);
  CHECK(entry.status == 0x0106);
}

TEST_CASE("the depth of each receiver's queue: open, held, and since when") {
  Tables tables;
  CHECK(tables.depths().empty());
  const MessageId first = tables.keep(create_message(1), to({"ris", "pacs"}));
  tables.keep(create_message(2));
  tables.keep(create_message(3), undecided_for({}));  // for nobody: in no queue
  tables.database.exec("UPDATE messages SET accepted=1000 WHERE id=" + std::to_string(first));
  tables.finish(*tables.next("ris"), held, queue_now());
  const auto depths = tables.depths();
  REQUIRE(depths.size() == 2);
  CHECK(depths[0].receiver == "pacs");
  CHECK(depths[0].open == 1);
  CHECK(depths[0].held == 0);
  CHECK(depths[1].receiver == "ris");
  CHECK(depths[1].open == 2);
  CHECK(depths[1].held == 1);
  CHECK(depths[1].oldest == QueueTime(std::chrono::seconds(1)));
  tables.deliver("pacs");
  CHECK(tables.depths().size() == 1);
}
