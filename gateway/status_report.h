// What the status page shows, as JSON: everything that the admin port knows, in words for a person.
// No patient data.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "gateway/admin.h"
#include "gateway/backend_watch.h"
#include "gateway/queue_watch.h"
#include "gateway/recent_transactions.h"

namespace gateway {

/// What goes into a report beside the sources.
struct StatusReport {
  bool stopping = false;  ///< the gateway is
  std::map<std::string, BackendState> backends{};
  std::optional<QueueState> queue{};  ///< nothing: there is none
  std::string token{};                ///< for actions; empty: there are none
  TransactionRecord::Time now{};
};

/// One JSON object; times are milliseconds since 1970.
std::string to_json(const StatusReport& report, const AdminSources& sources);

}  // namespace gateway
