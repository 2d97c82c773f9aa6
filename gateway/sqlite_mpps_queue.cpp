// Two tables: messages as they were accepted, and for each receiver what has become of them. Of one
// MPPS and one receiver, the messages in the order of their ids are a chain; only its first open
// one can be ready.
#include "gateway/sqlite_mpps_queue.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <list>
#include <set>
#include <thread>
#include <utility>

#include "gateway/group_commit.h"
#include "gateway/shared_sync.h"
#include "mapping/mpps_rules.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::Fault;
using mapping::Outcome;
using mapping::Transaction;
using mapping::Uid;
using Haste = SharedSync::Haste;

/// As stored. Up to undecided a row is open. waiting is ready or behind.
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

constexpr int application_id = 0x6d6f6467;  // "modg"
constexpr int schema_version = 1;

// The indices hold what is open only, so that what was delivered long ago costs nothing. SQLite
// takes one only where a query repeats its condition; where a query is after one MPPS, "+state"
// keeps it from taking one that leads through the whole backlog.
constexpr const char* schema = R"(
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

std::int64_t number(QueueTime time) { return time.time_since_epoch().count(); }
QueueTime time_of(const SQLite::Column& column) {
  return QueueTime(std::chrono::milliseconds(column.getInt64()));
}
std::string bytes_of(const SQLite::Column& column) {
  const void* const data = column.getBlob();
  return {static_cast<const char*>(data), static_cast<std::size_t>(column.getBytes())};
}

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

/// The stored states that are shown as this one, for SQL.
std::string stored_as(std::optional<DeliveryState> filter) {
  std::string list;
  for (int stored = state::ready; stored <= state::discarded; ++stored) {
    const bool wanted = filter ? shown(stored) == *filter : stored <= state::undecided;
    if (wanted) list += fmt::format("{}{}", list.empty() ? "" : ",", stored);
  }
  return list;
}

Transaction operation_of(int stored) {
  return stored == 0 ? Transaction::create : Transaction::update;
}

/// A prepared statement in use: bound anew, and reset whatever happens, so that no read stays open.
class Use {
 public:
  template <class... Values>
  explicit Use(SQLite::Statement& statement, const Values&... values) : statement_(statement) {
    int index = 0;
    (bind(++index, values), ...);
  }
  ~Use() { statement_.tryReset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  bool step() { return statement_.executeStep(); }
  int changes() { return statement_.exec(); }
  SQLite::Column operator[](int column) { return statement_.getColumn(column); }

 private:
  void bind(int index, const std::string& text) { statement_.bindNoCopy(index, text); }
  void bind(int index, const DataSet& data_set) {
    statement_.bindNoCopy(index, data_set.bytes().data(),
                          static_cast<int>(data_set.bytes().size()));
  }
  void bind(int index, std::int64_t value) { statement_.bind(index, value); }
  void bind(int index, int value) { statement_.bind(index, value); }
  void bind(int index, std::uint32_t value) { statement_.bind(index, value); }
  void bind(int index, bool value) { statement_.bind(index, value ? 1 : 0); }
  void bind(int index, QueueTime time) { statement_.bind(index, number(time)); }

  SQLite::Statement& statement_;
};

/// Held as long as the gateway runs; the kernel lets go of it however the process ends.
class Lock {
 public:
  Lock() = default;
  ~Lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  void swap(Lock& other) { std::swap(descriptor_, other.descriptor_); }

  /// What is wrong, or nothing.
  std::string take(const std::filesystem::path& file) {
    descriptor_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor_ < 0) {
      return fmt::format(
          "{}: cannot be written ({}): state_dir must be a directory that this user "
          "may write to",
          file.string(), std::strerror(errno));
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return {};
    return fmt::format("{}: another modgate uses this state_dir: each needs one of its own",
                       file.string());
  }

 private:
  int descriptor_ = -1;
};

}  // namespace

class SqliteMppsQueue::Impl {
 public:
  Impl(const std::filesystem::path& file, int flags, Role role)
      : database_(file.string(), flags, 5000),
        begin_(role == Role::gateway ? "BEGIN IMMEDIATE" : "BEGIN"),
        group_([this](const GroupCommit::Work& all) { transaction(all); }) {
    if (role == Role::visitor) wait_patiently();
  }
  ~Impl() {
    if (wal_ >= 0) ::close(wal_);
  }

  Lock& lock() { return lock_; }
  /// Throws SQLite::Exception.
  std::string prepare(Role role);

  /// Runs work with others' in one transaction. A QueueFailure of the work itself, which comes
  /// before it has changed anything, is its own caller's: the others' work is as good as ever.
  template <class Work>
  void run(Work work) {
    std::exception_ptr own;
    try {
      group_.run([&] {
        try {
          work();
        } catch (const QueueFailure&) {
          own = std::current_exception();
        }
      });
    } catch (const SQLite::Exception& error) {
      throw QueueFailure(fmt::format("{}: {}", database_.getFilename(), error.what()));
    }
    if (own) std::rethrow_exception(own);
  }

  /// The same, and returns when what was promised until then is on the disk. Others go on with the
  /// next transaction meanwhile. work: returns whether it must not be told before.
  template <class Work>
  void run_synced(SharedSync::Haste haste, Work work) {
    std::uint64_t needs = 0;
    run([&] {
      if (work()) needs = promised_;
    });
    if (needs > 0) sync_.wait(needs, haste);
  }

  // Called inside run.
  Accepted accept(const MppsMessage& message, const Judge& judge);
  void decide(MessageId id, bool happened);
  std::optional<Delivery> take(const std::string& receiver, QueueTime now);
  bool finish(const Delivery& delivery, const Attempt& attempt, QueueTime now);
  std::optional<RecordedStep> step(const std::string& mpps);
  std::vector<QueueEntry> list(const QueueFilter& filter);
  std::vector<QueueEntry> entries(MessageId id, const std::string& receiver);
  std::vector<QueueDepth> depths();
  bool set_open_state(MessageId id, const std::string& receiver, int to, std::string_view from);
  std::size_t forget(QueueTime accepted_before);

  /// Prepared when first used.
  SQLite::Statement& statement(const char* sql) {
    for (auto& [text, prepared] : statements_) {
      if (text == sql) return prepared;
    }
    statements_.emplace_back(std::piecewise_construct, std::forward_as_tuple(sql),
                             std::forward_as_tuple(database_, sql));
    return statements_.back().second;
  }
  SQLite::Database& database() { return database_; }

  std::int64_t data_version = 0;

 private:
  void wait_patiently();
  void hold_behind_lost();
  void transaction(const GroupCommit::Work& all);
  void sync();
  void open_wal();
  void promise() { promised_ = transaction_; }
  void place(const std::string& mpps, MessageId id, const std::string& receiver,
             Destination::How how, QueueTime now);
  bool advance(const std::string& mpps, const std::string& receiver, QueueTime now);
  bool was_created(const std::string& mpps, const std::string& receiver);
  std::string mpps_of(MessageId id);

  Lock lock_;
  SQLite::Database database_;
  std::list<std::pair<const char*, SQLite::Statement>> statements_;
  /// A visitor takes SQLite's one lock for writing with the first change, which comes before all
  /// reading, and without a change not at all.
  const char* const begin_;
  MessageId forget_after_ = 0;     ///< where forget() goes on
  std::uint64_t transaction_ = 0;  ///< its number; guarded, as the next, by group_
  std::uint64_t promised_ = 0;     ///< the last that has to be on the disk
  int wal_ = -1;                   ///< the write-ahead log, to sync it while others write
  SharedSync sync_{[this] { sync(); }};
  GroupCommit group_;
};

std::string SqliteMppsQueue::Impl::prepare(Role role) {
  database_.exec("PRAGMA journal_mode=WAL");
  open_wal();
  database_.exec("PRAGMA synchronous=NORMAL");  // and sync_
  database_.exec("PRAGMA wal_autocheckpoint=2000");
  database_.exec("PRAGMA cache_size=-8000");
  const int version = database_.execAndGet("PRAGMA user_version").getInt();
  const bool empty = database_.execAndGet("SELECT COUNT(*) FROM sqlite_master").getInt() == 0;
  if (empty && role == Role::gateway) {
    SQLite::Transaction creation(database_);
    database_.exec(schema);
    database_.exec(fmt::format("PRAGMA application_id={}", application_id));
    database_.exec(fmt::format("PRAGMA user_version={}", schema_version));
    creation.commit();
    return {};
  }
  if (database_.execAndGet("PRAGMA application_id").getInt() != application_id ||
      version != schema_version) {
    return fmt::format(
        "is no queue of this modgate (expected version {}, found {}): name another "
        "state_dir, or the modgate that wrote it",
        schema_version, version);
  }
  if (role == Role::visitor) return {};
  const std::string damage = database_.execAndGet("PRAGMA quick_check(1)").getString();
  if (damage != "ok") throw SQLite::Exception(damage, SQLITE_CORRUPT);
  hold_behind_lost();
  // What a gateway that is gone had on its way may have arrived, and what the machine has lost of
  // its last moments may have been on its way. What was recorded in the future tells that the clock
  // has been set back: its due time says nothing.
  Use(statement("UPDATE deliveries SET state=0, maybe_sent=1, due=CASE WHEN changed>?1 THEN ?1 "
                "ELSE due END WHERE state IN (0, 1) AND state<=5"),
      queue_now())
      .changes();
  Use(statement("UPDATE deliveries SET state=2, reason=? WHERE state=5 AND state<=5"),
      std::string("modgate stopped before the first receiver answered: retry if it has the step as "
                  "this message makes it, discard if it has not"))
      .changes();
  return {};
}

// SQLite's own way to wait for the lock comes too seldom beside a gateway that is busy.
void SqliteMppsQueue::Impl::wait_patiently() {
  const auto nap = [](void*, int naps) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return naps < 20'000 ? 1 : 0;
  };
  sqlite3_busy_handler(database_.getHandle(), nap, nullptr);
}

void SqliteMppsQueue::Impl::transaction(const GroupCommit::Work& all) {
  ++transaction_;
  Use(statement(begin_)).changes();
  try {
    all();
    Use(statement("COMMIT")).changes();
  } catch (...) {
    // Some failures have undone everything already.
    if (sqlite3_get_autocommit(database_.getHandle()) == 0) database_.tryExec("ROLLBACK");
    throw;
  }
}

// Where the file was saved from damage, messages may be gone that others wait behind.
void SqliteMppsQueue::Impl::hold_behind_lost() {
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
}

// The file stays the same as long as a connection is open. SQLite itself syncs the directory, once.
void SqliteMppsQueue::Impl::open_wal() {
  sqlite3_file* wal = nullptr;
  database_.execAndGet("SELECT COUNT(*) FROM sqlite_master");  // opens it
  sqlite3_file_control(database_.getHandle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  wal_ = ::open((database_.getFilename() + "-wal").c_str(), O_RDWR | O_CLOEXEC);
  if (wal_ < 0 || wal == nullptr || wal->pMethods == nullptr ||
      wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL) != SQLITE_OK) {
    throw SQLite::Exception("the write-ahead log cannot be synced to the disk", SQLITE_IOERR_FSYNC);
  }
}

void SqliteMppsQueue::Impl::sync() {
  if (::fdatasync(wal_) == 0) return;
  throw QueueFailure(fmt::format(
      "{}-wal: what was accepted last cannot be synced to the disk ({}), and nothing more is "
      "accepted: see to the disk, then start again",
      database_.getFilename(), std::strerror(errno)));
}

std::string SqliteMppsQueue::Impl::mpps_of(MessageId id) {
  Use find(statement("SELECT mpps FROM messages WHERE id=?"), id);
  return find.step() ? find[0].getString() : std::string();
}

// Makes the first open one of a chain ready, unless something keeps it. True if it did.
bool SqliteMppsQueue::Impl::advance(const std::string& mpps, const std::string& receiver,
                                    QueueTime now) {
  MessageId first = 0;
  {
    Use head(statement("SELECT message, state FROM deliveries WHERE mpps=? AND receiver=? AND "
                       "+state<=5 ORDER BY message LIMIT 1"),
             mpps, receiver);
    if (!head.step() || head[1].getInt() != state::behind) return false;
    first = head[0].getInt64();
  }
  Use(statement("UPDATE deliveries SET state=0, due=?, changed=? WHERE mpps=? AND receiver=? AND "
                "message=?"),
      now, now, mpps, receiver, first)
      .changes();
  return true;
}

// Puts a row that is new, or was undecided, where it belongs in its chain.
void SqliteMppsQueue::Impl::place(const std::string& mpps, MessageId id,
                                  const std::string& receiver, Destination::How how,
                                  QueueTime now) {
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
      set_state(state::withheld);
      return;
    case Destination::How::drop_withheld:
      set_state(state::discarded);
      set_withheld(state::discarded);
      return;
  }
}

MppsQueue::Accepted SqliteMppsQueue::Impl::accept(const MppsMessage& message, const Judge& judge) {
  const std::string& mpps = message.mpps.text();
  const auto recorded = step(mpps);
  Acceptance acceptance = judge(recorded ? &*recorded : nullptr);
  if (acceptance.refusal) return {std::move(*acceptance.refusal), 0};
  promise();
  const QueueTime now = queue_now();
  Use(statement("INSERT INTO messages(operation, mpps, attributes, caller, tx, accepted) "
                "VALUES(?,?,?,?,?,?)"),
      message.operation == Transaction::create ? 0 : 1, mpps, message.attributes, message.caller,
      message.transaction, now)
      .changes();
  const MessageId id = database_.getLastInsertRowid();
  // A message that nobody gets is remembered nevertheless: it has changed the step.
  const Destination nobody;
  const bool recorded_only = acceptance.destinations.empty();
  if (recorded_only) acceptance.destinations.push_back(nobody);
  for (const Destination& to : acceptance.destinations) {
    const bool first = [&] {
      Use open(statement("SELECT 1 FROM deliveries WHERE mpps=? AND receiver=? AND +state<=5"),
               mpps, to.receiver);
      return !open.step();
    }();
    const bool goes_at_once = first && to.how == Destination::How::deliver;
    int stored = goes_at_once ? state::ready : state::behind;
    if (recorded_only) stored = state::delivered;
    if (acceptance.undecided) stored = state::undecided;
    // A second N-CREATE: the first may have reached this receiver.
    const bool again = message.operation == Transaction::create && was_created(mpps, to.receiver);
    Use(statement("INSERT INTO deliveries(mpps, receiver, message, state, wish, attempts, "
                  "maybe_sent, due, changed, status, reason) VALUES(?,?,?,?,?,0,?,?,?,0,'')"),
        mpps, to.receiver, id, stored, static_cast<int>(to.how), again, now, now)
        .changes();
    if (!acceptance.undecided && !recorded_only && !goes_at_once) {
      place(mpps, id, to.receiver, to.how, now);
    }
  }
  return {Outcome::answered(mapping::dimse_status::success), id};
}

/// Whether an N-CREATE of this step was ever for this receiver.
bool SqliteMppsQueue::Impl::was_created(const std::string& mpps, const std::string& receiver) {
  Use earlier(statement("SELECT 1 FROM deliveries d JOIN messages m ON m.id=d.message WHERE "
                        "d.mpps=? AND d.receiver=? AND m.operation=0 LIMIT 1"),
              mpps, receiver);
  return earlier.step();
}

void SqliteMppsQueue::Impl::decide(MessageId id, bool happened) {
  promise();
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

std::optional<Delivery> SqliteMppsQueue::Impl::take(const std::string& receiver, QueueTime now) {
  for (;;) {
    std::string mpps;
    MessageId id = 0;
    std::optional<Delivery> delivery;
    {
      Use next(statement("SELECT d.message, d.attempts, d.maybe_sent, m.operation, m.mpps, "
                         "m.attributes, m.caller, m.tx, m.accepted FROM deliveries d "
                         "JOIN messages m ON m.id=d.message "
                         "WHERE d.receiver=? AND d.state=0 AND d.state<=5 AND d.due<=? "
                         "ORDER BY d.due LIMIT 1"),
               receiver, now);
      if (!next.step()) return std::nullopt;
      id = next[0].getInt64();
      mpps = next[4].getString();
      auto uid = Uid::parse(mpps);
      auto attributes = DataSet::from_bytes(bytes_of(next[5]));
      if (uid && attributes) {
        delivery = Delivery{.id = id,
                            .receiver = receiver,
                            .message = {.operation = operation_of(next[3].getInt()),
                                        .mpps = std::move(*uid),
                                        .attributes = std::move(attributes).value(),
                                        .caller = next[6].getString(),
                                        .transaction = next[7].getString()},
                            .attempts = next[1].getUInt(),
                            .maybe_sent = next[2].getInt() != 0,
                            .accepted = time_of(next[8])};
      }
    }
    if (!delivery) {  // damaged in a way that SQLite does not see: no reason to stop the others
      Use(statement("UPDATE deliveries SET state=2, reason='the message cannot be read: it was "
                    "damaged on the disk', changed=? WHERE mpps=? AND receiver=? AND message=?"),
          now, mpps, receiver, id)
          .changes();
      continue;
    }
    Use(statement("UPDATE deliveries SET state=1, changed=? WHERE mpps=? AND receiver=? AND "
                  "message=?"),
        now, mpps, receiver, id)
        .changes();
    return delivery;
  }
}

// True if the next of the chain is ready now.
bool SqliteMppsQueue::Impl::finish(const Delivery& delivery, const Attempt& attempt,
                                   QueueTime now) {
  const auto to = attempt.result == Attempt::Result::delivered ? state::delivered
                  : attempt.result == Attempt::Result::held    ? state::held
                                                               : state::ready;
  const std::string& mpps = delivery.message.mpps.text();
  Use(statement("UPDATE deliveries SET state=?, attempts=attempts+1, maybe_sent=?, due=?, "
                "changed=?, status=?, reason=? WHERE mpps=? AND receiver=? AND message=? AND "
                "state=1"),
      to, attempt.maybe_sent, attempt.due, now, static_cast<int>(attempt.status), attempt.reason,
      mpps, delivery.receiver, delivery.id)
      .changes();
  const bool advanced = to == state::delivered && advance(mpps, delivery.receiver, now);
  if (advanced) promise();
  return advanced;
}

std::optional<RecordedStep> SqliteMppsQueue::Impl::step(const std::string& mpps) {
  std::optional<RecordedStep> step;
  Use rows(statement("SELECT operation, attributes FROM messages WHERE id IN (SELECT message FROM "
                     "deliveries WHERE mpps=? AND state<>5) ORDER BY id"),
           mpps);
  while (rows.step()) {
    auto attributes = DataSet::from_bytes(bytes_of(rows[1]));
    if (!attributes) throw QueueFailure("a message cannot be read");
    if (!step) step.emplace();
    if (operation_of(rows[0].getInt()) == Transaction::create) {
      step->created = true;
      step->attributes = std::move(attributes).value();
    } else {
      step->attributes = mapping::apply_modifications(step->attributes, attributes.value());
    }
  }
  return step;
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

std::vector<QueueEntry> SqliteMppsQueue::Impl::list(const QueueFilter& filter) {
  SQLite::Statement query(database_, fmt::format("{} AND d.state IN ({}) AND m.accepted<?2 "
                                                 "ORDER BY d.message, d.receiver LIMIT ?3",
                                                 entry_columns, stored_as(filter.state)));
  Use rows(query, filter.receiver, filter.accepted_before, static_cast<std::int64_t>(filter.limit));
  return entries_of(rows);
}

std::vector<QueueEntry> SqliteMppsQueue::Impl::entries(MessageId id, const std::string& receiver) {
  const std::string mpps = mpps_of(id);
  SQLite::Statement query(
      database_,
      fmt::format("{} AND d.mpps=?2 AND d.message=?3 ORDER BY d.receiver", entry_columns));
  Use rows(query, receiver, mpps, id);
  return entries_of(rows);
}

std::vector<QueueDepth> SqliteMppsQueue::Impl::depths() {
  std::vector<QueueDepth> depths;
  Use rows(
      statement("SELECT receiver, open, (SELECT COUNT(*) FROM deliveries h WHERE "
                "h.receiver=o.receiver AND h.state=2), (SELECT accepted FROM messages WHERE "
                "id=oldest) FROM (SELECT receiver, COUNT(*) AS open, MIN(message) AS oldest "
                "FROM deliveries WHERE state<=5 AND receiver<>'' GROUP BY receiver) o"));
  while (rows.step()) {
    depths.push_back({.receiver = rows[0].getString(),
                      .open = static_cast<std::size_t>(rows[1].getInt64()),
                      .held = static_cast<std::size_t>(rows[2].getInt64()),
                      .oldest = time_of(rows[3])});
  }
  return depths;
}

// Takes a row out of one of the stored states in from; if to is behind, it is ready where nothing
// earlier is open. True if there was such a row.
bool SqliteMppsQueue::Impl::set_open_state(MessageId id, const std::string& receiver, int to,
                                           std::string_view from) {
  const QueueTime now = queue_now();
  SQLite::Statement update(
      database_, fmt::format("UPDATE deliveries SET state=?, due=?, changed=? WHERE mpps=(SELECT "
                             "mpps FROM messages WHERE id=?4) AND receiver=? AND message=?4 AND "
                             "state IN ({})",
                             from));
  promise();
  const bool found = Use(update, to, now, now, id, receiver).changes() > 0;
  if (found) advance(mpps_of(id), receiver, now);
  return found;
}

// Goes through the messages from the oldest on, some at a call: those that are still open must not
// keep it from what comes after them.
std::size_t SqliteMppsQueue::Impl::forget(QueueTime accepted_before) {
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
  }
  return forgotten;
}

SqliteMppsQueue::SqliteMppsQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteMppsQueue::~SqliteMppsQueue() = default;

mapping::Result<std::unique_ptr<SqliteMppsQueue>> SqliteMppsQueue::open(
    const std::filesystem::path& directory, Role role) {
  const std::filesystem::path file = directory / "mpps-queue.sqlite";
  Lock lock;
  try {
    int flags = SQLite::OPEN_READWRITE;
    if (role == Role::gateway) {
      const std::string fault = lock.take(directory / "mpps-queue.lock");
      if (!fault.empty()) return Fault{.what = fault};
      // What it holds is patient data: for this user's eyes only, as the files beside it will be.
      const int created = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
      if (created >= 0) ::close(created);
      flags |= SQLite::OPEN_CREATE;
    }
    auto impl = std::make_unique<Impl>(file, flags, role);
    const std::string fault = impl->prepare(role);
    if (!fault.empty()) return Fault{.what = fmt::format("{} {}", file.string(), fault)};
    impl->lock().swap(lock);
    return std::unique_ptr<SqliteMppsQueue>(new SqliteMppsQueue(std::move(impl)));
  } catch (const SQLite::Exception& error) {
    const int code = error.getErrorCode();
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
      return Fault{
          .what = fmt::format(
              "{}: the MPPS queue is damaged ({}): nothing is thrown away. Move the file and those "
              "beside it to a safe place, save what can be read of it as docs/mpps-queue.md says "
              "(\"sqlite3 FILE .dump\"), and start again",
              file.string(), error.what())};
    }
    return Fault{.what = fmt::format("{}: the MPPS queue cannot be opened: {}", file.string(),
                                     error.what())};
  }
}

MppsQueue::Accepted SqliteMppsQueue::accept(const MppsMessage& message, const Judge& judge) {
  Accepted accepted;
  impl_->run_synced(Haste::now, [&] {
    accepted = impl_->accept(message, judge);
    return true;
  });
  return accepted;
}

void SqliteMppsQueue::decide(MessageId id, bool happened) {
  impl_->run_synced(Haste::now, [&] {
    impl_->decide(id, happened);
    return true;
  });
}

std::optional<Delivery> SqliteMppsQueue::take(const std::string& receiver, QueueTime now) {
  std::optional<Delivery> delivery;
  impl_->run_synced(Haste::soon, [&] {
    delivery = impl_->take(receiver, now);
    return delivery.has_value();
  });
  return delivery;
}

std::optional<Delivery> SqliteMppsQueue::finish(const Delivery& delivery, const Attempt& attempt,
                                                QueueTime now, bool take_next) {
  std::optional<Delivery> next;
  impl_->run_synced(Haste::soon, [&] {
    const bool advanced = impl_->finish(delivery, attempt, now);
    if (take_next) next = impl_->take(delivery.receiver, now);
    return advanced || next;
  });
  return next;
}

std::optional<QueueTime> SqliteMppsQueue::next_due(const std::string& receiver) {
  std::optional<QueueTime> due;
  impl_->run([&] {
    Use first(impl_->statement("SELECT due FROM deliveries WHERE receiver=? AND state=0 "
                               "ORDER BY due LIMIT 1"),
              receiver);
    if (first.step()) due = time_of(first[0]);
  });
  return due;
}

void SqliteMppsQueue::make_due(const std::string& receiver, QueueTime now) {
  impl_->run([&] {
    Use(impl_->statement("UPDATE deliveries SET due=? WHERE receiver=? AND state=0 AND due>?"), now,
        receiver, now)
        .changes();
  });
}

bool SqliteMppsQueue::changed_elsewhere() {
  std::int64_t version = 0;
  impl_->run([&] { version = impl_->database().execAndGet("PRAGMA data_version").getInt64(); });
  return std::exchange(impl_->data_version, version) != version;
}

std::optional<RecordedStep> SqliteMppsQueue::step(const Uid& mpps) {
  std::optional<RecordedStep> step;
  impl_->run([&] { step = impl_->step(mpps.text()); });
  return step;
}

std::vector<QueueEntry> SqliteMppsQueue::list(const QueueFilter& filter) {
  std::vector<QueueEntry> entries;
  impl_->run([&] { entries = impl_->list(filter); });
  return entries;
}

std::vector<QueueEntry> SqliteMppsQueue::entries(MessageId id, const std::string& receiver) {
  std::vector<QueueEntry> entries;
  impl_->run([&] { entries = impl_->entries(id, receiver); });
  return entries;
}

std::optional<MppsMessage> SqliteMppsQueue::message(MessageId id) {
  std::optional<MppsMessage> message;
  impl_->run([&] {
    Use row(impl_->statement("SELECT operation, mpps, attributes, caller, tx FROM messages WHERE "
                             "id=?"),
            id);
    if (!row.step()) return;
    auto mpps = Uid::parse(row[1].getString());
    auto attributes = DataSet::from_bytes(bytes_of(row[2]));
    if (!mpps || !attributes) throw QueueFailure("the message cannot be read");
    message = MppsMessage{operation_of(row[0].getInt()), std::move(*mpps),
                          std::move(attributes).value(), row[3].getString(), row[4].getString()};
  });
  return message;
}

std::vector<QueueDepth> SqliteMppsQueue::depths() {
  std::vector<QueueDepth> depths;
  impl_->run([&] { depths = impl_->depths(); });
  return depths;
}

bool SqliteMppsQueue::retry(MessageId id, const std::string& receiver) {
  bool found = false;
  impl_->run_synced(Haste::now, [&] {
    return found = impl_->set_open_state(id, receiver, state::behind, "0, 2");
  });
  return found;
}

bool SqliteMppsQueue::discard(MessageId id, const std::string& receiver) {
  bool found = false;
  impl_->run_synced(Haste::now, [&] {
    return found = impl_->set_open_state(id, receiver, state::discarded, "0, 2, 3, 4");
  });
  return found;
}

std::size_t SqliteMppsQueue::forget(QueueTime accepted_before) {
  std::size_t forgotten = 0;
  impl_->run([&] { forgotten = impl_->forget(accepted_before); });
  return forgotten;
}

}  // namespace gateway
