// How the durable queue stores what its rows say. Internal to gateway/queue_tables.cpp, which
// changes them, and gateway/queue_view.cpp, which shows them.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include "gateway/mpps_queue.h"

namespace gateway {

/// A row of deliveries. Up to undecided a row is open. waiting is ready or behind.
namespace state {
constexpr int ready = 0;  ///< first open one of its chain; goes when due
constexpr int delivering = 1;
constexpr int held = 2;
constexpr int behind = 3;  ///< an earlier one of its chain is open
constexpr int withheld = 4;
constexpr int undecided = 5;
constexpr int delivered = 6;
constexpr int discarded = 7;
}  // namespace state

inline QueueTime time_of(const SQLite::Column& column) {
  return QueueTime(std::chrono::milliseconds(column.getInt64()));
}

inline mapping::Transaction operation_of(int stored) {
  return stored == 0 ? mapping::Transaction::create : mapping::Transaction::update;
}

}  // namespace gateway
