// Two tables behind one connection.
#include "gateway/audit_buffer.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <utility>

#include "gateway/sqlite_file.h"

namespace gateway {
namespace {

// AUTOINCREMENT: an id is never used again, so that "behind the last one sent" stays true.
constexpr SqliteKind kind{"audit buffer", 0x6d6f6761 /* "moga" */, 1, R"(
  CREATE TABLE messages(id INTEGER PRIMARY KEY AUTOINCREMENT, message BLOB NOT NULL);
  CREATE TABLE steps(
    mpps TEXT PRIMARY KEY, patient_id TEXT, patient_name TEXT, studies TEXT, kept INTEGER)
    WITHOUT ROWID;
  CREATE INDEX kept_steps ON steps(kept);
)"};
constexpr const char* name = "audit";

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

}  // namespace

struct AuditBuffer::Impl {
  Impl(const std::filesystem::path& file, StateLock held)
      : lock(std::move(held)), database(file.string(), SQLite::OPEN_READWRITE, 1000) {}

  /// What is wrong, or nothing. Throws SQLite::Exception.
  std::string prepare();
  void transaction(const std::function<void()>& work);

  const StateLock lock;
  // Written under the mutex, read without.
  std::atomic<std::uint64_t> count{0}, bytes{0};

  std::mutex mutex;  // guards the rest
  SQLite::Database database;
  Transactions transactions{database, Transactions::Lock::for_writing};
  std::optional<SQLite::Statement> append, keep, find, forget, next, remove, size;
  std::uint64_t new_count = 0, new_bytes = 0;  ///< of the transaction that runs
};

std::string AuditBuffer::Impl::prepare() {
  database.exec("PRAGMA journal_mode=WAL");
  database.exec("PRAGMA synchronous=NORMAL");
  std::string wrong = check_kind(database, kind, true);
  if (!wrong.empty()) return wrong;
  check_damage(database);
  append.emplace(database, "INSERT INTO messages(message) VALUES(CAST(? AS BLOB))");
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
  transactions.run(work);
  count += new_count;
  bytes += new_bytes;
}

AuditBuffer::AuditBuffer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AuditBuffer::~AuditBuffer() = default;

mapping::Result<std::unique_ptr<AuditBuffer>> AuditBuffer::open(
    const std::filesystem::path& directory) {
  const StateFile state{.directory = directory,
                        .name = name,
                        .when_damaged =
                            "move it away with its -wal and -shm to begin anew, and "
                            "keep it: it holds audit messages that no collector has"};
  auto impl = open_state<Impl>(state);
  if (!impl) return impl.fault();
  return std::unique_ptr<AuditBuffer>(new AuditBuffer(std::move(impl).value()));
}

void AuditBuffer::transaction(const std::function<void()>& work) {
  guarded<AuditBufferFailure>(name, [&] {
    const std::lock_guard lock(impl_->mutex);
    impl_->transaction(work);
  });
}

void AuditBuffer::append(const std::string& message) {
  Use(*impl_->append, message).changes();
  impl_->new_count += 1;
  impl_->new_bytes += message.size();
}

void AuditBuffer::keep_step(const std::string& mpps, const AuditedStep& step, AuditTime now) {
  Use(*impl_->keep, mpps, step.patient_id, step.patient_name, to_text(step.studies), seconds(now))
      .changes();
}

std::optional<AuditedStep> AuditBuffer::step(const std::string& mpps) {
  Use found(*impl_->find, mpps);
  if (!found.step()) return std::nullopt;
  AuditedStep step;
  step.patient_id = found[0].getString();
  step.patient_name = found[1].getString();
  step.studies = studies_of(found[2].getString());
  return step;
}

void AuditBuffer::forget_steps(AuditTime before) { Use(*impl_->forget, seconds(before)).changes(); }

std::vector<AuditBuffer::Stored> AuditBuffer::next(std::int64_t after, std::size_t count) {
  return guarded<AuditBufferFailure>(name, [&] {
    const std::lock_guard lock(impl_->mutex);
    Use rows(*impl_->next, after, static_cast<std::int64_t>(count));
    std::vector<Stored> found;
    while (rows.step()) found.push_back({rows[0].getInt64(), bytes_of(rows[1])});
    return found;
  });
}

void AuditBuffer::remove_through(std::int64_t id) {
  guarded<AuditBufferFailure>(name, [&] {
    const std::lock_guard lock(impl_->mutex);
    std::uint64_t count = 0, bytes = 0;
    impl_->transaction([&] {
      Use size(*impl_->size, id);
      size.step();
      count = static_cast<std::uint64_t>(size[0].getInt64());
      bytes = static_cast<std::uint64_t>(size[1].getInt64());
      Use(*impl_->remove, id).changes();
    });
    impl_->count -= count;
    impl_->bytes -= bytes;
  });
}

std::uint64_t AuditBuffer::count() const { return impl_->count; }
std::uint64_t AuditBuffer::bytes() const { return impl_->bytes; }

}  // namespace gateway
