// Counting, and the text form.
#include "gateway/metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace gateway {
namespace {

using mapping::Caller;
using mapping::StatusClass;
using mapping::Transaction;

constexpr auto relaxed = std::memory_order_relaxed;

constexpr std::array<std::string_view, 5> status_classes{"success", "pending", "cancel", "warning",
                                                         "failure"};
constexpr std::array<std::string_view, 4> hows{"answered", "unreachable", "unknown", "local"};
constexpr std::array<std::string_view, 4> operations{"search", "create", "update", "retrieve"};
constexpr std::array<std::string_view, 2> fronts{"dimse", "web"};

template <class Enum>
std::size_t index(Enum value) {
  return static_cast<std::size_t>(value);
}

std::string_view service_of(Transaction operation) {
  return operation == Transaction::search ? "worklist" : "mpps";
}

/// Whole numbers without an exponent, as far as a double holds every one of them.
std::string number(double value) {
  constexpr double exact = 9007199254740992.0;  // 2 to the power of 53
  const bool whole = std::abs(value) < exact && std::trunc(value) == value;
  return whole ? fmt::format("{}", static_cast<std::int64_t>(value)) : fmt::format("{}", value);
}

/// In a label's value: backslash, quote and line feed. Others stand as they are, in UTF-8.
std::string escaped(std::string_view value) {
  std::string result;
  for (const char c : value) {
    if (c == '\\' || c == '"') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

std::string_view operation_name(Transaction operation) { return operations[index(operation)]; }

std::string_view how_name(mapping::Outcome::How how) { return hows[index(how)]; }

void MetricsText::family(std::string_view name, std::string_view type, std::string_view help) {
  family_ = name;
  text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void MetricsText::sample(const MetricLabels& labels, double value, std::string_view suffix) {
  text_ += family_;
  text_ += suffix;
  char separator = '{';
  for (const auto& [name, label] : labels) {
    text_ += fmt::format("{}{}=\"{}\"", separator, name, escaped(label));
    separator = ',';
  }
  text_ += fmt::format("{} {}\n", labels.empty() ? "" : "}", number(value));
}

void MetricsText::single(std::string_view name, std::string_view type, std::string_view help,
                         double value) {
  family(name, type, help);
  sample({}, value);
}

void TransactionSeries::record(const mapping::Outcome& outcome, std::chrono::nanoseconds took,
                               std::size_t matches) {
  const std::size_t status = index(outcome.status_class());
  by_status_[status][index(outcome.how)].fetch_add(1, relaxed);
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
  latencies_[status].buckets[static_cast<std::size_t>(bucket)].fetch_add(1, relaxed);
  latencies_[status].nanoseconds.fetch_add(static_cast<std::uint64_t>(took.count()), relaxed);
  if (matches > 0) matches_.fetch_add(matches, relaxed);
  if (outcome.dropped_matches > 0) dropped_matches_.fetch_add(outcome.dropped_matches, relaxed);
  if (outcome.failed_worklists > 0) partial_answers_.fetch_add(1, relaxed);
}

std::uint64_t TransactionSeries::Latencies::count() const {
  std::uint64_t sum = 0;
  for (const Counter& bucket : buckets) sum += bucket.load(relaxed);
  return sum;
}

RouteSeries Metrics::series(Transaction operation, const std::string& backend) {
  RouteSeries route;
  const std::lock_guard lock(mutex_);
  for (const auto protocol : {Caller::Protocol::dimse, Caller::Protocol::web}) {
    auto& series = series_[{protocol, backend, operation}];
    if (!series) series = std::make_unique<TransactionSeries>();
    route.of_front[index(protocol)] = series.get();
  }
  return route;
}

std::vector<RouteNumbers> Metrics::numbers() const {
  std::vector<RouteNumbers> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, series] : series_) {
    const auto& [protocol, backend, operation] = key;
    RouteNumbers numbers{fronts[index(protocol)], operation_name(operation), backend};
    std::uint64_t nanoseconds = 0;
    for (const auto& latencies : series->latencies_) {
      numbers.count += latencies.count();
      nanoseconds += latencies.nanoseconds.load(relaxed);
    }
    if (numbers.count == 0) continue;
    for (const auto& how : series->by_status_[index(StatusClass::failure)]) {
      numbers.failed += how.load(relaxed);
    }
    numbers.seconds = static_cast<double>(nanoseconds) / 1e9;
    all.push_back(std::move(numbers));
  }
  return all;
}

void Metrics::write(MetricsText& text) const {
  const std::lock_guard lock(mutex_);
  const auto labels = [](const Key& key) {
    const auto& [protocol, backend, operation] = key;
    return MetricLabels{{"front", fronts[index(protocol)]},
                        {"backend", backend},
                        {"service", service_of(operation)},
                        {"operation", operation_name(operation)}};
  };
  text.family("modgate_transactions_total", "counter",
              "Transactions by the class of their DIMSE status and how it came about.");
  for (const auto& [key, series] : series_) {
    for (std::size_t status = 0; status < status_classes.size(); ++status) {
      if (status == index(StatusClass::pending)) continue;  // no transaction ends so
      for (std::size_t how = 0; how < hows.size(); ++how) {
        auto all = labels(key);
        all.emplace_back("status", status_classes[status]);
        all.emplace_back("outcome", hows[how]);
        text.sample(all, static_cast<double>(series->by_status_[status][how].load(relaxed)));
      }
    }
  }
  text.family("modgate_transaction_duration_seconds", "histogram",
              "From the call of the service to its outcome, by the class of its DIMSE status.");
  for (const auto& [key, series] : series_) {
    for (std::size_t status = 0; status < status_classes.size(); ++status) {
      const TransactionSeries::Latencies& latencies = series->latencies_[status];
      // Success is there from the start; the others, most of which never happen, once they have.
      if (status != index(StatusClass::success) && latencies.count() == 0) continue;
      auto all = labels(key);
      all.emplace_back("status", status_classes[status]);
      std::uint64_t count = 0;
      for (std::size_t i = 0; i < latencies.buckets.size(); ++i) {
        count += latencies.buckets[i].load(relaxed);
        const std::string bound =
            i < TransactionSeries::bounds.size() ? number(TransactionSeries::bounds[i]) : "+Inf";
        all.emplace_back("le", bound);
        text.sample(all, static_cast<double>(count), "_bucket");
        all.pop_back();
      }
      text.sample(all, static_cast<double>(latencies.nanoseconds.load(relaxed)) / 1e9, "_sum");
      text.sample(all, static_cast<double>(count), "_count");
    }
  }
  const auto of_searches = [&](std::string_view name, std::string_view help,
                               TransactionSeries::Counter TransactionSeries::*counter) {
    text.family(name, "counter", help);
    for (const auto& [key, series] : series_) {
      const auto& [protocol, backend, operation] = key;
      if (operation != Transaction::search) continue;
      text.sample({{"front", fronts[index(protocol)]}, {"backend", backend}},
                  static_cast<double>(((*series).*counter).load(relaxed)));
    }
  };
  of_searches("modgate_matches_total", "Matches of searches that were handed on.",
              &TransactionSeries::matches_);
  of_searches("modgate_dropped_matches_total",
              "Matches left out because they could not be read or written.",
              &TransactionSeries::dropped_matches_);
  of_searches("modgate_partial_answers_total",
              "Merged searches answered although one of their worklists failed.",
              &TransactionSeries::partial_answers_);
}

// --- The process ---------------------------------------------------------------------------------

namespace {

/// The fields of /proc/self/stat behind the program's name, which may hold anything; the first one
/// is the state. proc(5)
std::vector<std::string> own_stat() {
  std::ifstream file("/proc/self/stat");
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(all.substr(std::min(all.rfind(')') + 1, all.size())));
  return {std::istream_iterator<std::string>(fields), {}};
}

/// When the machine was started, in seconds since 1970; looked for once, since a clock that is set
/// would move it. Not out of /proc/stat, which a service may not see (ProcSubset=pid).
double boot_time() {
  static const double start = [] {
    const auto seconds = [](clockid_t clock) {
      timespec now{};
      ::clock_gettime(clock, &now);
      return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
    };
    return seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME);
  }();
  return start;
}

std::optional<std::size_t> open_descriptors() {
  std::error_code error;
  std::filesystem::directory_iterator each("/proc/self/fd", error);
  if (error) return std::nullopt;
  std::size_t count = 0;
  while (each != std::filesystem::directory_iterator()) {
    ++count;
    each.increment(error);
    if (error) return std::nullopt;
  }
  return count - 1;  // one is the directory, open for this
}

}  // namespace

void write_process_metrics(MetricsText& text) {
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  const auto stat = own_stat();
  // Places as in proc(5), where the state is the third.
  const auto field = [&](std::size_t place) {
    return std::strtod(stat[place - 3].c_str(), nullptr);
  };
  if (stat.size() > 24 - 3) {
    text.single("process_cpu_seconds_total", "counter", "Processor time used, in seconds.",
                (field(14) + field(15)) / ticks);
    text.single("process_threads", "gauge", "Threads of this process.", field(20));
    text.single("process_virtual_memory_bytes", "gauge", "Virtual memory, in bytes.", field(23));
    text.single("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.",
                field(24) * page);
    text.single("process_start_time_seconds", "gauge", "Start, in seconds since 1970.",
                boot_time() + field(22) / ticks);
  }
  if (const auto count = open_descriptors()) {
    text.single("process_open_fds", "gauge", "Open descriptors.", static_cast<double>(*count));
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    text.single("process_max_fds", "gauge", "Descriptors that may be open.",
                static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace gateway
