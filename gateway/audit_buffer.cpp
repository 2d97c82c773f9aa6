// Two tables behind one connection.
#include "gateway/audit_buffer.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

namespace gateway {
namespace {

using mapping::Fault;

constexpr int application_id = 0x6d6f6761;  // "moga"
constexpr int schema_version = 1;
// AUTOINCREMENT: an id is never used again, so that "behind the last one sent" stays true.
constexpr const char* schema = R"(
  CREATE TABLE messages(id INTEGER PRIMARY KEY AUTOINCREMENT, message BLOB NOT NULL);
  CREATE TABLE steps(
    mpps TEXT PRIMARY KEY, patient_id TEXT, patient_name TEXT, studies TEXT, kept INTEGER)
    WITHOUT ROWID;
  CREATE INDEX kept_steps ON steps(kept);
)";
constexpr const char* file_name = "audit.sqlite";
constexpr const char* lock_name = "audit.lock";

Fault refused(const std::filesystem::path& file, std::string_view what) {
  return {Fault::Kind::malformed, fmt::format("{}: {}", file.string(), what), {}};
}

std::int64_t seconds(AuditTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

/// A line for each: UID, tab, Accession Number.
std::string to_text(const std::vector<AuditedStep::Study>& studies) {
  std::string text;
  for (const auto& study : studies) text += study.uid + '\t' + study.accession + '\n';
  return text;
}
std::vector<AuditedStep::Study> studies_of(std::string_view text) {
  std::vector<AuditedStep::Study> studies;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::size_t tab = std::min(line.find('\t'), line.size());
    studies.push_back({std::string(line.substr(0, tab)),
                       std::string(line.substr(std::min(tab + 1, line.size())))});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return studies;
}

class Use {
 public:
  explicit Use(SQLite::Statement& statement) : statement_(statement) {}
  ~Use() { statement_.tryReset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  SQLite::Statement& statement_;
};

/// Makes the file, or opens it, for its owner only. SQLite gives its -wal and -shm the same mode.
std::string make_private(const std::filesystem::path& file, int& descriptor) {
  descriptor = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0 && ::fchmod(descriptor, 0600) == 0) return {};
  return fmt::format(
      "cannot be written ({}): expected state_dir to be a directory that this user may write",
      std::strerror(errno));
}

class Lock {
 public:
  Lock() = default;
  Lock(Lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~Lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  /// What is wrong, or nothing.
  std::string take(const std::filesystem::path& file) {
    std::string wrong = make_private(file, descriptor_);
    if (wrong.empty() && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      wrong = "is in use by another modgate: expected a state_dir of its own for each";
    }
    return wrong;
  }

 private:
  int descriptor_ = -1;
};

}  // namespace

struct AuditBuffer::Impl {
  Impl(const std::filesystem::path& file, Lock held)
      : lock(std::move(held)), database(file.string(), SQLite::OPEN_READWRITE, 1000) {}

  /// What is wrong, or nothing. Throws SQLite::Exception.
  std::string prepare();
  void transaction(const std::function<void()>& work);

  const Lock lock;
  // Written under the mutex, read without.
  std::atomic<std::uint64_t> count{0}, bytes{0};

  std::mutex mutex;  // guards the rest
  SQLite::Database database;
  std::optional<SQLite::Statement> append, keep, find, forget, next, remove, size;
  std::uint64_t new_count = 0, new_bytes = 0;  ///< of the transaction that runs
};

std::string AuditBuffer::Impl::prepare() {
  database.exec("PRAGMA journal_mode=WAL");
  database.exec("PRAGMA synchronous=NORMAL");
  if (database.execAndGet("SELECT COUNT(*) FROM sqlite_master").getInt() == 0) {
    SQLite::Transaction creation(database);
    database.exec(schema);
    database.exec(fmt::format("PRAGMA application_id={}", application_id));
    database.exec(fmt::format("PRAGMA user_version={}", schema_version));
    creation.commit();
  } else if (database.execAndGet("PRAGMA application_id").getInt() != application_id ||
             database.execAndGet("PRAGMA user_version").getInt() != schema_version) {
    return "is no audit buffer of this modgate: name another state_dir, or start the modgate that "
           "wrote it";
  }
  const std::string damage = database.execAndGet("PRAGMA quick_check(1)").getString();
  if (damage != "ok") throw SQLite::Exception(damage, SQLITE_CORRUPT);
  append.emplace(database, "INSERT INTO messages(message) VALUES(?)");
  keep.emplace(database, "INSERT OR REPLACE INTO steps VALUES(?,?,?,?,?)");
  find.emplace(database, "SELECT patient_id, patient_name, studies FROM steps WHERE mpps=?");
  forget.emplace(database, "DELETE FROM steps WHERE kept<?");
  next.emplace(database, "SELECT id, message FROM messages WHERE id>? ORDER BY id LIMIT ?");
  remove.emplace(database, "DELETE FROM messages WHERE id<=?");
  size.emplace(database,
               "SELECT COUNT(*), COALESCE(SUM(LENGTH(message)),0) FROM messages WHERE id<=?");
  SQLite::Statement all(database,
                        "SELECT COUNT(*), COALESCE(SUM(LENGTH(message)),0) FROM messages");
  all.executeStep();
  count = static_cast<std::uint64_t>(all.getColumn(0).getInt64());
  bytes = static_cast<std::uint64_t>(all.getColumn(1).getInt64());
  return {};
}

void AuditBuffer::Impl::transaction(const std::function<void()>& work) {
  new_count = new_bytes = 0;
  database.exec("BEGIN IMMEDIATE");
  try {
    work();
    database.exec("COMMIT");
  } catch (...) {
    // Some failures have undone everything already.
    if (sqlite3_get_autocommit(database.getHandle()) == 0) database.tryExec("ROLLBACK");
    throw;
  }
  count += new_count;
  bytes += new_bytes;
}

namespace {

// The border to SQLite: its exceptions end here.
template <class Work>
auto guarded(const Work& work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw AuditBufferFailure(fmt::format("{}: {}", file_name, error.what()));
  }
}

std::string bytes_of(const SQLite::Column& column) {
  const void* const data = column.getBlob();
  return {static_cast<const char*>(data), static_cast<std::size_t>(column.getBytes())};
}

}  // namespace

AuditBuffer::AuditBuffer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AuditBuffer::~AuditBuffer() = default;

mapping::Result<std::unique_ptr<AuditBuffer>> AuditBuffer::open(
    const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / file_name;
  const std::filesystem::path lock_file = directory / lock_name;
  Lock lock;
  const std::string cannot = lock.take(lock_file);
  if (!cannot.empty()) return refused(lock_file, cannot);
  int descriptor = -1;
  const std::string unwritable = make_private(file, descriptor);
  if (descriptor >= 0) ::close(descriptor);
  if (!unwritable.empty()) return refused(file, unwritable);
  try {
    auto impl = std::make_unique<Impl>(file, std::move(lock));
    const std::string wrong = impl->prepare();
    if (!wrong.empty()) return refused(file, wrong);
    return std::unique_ptr<AuditBuffer>(new AuditBuffer(std::move(impl)));
  } catch (const SQLite::Exception& error) {
    const int code = error.getErrorCode();
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
      return refused(file, fmt::format("is damaged ({}): move it away with its -wal and -shm to "
                                       "begin anew, and keep it: it holds audit messages that no "
                                       "collector has",
                                       error.what()));
    }
    return refused(file, fmt::format("cannot be used ({}): expected a file in state_dir that this "
                                     "user may write, and room on its disk",
                                     error.what()));
  }
}

void AuditBuffer::transaction(const std::function<void()>& work) {
  guarded([&] {
    const std::lock_guard lock(impl_->mutex);
    impl_->transaction(work);
  });
}

void AuditBuffer::append(const std::string& message) {
  const Use use(*impl_->append);
  impl_->append->bindNoCopy(1, message.data(), static_cast<int>(message.size()));
  impl_->append->exec();
  impl_->new_count += 1;
  impl_->new_bytes += message.size();
}

void AuditBuffer::keep_step(const std::string& mpps, const AuditedStep& step, AuditTime now) {
  const Use use(*impl_->keep);
  impl_->keep->bind(1, mpps);
  impl_->keep->bind(2, step.patient_id);
  impl_->keep->bind(3, step.patient_name);
  impl_->keep->bind(4, to_text(step.studies));
  impl_->keep->bind(5, seconds(now));
  impl_->keep->exec();
}

std::optional<AuditedStep> AuditBuffer::step(const std::string& mpps) {
  const Use use(*impl_->find);
  impl_->find->bind(1, mpps);
  if (!impl_->find->executeStep()) return std::nullopt;
  AuditedStep step;
  step.patient_id = impl_->find->getColumn(0).getString();
  step.patient_name = impl_->find->getColumn(1).getString();
  step.studies = studies_of(impl_->find->getColumn(2).getString());
  return step;
}

void AuditBuffer::forget_steps(AuditTime before) {
  const Use use(*impl_->forget);
  impl_->forget->bind(1, seconds(before));
  impl_->forget->exec();
}

std::vector<AuditBuffer::Stored> AuditBuffer::next(std::int64_t after, std::size_t count) {
  return guarded([&] {
    const std::lock_guard lock(impl_->mutex);
    const Use use(*impl_->next);
    impl_->next->bind(1, after);
    impl_->next->bind(2, static_cast<std::int64_t>(count));
    std::vector<Stored> found;
    while (impl_->next->executeStep()) {
      found.push_back({impl_->next->getColumn(0).getInt64(), bytes_of(impl_->next->getColumn(1))});
    }
    return found;
  });
}

void AuditBuffer::remove_through(std::int64_t id) {
  guarded([&] {
    const std::lock_guard lock(impl_->mutex);
    std::uint64_t count = 0, bytes = 0;
    impl_->transaction([&] {
      {
        const Use use(*impl_->size);
        impl_->size->bind(1, id);
        impl_->size->executeStep();
        count = static_cast<std::uint64_t>(impl_->size->getColumn(0).getInt64());
        bytes = static_cast<std::uint64_t>(impl_->size->getColumn(1).getInt64());
      }
      const Use use(*impl_->remove);
      impl_->remove->bind(1, id);
      impl_->remove->exec();
    });
    impl_->count -= count;
    impl_->bytes -= bytes;
  });
}

std::uint64_t AuditBuffer::count() const { return impl_->count; }
std::uint64_t AuditBuffer::bytes() const { return impl_->bytes; }

}  // namespace gateway
