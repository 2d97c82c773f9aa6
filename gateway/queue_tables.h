// The rows of the durable queue, and what becomes of them: two tables, messages as they were
// accepted, and for each receiver what has become of them. Of one MPPS and one receiver, the
// messages in the order of their ids are a chain; only its first open one can be ready. Knows no
// threads, no transactions and no disk.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/mpps_queue.h"
#include "gateway/recent_steps.h"

namespace gateway {

/// As MppsQueue has it, function by function. Each is called inside a transaction, one at a time.
/// Throws SQLite::Exception; QueueFailure, before anything was changed, where a message cannot be
/// read.
class QueueTables {
 public:
  static const char* schema();

  /// database outlives this.
  explicit QueueTables(SQLite::Database& database) : database_(database) {}

  /// At the start of a gateway: takes back what one that is gone had on its way, and holds what
  /// nobody can know.
  void take_back();

  /// The transaction of the last calls was undone.
  void undone() { recent_.clear(); }

  MppsQueue::Accepted accept(const MppsMessage& message, const Judge& judge);
  void decide(MessageId id, bool happened);
  MppsQueue::Taken take(const std::string& receiver, QueueTime now, std::size_t at_most);
  /// True if the next of its chain is ready now.
  bool finish(const Delivery& delivery, const Attempt& attempt, QueueTime now);
  void make_due(const std::string& receiver, QueueTime now);

  std::optional<RecordedStep> step(const std::string& mpps);
  bool is_open(const std::string& mpps, const std::string& receiver);
  std::optional<MppsMessage> message(MessageId id);
  bool retry(MessageId id, const std::string& receiver);
  bool discard(MessageId id, const std::string& receiver);
  std::size_t forget(QueueTime accepted_before);

 private:
  /// Where a chain ends, discarded ones aside.
  struct Tail {
    bool known = false;     ///< there was ever one, discarded or not
    bool open = false;      ///< there is an open one
    bool withheld = false;  ///< there is a withheld one
  };
  Tail tail(const std::string& mpps, const std::string& receiver);
  std::optional<RecentSteps::Step> read_step(const std::string& mpps);
  void add_decided(const std::string& mpps, MessageId id);

  /// Prepared when first used.
  SQLite::Statement& statement(const char* sql);
  void place(const std::string& mpps, MessageId id, const std::string& receiver,
             Destination::How how, QueueTime now);
  std::optional<Destination::How> wish_behind(const std::string& mpps, MessageId id,
                                              const std::string& receiver);
  bool advance(const std::string& mpps, const std::string& receiver, QueueTime now,
               MessageId after = 0);
  std::optional<QueueTime> next_due(const std::string& receiver);
  bool was_created(const std::string& mpps, const std::string& receiver);
  bool set_open_state(MessageId id, const std::string& receiver, int to, std::string_view from);
  std::string mpps_of(MessageId id);
  void meet(QueueTime now);

  SQLite::Database& database_;
  std::list<std::pair<const char*, SQLite::Statement>> statements_;
  RecentSteps recent_{8 << 20};  ///< of those that messages are accepted for
  MessageId forget_after_ = 0;   ///< where forget() goes on
  QueueTime latest_{};           ///< that was met since the clock was last set back
};

}  // namespace gateway
