#include "web/paged_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mapping/query.h"
#include "mapping/status.h"
#include "web/result_reader.h"
#include "web/warning_header.h"

namespace web {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::DataSetView;
using mapping::Outcome;
using mapping::Transaction;
namespace status = mapping::dimse_status;

constexpr std::string_view scheduled = "/modality-scheduled-procedure-steps";
constexpr std::size_t long_query = 6000;  ///< bytes; above, all attributes are asked for. rule A29

/// The identifier without its return keys.
DataSet match_keys(DataSetView identifier) {
  mapping::DataSetBuilder kept;
  for (const mapping::Element& element : identifier) {
    if (element.vr != mapping::Vr::SQ) {
      if (!element.empty()) kept.add(element);
      continue;
    }
    const auto item = identifier.first_item(element.tag);
    if (!item || element.items().size() != 1) continue;
    const DataSet keys = match_keys(*item);
    if (keys.empty()) continue;
    kept.begin_sequence(element.tag).add_item(keys).end_sequence();
  }
  return std::move(kept).build().value();
}

}  // namespace

mapping::Result<std::string> PagedSearch::query() const {
  const mapping::Page page{.offset = offset_, .limit = limit_};
  if (!all_) {
    auto query = mapping::write_search_query(search_, page);
    if (!query || query.value().size() <= long_query) return query;
  }
  mapping::Search shorter = search_;
  shorter.identifier = match_keys(search_.identifier);
  auto query = mapping::write_search_query(shorter, page);
  if (!query) return query;
  return query.value() + (query.value().empty() ? "" : "&") + "includefield=all";
}

/// After an answer that was too much for one side: a shorter URI, a smaller page. False if there is
/// nothing left to try.
bool PagedSearch::ask_for_less(const OriginReply& reply) {
  const bool answered = reply.how == OriginReply::How::answered;
  if (answered && reply.status == 414 && !all_) {
    all_ = true;
    return true;
  }
  const bool too_much =
      reply.how == OriginReply::How::too_large || (answered && reply.status == 413);
  if (!too_much || limit_ <= 1 || same_page_) return false;
  offset_ += in_page_;  // these were handed on
  limit_ = std::max<std::uint64_t>(limit_ / 10, 1);
  return true;
}

Outcome PagedSearch::run(const Context& context) {
  Outcome outcome;
  while (!ended_) {
    const auto asked = query();
    if (!asked) {
      return Outcome::local(status::data_set_does_not_match_sop_class, asked.fault().what,
                            asked.fault().attributes);
    }
    reader_.reset();
    in_page_ = 0;
    same_page_ = false;
    const OriginReply reply =
        client_.get(fmt::format("{}{}?{}", client_.base().path, scheduled, asked.value()), context,
                    true, [this](const OriginReply& head) { return begin_page(head); });
    if (ask_for_less(reply)) continue;
    const bool arrived =
        reply.how == OriginReply::How::answered || reply.how == OriginReply::How::stopped;
    Outcome page = arrived ? end_page(reply) : without_answer(Transaction::search, reply);
    if (!page.good()) {
      // What was handed on is not the whole list, whatever the reason.
      const bool interrupted = page.status != status::cancel && handed_on_ > 0;
      if (interrupted) page.status = status::aborted_after_partial_results;
      return page;
    }
    outcome.fuzzy_matching_ignored |= page.fuzzy_matching_ignored;
    outcome.empty_value_matching_ignored |= page.empty_value_matching_ignored;
    outcome.multiple_value_matching_ignored |= page.multiple_value_matching_ignored;
  }
  return outcome;
}

/// What takes the body of a page in JSON; null for others.
TakeBody PagedSearch::begin_page(const OriginReply& head) {
  Outcome outcome = mapping::from_http(Transaction::search, head.status);
  if (!outcome.good() || !is_json_document(head)) return nullptr;
  read_warnings(head, outcome);
  blank_ = true;
  reader_.emplace([this](DataSet&& match) { return take(std::move(match)); },
                  mapping::JsonReadOptions{.max_bytes = client_.max_response_bytes()});
  return [this](std::string_view piece) {
    blank_ = blank_ && is_blank(piece);
    return blank_ || reader_->take(piece);
  };
}

bool PagedSearch::take(DataSet&& match) {
  if (in_page_++ == 0) {
    same_page_ = offset_ > 0 && match.bytes() == first_match_;
    if (same_page_) return false;
    first_match_ = match.bytes();
  }
  ++handed_on_;
  wanted_ = on_match_({std::move(match), keys_supported_});
  return wanted_;
}

Outcome PagedSearch::end_page(const OriginReply& reply) {
  Outcome outcome = mapping::from_http(Transaction::search, reply.status);
  if (!outcome.good()) return outcome_of(Transaction::search, reply);
  read_warnings(reply, outcome);
  if (reply.status == 204 || (reader_ ? blank_ : is_blank(reply.body))) {
    ended_ = true;
    return outcome;
  }
  if (reader_) return end_matches(reader_->finish().ok(), std::move(outcome));
  if (!holds_results(reply)) {
    return unreadable(Transaction::search, "The origin server answered in no DICOM model");
  }
  const auto read = read_results(
      reply, [this](DataSet&& match) { return take(std::move(match)); },
      client_.max_response_bytes());
  return end_matches(read.ok(), std::move(outcome));
}

void PagedSearch::read_warnings(const OriginReply& reply, Outcome& outcome) {
  remaining_ = 0;
  keys_supported_ = true;
  for (const std::string& warning : reply.warnings) {
    const std::string text = warning_text(warning);
    remaining_ = std::max(remaining_, remaining_results(text).value_or(0));
    keys_supported_ = keys_supported_ && mapping::from_warning(Transaction::search, text) !=
                                             status::pending_optional_keys_not_supported;
    const auto ignored = [&](std::string_view parameter) {
      return text.find(fmt::format("The {} parameter is not supported", parameter)) !=
             std::string::npos;
    };
    outcome.fuzzy_matching_ignored |= search_.fuzzy_matching && ignored("fuzzymatching");
    outcome.empty_value_matching_ignored |=
        search_.empty_value_matching && ignored("emptyvaluematching");
    outcome.multiple_value_matching_ignored |=
        search_.multiple_value_matching && ignored("multiplevaluematching");
  }
}

/// Behind the last match of a page. readable: the page was, to its end.
Outcome PagedSearch::end_matches(bool readable, Outcome outcome) {
  if (!wanted_) {
    ended_ = true;
    return outcome;
  }
  if (!readable) {
    return unreadable(Transaction::search, "The answer of the origin server cannot be read");
  }
  // Asking on would never end.
  if (same_page_ || (remaining_ > 0 && in_page_ == 0)) {
    return unreadable(Transaction::search, "The origin server does not page its results");
  }
  offset_ += in_page_;
  ended_ = remaining_ == 0;
  return outcome;
}

}  // namespace web
