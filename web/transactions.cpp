#include "web/transactions.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>

#include "mapping/query.h"
#include "mapping/return_keys.h"
#include "mapping/tags.h"
#include "web/media_type.h"
#include "web/problem.h"
#include "web/request_body.h"
#include "web/resources.h"
#include "web/result_writer.h"

namespace web {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::Fault;
using mapping::Outcome;
using mapping::Tag;
using mapping::Transaction;
using mapping::Uid;

Answer problem(int status, const Fault& fault) { return to_answer(to_problem(status, fault)); }

/// The form to answer in, or 406. rules B3 and B21
std::variant<ResultForm, Answer> negotiate(const RawRequest& request,
                                           const std::vector<std::string>& accept,
                                           const std::vector<std::string>& charset,
                                           std::span<const ResultForm> offered) {
  if (!accepts_utf_8(request.header("accept-charset"), charset)) {
    return to_answer(406, "Results are served in UTF-8");
  }
  if (const auto form = choose_form(request.header("accept"), accept, offered)) return *form;
  return to_answer(406, "Results are served as " + to_text(offered));
}

mapping::AttributeList top_level(const std::vector<mapping::AttributePath>& paths) {
  mapping::AttributeList tags;
  for (const mapping::AttributePath& path : paths) tags.push_back(path.front());
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  return tags;
}

/// For a header: the first hundred, since clients refuse a header of some kilobytes.
std::string tag_list(const std::vector<Tag>& tags) {
  constexpr std::size_t most = 100;
  std::string text;
  for (std::size_t i = 0; i < std::min(tags.size(), most); ++i) {
    text += (text.empty() ? "" : ", ") + to_string(tags[i]);
  }
  return text;
}

}  // namespace

Transactions::Transactions(const OriginServerOptions& options, std::string base,
                           mapping::Router router)
    : options_(options), base_(std::move(base)), router_(std::move(router)) {}

mapping::Services Transactions::offered(const RequestContext& context) const {
  return router_({mapping::Caller::Protocol::web, context.user, context.peer_address});
}

Answer Transactions::handle(Transaction routed, const Call& call) const {
  switch (routed) {
    case Transaction::search:
      return search(call);
    case Transaction::create:
    case Transaction::update:
      return post(call, routed);
    case Transaction::retrieve:
      break;
  }
  return retrieve(call);
}

// --- Search, 14.4 -------------------------------------------------------------------------------

Answer Transactions::search(const Call& call) const {
  auto query = mapping::read_search_query(call.query);
  if (!query) return problem(400, query.fault());
  auto form = negotiate(call.request, query.value().accept, query.value().charset, search_forms);
  if (auto* refused = std::get_if<Answer>(&form)) return std::move(*refused);
  const Context context = this->context(call);
  const mapping::Services services = router_(context.caller);
  if (services.worklist == nullptr) return to_answer(501, "No worklist is offered here");

  mapping::Search search = std::move(query.value().search);
  // An SCP returns only what it is asked for. rules A13, A14
  search.identifier = query.value().include_all
                          ? mapping::with_all_return_keys(search.identifier)
                          : mapping::with_default_return_keys(search.identifier);
  SearchPage page({.offset = query.value().offset,
                   .limit = query.value().limit,
                   .form = std::get<ResultForm>(form),
                   .max_bytes = options_.max_response_bytes,
                   .count_cap = options_.count_cap,
                   .count_time = options_.count_cap_milliseconds},
                  context);
  Outcome outcome = services.worklist->search(
      search, [&page](mapping::Match&& match) { return page.take(std::move(match)); }, context);
  outcome.dropped_matches += page.unwritable();
  return search_answer(call, outcome, page);
}

Answer Transactions::search_answer(const Call& call, const Outcome& outcome,
                                   SearchPage& page) const {
  if (page.too_large()) {
    return to_answer(413, fmt::format("The results are larger than {} bytes, the limit of this "
                                      "server: narrow the search, or use limit and offset",
                                      options_.max_response_bytes));
  }
  mapping::HttpAnswerOptions options;
  options.gateway_status_codes = options_.gateway_status_codes;
  // Where nothing could be written, none counts as a match: an empty list would be a lie.
  options.matches = page.results() == 0 && page.unwritable() > 0 ? 0 : page.matches();
  options.results = page.results();
  options.cancelled_by_us = page.stopped();
  options.optional_keys_unsupported = page.optional_keys_unsupported();
  options.no_match_status = options_.no_match_status;
  const auto http = mapping::to_http(Transaction::search, outcome, options);
  if (http.status / 100 != 2) return failed(Transaction::search, outcome, http);

  Answer answer{http.status, {{"Cache-Control", "no-store"}}, {}};
  if (page.results() == 0 && page.form() != ResultForm::json) {
    answer.status = 204;  // a multipart body has at least one part. rule B7
  } else if (http.status == 200) {
    auto written = std::move(page).written();
    answer.headers.emplace_back("Content-Type", std::move(written.content_type));
    answer.body = std::move(written.body);
  }
  if (page.remaining() > 0) {  // rule A18
    warn(answer, call,
         fmt::format("There are {} additional results that can be requested", page.remaining()));
  }
  if (outcome.fuzzy_matching_ignored) {  // rule A16
    warn(answer, call,
         "The fuzzymatching parameter is not supported. Only literal matching has been performed.");
  }
  if (outcome.empty_value_matching_ignored) {
    warn(answer, call,
         "The emptyvaluematching parameter is not supported. "
         "Empty Value Matching has not been performed.");
  }
  if (outcome.multiple_value_matching_ignored) {
    warn(answer, call,
         "The multiplevaluematching parameter is not supported. "
         "Multiple Value Matching has not been performed.");
  }
  if (!http.warning.empty()) warn(answer, call, http.warning);
  return answer;
}

// --- Create, 15.4, and Update, 15.5 -------------------------------------------------------------

Answer Transactions::post(const Call& call, Transaction by_path) const {
  if (call.context.read_only) {
    return to_answer(403, "This user may search and retrieve here, but change nothing");
  }
  const auto mpps = Uid::parse(call.captures[0]);
  if (!mpps) return to_answer(400, "The last part of the path is not a valid UID");
  const auto update = mapping::is_update_query(call.query);
  if (!update) return problem(400, update.fault());
  return create_or_update(call, *mpps, update.value() ? Transaction::update : by_path);
}

Answer Transactions::create_or_update(const Call& call, const Uid& mpps,
                                      Transaction transaction) const {
  const Context context = this->context(call);
  const mapping::Services services = router_(context.caller);
  if (services.mpps == nullptr) return to_answer(501, "No performed procedure steps are kept here");
  auto body = read_request_body(call.request, mpps, options_.max_body_bytes);
  if (auto* refused = std::get_if<Answer>(&body)) return std::move(*refused);
  const DataSet& data_set = std::get<DataSet>(body);
  const bool create = transaction == Transaction::create;
  const Outcome outcome = create ? services.mpps->create(mpps, data_set, context)
                                 : services.mpps->update(mpps, data_set, context);
  const auto http = mapping::to_http(transaction, outcome,
                                     {.gateway_status_codes = options_.gateway_status_codes});
  if (http.status / 100 != 2) return failed(transaction, outcome, http);

  Answer answer{http.status, {{"Cache-Control", "no-store"}}, {}};
  if (create) {  // rule J17
    answer.headers.emplace_back("Location", fmt::format("{}{}/{}", base_, performed, mpps.text()));
  }
  if (!http.warning.empty()) {
    const std::string tags = tag_list(outcome.attributes);
    warn(answer, call, tags.empty() ? http.warning : fmt::format("{} {}", http.warning, tags));
  }
  return answer;
}

// --- Retrieve, 15.6 -----------------------------------------------------------------------------

Answer Transactions::retrieve(const Call& call) const {
  const auto mpps = Uid::parse(call.captures[0]);
  if (!mpps) return to_answer(400, "The last part of the path is not a valid UID");
  const auto query = mapping::read_retrieve_query(call.query);
  if (!query) return problem(400, query.fault());
  auto form = negotiate(call.request, query.value().accept, query.value().charset, retrieve_forms);
  if (auto* refused = std::get_if<Answer>(&form)) return std::move(*refused);
  const Context context = this->context(call);
  const mapping::Services services = router_(context.caller);
  if (services.mpps == nullptr) return to_answer(501, "No performed procedure steps are kept here");

  DataSet found;
  const Outcome outcome =
      services.mpps->retrieve(*mpps, top_level(query.value().include), found, context);
  mapping::HttpAnswerOptions options;
  options.gateway_status_codes = options_.gateway_status_codes;
  options.attribute_list = !found.empty();
  const auto http = mapping::to_http(Transaction::retrieve, outcome, options);
  if (http.status / 100 != 2) return failed(Transaction::retrieve, outcome, http);

  ResultWriter writer(std::get<ResultForm>(form));
  const auto added = writer.add(mapping::prune_to_paths(found, query.value().include));
  if (!added) return problem(500, added.fault());
  auto written = std::move(writer).finish();
  Answer answer{http.status,
                {{"Cache-Control", "no-store"},
                 {"Content-Type", std::move(written.content_type)},
                 // rule B14
                 {"Content-Location", fmt::format("{}{}/{}", base_, performed, mpps->text())}},
                std::move(written.body)};
  if (!http.warning.empty()) warn(answer, call, http.warning);
  return answer;
}

// --- What all have in common --------------------------------------------------------------------

Answer Transactions::failed(Transaction transaction, const Outcome& outcome,
                            const mapping::HttpAnswer& http) {
  const bool write = transaction == Transaction::create || transaction == Transaction::update;
  const bool may_be_done = write && outcome.how == Outcome::How::unknown;  // mapping.md, 5a
  const std::string_view doubt = "; it is not known whether it was done, a Retrieve may show it";
  Answer answer = to_answer(
      to_problem(http.status, outcome, fmt::format("{}{}", http.why, may_be_done ? doubt : "")));
  answer.service_asked = true;
  constexpr std::string_view seconds = "5";
  if (http.retry_after) answer.headers.emplace_back("Retry-After", seconds);
  return answer;
}

/// In the form of PS3.18, which is not the quoted one of RFC 7234. rule A16
void Transactions::warn(Answer& answer, const Call& call, std::string_view text) const {
  answer.headers.emplace_back("Warning", fmt::format("299 {}: {}", service(call.request), text));
}

std::string Transactions::service(const RawRequest& request) const {
  const auto host = request.header("host");
  const bool plain = host && !host->empty() && host->size() <= 255 &&
                     std::all_of(host->begin(), host->end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') ||
                              std::string_view(".-:[]").find(c) != std::string_view::npos;
                     });
  const std::string_view scheme = options_.tls.certificate.empty() ? "http" : "https";
  return plain ? fmt::format("{}://{}{}", scheme, *host, base_) : "modgate";
}

Context Transactions::context(const Call& call) const {
  static std::atomic<std::uint64_t> last{0};  // of this process, whatever options come and go
  Context context;
  context.caller = {mapping::Caller::Protocol::web, call.context.user, call.context.peer_address,
                    bearer_token(call.request.header("authorization"))};
  context.transaction = fmt::format("W{}", ++last);
  context.deadline = call.context.received + options_.transaction_timeout;
  context.cancellation = call.context.cancellation;
  return context;
}

}  // namespace web
