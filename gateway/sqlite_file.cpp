#include "gateway/sqlite_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gateway {

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string StateLock::take(const std::filesystem::path& file) {
  descriptor_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor_ < 0) {
    return fmt::format(
        "cannot be written ({}): expected state_dir to be a directory that this user may write",
        std::strerror(errno));
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return {};
  return "is in use by another modgate: expected a state_dir of its own for each";
}

namespace {

// What cannot be made cannot be opened either, and SQLite says why.
void make_private_file(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  ::fchmod(descriptor, 0600);  // one that was there may have been open to others
  ::close(descriptor);
}

bool is_damage(const SQLite::Exception& error) {
  return error.getErrorCode() == SQLITE_CORRUPT || error.getErrorCode() == SQLITE_NOTADB;
}

}  // namespace

std::string open_state_file(const StateFile& state, const OpenState& open) {
  const std::filesystem::path file = state.directory / (state.name + ".sqlite");
  const auto wrong = [](const std::filesystem::path& which, std::string_view what) {
    return what.empty() ? std::string() : fmt::format("{}: {}", which.string(), what);
  };
  StateLock lock;
  if (!state.visit) {
    const std::filesystem::path lock_file = state.directory / (state.name + ".lock");
    const std::string taken = lock.take(lock_file);
    if (!taken.empty()) return wrong(lock_file, taken);
    make_private_file(file);
  }
  try {
    return wrong(file, open(file, std::move(lock)));
  } catch (const SQLite::Exception& error) {
    return wrong(file, is_damage(error)
                           ? fmt::format("is damaged ({}): {}", error.what(), state.when_damaged)
                           : fmt::format("cannot be used ({}): expected a file in state_dir that "
                                         "this user may write, and room on its disk",
                                         error.what()));
  }
}

std::string check_kind(SQLite::Database& database, const SqliteKind& kind, bool create) {
  if (create && sqlite3_db_readonly(database.getHandle(), "main") != 0) {
    return "cannot be written: expected a file that this user may write";
  }
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  if (create && database.execAndGet("SELECT COUNT(*) FROM sqlite_master").getInt() == 0) {
    SQLite::Transaction creation(database);
    database.exec(kind.schema);
    database.exec(fmt::format("PRAGMA application_id={}", kind.application_id));
    database.exec(fmt::format("PRAGMA user_version={}", kind.version));
    creation.commit();
  } else if (database.execAndGet("PRAGMA application_id").getInt() != kind.application_id ||
             version != kind.version) {
    return fmt::format(
        "is no {} of this modgate (expected version {}, found {}): name another state_dir, or "
        "start the modgate that wrote it",
        kind.name, kind.version, version);
  }
  return {};
}

void check_damage(SQLite::Database& database) {
  const std::string damage = database.execAndGet("PRAGMA quick_check(1)").getString();
  if (damage != "ok") throw SQLite::Exception(damage, SQLITE_CORRUPT);
}

Transactions::Transactions(SQLite::Database& database, Lock lock)
    : database_(database),
      begin_(database, lock == Lock::for_writing ? "BEGIN IMMEDIATE" : "BEGIN"),
      commit_(database, "COMMIT") {}

void Transactions::run(const std::function<void()>& work) {
  Use(begin_).changes();
  try {
    work();
    Use(commit_).changes();
  } catch (...) {
    // Some failures have undone everything already.
    if (sqlite3_get_autocommit(database_.getHandle()) == 0) database_.tryExec("ROLLBACK");
    throw;
  }
}

std::string bytes_of(const SQLite::Column& column) {
  const void* const data = column.getBlob();
  return {static_cast<const char*>(data), static_cast<std::size_t>(column.getBytes())};
}

}  // namespace gateway
