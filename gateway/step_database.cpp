// One connection writes, one reads: with WAL a reader waits for no commit.
#include "gateway/step_database.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "gateway/group_commit.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::Fault;
using mapping::Result;
using mapping::Uid;

constexpr int application_id = 0x6d6f6773;  // "mogs"
constexpr int schema_version = 1;
constexpr const char* schema =
    "CREATE TABLE performed_steps(mpps TEXT PRIMARY KEY, attributes BLOB NOT NULL)";
constexpr const char* file_name = "performed_steps.sqlite";
constexpr const char* lock_name = "performed_steps.lock";
constexpr int busy_timeout_milliseconds = 5000;

Fault refused(const std::filesystem::path& file, std::string_view what) {
  return {Fault::Kind::malformed, fmt::format("{}: {}", file.string(), what), {}};
}

/// A step as it lies there.
Result<DataSet> step_of(const SQLite::Column& column) {
  const void* const data = column.getBlob();
  return DataSet::from_bytes(
      {static_cast<const char*>(data), static_cast<std::size_t>(column.getBytes())});
}

[[noreturn]] void throw_damaged(const Fault& fault) {
  throw StepDatabaseFailure(fmt::format("{}: a step in it is damaged: {}", file_name, fault.what));
}

/// Leaves a statement ready for its next use, whatever happens.
class Use {
 public:
  explicit Use(SQLite::Statement& statement) : statement_(statement) {}
  ~Use() { statement_.tryReset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  SQLite::Statement& statement_;
};

/// Held as long as this process runs: a second modgate would not see what this one keeps in memory.
class Lock {
 public:
  Lock() = default;
  Lock(Lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~Lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  /// What is wrong, or nothing.
  std::string take(const std::filesystem::path& file) {
    descriptor_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor_ < 0) {
      return fmt::format(
          "cannot be written ({}): expected state_dir to be a directory that this user may write",
          std::strerror(errno));
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return {};
    return "is in use by another modgate: expected a state_dir of its own for each";
  }

 private:
  int descriptor_ = -1;
};

}  // namespace

class StepDatabase::Impl {
 public:
  explicit Impl(const std::filesystem::path& file, Lock lock)
      : lock_(std::move(lock)),
        writer_(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE,
                busy_timeout_milliseconds) {}

  /// What is wrong, or nothing. Throws SQLite::Exception.
  std::string prepare();
  void change(const Uid& mpps, const Decide& decide);
  std::optional<DataSet> find(const Uid& mpps);
  void follow(OnWritten on_written);

 private:
  struct Written {
    std::optional<DataSet> stored;
    DataSet now;
  };
  using Found = std::optional<Result<DataSet>>;
  static Found find(SQLite::Statement& select, const Uid& mpps);
  void transaction(const GroupCommit::Work& all);

  const Lock lock_;
  SQLite::Database writer_;
  std::optional<SQLite::Statement> select_;  // these four belong to whoever leads the group
  std::optional<SQLite::Statement> write_;
  std::vector<Written> written_;
  OnWritten on_written_;
  GroupCommit group_{[this](const GroupCommit::Work& all) { transaction(all); }};

  std::mutex reading_;
  std::optional<SQLite::Database> reader_;  // guarded by reading_, as the next
  std::optional<SQLite::Statement> read_;
};

std::string StepDatabase::Impl::prepare() {
  constexpr const char* find = "SELECT attributes FROM performed_steps WHERE mpps=?";
  writer_.exec("PRAGMA journal_mode=WAL");
  writer_.exec("PRAGMA synchronous=FULL");
  if (sqlite3_db_readonly(writer_.getHandle(), "main") != 0) {
    return "cannot be written: expected a file that this user may write";
  }
  const int version = writer_.execAndGet("PRAGMA user_version").getInt();
  if (writer_.execAndGet("SELECT COUNT(*) FROM sqlite_master").getInt() == 0) {
    SQLite::Transaction creation(writer_);
    writer_.exec(schema);
    writer_.exec(fmt::format("PRAGMA application_id={}", application_id));
    writer_.exec(fmt::format("PRAGMA user_version={}", schema_version));
    creation.commit();
  } else if (writer_.execAndGet("PRAGMA application_id").getInt() != application_id ||
             version != schema_version) {
    return fmt::format(
        "is no store of this modgate (expected version {}, found {}): name another state_dir, or "
        "start the modgate that wrote it",
        schema_version, version);
  }
  const std::string damage = writer_.execAndGet("PRAGMA quick_check(1)").getString();
  if (damage != "ok") throw SQLite::Exception(damage, SQLITE_CORRUPT);
  select_.emplace(writer_, find);
  write_.emplace(writer_,
                 "INSERT INTO performed_steps(mpps, attributes) VALUES(?,?) ON CONFLICT(mpps) "
                 "DO UPDATE SET attributes=excluded.attributes");
  reader_.emplace(writer_.getFilename(), SQLite::OPEN_READONLY, busy_timeout_milliseconds);
  read_.emplace(*reader_, find);
  return {};
}

StepDatabase::Impl::Found StepDatabase::Impl::find(SQLite::Statement& select, const Uid& mpps) {
  const Use use(select);
  select.bind(1, mpps.text());
  if (!select.executeStep()) return std::nullopt;
  return step_of(select.getColumn(0));
}

void StepDatabase::Impl::transaction(const GroupCommit::Work& all) {
  written_.clear();
  writer_.exec("BEGIN IMMEDIATE");
  try {
    all();
    writer_.exec("COMMIT");
  } catch (...) {
    // Some failures have undone everything already.
    if (sqlite3_get_autocommit(writer_.getHandle()) == 0) writer_.tryExec("ROLLBACK");
    throw;
  }
  for (const Written& one : written_) {
    if (on_written_) on_written_(one.stored, one.now);
  }
}

void StepDatabase::Impl::change(const Uid& mpps, const Decide& decide) {
  std::optional<Fault> damaged;  // not thrown among others: their work is as good as ever
  group_.run([&] {
    auto found = find(*select_, mpps);
    if (found && !*found) {
      damaged = found->fault();
      return;
    }
    std::optional<DataSet> stored;
    if (found) stored = std::move(*found).value();
    auto now = decide(stored ? &*stored : nullptr);
    if (!now) return;
    const Use use(*write_);
    write_->bind(1, mpps.text());
    write_->bind(2, now->bytes().data(), static_cast<int>(now->bytes().size()));
    write_->exec();
    written_.push_back({std::move(stored), std::move(*now)});
  });
  if (damaged) throw_damaged(*damaged);
}

std::optional<DataSet> StepDatabase::Impl::find(const Uid& mpps) {
  const std::lock_guard lock(reading_);
  auto found = find(*read_, mpps);
  if (!found) return std::nullopt;
  if (!*found) throw_damaged(found->fault());
  return std::move(*found).value();
}

void StepDatabase::Impl::follow(OnWritten on_written) {
  const std::lock_guard lock(reading_);
  SQLite::Statement every(*reader_, "SELECT attributes FROM performed_steps");
  while (every.executeStep()) {
    const auto step = step_of(every.getColumn(0));
    if (!step) throw_damaged(step.fault());
    on_written(std::nullopt, step.value());
  }
  on_written_ = std::move(on_written);
}

// --- The border to SQLite: its exceptions end here.

namespace {

template <class Work>
auto guarded(const Work& work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw StepDatabaseFailure(fmt::format("{}: {}", file_name, error.what()));
  }
}

}  // namespace

StepDatabase::StepDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StepDatabase::~StepDatabase() = default;

Result<std::unique_ptr<StepDatabase>> StepDatabase::open(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / file_name;
  Lock lock;
  const std::filesystem::path lock_file = directory / lock_name;
  const std::string cannot = lock.take(lock_file);
  if (!cannot.empty()) return refused(lock_file, cannot);
  try {
    auto impl = std::make_unique<Impl>(file, std::move(lock));
    const std::string wrong = impl->prepare();
    if (!wrong.empty()) return refused(file, wrong);
    return std::unique_ptr<StepDatabase>(new StepDatabase(std::move(impl)));
  } catch (const SQLite::Exception& error) {
    const int code = error.getErrorCode();
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
      return refused(file, fmt::format("is damaged ({}): restore it from a backup, or move it away "
                                       "with its -wal and -shm to begin without performed steps",
                                       error.what()));
    }
    return refused(file, fmt::format("cannot be used ({}): expected a file in state_dir that this "
                                     "user may write, and room on its disk",
                                     error.what()));
  }
}

void StepDatabase::change(const Uid& mpps, const Decide& decide) {
  guarded([&] { impl_->change(mpps, decide); });
}

std::optional<DataSet> StepDatabase::find(const Uid& mpps) {
  return guarded([&] { return impl_->find(mpps); });
}

void StepDatabase::follow(OnWritten on_written) {
  guarded([&] { impl_->follow(std::move(on_written)); });
}

}  // namespace gateway
