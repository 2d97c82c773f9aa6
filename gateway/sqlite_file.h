// What the files that this program keeps in state_dir have in common: one process has them, nobody
// else may read them, they say whose they are, and what is damaged is refused and left as it is.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "mapping/data_set.h"
#include "mapping/result.h"

namespace gateway {

/// Held as long as this process runs; the kernel lets go of it however that ends.
class StateLock {
 public:
  StateLock() = default;
  StateLock(StateLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~StateLock();
  StateLock& operator=(StateLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  /// What is wrong with the file, or nothing.
  std::string take(const std::filesystem::path& file);

 private:
  int descriptor_ = -1;
};

/// DIRECTORY/NAME.sqlite, held by DIRECTORY/NAME.lock.
struct StateFile {
  std::filesystem::path directory;
  std::string name;
  std::string when_damaged;  ///< what a person is to do
  bool visit = false;        ///< beside the process that holds it, where the file is there
};
/// Takes the lock and makes the file, for this user's eyes only, as those beside it will be. Then
/// calls open, which says what is wrong with the file, or nothing, and may throw SQLite::Exception.
/// Returns what is wrong and where, or nothing.
using OpenState = std::function<std::string(const std::filesystem::path& file, StateLock lock)>;
std::string open_state_file(const StateFile& state, const OpenState& open);
/// The same with an Owner of the file: made of file, lock and more, its prepare() opens it.
template <class Owner, class... More>
mapping::Result<std::unique_ptr<Owner>> open_state(const StateFile& state, const More&... more) {
  std::unique_ptr<Owner> owner;
  std::string wrong = open_state_file(state, [&](const auto& file, StateLock lock) {
    owner = std::make_unique<Owner>(file, std::move(lock), more...);
    return owner->prepare();
  });
  if (!wrong.empty()) return mapping::Fault{.what = std::move(wrong)};
  return owner;
}

/// Whose a file is, and what is in it.
struct SqliteKind {
  const char* name;    ///< for people: "queue"
  int application_id;  ///< PRAGMA application_id
  int version;         ///< PRAGMA user_version
  const char* schema;
};
/// What is wrong, or nothing; creates the schema in an empty file where that is wanted. Throws
/// SQLite::Exception.
std::string check_kind(SQLite::Database& database, const SqliteKind& kind, bool create);
/// Reads the whole file; throws SQLite::Exception with SQLITE_CORRUPT if it is damaged.
void check_damage(SQLite::Database& database);

/// Transactions of one connection, one at a time.
class Transactions {
 public:
  enum class Lock : std::uint8_t {
    for_writing,  ///< SQLite's one, from the beginning
    when_needed   ///< with the first change, and then before all reading
  };
  /// database outlives this.
  Transactions(SQLite::Database& database, Lock lock);

  /// BEGIN, work, COMMIT; undoes all and throws on if any of them throws.
  void run(const std::function<void()>& work);

 private:
  SQLite::Database& database_;
  SQLite::Statement begin_, commit_;
};

std::string bytes_of(const SQLite::Column& column);

/// The border to SQLite: its exceptions leave work as a Failure. name: StateFile's.
template <class Failure, class Work>
auto guarded(std::string_view name, const Work& work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw Failure(std::string(name).append(".sqlite: ").append(error.what()));
  }
}

/// A prepared statement in use: bound anew, and reset whatever happens, so that no read stays open.
/// Values outlive it.
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
  /// Carries out a statement without rows; returns how many were changed.
  int changes() { return statement_.exec(); }
  SQLite::Column operator[](int column) { return statement_.getColumn(column); }

 private:
  using Time = std::chrono::sys_time<std::chrono::milliseconds>;
  void bind(int index, const std::string& text) { statement_.bindNoCopy(index, text); }
  void bind(int index, const mapping::DataSet& data_set) {
    statement_.bindNoCopy(index, data_set.bytes().data(),
                          static_cast<int>(data_set.bytes().size()));
  }
  void bind(int index, std::int64_t value) { statement_.bind(index, value); }
  void bind(int index, int value) { statement_.bind(index, value); }
  void bind(int index, bool value) { statement_.bind(index, value ? 1 : 0); }
  void bind(int index, Time time) { statement_.bind(index, time.time_since_epoch().count()); }

  SQLite::Statement& statement_;
};

}  // namespace gateway
