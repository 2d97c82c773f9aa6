// Questions over both tables; a state is shown as what it means to a person.
#include "gateway/queue_view.h"

#include <fmt/format.h>

#include "gateway/queue_rows.h"
#include "gateway/sqlite_file.h"

namespace gateway {
namespace {

DeliveryState shown(int stored) {
  switch (stored) {
    case state::ready:
    case state::behind:
      return DeliveryState::waiting;
    case state::delivering:
      return DeliveryState::delivering;
    case state::held:
      return DeliveryState::held;
    case state::withheld:
      return DeliveryState::withheld;
    case state::undecided:
      return DeliveryState::undecided;
    case state::delivered:
      return DeliveryState::delivered;
    default:
      return DeliveryState::discarded;
  }
}

/// Which rows are shown as this one, for SQL; in the words of an index.
const char* stored_as(std::optional<DeliveryState> filter) {
  if (!filter) return "d.state<=5";
  switch (*filter) {
    case DeliveryState::waiting:
      return "d.state IN (0, 3) AND d.state<=5";
    case DeliveryState::delivering:
      return "d.state=1 AND d.state<=5";
    case DeliveryState::held:
      return "d.state=2";
    case DeliveryState::withheld:
      return "d.state=4 AND d.state<=5";
    case DeliveryState::undecided:
      return "d.state=5 AND d.state<=5";
    case DeliveryState::delivered:
      return "d.state=6";
    default:
      return "d.state=7";
  }
}

constexpr const char* entry_columns =
    "SELECT d.message, d.receiver, m.operation, m.mpps, m.caller, m.tx, d.state, d.attempts, "
    "m.accepted, d.due, d.changed, d.status, d.reason FROM deliveries d "
    "JOIN messages m ON m.id=d.message WHERE d.receiver<>'' AND (?1='' OR d.receiver=?1) ";

std::vector<QueueEntry> entries_of(Use& rows) {
  std::vector<QueueEntry> entries;
  while (rows.step()) {
    entries.push_back({.id = rows[0].getInt64(),
                       .receiver = rows[1].getString(),
                       .operation = operation_of(rows[2].getInt()),
                       .mpps = rows[3].getString(),
                       .caller = rows[4].getString(),
                       .transaction = rows[5].getString(),
                       .state = shown(rows[6].getInt()),
                       .attempts = rows[7].getUInt(),
                       .accepted = time_of(rows[8]),
                       .due = time_of(rows[9]),
                       .changed = time_of(rows[10]),
                       .status = static_cast<std::uint16_t>(rows[11].getInt()),
                       .reason = rows[12].getString()});
  }
  return entries;
}

}  // namespace

std::vector<QueueEntry> QueueView::list(const QueueFilter& filter) {
  SQLite::Statement query(database_, fmt::format("{} AND {} AND m.accepted<?2 "
                                                 "ORDER BY d.message, d.receiver LIMIT ?3",
                                                 entry_columns, stored_as(filter.state)));
  Use rows(query, filter.receiver, filter.accepted_before, static_cast<std::int64_t>(filter.limit));
  return entries_of(rows);
}

std::vector<QueueEntry> QueueView::entries(MessageId id, const std::string& receiver) {
  SQLite::Statement query(
      database_,
      fmt::format("{} AND d.mpps=(SELECT mpps FROM messages WHERE id=?2) AND d.message=?2 ORDER BY "
                  "d.receiver",
                  entry_columns));
  Use rows(query, receiver, id);
  return entries_of(rows);
}

std::vector<QueueDepth> QueueView::depths() {
  std::vector<QueueDepth> depths;
  SQLite::Statement query(
      database_,
      "SELECT receiver, open, (SELECT COUNT(*) FROM deliveries h WHERE "
      "h.receiver=o.receiver AND h.state=2), (SELECT accepted FROM messages WHERE "
      "id=oldest) FROM (SELECT receiver, COUNT(*) AS open, MIN(message) AS oldest "
      "FROM deliveries WHERE state<=5 AND receiver<>'' GROUP BY receiver) o");
  Use rows(query);
  while (rows.step()) {
    depths.push_back({.receiver = rows[0].getString(),
                      .open = static_cast<std::size_t>(rows[1].getInt64()),
                      .held = static_cast<std::size_t>(rows[2].getInt64()),
                      .oldest = time_of(rows[3])});
  }
  return depths;
}

}  // namespace gateway
