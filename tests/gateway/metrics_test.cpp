// Counting, and Prometheus' text form.
#include "gateway/metrics.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <ctime>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace gateway;
using mapping::Outcome;
using mapping::Transaction;

namespace {

mapping::Caller caller(mapping::Caller::Protocol protocol, const std::string& name = "CT1") {
  return {protocol, name, "10.0.0.7"};
}
const auto dimse = caller(mapping::Caller::Protocol::dimse);
const auto web = caller(mapping::Caller::Protocol::web);

std::string text_of(const Metrics& metrics) {
  MetricsText text;
  metrics.write(text);
  return text.text();
}

/// The value of the sample that begins so.
std::string value_of(const std::string& text, const std::string& sample) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(sample + " ", 0) == 0) return line.substr(sample.size() + 1);
  }
  return "none";
}

std::string search_labels(const std::string& front) {
  return R"({front=")" + front + R"(",backend="ris",service="worklist",operation="search")";
}

}  // namespace

TEST_CASE("transactions are counted by front, route, operation, status class and how they ended") {
  Metrics metrics;
  const auto search = metrics.series(Transaction::search, "ris");
  search.of(dimse).record(Outcome::answered(0), std::chrono::milliseconds(3), 7);
  search.of(dimse).record(Outcome::answered(0), std::chrono::milliseconds(3), 1);
  search.of(dimse).record(
      Outcome::unreachable(Transaction::search, mapping::NetworkEvent::connect_failed, "no"),
      std::chrono::seconds(1));
  search.of(web).record(Outcome::answered(0xFE00), std::chrono::milliseconds(1));
  const std::string text = text_of(metrics);

  const std::string name = "modgate_transactions_total";
  const auto count = [&](const std::string& front, const std::string& rest) {
    return value_of(text, name + search_labels(front) + rest);
  };
  CHECK(count("dimse", R"(,status="success",outcome="answered"})") == "2");
  CHECK(count("dimse", R"(,status="failure",outcome="unreachable"})") == "1");
  CHECK(count("dimse", R"(,status="cancel",outcome="answered"})") == "0");
  CHECK(count("web", R"(,status="cancel",outcome="answered"})") == "1");
  CHECK(value_of(text, R"(modgate_matches_total{front="dimse",backend="ris"})") == "8");
}

TEST_CASE("dropped matches and partial answers of merged worklists have counters of their own") {
  Metrics metrics;
  const auto search = metrics.series(Transaction::search, "a,b");
  auto outcome = Outcome::answered(0);
  outcome.dropped_matches = 3;
  outcome.failed_worklists = 2;
  search.of(web).record(outcome, std::chrono::milliseconds(1), 5);
  const std::string text = text_of(metrics);
  CHECK(value_of(text, R"(modgate_dropped_matches_total{front="web",backend="a,b"})") == "3");
  CHECK(value_of(text, R"(modgate_partial_answers_total{front="web",backend="a,b"})") == "1");
  CHECK(value_of(text, R"(modgate_partial_answers_total{front="dimse",backend="a,b"})") == "0");
}

TEST_CASE("the latency histogram adds up: a value on a bound is within it, the last holds all") {
  Metrics metrics;
  const auto search = metrics.series(Transaction::search, "ris");
  const auto took = {std::chrono::microseconds(500), std::chrono::microseconds(1'000),
                     std::chrono::microseconds(1'001), std::chrono::microseconds(90'000'000)};
  for (const auto each : took) search.of(dimse).record(Outcome::answered(0), each);
  const std::string text = text_of(metrics);
  const std::string name = "modgate_transaction_duration_seconds";
  const std::string success = R"(,status="success")";
  const auto bucket = [&](const std::string& bound) {
    return value_of(text,
                    name + "_bucket" + search_labels("dimse") + success + ",le=\"" + bound + "\"}");
  };
  CHECK(bucket("0.001") == "2");
  CHECK(bucket("0.0025") == "3");
  CHECK(bucket("60") == "3");
  CHECK(bucket("+Inf") == "4");
  CHECK(value_of(text, name + "_count" + search_labels("dimse") + success + "}") == "4");
  CHECK(std::stod(value_of(text, name + "_sum" + search_labels("dimse") + success + "}")) ==
        Approx(90.002501));
}

TEST_CASE("failures have latencies of their own, which are told once there are any") {
  Metrics metrics;
  const auto search = metrics.series(Transaction::search, "ris");
  const auto of = [&](const std::string& status) {
    return value_of(text_of(metrics), "modgate_transaction_duration_seconds_count" +
                                          search_labels("web") + ",status=\"" + status + "\"}");
  };
  CHECK(of("success") == "0");
  CHECK(of("failure") == "none");
  search.of(web).record(Outcome::answered(0xA700), std::chrono::seconds(30));
  search.of(web).record(Outcome::answered(0xC001), std::chrono::seconds(30));
  search.of(web).record(Outcome::answered(0), std::chrono::milliseconds(1));
  CHECK(of("success") == "1");
  CHECK(of("failure") == "2");
  CHECK(of("pending") == "none");
}

TEST_CASE("routes with the same backends share their series, whoever calls makes none") {
  Metrics metrics;
  const auto first = metrics.series(Transaction::create, "ris");
  const auto second = metrics.series(Transaction::create, "ris");
  CHECK(&first.of(dimse) == &second.of(dimse));
  CHECK(&first.of(dimse) != &first.of(web));
  const auto lines = [&] {
    const std::string text = text_of(metrics);
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto record = [&](const mapping::Caller& caller, int status) {
    first.of(caller).record(Outcome::answered(static_cast<std::uint16_t>(status)),
                            std::chrono::milliseconds(1));
  };
  for (const int one_of_each : {0x0000, 0x0001, 0xFE00, 0xFF00, 0x0110}) record(dimse, one_of_each);
  const auto before = lines();
  for (int i = 0; i < 1000; ++i) {
    const auto hostile = caller(mapping::Caller::Protocol::dimse, "AE\"\n" + std::to_string(i));
    record(hostile, i * 64);
  }
  CHECK(lines() == before);
}

TEST_CASE("nothing is lost when many threads record and one reads") {
  Metrics metrics;
  const auto search = metrics.series(Transaction::search, "ris");
  constexpr int threads = 4, each = 20'000;
  std::vector<std::thread> recorders;
  for (int i = 0; i < threads; ++i) {
    recorders.emplace_back([&] {
      for (int n = 0; n < each; ++n) {
        search.of(dimse).record(Outcome::answered(0), std::chrono::milliseconds(1), 2);
      }
    });
  }
  for (int i = 0; i < 20; ++i) CHECK_FALSE(text_of(metrics).empty());
  for (std::thread& recorder : recorders) recorder.join();
  CHECK(value_of(text_of(metrics), R"(modgate_matches_total{front="dimse",backend="ris"})") ==
        std::to_string(2 * threads * each));
}

TEST_CASE("a label's value is escaped, large and broken numbers are written as Prometheus reads") {
  MetricsText text;
  text.family("x", "gauge", "Something.");
  text.sample({{"backend", "a\"b\\c\nd"}}, 0.25);
  text.sample({}, 4294967296.0);
  CHECK(text.text() ==
        "# HELP x Something.\n# TYPE x gauge\nx{backend=\"a\\\"b\\\\c\\nd\"} 0.25\n"
        "x 4294967296\n");
}

TEST_CASE("the process tells memory, threads, descriptors and a start in the past") {
  MetricsText text;
  write_process_metrics(text);
  const auto number = [&](const std::string& name) {
    return std::stod(value_of(text.text(), name));
  };
  CHECK(number("process_resident_memory_bytes") > 1e6);
  CHECK(number("process_resident_memory_bytes") < number("process_virtual_memory_bytes"));
  CHECK(number("process_threads") >= 1);
  CHECK(number("process_open_fds") >= 3);
  CHECK(number("process_max_fds") >= number("process_open_fds"));
  const auto now = static_cast<double>(std::time(nullptr));
  CHECK(number("process_start_time_seconds") <= now + 2);
  CHECK(number("process_start_time_seconds") > now - 3600);
}
