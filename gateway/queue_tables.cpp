// One MPPS and receiver, one chain.
#include "gateway/queue_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "gateway/queue_rows.h"
#include "gateway/sqlite_file.h"
#include "mapping/mpps_rules.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::Outcome;
using mapping::Transaction;
using mapping::Uid;

/// Nothing if it cannot be read.
std::optional<MppsMessage> message_of(int operation, const std::string& mpps,
                                      std::string attributes, std::string caller,
                                      std::string transaction) {
  auto uid = Uid::parse(mpps);
  auto data_set = DataSet::from_bytes(std::move(attributes));
  if (!uid || !data_set) return std::nullopt;
  return MppsMessage{operation_of(operation), std::move(*uid), std::move(data_set).value(),
                     std::move(caller), std::move(transaction)};
}

/// Adds a message to what those before it have made of the step.
void add(RecentSteps::Step& step, MessageId id, Transaction operation, const DataSet& attributes) {
  step.last = id;
  if (operation == Transaction::create) {
    step.recorded = {attributes, true};
  } else {
    step.recorded.attributes = mapping::apply_modifications(step.recorded.attributes, attributes);
  }
}

}  // namespace

// The indices hold what is open only, so that what was delivered long ago costs nothing. SQLite
// takes one only where a query repeats its condition; where a query is after one MPPS, "+state"
// keeps it from taking one that leads through the whole backlog.
const char* QueueTables::schema() {
  return R"(
  CREATE TABLE messages(
    id INTEGER PRIMARY KEY, operation INTEGER, mpps TEXT, attributes BLOB, caller TEXT,
    tx TEXT, accepted INTEGER);
  CREATE TABLE deliveries(
    mpps TEXT, receiver TEXT, message INTEGER, state INTEGER, wish INTEGER, attempts INTEGER,
    maybe_sent INTEGER, due INTEGER, changed INTEGER, status INTEGER, reason TEXT,
    PRIMARY KEY(mpps, receiver, message)) WITHOUT ROWID;
  CREATE INDEX ready_deliveries ON deliveries(receiver, due) WHERE state = 0;
  CREATE INDEX held_deliveries ON deliveries(receiver) WHERE state = 2;
  CREATE INDEX open_deliveries ON deliveries(receiver, message) WHERE state <= 5;
)";
}

SQLite::Statement& QueueTables::statement(const char* sql) {
  for (auto& [text, prepared] : statements_) {
    if (text == sql) return prepared;
  }
  statements_.emplace_back(std::piecewise_construct, std::forward_as_tuple(sql),
                           std::forward_as_tuple(database_, sql));
  return statements_.back().second;
}

void QueueTables::take_back() {
  // Where the file was saved from damage, messages may be gone that others wait behind.
  Use(statement(
          "DELETE FROM deliveries WHERE state<=5 AND NOT EXISTS (SELECT 1 FROM messages WHERE "
          "id=message)"))
      .changes();
  Use(statement("UPDATE deliveries AS d SET state=2, reason=? WHERE state=3 AND state<=5 AND NOT "
                "EXISTS (SELECT 1 FROM deliveries e WHERE e.mpps=d.mpps AND e.receiver=d.receiver "
                "AND e.message<d.message AND +e.state<=5)"),
      std::string("an earlier message of this step was lost with a damaged file: see what the step "
                  "is at the receiver"))
      .changes();
  // What a gateway that is gone had on its way may have arrived, and what the machine has lost of
  // its last moments may have been on its way. What was recorded in the future tells that the clock
  // has been set back: its due time says nothing.
  Use(statement("UPDATE deliveries SET state=0, maybe_sent=1, due=CASE WHEN changed>?1 THEN ?1 "
                "ELSE due END WHERE state IN (0, 1) AND state<=5"),
      queue_now())
      .changes();
  // A message for nobody has no receiver that it could be held for.
  Use(statement("UPDATE deliveries SET state=6 WHERE state=5 AND state<=5 AND receiver=''"))
      .changes();
  Use(statement("UPDATE deliveries SET state=2, reason=? WHERE state=5 AND state<=5"),
      std::string("modgate stopped before the first receiver answered: retry if it has the step as "
                  "this message makes it, discard if it has not"))
      .changes();
}

std::string QueueTables::mpps_of(MessageId id) {
  Use find(statement("SELECT mpps FROM messages WHERE id=?"), id);
  return find.step() ? find[0].getString() : std::string();
}

// Makes the first open one of a chain ready, unless something keeps it. True if it did. after: of a
// message up to which nothing is open.
bool QueueTables::advance(const std::string& mpps, const std::string& receiver, QueueTime now,
                          MessageId after) {
  MessageId first = 0;
  {
    Use head(statement("SELECT message, state FROM deliveries WHERE mpps=? AND receiver=? AND "
                       "message>? AND +state<=5 ORDER BY message LIMIT 1"),
             mpps, receiver, after);
    if (!head.step() || head[1].getInt() != state::behind) return false;
    first = head[0].getInt64();
  }
  Use(statement("UPDATE deliveries SET state=0, due=?, changed=? WHERE mpps=? AND receiver=? AND "
                "message=?"),
      now, now, mpps, receiver, first)
      .changes();
  return true;
}

// What the next decided one of a chain is, those aside that are to be withheld themselves.
std::optional<Destination::How> QueueTables::wish_behind(const std::string& mpps, MessageId id,
                                                         const std::string& receiver) {
  Use next(statement("SELECT wish FROM deliveries WHERE mpps=? AND receiver=? AND message>? AND "
                     "+state<>5 AND wish<>1 ORDER BY message LIMIT 1"),
           mpps, receiver, id);
  if (!next.step()) return std::nullopt;
  return static_cast<Destination::How>(next[0].getInt());
}

// Puts a row that is new, or was undecided, where it belongs in its chain.
void QueueTables::place(const std::string& mpps, MessageId id, const std::string& receiver,
                        Destination::How how, QueueTime now) {
  const auto set_state = [&](int to) {
    Use(statement("UPDATE deliveries SET state=?, changed=? WHERE mpps=? AND receiver=? AND "
                  "message=?"),
        to, now, mpps, receiver, id)
        .changes();
  };
  const auto set_withheld = [&](int to) {
    Use(statement("UPDATE deliveries SET state=?, changed=? WHERE mpps=? AND receiver=? AND "
                  "+state=4 AND message<?"),
        to, now, mpps, receiver, id)
        .changes();
  };
  switch (how) {
    case Destination::How::deliver:
      set_state(state::behind);
      set_withheld(state::behind);
      advance(mpps, receiver, now);
      return;
    case Destination::How::withhold:
      // What came after it may have been decided before it, and has said what becomes of both.
      if (const auto later = wish_behind(mpps, id, receiver)) {
        return place(mpps, id, receiver, *later, now);
      }
      set_state(state::withheld);
      return;
    case Destination::How::drop_withheld:
      set_state(state::discarded);
      set_withheld(state::discarded);
      advance(mpps, receiver, now);
      return;
  }
}

// Where the clock was set back, what waits would wait for the time that was: it is due instead.
void QueueTables::meet(QueueTime now) {
  constexpr std::chrono::seconds out_of_turn{1};  // threads look at the clock, and come later
  if (now >= latest_ - out_of_turn) {
    latest_ = std::max(latest_, now);
    return;
  }
  latest_ = now;
  Use(statement("UPDATE deliveries SET due=?1 WHERE state=0 AND due>?1"), now).changes();
}

MppsQueue::Accepted QueueTables::accept(const MppsMessage& message, const Judge& judge) {
  const std::string& mpps = message.mpps.text();
  const RecentSteps::Step* const known_step = recent_.find(mpps);
  auto earlier = known_step != nullptr ? std::optional(*known_step) : read_step(mpps);
  const bool first = !earlier;
  RecentSteps::Step step = std::move(earlier).value_or(RecentSteps::Step());
  Acceptance acceptance = judge(step.last == 0 ? nullptr : &step.recorded);
  if (acceptance.refusal) return {std::move(*acceptance.refusal), 0};
  const QueueTime now = queue_now();
  meet(now);
  Use(statement("INSERT INTO messages(operation, mpps, attributes, caller, tx, accepted) "
                "VALUES(?,?,?,?,?,?)"),
      message.operation == Transaction::create ? 0 : 1, mpps, message.attributes, message.caller,
      message.transaction, now)
      .changes();
  const MessageId id = database_.getLastInsertRowid();
  if (!acceptance.undecided) add(step, id, message.operation, message.attributes);
  // A message that nobody gets is remembered nevertheless: it has changed the step.
  const Destination nobody;
  const bool recorded_only = acceptance.destinations.empty();
  if (recorded_only) acceptance.destinations.push_back(nobody);
  for (const Destination& to : acceptance.destinations) {
    const Tail before = first ? Tail() : tail(mpps, to.receiver);
    const bool goes = to.how == Destination::How::deliver;
    const bool goes_at_once = goes && !before.open;
    const bool is_in_place = goes && !before.withheld;  // ready, or behind those before it
    int stored = goes_at_once ? state::ready : state::behind;
    if (recorded_only) stored = state::delivered;
    if (acceptance.undecided) stored = state::undecided;
    // A second N-CREATE: the first may have reached this receiver.
    const bool again =
        message.operation == Transaction::create && before.known && was_created(mpps, to.receiver);
    Use(statement("INSERT INTO deliveries(mpps, receiver, message, state, wish, attempts, "
                  "maybe_sent, due, changed, status, reason) VALUES(?,?,?,?,?,0,?,?,?,0,'')"),
        mpps, to.receiver, id, stored, static_cast<int>(to.how), again, now, now)
        .changes();
    if (!acceptance.undecided && !recorded_only && !is_in_place) {
      place(mpps, id, to.receiver, to.how, now);
    }
  }
  recent_.set(mpps, std::move(step));
  return {Outcome::answered(mapping::dimse_status::success), id};
}

/// Whether an N-CREATE of this step was ever for this receiver.
bool QueueTables::was_created(const std::string& mpps, const std::string& receiver) {
  Use earlier(statement("SELECT 1 FROM deliveries d JOIN messages m ON m.id=d.message WHERE "
                        "d.mpps=? AND d.receiver=? AND m.operation=0 LIMIT 1"),
              mpps, receiver);
  return earlier.step();
}

void QueueTables::decide(MessageId id, bool happened) {
  const std::string mpps = mpps_of(id);
  const QueueTime now = queue_now();
  std::vector<std::pair<std::string, Destination::How>> undecided;
  {
    Use rows(statement("SELECT receiver, wish FROM deliveries WHERE mpps=? AND message=? AND "
                       "+state=5"),
             mpps, id);
    while (rows.step()) {
      undecided.emplace_back(rows[0].getString(), static_cast<Destination::How>(rows[1].getInt()));
    }
  }
  if (undecided.empty()) return;
  if (happened) add_decided(mpps, id);
  if (!happened) {
    Use(statement("DELETE FROM deliveries WHERE mpps=? AND message=?"), mpps, id).changes();
    Use(statement("DELETE FROM messages WHERE id=?"), id).changes();
  }
  for (const auto& [receiver, how] : undecided) {
    if (happened && receiver.empty()) {
      Use(statement("UPDATE deliveries SET state=6 WHERE mpps=? AND receiver='' AND message=?"),
          mpps, id)
          .changes();
    } else if (happened) {
      place(mpps, id, receiver, how, now);
    } else {
      advance(mpps, receiver, now);
    }
  }
}

MppsQueue::Taken QueueTables::take(const std::string& receiver, QueueTime now,
                                   std::size_t at_most) {
  meet(now);
  MppsQueue::Taken taken;
  auto& deliveries = taken.deliveries;
  std::vector<std::pair<std::string, MessageId>> damaged;
  {
    Use next(statement("SELECT d.message, d.attempts, d.maybe_sent, m.operation, m.mpps, "
                       "m.attributes, m.caller, m.tx, m.accepted FROM deliveries d "
                       "JOIN messages m ON m.id=d.message "
                       "WHERE d.receiver=? AND d.state=0 AND d.state<=5 AND d.due<=? "
                       "ORDER BY d.due LIMIT ?"),
             receiver, now, static_cast<std::int64_t>(at_most));
    while (next.step()) {
      auto message = message_of(next[3].getInt(), next[4].getString(), bytes_of(next[5]),
                                next[6].getString(), next[7].getString());
      if (!message) {
        damaged.emplace_back(next[4].getString(), next[0].getInt64());
        continue;
      }
      deliveries.push_back({.id = next[0].getInt64(),
                            .receiver = receiver,
                            .message = std::move(*message),
                            .attempts = next[1].getUInt(),
                            .maybe_sent = next[2].getInt() != 0,
                            .accepted = time_of(next[8])});
    }
  }
  for (const Delivery& delivery : deliveries) {
    Use(statement("UPDATE deliveries SET state=1, changed=? WHERE mpps=? AND receiver=? AND "
                  "message=?"),
        now, delivery.message.mpps.text(), receiver, delivery.id)
        .changes();
  }
  // Damaged in a way that SQLite does not see: no reason to stop the others.
  for (const auto& [mpps, id] : damaged) {
    Use(statement("UPDATE deliveries SET state=2, reason='the message cannot be read: it was "
                  "damaged on the disk', changed=? WHERE mpps=? AND receiver=? AND message=?"),
        now, mpps, receiver, id)
        .changes();
  }
  if (deliveries.empty() && !damaged.empty()) return take(receiver, now, at_most);
  taken.next_due = next_due(receiver);
  return taken;
}

std::optional<QueueTime> QueueTables::next_due(const std::string& receiver) {
  Use first(
      statement("SELECT due FROM deliveries WHERE receiver=? AND state=0 ORDER BY due LIMIT 1"),
      receiver);
  if (!first.step()) return std::nullopt;
  return time_of(first[0]);
}

// True if the next of the chain is ready now.
bool QueueTables::finish(const Delivery& delivery, const Attempt& attempt, QueueTime now) {
  const std::string& mpps = delivery.message.mpps.text();
  if (attempt.result == Attempt::Result::returned) {
    Use(statement("UPDATE deliveries SET state=0, changed=? WHERE mpps=? AND receiver=? AND "
                  "message=? AND state=1"),
        now, mpps, delivery.receiver, delivery.id)
        .changes();
    return false;
  }
  const auto to = attempt.result == Attempt::Result::delivered ? state::delivered
                  : attempt.result == Attempt::Result::held    ? state::held
                                                               : state::ready;
  Use(statement("UPDATE deliveries SET state=?, attempts=attempts+1, maybe_sent=?, due=?, "
                "changed=?, status=?, reason=? WHERE mpps=? AND receiver=? AND message=? AND "
                "state=1"),
      to, attempt.maybe_sent, attempt.due, now, static_cast<int>(attempt.status), attempt.reason,
      mpps, delivery.receiver, delivery.id)
      .changes();
  return to == state::delivered && advance(mpps, delivery.receiver, now, delivery.id);
}

/// The step as all messages have made it that are not undecided, in their order. None: of this step
/// there is no message at all.
std::optional<RecentSteps::Step> QueueTables::read_step(const std::string& mpps) {
  bool any = false;
  std::set<MessageId> accepted;  // for several receivers, and in their order
  {
    Use rows(statement("SELECT message, state FROM deliveries WHERE mpps=?"), mpps);
    while (rows.step()) {
      any = true;
      if (rows[1].getInt() != state::undecided) accepted.insert(rows[0].getInt64());
    }
  }
  if (!any) return std::nullopt;
  RecentSteps::Step step;
  for (const MessageId id : accepted) {
    Use row(statement("SELECT operation, attributes FROM messages WHERE id=?"), id);
    if (!row.step()) continue;
    const auto attributes = DataSet::from_bytes(bytes_of(row[1]));
    if (!attributes) throw QueueFailure("a message cannot be read");
    add(step, id, operation_of(row[0].getInt()), attributes.value());
  }
  return step;
}

/// Adds a message that was undecided to what is known, where it is the last.
void QueueTables::add_decided(const std::string& mpps, MessageId id) {
  const RecentSteps::Step* const known = recent_.find(mpps);
  if (known == nullptr) return;
  std::optional<MppsMessage> decided;
  if (known->last < id) decided = message(id);
  if (!decided) return recent_.drop(mpps);
  RecentSteps::Step step = *known;
  add(step, id, decided->operation, decided->attributes);
  recent_.set(mpps, std::move(step));
}

// The end of the chain tells of all of it: before a delivered one nothing is open, and before one
// that goes nothing is withheld.
QueueTables::Tail QueueTables::tail(const std::string& mpps, const std::string& receiver) {
  Use rows(statement("SELECT state FROM deliveries WHERE mpps=? AND receiver=? ORDER BY message "
                     "DESC"),
           mpps, receiver);
  Tail tail;
  while (rows.step()) {
    tail.known = true;
    const int stored = rows[0].getInt();
    if (stored == state::discarded) continue;
    tail.open = tail.open || stored <= state::undecided;
    tail.withheld = stored == state::withheld;
    if (stored != state::undecided) break;
  }
  return tail;
}

bool QueueTables::is_open(const std::string& mpps, const std::string& receiver) {
  return tail(mpps, receiver).open;
}

std::optional<RecordedStep> QueueTables::step(const std::string& mpps) {
  const RecentSteps::Step* const known = recent_.find(mpps);
  auto step = known != nullptr ? std::optional(*known) : read_step(mpps);
  if (!step || step->last == 0) return std::nullopt;
  return std::move(step->recorded);
}

// Takes a row out of one of the stored states in from; if to is behind, it is ready where nothing
// earlier is open. True if there was such a row.
bool QueueTables::set_open_state(MessageId id, const std::string& receiver, int to,
                                 std::string_view from) {
  const QueueTime now = queue_now();
  SQLite::Statement update(
      database_, fmt::format("UPDATE deliveries SET state=?, due=?, changed=? WHERE mpps=(SELECT "
                             "mpps FROM messages WHERE id=?4) AND receiver=? AND message=?4 AND "
                             "state IN ({})",
                             from));
  const bool found = Use(update, to, now, now, id, receiver).changes() > 0;
  if (found) advance(mpps_of(id), receiver, now);
  return found;
}

// Goes through the messages from the oldest on, some at a call: those that are still open must not
// keep it from what comes after them.
std::size_t QueueTables::forget(QueueTime accepted_before) {
  constexpr std::size_t at_a_call = 1000;
  std::set<std::string> steps;
  std::size_t seen = 0;
  bool old = false;
  {
    Use rows(statement("SELECT id, accepted, mpps FROM messages WHERE id>? ORDER BY id LIMIT ?"),
             forget_after_, static_cast<std::int64_t>(at_a_call));
    for (; rows.step(); ++seen) {
      forget_after_ = rows[0].getInt64();
      old = time_of(rows[1]) < accepted_before;
      if (old) steps.insert(rows[2].getString());
    }
  }
  if (seen < at_a_call || !old) forget_after_ = 0;
  std::size_t forgotten = 0;
  for (const std::string& mpps : steps) {
    {
      Use kept(statement("SELECT 1 FROM deliveries d JOIN messages m ON m.id=d.message WHERE "
                         "d.mpps=? AND (d.state<=5 OR m.accepted>=?) LIMIT 1"),
               mpps, accepted_before);
      if (kept.step()) continue;
    }
    forgotten += static_cast<std::size_t>(
        Use(statement("DELETE FROM messages WHERE id IN (SELECT message FROM deliveries WHERE "
                      "mpps=?)"),
            mpps)
            .changes());
    Use(statement("DELETE FROM deliveries WHERE mpps=?"), mpps).changes();
    recent_.drop(mpps);
  }
  return forgotten;
}

bool QueueTables::retry(MessageId id, const std::string& receiver) {
  return set_open_state(id, receiver, state::behind, "0, 2");
}

bool QueueTables::discard(MessageId id, const std::string& receiver) {
  return set_open_state(id, receiver, state::discarded, "0, 2, 3, 4");
}

void QueueTables::make_due(const std::string& receiver, QueueTime now) {
  Use(statement("UPDATE deliveries SET due=? WHERE receiver=? AND state=0 AND due>?"), now,
      receiver, now)
      .changes();
}

std::optional<MppsMessage> QueueTables::message(MessageId id) {
  Use row(statement("SELECT operation, mpps, attributes, caller, tx FROM messages WHERE id=?"), id);
  if (!row.step()) return std::nullopt;
  auto message = message_of(row[0].getInt(), row[1].getString(), bytes_of(row[2]),
                            row[3].getString(), row[4].getString());
  if (!message) throw QueueFailure("the message cannot be read: it was damaged on the disk");
  return message;
}

}  // namespace gateway
