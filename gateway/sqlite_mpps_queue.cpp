// Who may open the file, whose work shares a transaction, and when it is on the disk.
#include "gateway/sqlite_mpps_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "gateway/gathering_vfs.h"
#include "gateway/group_commit.h"
#include "gateway/queue_tables.h"
#include "gateway/queue_view.h"
#include "gateway/shared_sync.h"
#include "gateway/sqlite_file.h"

namespace gateway {
namespace {

using mapping::Uid;
using Haste = SharedSync::Haste;

constexpr int busy_timeout_milliseconds = 5000;
constexpr const char* name = "mpps-queue";
constexpr int application_id = 0x6d6f6467;  // "modg"
constexpr int schema_version = 1;

/// What has come of a piece of work.
enum class Come : std::uint8_t {
  nothing,
  telling,  ///< not to be told before all that was promised is on the disk
  promise   ///< itself has to be on the disk, and what was promised before
};

}  // namespace

class SqliteMppsQueue::Impl {
 public:
  Impl(const std::filesystem::path& file, StateLock lock, Role role)
      : lock_(std::move(lock)),
        role_(role),
        database_(file.string(), SQLite::OPEN_READWRITE, busy_timeout_milliseconds,
                  gathering_vfs()),
        transactions_(database_, role == Role::gateway ? Transactions::Lock::for_writing
                                                       : Transactions::Lock::when_needed) {
    if (role == Role::visitor) wait_patiently();
  }
  ~Impl() {
    if (wal_ >= 0) ::close(wal_);
  }

  /// What is wrong, or nothing. Throws SQLite::Exception.
  std::string prepare();

  /// Runs work with others' in one transaction. A QueueFailure of the work itself, which comes
  /// before it has changed anything, is its own caller's: the others' work is as good as ever.
  template <class Work>
  void run(const Work& work) {
    std::exception_ptr own;
    try {
      group_.run([&] {
        try {
          work(tables_);
        } catch (const QueueFailure&) {
          own = std::current_exception();
        }
      });
    } catch (const SQLite::Exception& error) {
      throw QueueFailure(fmt::format("{}: {}", database_.getFilename(), error.what()));
    }
    if (own) std::rethrow_exception(own);
  }

  /// The same, and returns what it returns.
  template <class Work>
  auto ask(const Work& work) {
    decltype(work(tables_)) answer;
    run([&](QueueTables& tables) { answer = work(tables); });
    return answer;
  }

  /// The same with what people are shown.
  template <class Look>
  auto see(const Look& look) {
    return ask([&](QueueTables&) { return look(view_); });
  }

  /// Runs work, and returns when what it relies on is on the disk. Others go on with the next
  /// transaction meanwhile.
  template <class Work>
  void run_synced(Haste haste, const Work& work) {
    std::uint64_t needs = 0;
    run([&](QueueTables& tables) {
      const Come come = work(tables);
      if (come == Come::promise) promised_ = transaction_;
      if (come != Come::nothing) needs = promised_;
    });
    if (needs > 0) sync_.wait(needs, haste);
  }

  void check_writable();

  /// Whether another connection has written since this was last asked.
  bool changed_elsewhere() {
    const auto version =
        ask([&](QueueTables&) { return database_.execAndGet("PRAGMA data_version").getInt64(); });
    return std::exchange(data_version_, version) != version;
  }

 private:
  void wait_patiently();
  void open_wal();
  void sync();
  void transaction(const GroupCommit::Work& all);

  const StateLock lock_;
  const Role role_;
  SQLite::Database database_;
  Transactions transactions_;
  QueueTables tables_{database_};
  QueueView view_{database_};
  std::int64_t data_version_ = 0;
  std::uint64_t transaction_ = 0;  ///< its number; guarded, as the next, by group_
  std::uint64_t promised_ = 0;     ///< the last that has to be on the disk
  int wal_ = -1;                   ///< the write-ahead log, to sync it while others write
  SharedSync sync_{[this] { sync(); }};
  GroupCommit group_{[this](const GroupCommit::Work& all) { transaction(all); }};
};

std::string SqliteMppsQueue::Impl::prepare() {
  // A message touches few bytes of several pages: less to write. Of a new file only.
  database_.exec("PRAGMA page_size=2048");
  database_.exec("PRAGMA journal_mode=WAL");
  open_wal();
  database_.exec("PRAGMA synchronous=NORMAL");  // and sync_
  database_.exec("PRAGMA wal_autocheckpoint=4000");
  database_.exec("PRAGMA cache_size=-8000");
  const SqliteKind kind{"queue", application_id, schema_version, QueueTables::schema()};
  std::string wrong = check_kind(database_, kind, role_ == Role::gateway);
  if (!wrong.empty() || role_ == Role::visitor) return wrong;
  check_damage(database_);
  transactions_.run([this] { tables_.take_back(); });
  return {};
}

// Writes what is there already; a message takes more room than that.
void SqliteMppsQueue::Impl::check_writable() {
  constexpr std::uint64_t too_little = 1u << 20;
  struct statvfs disk {};
  if (::fstatvfs(wal_, &disk) == 0 && disk.f_bavail * disk.f_frsize < too_little) {
    throw QueueFailure(
        fmt::format("{}: less than 1 MiB of the disk is free", database_.getFilename()));
  }
  run_synced(Haste::soon, [&](QueueTables&) {
    database_.exec(fmt::format("PRAGMA user_version={}", schema_version));
    return Come::promise;
  });
}

void SqliteMppsQueue::Impl::transaction(const GroupCommit::Work& all) {
  ++transaction_;
  try {
    transactions_.run(all);
  } catch (...) {
    tables_.undone();
    throw;
  }
}

// SQLite's own way to wait for the lock comes too seldom beside a gateway that is busy.
void SqliteMppsQueue::Impl::wait_patiently() {
  const auto nap = [](void*, int naps) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return naps < 20'000 ? 1 : 0;
  };
  sqlite3_busy_handler(database_.getHandle(), nap, nullptr);
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

SqliteMppsQueue::SqliteMppsQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteMppsQueue::~SqliteMppsQueue() = default;

mapping::Result<std::unique_ptr<SqliteMppsQueue>> SqliteMppsQueue::open(
    const std::filesystem::path& directory, Role role) {
  const StateFile state{
      .directory = directory,
      .name = name,
      .when_damaged =
          "nothing is thrown away. Move the file and those beside it to a safe place, "
          "save what can be read of the MPPS queue as docs/mpps-queue.md says "
          "(\"sqlite3 FILE .dump\"), and start again",
      .visit = role == Role::visitor};
  auto impl = open_state<Impl>(state, role);
  if (!impl) return impl.fault();
  return std::unique_ptr<SqliteMppsQueue>(new SqliteMppsQueue(std::move(impl).value()));
}

bool SqliteMppsQueue::is_in(const std::filesystem::path& directory) {
  std::error_code none;
  return std::filesystem::exists(directory / fmt::format("{}.sqlite", name), none);
}

MppsQueue::Accepted SqliteMppsQueue::accept(const MppsMessage& message, const Judge& judge) {
  Accepted accepted;
  impl_->run_synced(Haste::now, [&](QueueTables& tables) {
    accepted = tables.accept(message, judge);
    return accepted.id == 0 ? Come::telling : Come::promise;
  });
  return accepted;
}

void SqliteMppsQueue::decide(MessageId id, bool happened) {
  impl_->run_synced(Haste::now, [&](QueueTables& tables) {
    tables.decide(id, happened);
    return Come::promise;
  });
}

MppsQueue::Taken SqliteMppsQueue::finish(const std::string& receiver,
                                         const std::vector<Ended>& ended, QueueTime now,
                                         std::size_t take_at_most) {
  Taken next;
  impl_->run_synced(Haste::soon, [&](QueueTables& tables) {
    bool advanced = false;
    for (const Ended& one : ended) advanced |= tables.finish(one.delivery, one.attempt, now);
    next = tables.take(receiver, now, take_at_most);
    return advanced ? Come::promise : next.deliveries.empty() ? Come::nothing : Come::telling;
  });
  return next;
}

bool SqliteMppsQueue::retry(MessageId id, const std::string& receiver) {
  bool found = false;
  impl_->run_synced(Haste::now, [&](QueueTables& tables) {
    found = tables.retry(id, receiver);
    return found ? Come::promise : Come::nothing;
  });
  return found;
}

bool SqliteMppsQueue::discard(MessageId id, const std::string& receiver) {
  bool found = false;
  impl_->run_synced(Haste::now, [&](QueueTables& tables) {
    found = tables.discard(id, receiver);
    return found ? Come::promise : Come::nothing;
  });
  return found;
}

void SqliteMppsQueue::make_due(const std::string& receiver, QueueTime now) {
  impl_->run([&](QueueTables& tables) { tables.make_due(receiver, now); });
}

void SqliteMppsQueue::check_writable() { impl_->check_writable(); }

bool SqliteMppsQueue::changed_elsewhere() { return impl_->changed_elsewhere(); }

std::optional<RecordedStep> SqliteMppsQueue::step(const Uid& mpps) {
  return impl_->ask([&](QueueTables& tables) { return tables.step(mpps.text()); });
}

bool SqliteMppsQueue::is_open(const Uid& mpps, const std::string& receiver) {
  return impl_->ask([&](QueueTables& tables) { return tables.is_open(mpps.text(), receiver); });
}

std::vector<QueueEntry> SqliteMppsQueue::list(const QueueFilter& filter) {
  return impl_->see([&](QueueView& view) { return view.list(filter); });
}

std::vector<QueueEntry> SqliteMppsQueue::entries(MessageId id, const std::string& receiver) {
  return impl_->see([&](QueueView& view) { return view.entries(id, receiver); });
}

std::optional<MppsMessage> SqliteMppsQueue::message(MessageId id) {
  return impl_->ask([&](QueueTables& tables) { return tables.message(id); });
}

std::vector<QueueDepth> SqliteMppsQueue::depths() {
  return impl_->see([&](QueueView& view) { return view.depths(); });
}

std::size_t SqliteMppsQueue::forget(QueueTime accepted_before) {
  return impl_->ask([&](QueueTables& tables) { return tables.forget(accepted_before); });
}

}  // namespace gateway
