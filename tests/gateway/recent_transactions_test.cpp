#include "gateway/recent_transactions.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

constexpr TransactionRecord::Time start{1'800'000'000s};

TransactionRecord record(TransactionRecord::Time at, const std::string& transaction,
                         std::uint16_t status = 0, std::chrono::microseconds took = 1ms) {
  TransactionRecord made;
  made.at = at;
  made.transaction = transaction;
  made.backend = "ris";
  made.status = status;
  made.took = took;
  return made;
}

}  // namespace

TEST_CASE("the last hundred are kept, newest first") {
  RecentTransactions recent;
  CHECK(recent.latest().empty());
  recent.note(record(start, "a"));
  recent.note(record(start, "b"));
  REQUIRE(recent.latest().size() == 2);
  CHECK(recent.latest()[0].transaction == "b");
  for (int i = 0; i < 250; ++i) recent.note(record(start, std::to_string(i)));
  const auto latest = recent.latest();
  REQUIRE(latest.size() == RecentTransactions::kept);
  CHECK(latest.front().transaction == "249");
  CHECK(latest.back().transaction == "150");
}

TEST_CASE("names that callers choose are kept in part") {
  RecentTransactions recent;
  auto long_name = record(start, "a");
  long_name.caller = std::string(100'000, 'x');
  recent.note(long_name);
  CHECK(recent.latest()[0].caller.size() == 64);
}

TEST_CASE("the last failure of a backend stays until the next, whatever succeeds") {
  RecentTransactions recent;
  recent.note(record(start, "good"));
  CHECK(recent.failures().empty());
  recent.note(record(start, "bad", 0xA700));
  recent.note(record(start, "warning", 0x0107));
  for (int i = 0; i < 200; ++i) recent.note(record(start, "good"));
  REQUIRE(recent.failures().count("ris") == 1);
  CHECK(recent.failures().at("ris").transaction == "bad");
  recent.note(record(start, "worse", 0x0110));
  CHECK(recent.failures().at("ris").transaction == "worse");
}

TEST_CASE("an hour is counted by the minute; what is older is forgotten") {
  RecentTransactions recent;
  recent.note(record(start, "", 0, 2ms));
  recent.note(record(start, "", 0xA700, 6ms));
  recent.note(record(start + 60s, ""));
  auto hour = recent.hour(start + 60s);
  CHECK(hour[58].count == 2);
  CHECK(hour[58].failed == 1);
  CHECK(hour[58].sum == 8ms);
  CHECK(hour[58].longest == 6ms);
  CHECK(hour[59].count == 1);
  CHECK(hour[0].count == 0);

  hour = recent.hour(start + 59min);
  CHECK(hour[0].count == 2);
  CHECK(hour[1].count == 1);
  CHECK(recent.hour(start + 60min)[0].count == 1);
  CHECK(recent.hour(start + 25h)[0].count == 0);

  recent.note(record(start + 61min, ""));  // a pause longer than the hour leaves nothing behind
  hour = recent.hour(start + 61min);
  CHECK(hour[0].count == 0);
  CHECK(hour[59].count == 1);
  recent.note(record(start + 24h, ""));
  std::uint64_t all = 0;
  for (const auto& minute : recent.hour(start + 24h)) all += minute.count;
  CHECK(all == 1);
}

TEST_CASE("a clock that is set back loses nothing and counts into no later minute") {
  RecentTransactions recent;
  recent.note(record(start, ""));
  recent.note(record(start - 2h, ""));
  CHECK(recent.hour(start)[59].count == 2);
  CHECK(recent.hour(start - 2h)[59].count == 2);
}

TEST_CASE("several threads note and look at the same time") {
  RecentTransactions recent;
  std::atomic<std::size_t> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        recent.note(record(start, "x", 0xA700));
        if (i % 100 == 0) most = std::max(most.load(), recent.latest().size());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(most > 0);
  CHECK(most <= RecentTransactions::kept);
  CHECK(recent.hour(start)[59].count == 4000);
}

TEST_CASE("a clock that has been years ahead spoils no later minute") {
  RecentTransactions recent;
  recent.note(record(start + 10'000h, ""));
  // Before anything has ended again, nothing is known of this hour.
  for (const auto& minute : recent.hour(start)) CHECK(minute.count == 0);
  recent.note(record(start, ""));
  recent.note(record(start + 1min, ""));
  const auto hour = recent.hour(start + 1min);
  CHECK(hour[RecentTransactions::minutes - 2].count == 1);
  CHECK(hour[RecentTransactions::minutes - 1].count == 1);
}

TEST_CASE("what stays refused is known by backend and operation, until that succeeds") {
  RecentTransactions recent;
  auto search = record(start, "search", mapping::dimse_status::sop_class_not_supported);
  auto create = record(start, "create", mapping::dimse_status::not_authorized);
  create.operation = mapping::Transaction::create;
  recent.note(search);
  recent.note(create);
  CHECK(recent.refusals().size() == 2);
  create.status = mapping::dimse_status::duplicate_sop_instance;  // who sent it is at fault
  recent.note(create);
  CHECK(recent.refusals().size() == 2);
  search.status = 0;
  recent.note(search);
  REQUIRE(recent.refusals().size() == 1);
  CHECK(recent.refusals()[0].transaction == "create");
}
