// One line a transaction, its numbers, and a place among the last ones.
#include "gateway/transaction_log.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string_view>

namespace gateway {
namespace {

using Clock = std::chrono::steady_clock;

// A peer chose the AE title: blanks in it must not look like further fields.
std::string quoted(std::string_view name) { return fmt::format("\"{}\"", name); }

struct Record {
  mapping::Transaction operation;
  const std::string& backend;
  const mapping::Context& context;
  const RouteSeries& series;
  RecentTransactions& recent;
  Clock::time_point start = Clock::now();

  /// matches: of a search.
  void write(const mapping::Log& log, const mapping::Outcome& outcome,
             std::optional<std::size_t> matches = std::nullopt) const {
    using std::chrono::duration;
    const auto took = Clock::now() - start;
    series.of(context.caller).record(outcome, took, matches.value_or(0));
    std::string more;
    if (matches) more += fmt::format(" matches={}", *matches);
    if (outcome.dropped_matches > 0) more += fmt::format(" dropped={}", outcome.dropped_matches);
    const bool dimse = context.caller.protocol == mapping::Caller::Protocol::dimse;
    const double milliseconds = duration<double, std::milli>(took).count();
    const bool bad = outcome.status_class() == mapping::StatusClass::failure;
    std::string line = fmt::format(
        "tx={} {} {}->{} caller={} address={}{} status={:04X} {} ms={:.1f}", context.transaction,
        operation_name(operation), dimse ? "dimse" : "web", backend, quoted(context.caller.name),
        context.caller.address, more, outcome.status, how_name(outcome.how), milliseconds);
    // A peer's Error Comment may name a patient; our own words do not.
    const bool own_words = outcome.how != mapping::Outcome::How::answered;
    if (own_words && !outcome.error_comment.empty()) {
      line += " comment=" + quoted(outcome.error_comment);
    }
    log(bad ? mapping::LogLevel::warn : mapping::LogLevel::info, line);
    using std::chrono::floor;
    recent.note({.at = floor<std::chrono::milliseconds>(std::chrono::system_clock::now()),
                 .operation = operation,
                 .front = context.caller.protocol,
                 .backend = backend,
                 .caller = context.caller.name,
                 .address = context.caller.address,
                 .transaction = context.transaction,
                 .how = outcome.how,
                 .event = outcome.event,
                 .status = outcome.status,
                 .comment = own_words ? outcome.error_comment : std::string(),
                 .took = floor<std::chrono::microseconds>(took)});
  }
};

}  // namespace

LoggedWorklist::LoggedWorklist(mapping::WorklistService& inner, const std::string& backend,
                               Metrics& metrics, mapping::Log log)
    : inner_(inner),
      backend_(backend),
      search_(metrics.series(mapping::Transaction::search, backend)),
      recent_(metrics.recent()),
      log_(std::move(log)) {}

mapping::Outcome LoggedWorklist::search(const mapping::Search& search,
                                        const mapping::OnMatch& on_match,
                                        const mapping::Context& context) {
  const Record record{.operation = mapping::Transaction::search,
                      .backend = backend_,
                      .context = context,
                      .series = search_,
                      .recent = recent_};
  std::size_t matches = 0;
  auto outcome = inner_.search(
      search,
      [&](mapping::Match&& match) {
        ++matches;
        return on_match(std::move(match));
      },
      context);
  record.write(log_, outcome, matches);
  return outcome;
}

LoggedMpps::LoggedMpps(mapping::MppsService& inner, const std::string& backend, Metrics& metrics,
                       mapping::Log log)
    : inner_(inner),
      backend_(backend),
      create_(metrics.series(mapping::Transaction::create, backend)),
      update_(metrics.series(mapping::Transaction::update, backend)),
      retrieve_(metrics.series(mapping::Transaction::retrieve, backend)),
      recent_(metrics.recent()),
      log_(std::move(log)) {}

mapping::Outcome LoggedMpps::create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                                    const mapping::Context& context) {
  const Record record{.operation = mapping::Transaction::create,
                      .backend = backend_,
                      .context = context,
                      .series = create_,
                      .recent = recent_};
  auto outcome = inner_.create(mpps, attributes, context);
  record.write(log_, outcome);
  return outcome;
}

mapping::Outcome LoggedMpps::update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                                    const mapping::Context& context) {
  const Record record{.operation = mapping::Transaction::update,
                      .backend = backend_,
                      .context = context,
                      .series = update_,
                      .recent = recent_};
  auto outcome = inner_.update(mpps, modifications, context);
  record.write(log_, outcome);
  return outcome;
}

mapping::Outcome LoggedMpps::retrieve(const mapping::Uid& mpps,
                                      const mapping::AttributeList& attributes,
                                      mapping::DataSet& found, const mapping::Context& context) {
  const Record record{.operation = mapping::Transaction::retrieve,
                      .backend = backend_,
                      .context = context,
                      .series = retrieve_,
                      .recent = recent_};
  auto outcome = inner_.retrieve(mpps, attributes, found, context);
  record.write(log_, outcome);
  return outcome;
}

}  // namespace gateway
