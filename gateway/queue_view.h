// What people are shown of the durable queue: its entries, and how deep it is for each receiver.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>
#include <vector>

#include "gateway/mpps_queue.h"

namespace gateway {

/// As MppsQueue has it, function by function, of the tables of gateway/queue_tables.h. Each is
/// called inside a transaction, one at a time; changes nothing. Throws SQLite::Exception.
class QueueView {
 public:
  /// database outlives this.
  explicit QueueView(SQLite::Database& database) : database_(database) {}

  std::vector<QueueEntry> list(const QueueFilter& filter);
  std::vector<QueueEntry> entries(MessageId id, const std::string& receiver);
  std::vector<QueueDepth> depths();

 private:
  SQLite::Database& database_;
};

}  // namespace gateway
