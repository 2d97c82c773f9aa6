#include "gateway/traced_services.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <utility>

#include "gateway/json_text.h"
#include "gateway/metrics.h"
#include "mapping/json.h"

namespace gateway {
namespace {

using mapping::Outcome;
using mapping::Transaction;

std::string in_json(mapping::DataSetView data_set) {
  std::string json;
  return mapping::write_json(data_set, json) ? json : std::string("null");
}

/// The lines of one transaction; none if its caller is not traced.
class Lines {
 public:
  Lines(Trace& trace, Transaction operation, const mapping::Context& context,
        const mapping::Uid* mpps = nullptr)
      : trace_(trace), on_(trace.follows(context.caller)) {
    if (!on_) return;
    const bool dimse = context.caller.protocol == mapping::Caller::Protocol::dimse;
    about_ = fmt::format(R"("tx":"{}","front":"{}","caller":"{}","address":"{}","operation":"{}")",
                         json_text(context.transaction), dimse ? "dimse" : "web",
                         json_text(context.caller.name), json_text(context.caller.address),
                         operation_name(operation));
    if (mpps != nullptr) about_ += fmt::format(R"(,"mpps":"{}")", json_text(mpps->text()));
  }
  bool on() const { return on_; }
  void line(std::string_view what, const std::string& more) {
    const auto now = std::chrono::system_clock::now();
    const auto milliseconds =
        std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count() % 1000;
    trace_.write(fmt::format(R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:03}Z",{},"what":"{}",{}}})",
                             fmt::gmtime(std::chrono::system_clock::to_time_t(now)), milliseconds,
                             about_, what, more));
  }
  void data_set(std::string_view what, mapping::DataSetView data_set) {
    if (on_) line(what, "\"dataSet\":" + in_json(data_set));
  }
  /// found: of a Retrieve.
  void answer(const Outcome& outcome, const mapping::DataSet* found = nullptr) {
    if (!on_) return;
    std::string more = fmt::format(R"("status":"{:04X}","how":"{}","comment":"{}")", outcome.status,
                                   how_name(outcome.how), json_text(outcome.error_comment));
    if (found != nullptr && outcome.good()) more += ",\"dataSet\":" + in_json(*found);
    line("answer", more);
  }

 private:
  Trace& trace_;
  const bool on_;
  std::string about_;
};

}  // namespace

Outcome TracedWorklist::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                               const mapping::Context& context) {
  Lines lines(trace_, Transaction::search, context);
  if (!lines.on()) return inner_.search(search, on_match, context);
  lines.data_set("request", search.identifier);
  auto outcome = inner_.search(
      search,
      [&](mapping::Match&& match) {
        lines.data_set("match", match.data_set);
        return on_match(std::move(match));
      },
      context);
  lines.answer(outcome);
  return outcome;
}

Outcome TracedMpps::create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                           const mapping::Context& context) {
  Lines lines(trace_, Transaction::create, context, &mpps);
  lines.data_set("request", attributes);
  auto outcome = inner_.create(mpps, attributes, context);
  lines.answer(outcome);
  return outcome;
}

Outcome TracedMpps::update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                           const mapping::Context& context) {
  Lines lines(trace_, Transaction::update, context, &mpps);
  lines.data_set("request", modifications);
  auto outcome = inner_.update(mpps, modifications, context);
  lines.answer(outcome);
  return outcome;
}

Outcome TracedMpps::retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                             mapping::DataSet& found, const mapping::Context& context) {
  Lines lines(trace_, Transaction::retrieve, context, &mpps);
  if (lines.on()) {
    std::string tags;
    for (const mapping::Tag tag : attributes) {
      tags += fmt::format("{}\"{}\"", tags.empty() ? "" : ",", to_string(tag));
    }
    lines.line("request", "\"attributes\":[" + tags + "]");
  }
  auto outcome = inner_.retrieve(mpps, attributes, found, context);
  lines.answer(outcome, &found);
  return outcome;
}

}  // namespace gateway
