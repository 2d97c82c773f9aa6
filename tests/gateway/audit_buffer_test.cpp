// What lies on the disk, in which order, readable by whom, and after which faults.
#include "gateway/audit_buffer.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/gateway/queue_support.h"

using namespace gateway;

namespace {

const AuditTime day_one = AuditTime(std::chrono::hours(24 * 20'000));

std::unique_ptr<AuditBuffer> open(const queue_test::Directory& directory) {
  auto buffer = AuditBuffer::open(directory.path());
  if (!buffer) FAIL(buffer.fault().what);
  return std::move(buffer).value();
}

void append(AuditBuffer& buffer, const std::vector<std::string>& messages) {
  buffer.transaction([&] {
    for (const std::string& message : messages) buffer.append(message);
  });
}

std::vector<std::string> texts(AuditBuffer& buffer, std::int64_t after = 0,
                               std::size_t count = 100) {
  std::vector<std::string> all;
  for (const auto& stored : buffer.next(after, count)) all.push_back(stored.message);
  return all;
}

}  // namespace

TEST_CASE(
    "messages come out in the order they went in, as they were, and are there when it opens") {
  const queue_test::Directory directory;
  const std::string binary("a\0b\xFF", 4);
  {
    const auto buffer = open(directory);
    append(*buffer, {"one", "two"});
    append(*buffer, {binary});
    CHECK(buffer->count() == 3);
    CHECK(buffer->bytes() == 10);
    const auto first = buffer->next(0, 1);
    REQUIRE(first.size() == 1);
    CHECK(texts(*buffer, first[0].id) == std::vector<std::string>{"two", binary});
    buffer->remove_through(first[0].id);
    CHECK(buffer->count() == 2);
    CHECK(buffer->bytes() == 7);
  }
  const auto buffer = open(directory);
  CHECK(texts(*buffer) == std::vector<std::string>{"two", binary});
  CHECK(buffer->count() == 2);
  CHECK(buffer->bytes() == 7);
}

TEST_CASE("an id is never used again, not even when all are gone") {
  const queue_test::Directory directory;
  std::int64_t last = 0;
  for (int round = 0; round < 3; ++round) {
    const auto buffer = open(directory);
    append(*buffer, {"x"});
    const auto stored = buffer->next(last, 10);
    REQUIRE(stored.size() == 1);
    CHECK(stored[0].id > last);
    last = stored[0].id;
    buffer->remove_through(last);
    CHECK(buffer->count() == 0);
  }
}

TEST_CASE("a transaction that fails leaves nothing") {
  const queue_test::Directory directory;
  const auto buffer = open(directory);
  CHECK_THROWS_AS(buffer->transaction([&] {
    buffer->append("lost");
    throw std::runtime_error("no");
  }),
                  std::runtime_error);
  CHECK(texts(*buffer).empty());
  CHECK(buffer->count() == 0);
  append(*buffer, {"kept"});
  CHECK(texts(*buffer) == std::vector<std::string>{"kept"});
}

TEST_CASE("whom a step is about is remembered, and forgotten after its time") {
  const queue_test::Directory directory;
  const AuditedStep step{"PID \"1\"", "Müller^Jörg", {{"1.2.3", "ACC 1"}, {"1.2.4", ""}}, 0};
  {
    const auto buffer = open(directory);
    buffer->transaction([&] {
      buffer->keep_step("1.1", step, day_one);
      buffer->keep_step("1.2", {"P2", "", {}, 0}, day_one + std::chrono::hours(24));
    });
  }
  const auto buffer = open(directory);
  buffer->transaction([&] {
    const auto found = buffer->step("1.1");
    REQUIRE(found);
    CHECK(found->patient_id == step.patient_id);
    CHECK(found->patient_name == step.patient_name);
    CHECK(found->studies == step.studies);
    CHECK(!buffer->step("9.9"));
    buffer->forget_steps(day_one + std::chrono::hours(1));
    CHECK(!buffer->step("1.1"));
    CHECK(buffer->step("1.2"));
  });
}

TEST_CASE("nobody but its owner reads the files, even where they were open to all") {
  const queue_test::Directory directory;
  std::ofstream(directory.path() / "audit.sqlite").flush();
  ::chmod((directory.path() / "audit.sqlite").c_str(), 0644);
  const mode_t before = ::umask(0);
  const auto buffer = open(directory);
  append(*buffer, {"x"});
  ::umask(before);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    struct stat file {};
    REQUIRE(::stat(entry.path().c_str(), &file) == 0);
    INFO(entry.path());
    CHECK((file.st_mode & 0777) == 0600);
    ++files;
  }
  CHECK(files == 4);  // with its -wal and -shm, and the lock
}

TEST_CASE("a directory that cannot be used is told with its file and what is expected") {
  const queue_test::Directory directory;
  const auto missing = AuditBuffer::open(directory.path() / "nowhere");
  REQUIRE(!missing);
  CHECK(missing.fault().what ==
        fmt::format("{}/nowhere/audit.lock: cannot be written (No such file or directory): "
                    "expected state_dir to be a directory that this user may write",
                    directory.path().string()));
  {
    const auto buffer = open(directory);
    const auto second = AuditBuffer::open(directory.path());
    REQUIRE(!second);
    CHECK(second.fault().what.find("is in use by another modgate") != std::string::npos);
  }
  std::filesystem::remove(directory.path() / "audit.sqlite-wal");
  std::ofstream(directory.path() / "audit.sqlite") << std::string(5000, 'x');
  const auto damaged = AuditBuffer::open(directory.path());
  REQUIRE(!damaged);
  CHECK(damaged.fault().what.find("is damaged") != std::string::npos);
}
