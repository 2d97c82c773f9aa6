// What the gateway counts, and how it tells Prometheus: counters and latency histograms of
// transactions, and the text form in which every other number is added to them.
// Label values come from the configuration and from fixed words only: nothing that a peer sends
// (AE titles, hosts, paths) can make a new series.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "gateway/recent_transactions.h"
#include "mapping/outcome.h"
#include "mapping/services.h"

namespace gateway {

/// The text exposition format. Prometheus, 0.0.4.
inline constexpr std::string_view prometheus_text = "text/plain; version=0.0.4; charset=utf-8";

using MetricLabels = std::vector<std::pair<std::string_view, std::string_view>>;

/// Writes metric families one after the other.
class MetricsText {
 public:
  /// type: counter | gauge | histogram. The samples that follow are of this family.
  void family(std::string_view name, std::string_view type, std::string_view help);
  /// suffix: of the family's name, for histograms.
  void sample(const MetricLabels& labels, double value, std::string_view suffix = {});
  /// A family of one sample without labels.
  void single(std::string_view name, std::string_view type, std::string_view help, double value);

  const std::string& text() const { return text_; }

 private:
  std::string family_;
  std::string text_;
};

/// Transactions of one operation, from one front, along one route. Safe from any thread, without
/// locks.
class alignas(64) TransactionSeries {
 public:
  /// Upper bounds of the latency histogram's buckets; the last one is infinite.
  static constexpr std::array<double, 15> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                 0.5,   1,      2.5,   5,    10,    30,   60};

  /// matches: handed on, of a search.
  void record(const mapping::Outcome& outcome, std::chrono::nanoseconds took,
              std::size_t matches = 0);

 private:
  friend class Metrics;
  using Counter = std::atomic<std::uint64_t>;
  static constexpr std::size_t classes = 5;  ///< of mapping::StatusClass
  static constexpr std::size_t hows = 4;     ///< of mapping::Outcome::How

  /// Of the transactions of one status class.
  struct Latencies {
    std::array<Counter, bounds.size() + 1> buckets{};  ///< each alone, not added up
    Counter nanoseconds{0};
    std::uint64_t count() const;
  };

  std::array<std::array<Counter, hows>, classes> by_status_{};
  std::array<Latencies, classes> latencies_{};
  Counter matches_{0};
  Counter dropped_matches_{0};
  Counter partial_answers_{0};
};

/// The series of one route: one for each front.
struct RouteSeries {
  /// By Caller::Protocol.
  std::array<TransactionSeries*, 2> of_front{};
  TransactionSeries& of(const mapping::Caller& caller) const {
    return *of_front[static_cast<std::size_t>(caller.protocol)];
  }
};

/// The words of logs, metrics and traces.
std::string_view operation_name(mapping::Transaction operation);
std::string_view how_name(mapping::Outcome::How how);

/// What one series has counted.
struct RouteNumbers {
  std::string_view front, operation;
  std::string backend;
  std::uint64_t count = 0;
  std::uint64_t failed = 0;
  double seconds = 0;  ///< all together
};

/// Owns the series. Safe from any thread.
class Metrics {
 public:
  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// Of this operation along this route, as it is named in the log. The same for the same names;
  /// lives as long as this.
  RouteSeries series(mapping::Transaction operation, const std::string& backend);

  /// All series, in a stable order.
  void write(MetricsText& text) const;
  /// Those that have counted anything, in the same order.
  std::vector<RouteNumbers> numbers() const;

  /// What whoever records here remembers for the status page.
  RecentTransactions& recent() { return recent_; }
  const RecentTransactions& recent() const { return recent_; }

 private:
  using Key = std::tuple<mapping::Caller::Protocol, std::string, mapping::Transaction>;
  mutable std::mutex mutex_;
  std::map<Key, std::unique_ptr<TransactionSeries>> series_;  ///< guarded by mutex_; grows only
  RecentTransactions recent_;
};

/// Memory, threads, descriptors, processor time and start of this process, under the names that
/// Prometheus' own libraries use. What /proc does not tell is left out.
void write_process_metrics(MetricsText& text);

}  // namespace gateway
