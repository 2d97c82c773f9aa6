// One connection writes, one reads: with WAL a reader waits for no commit.
#include "gateway/step_database.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>
#include <vector>

#include "gateway/group_commit.h"
#include "gateway/sqlite_file.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::Fault;
using mapping::Result;
using mapping::Uid;

constexpr SqliteKind kind{
    "store", 0x6d6f6773, 1,  // "mogs"
    "CREATE TABLE performed_steps(mpps TEXT PRIMARY KEY, attributes BLOB NOT NULL)"};
constexpr const char* name = "performed_steps";
constexpr int busy_timeout_milliseconds = 5000;

/// A step as it lies there.
Result<DataSet> step_of(const SQLite::Column& column) {
  return DataSet::from_bytes(bytes_of(column));
}

[[noreturn]] void throw_damaged(const Fault& fault) {
  throw StepDatabaseFailure(
      fmt::format("{}.sqlite: a step in it is damaged: {}", name, fault.what));
}

}  // namespace

class StepDatabase::Impl {
 public:
  explicit Impl(const std::filesystem::path& file, StateLock lock)
      : lock_(std::move(lock)),
        writer_(file.string(), SQLite::OPEN_READWRITE, busy_timeout_milliseconds) {}

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

  const StateLock lock_;
  SQLite::Database writer_;
  Transactions transactions_{writer_, Transactions::Lock::for_writing};
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
  std::string wrong = check_kind(writer_, kind, true);
  if (!wrong.empty()) return wrong;
  check_damage(writer_);
  select_.emplace(writer_, find);
  write_.emplace(writer_,
                 "INSERT INTO performed_steps(mpps, attributes) VALUES(?,?) ON CONFLICT(mpps) "
                 "DO UPDATE SET attributes=excluded.attributes");
  reader_.emplace(writer_.getFilename(), SQLite::OPEN_READONLY, busy_timeout_milliseconds);
  read_.emplace(*reader_, find);
  return {};
}

StepDatabase::Impl::Found StepDatabase::Impl::find(SQLite::Statement& select, const Uid& mpps) {
  Use found(select, mpps.text());
  if (!found.step()) return std::nullopt;
  return step_of(found[0]);
}

void StepDatabase::Impl::transaction(const GroupCommit::Work& all) {
  written_.clear();
  transactions_.run(all);
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
    Use(*write_, mpps.text(), *now).changes();
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

StepDatabase::StepDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StepDatabase::~StepDatabase() = default;

Result<std::unique_ptr<StepDatabase>> StepDatabase::open(const std::filesystem::path& directory) {
  const StateFile state{.directory = directory,
                        .name = name,
                        .when_damaged =
                            "restore it from a backup, or move it away with its -wal "
                            "and -shm to begin without performed steps"};
  auto impl = open_state<Impl>(state);
  if (!impl) return impl.fault();
  return std::unique_ptr<StepDatabase>(new StepDatabase(std::move(impl).value()));
}

void StepDatabase::change(const Uid& mpps, const Decide& decide) {
  guarded<StepDatabaseFailure>(name, [&] { impl_->change(mpps, decide); });
}

std::optional<DataSet> StepDatabase::find(const Uid& mpps) {
  return guarded<StepDatabaseFailure>(name, [&] { return impl_->find(mpps); });
}

void StepDatabase::follow(OnWritten on_written) {
  guarded<StepDatabaseFailure>(name, [&] { impl_->follow(std::move(on_written)); });
}

}  // namespace gateway
