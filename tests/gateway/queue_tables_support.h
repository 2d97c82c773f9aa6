// The rows of the queue in a database in memory, with what tests of several sources ask of them.
#pragma once

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/queue_tables.h"
#include "gateway/queue_view.h"
#include "tests/gateway/queue_support.h"

namespace queue_test {

using namespace gateway;

using How = Destination::How;
using Ids = std::vector<MessageId>;

struct Memory {
  Memory() { database.exec(QueueTables::schema()); }
  SQLite::Database database{":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
};

struct Tables : Memory, QueueTables, QueueView {
  Tables() : QueueTables(database), QueueView(database) {}

  /// The id of the message, accepted for these receivers.
  MessageId keep(const MppsMessage& message, const Judge& judge = to({"ris"})) {
    return accept(message, judge).id;
  }
  /// The next that is due for the receiver, now on its way.
  std::optional<Delivery> next(const std::string& receiver, QueueTime now = later()) {
    auto taken = take(receiver, now, 1);
    if (taken.deliveries.empty()) return std::nullopt;
    return std::move(taken.deliveries.front());
  }
  /// Delivers everything that may go to the receiver, one after the other.
  Ids deliver(const std::string& receiver) {
    Ids ids;
    while (const auto delivery = next(receiver)) {
      ids.push_back(delivery->id);
      finish(*delivery, delivered, queue_now());
    }
    return ids;
  }
  Ids in_state(DeliveryState state) {
    Ids ids;
    for (const auto& entry : list({.state = state})) ids.push_back(entry.id);
    return ids;
  }
  /// The only entry of a message.
  QueueEntry entry(MessageId id) {
    const auto all = entries(id, "");
    REQUIRE(all.size() == 1);
    return all[0];
  }
};

/// For these, when it is decided.
inline Judge undecided_for(std::vector<std::string> receivers, How how = How::deliver) {
  return [=](const RecordedStep* recorded) {
    Acceptance acceptance = to(receivers, how)(recorded);
    acceptance.undecided = true;
    return acceptance;
  };
}
inline const Judge undecided = undecided_for({"pacs"});

}  // namespace queue_test
