#include "gateway/sqlite_file.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using queue_test::Directory;
namespace fs = std::filesystem;

namespace {

constexpr SqliteKind kind{"box", 0x626f7821, 3, "CREATE TABLE things(thing TEXT)"};

/// Opens DIRECTORY/box.sqlite and says what is wrong, or nothing.
std::string open_box(const fs::path& directory, const SqliteKind& as = kind, bool visit = false) {
  const StateFile state{directory, "box", "throw it away", visit};
  return open_state_file(state, [&](const fs::path& file, StateLock) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    std::string wrong = check_kind(database, as, !visit);
    if (wrong.empty()) check_damage(database);
    return wrong;
  });
}

}  // namespace

TEST_CASE("a file of state_dir: made once, for this user only, and found again") {
  const Directory directory;
  const fs::path file = directory.path() / "box.sqlite";
  CHECK(open_box(directory.path()) == "");
  CHECK(open_box(directory.path()) == "");
  CHECK(fs::status(file).permissions() == fs::perms(0600));
  fs::permissions(file, fs::perms(0644));
  CHECK(open_box(directory.path()) == "");
  CHECK(fs::status(file).permissions() == fs::perms(0600));
}

TEST_CASE("one process has it; a visitor may look") {
  const Directory directory;
  const StateFile state{directory.path(), "box", "throw it away"};
  StateLock held;
  CHECK(open_state_file(state, [&](const fs::path& file, StateLock lock) {
          held = std::move(lock);
          SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
          return check_kind(database, kind, true);
        }) == "");
  CHECK(open_box(directory.path()) ==
        (directory.path() / "box.lock").string() +
            ": is in use by another modgate: expected a state_dir of its own for each");
  CHECK(open_box(directory.path(), kind, true) == "");
  held = StateLock();
  CHECK(open_box(directory.path()) == "");
}

TEST_CASE("what is of another kind or version, damaged or not there is named, and left as it is") {
  const Directory directory;
  const fs::path file = directory.path() / "box.sqlite";
  REQUIRE(open_box(directory.path()) == "");
  const SqliteKind next{"box", kind.application_id, 4, kind.schema};
  CHECK(open_box(directory.path(), next) ==
        file.string() +
            ": is no box of this modgate (expected version 4, found 3): name another state_dir, "
            "or start the modgate that wrote it");
  const SqliteKind other{"box", 1, 3, kind.schema};
  CHECK(open_box(directory.path(), other).find("is no box of this modgate") != std::string::npos);
  const std::string bytes(8192, 'x');
  std::ofstream(file, std::ios::binary) << bytes;
  CHECK(open_box(directory.path()) ==
        file.string() + ": is damaged (file is not a database): throw it away");
  std::string left;
  std::getline(std::ifstream(file, std::ios::binary), left, '\0');
  CHECK(left == bytes);
  CHECK(open_box(directory.path() / "nowhere")
            .find("box.lock: cannot be written (No such file or directory): expected state_dir") !=
        std::string::npos);
  CHECK(open_box(directory.path() / "nowhere", kind, true).find("box.sqlite: cannot be used (") !=
        std::string::npos);
}

TEST_CASE("a transaction is all or nothing, and the next one goes on") {
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  database.exec(kind.schema);
  Transactions transactions(database, Transactions::Lock::for_writing);
  const auto count = [&] { return database.execAndGet("SELECT COUNT(*) FROM things").getInt(); };
  const auto put = [&] { database.exec("INSERT INTO things VALUES('one')"); };
  transactions.run(put);
  CHECK(count() == 1);
  const auto fail = [&] {
    put();
    throw std::runtime_error("no");
  };
  CHECK_THROWS_WITH(transactions.run(fail), "no");
  CHECK(count() == 1);
  CHECK_THROWS_AS(transactions.run([&] { database.exec("nonsense"); }), SQLite::Exception);
  transactions.run(put);
  CHECK(count() == 2);
}
