#include "gateway/gathering_vfs.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include "tests/gateway/queue_support.h"

using queue_test::Directory;

namespace {

const int readable = SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE;
constexpr int pages_in_memory = 10;

/// A connection through the VFS, and one beside it that knows nothing of it.
struct Pair {
  explicit Pair(const Directory& directory, const char* vfs = gateway::gathering_vfs())
      : file((directory.path() / "pair.sqlite").string()), through(file, readable, 0, vfs) {
    through.exec("PRAGMA page_size=2048");
    through.exec("PRAGMA journal_mode=WAL");
    through.exec("PRAGMA synchronous=OFF");
    beside.exec("PRAGMA synchronous=OFF");
    through.exec(fmt::format("PRAGMA cache_size={}", pages_in_memory));
    through.exec("CREATE TABLE rows(id INTEGER PRIMARY KEY, text TEXT)");
    through.exec("CREATE INDEX texts ON rows(text)");
  }
  const std::string file;
  SQLite::Database through;
  SQLite::Database beside{file, SQLite::OPEN_READWRITE};
};

std::string sum(SQLite::Database& database) {
  return database
      .execAndGet(
          "SELECT count(*) || ' ' || total(length(text)) || ' ' || total(id) "
          "FROM rows")
      .getString();
}

/// What a machine that stops now has on its disk, as SQLite recovers it.
std::string sum_after_crash(const std::string& file) {
  const Directory elsewhere;
  const std::string copy = (elsewhere.path() / "copy.sqlite").string();
  for (const char* suffix : {"", "-wal"}) std::filesystem::copy_file(file + suffix, copy + suffix);
  SQLite::Database recovered(copy, SQLite::OPEN_READWRITE);
  return sum(recovered);
}

/// Calls of the kernel that wrote something, of this process. proc(5)
long written() {
  std::ifstream io("/proc/self/io");
  std::string name;
  for (long count = 0; io >> name >> count;) {
    if (name == "syscw:") return count;
  }
  return -1;
}

/// Nothing that this process writes may reach beyond that many bytes of a file.
class Limit {
 public:
  explicit Limit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~Limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
};

}  // namespace

TEST_CASE("a commit is one write") {
  const auto writes_of_a_commit = [](const char* vfs) {
    const Directory directory;
    Pair pair(directory, vfs);
    // The least of several: UndefinedBehaviorSanitizer writes, too, where it sees a type first.
    long least = std::numeric_limits<long>::max();
    for (int commit = 0; commit < 5; ++commit) {
      const long before = written();
      pair.through.exec("INSERT INTO rows(text) VALUES('a row')");
      least = std::min(least, written() - before);
    }
    return least;
  };
  CHECK(writes_of_a_commit(gateway::gathering_vfs()) == 1);
  CHECK(writes_of_a_commit("") >= 4);
}

TEST_CASE(
    "whatever is committed, another connection and a recovery see it at once, and nothing else") {
  const Directory directory;
  std::mt19937 random(4711);
  const auto any = [&](int below) { return static_cast<int>(random() % unsigned(below)); };
  {
    Pair pair(directory);
    for (int i = 0; i < 250; ++i) {
      const std::string before = sum(pair.through);
      pair.through.exec("BEGIN IMMEDIATE");
      // Many rows do not fit into the cache: frames are written, read again, and written anew.
      for (int row = any(8) == 0 ? 200 : any(4); row >= 0; --row) {
        pair.through.exec(
            fmt::format("INSERT INTO rows(text) VALUES(hex(randomblob({})))", any(900)));
        if (any(5) == 0) pair.through.exec("SAVEPOINT here");
        pair.through.exec(fmt::format("UPDATE rows SET text=hex(randomblob({})) WHERE id%97={}",
                                      any(300), any(97)));
      }
      if (any(3) == 0) pair.through.exec(fmt::format("DELETE FROM rows WHERE id%5={}", any(5)));
      CHECK(sum(pair.beside) == before);
      const bool kept = any(4) != 0;
      pair.through.exec(kept ? "COMMIT" : "ROLLBACK");
      // Before this connection reads: that may write what it should have written long since.
      const std::string recovered = any(3) == 0 ? sum_after_crash(pair.file) : "";
      const std::string seen = sum(pair.beside);
      const std::string is = sum(pair.through);
      REQUIRE(seen == is);
      if (!recovered.empty()) REQUIRE(recovered == is);
      if (!kept) CHECK(is == before);
      if (any(20) == 0) pair.through.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      if (any(20) == 0) pair.beside.exec("PRAGMA wal_checkpoint(RESTART)");
      // Frames of somebody else: the next ones do not begin where the last ended.
      if (any(10) == 0) pair.beside.exec("INSERT INTO rows(text) VALUES('beside')");
    }
    CHECK(pair.beside.execAndGet("PRAGMA integrity_check").getString() == "ok");
  }
  SQLite::Database again((directory.path() / "pair.sqlite").string());
  CHECK(again.execAndGet("PRAGMA integrity_check").getString() == "ok");
  CHECK(again.execAndGet("SELECT count(*) FROM rows").getInt() > 100);
}

TEST_CASE("a commit of any size") {
  const Directory directory;
  Pair pair(directory);
  pair.through.exec("PRAGMA cache_size=2000");
  for (int rows = 0, i = 0; i < 120; ++i) {
    pair.through.exec("BEGIN");
    for (int row = 0; row < 4 * i; ++row, ++rows) {
      pair.through.exec("INSERT INTO rows(text) VALUES(hex(randomblob(500)))");
    }
    pair.through.exec("COMMIT");
    REQUIRE(pair.beside.execAndGet("SELECT count(*) FROM rows").getInt() == rows);
  }
  CHECK(pair.beside.execAndGet("PRAGMA integrity_check").getString() == "ok");
}

TEST_CASE("a write that fails is the failure of its commit, and the next one is as good as ever") {
  const Directory directory;
  Pair pair(directory);
  pair.through.exec("INSERT INTO rows(text) VALUES('kept')");
  {
    const Limit limit(20'000);
    CHECK_THROWS_AS(pair.through.exec("INSERT INTO rows(text) VALUES(hex(randomblob(20000)))"),
                    SQLite::Exception);
  }
  CHECK(sum(pair.beside) == "1 4.0 1.0");
  CHECK(sum(pair.through) == "1 4.0 1.0");
  pair.through.exec("INSERT INTO rows(text) VALUES('kept, too')");
  CHECK(sum(pair.beside) == "2 13.0 3.0");
  CHECK(pair.beside.execAndGet("PRAGMA integrity_check").getString() == "ok");
}
