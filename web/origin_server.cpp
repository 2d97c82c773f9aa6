#include "web/origin_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <span>
#include <utility>
#include <variant>

#include "mapping/query.h"
#include "mapping/return_keys.h"
#include "mapping/status.h"
#include "mapping/tags.h"
#include "web/capabilities.h"
#include "web/connection_front.h"
#include "web/cors.h"
#include "web/dispatcher.h"
#include "web/media_type.h"
#include "web/problem.h"
#include "web/request_body.h"
#include "web/search_page.h"

namespace web {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::Fault;
using mapping::LogLevel;
using mapping::Outcome;
using mapping::Result;
using mapping::Tag;
using mapping::Transaction;
using mapping::Uid;

// The resources. Supplement 246, Tables 14.1.1-1 and 15.1.1-1.
constexpr std::string_view scheduled = "/modality-scheduled-procedure-steps";
constexpr std::string_view performed = "/modality-performed-procedure-steps";

/// The transactions. Supplement 246: Search 14.4; Create 15.4; Update 15.5, whose examples B.38 and
/// B.39 write /update (rule J1); Retrieve 15.6. Requests are routed and capabilities described by
/// it.
constexpr std::array operations{
    Operation{Transaction::search, "searchForModalityScheduledProcedureSteps", "GET",
              "/modality-scheduled-procedure-steps"},
    Operation{Transaction::create, "createModalityPerformedProcedureStep", "POST",
              "/modality-performed-procedure-steps/{mppsUID}"},
    Operation{Transaction::update, "updateModalityPerformedProcedureStepByPath", "POST",
              "/modality-performed-procedure-steps/{mppsUID}/update"},
    Operation{Transaction::retrieve, "retrieveModalityPerformedProcedureStep", "GET",
              "/modality-performed-procedure-steps/{mppsUID}"},
};
/// Routed as Create, and told apart by its query.
constexpr Operation update_by_query{Transaction::update, "updateModalityPerformedProcedureStep",
                                    "POST", "/modality-performed-procedure-steps/{mppsUID}"};

// The forms of their results, the default first. Tables 14.1.3-1 and 15.1.3-1.
constexpr std::array search_forms{ResultForm::json, ResultForm::xml, ResultForm::multipart_json,
                                  ResultForm::multipart_xml};
constexpr std::array retrieve_forms{ResultForm::json, ResultForm::xml};

Answer problem(int status, std::string_view detail, std::vector<Tag> attributes = {}) {
  Problem report;
  report.status = status;
  report.detail = detail;
  report.attributes = std::move(attributes);
  return to_answer(report);
}

Answer problem(int status, const Fault& fault) { return to_answer(to_problem(status, fault)); }

/// The form to answer in, or 406. rules B3 and B21
std::variant<ResultForm, Answer> negotiate(const RawRequest& request,
                                           const std::vector<std::string>& accept,
                                           const std::vector<std::string>& charset,
                                           std::span<const ResultForm> offered) {
  if (!accepts_utf_8(request.header("accept-charset"), charset)) {
    return problem(406, "Results are served in UTF-8");
  }
  if (const auto form = choose_form(request.header("accept"), accept, offered)) return *form;
  return problem(406, "Results are served as " + to_text(offered));
}

/// Everything that a regular expression would take for more than a character is escaped.
std::string escape(std::string_view literal) {
  std::string result;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) result += '\\';
    result += c;
  }
  return result;
}

/// A template such as /steps/{uid} as a regular expression that captures its parts.
std::string pattern(std::string_view base, std::string_view path) {
  std::string result = escape(base);
  while (!path.empty()) {
    const std::size_t brace = std::min(path.find('{'), path.size());
    result += escape(path.substr(0, brace));
    if (brace == path.size()) break;
    result += "([^/]+)";
    path.remove_prefix(path.find('}') + 1);
  }
  return result + "/?";
}

/// Without the last slash: "" for "/". Fault: not an absolute path of plain characters.
Result<std::string> normalize_base_path(std::string path) {
  while (path.ends_with('/')) path.pop_back();
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/-._~").find(c) != std::string_view::npos;
  });
  if (!plain || (!path.empty() && path.front() != '/') || path.find("//") != std::string::npos) {
    return Fault{Fault::Kind::invalid_value,
                 "base_path must begin with a slash and hold letters, digits and /-._~ only"};
  }
  return path;
}

mapping::AttributeList top_level(const std::vector<mapping::AttributePath>& paths) {
  mapping::AttributeList tags;
  for (const mapping::AttributePath& path : paths) tags.push_back(path.front());
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  return tags;
}

std::string tag_list(const std::vector<Tag>& tags) {
  std::string text;
  for (const Tag tag : tags) text += (text.empty() ? "" : ", ") + to_string(tag);
  return text;
}

}  // namespace

class OriginServer::Impl {
 public:
  Impl(OriginServerOptions options, mapping::Router router, mapping::Log log)
      : options_(std::move(options)),
        router_(std::move(router)),
        log_(std::move(log)),
        cross_origin_(options_.cors_allowed_origins) {}
  ~Impl() {
    if (front_) front_->stop(std::chrono::milliseconds(0));
  }

  Result<std::uint16_t> start();
  void stop(std::chrono::milliseconds grace) {
    if (front_) front_->stop(grace);
  }

 private:
  RawResponse serve(const RawRequest& request, const RequestContext& context);
  std::optional<Answer> admit(const RawRequest& request, RequestContext& context) const;
  DispatcherOptions dispatcher_options();
  Result<ConnectionFrontOptions> front_options() const;
  std::string not_found(std::string_view path) const;
  Answer handle(Transaction transaction, const Call& call);
  std::optional<Answer> options(const RawRequest& request, const RequestContext& context,
                                std::string_view path, const std::string& allow);

  Answer search(const Call& call);
  Answer post(const Call& call, Transaction by_path);
  Answer create_or_update(const Call& call, const Uid& mpps, Transaction transaction);
  Answer retrieve(const Call& call);

  Answer search_answer(const Call& call, const Outcome& outcome, SearchPage& page);
  static Answer failed(Transaction transaction, const Outcome& outcome,
                       const mapping::HttpAnswer& http);
  void warn(Answer& answer, const Call& call, std::string_view text) const;
  std::string service(const RawRequest& request) const;
  Context context(const Call& call);

  const OriginServerOptions options_;
  const mapping::Router router_;
  const mapping::Log log_;
  const CrossOrigin cross_origin_;
  std::atomic<std::uint64_t> transactions_{0};

  // Constant after start.
  std::string base_;                                ///< "" or "/radiology"
  std::unique_ptr<Authentication> authentication_;  ///< null = everybody is served
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<ConnectionFront> front_;
};

Answer OriginServer::Impl::handle(Transaction transaction, const Call& call) {
  switch (transaction) {
    case Transaction::search:
      return search(call);
    case Transaction::create:
    case Transaction::update:
      return post(call, transaction);
    case Transaction::retrieve:
      break;
  }
  return retrieve(call);
}

DispatcherOptions OriginServer::Impl::dispatcher_options() {
  DispatcherOptions options;
  for (const Operation& operation : operations) {
    options.routes.push_back(
        {std::string(operation.method), pattern(base_, operation.path),
         [this, &operation](const Call& call) { return handle(operation.transaction, call); }});
  }
  options.not_found = [this](std::string_view path) { return not_found(path); };
  options.on_options = [this](const RawRequest& request, const RequestContext& context,
                              std::string_view path, const std::string& allow) {
    return this->options(request, context, path, allow);
  };
  options.headers = [this](const RawRequest& request) { return cross_origin_.headers(request); };
  return options;
}

Result<ConnectionFrontOptions> OriginServer::Impl::front_options() const {
  ConnectionFrontOptions front;
  if (!options_.tls.certificate.empty()) {
    auto tls = TlsContext::for_server(options_.tls);
    if (!tls) return tls.fault();
    front.tls = std::move(tls).value();
  }
  front.bind = options_.bind;
  front.port = options_.port;
  front.max_connections = options_.max_connections;
  front.workers = options_.workers;
  front.limits.max_body_bytes = options_.max_body_bytes;
  front.head_timeout = options_.head_timeout;
  front.body_timeout = options_.body_timeout;
  front.idle_timeout = options_.idle_timeout;
  front.write_timeout = options_.write_timeout;
  return front;
}

Result<std::uint16_t> OriginServer::Impl::start() {
  auto base = normalize_base_path(options_.base_path);
  if (!base) return base.fault();
  base_ = std::move(base).value();
  if (options_.no_match_status != 200 && options_.no_match_status != 204) {
    return Fault{Fault::Kind::invalid_value, "no_match_status must be 200 or 204"};
  }
  if (!options_.authentication.users.empty() || !options_.authentication.tokens.empty()) {
    auto authentication = Authentication::make(options_.authentication);
    if (!authentication) return authentication.fault();
    authentication_ = std::move(authentication).value();
  }
  const auto origins = CrossOrigin::check(options_.cors_allowed_origins);
  if (!origins) return origins.fault();
  dispatcher_ = std::make_unique<Dispatcher>(dispatcher_options(), log_);
  auto front = front_options();
  if (!front) return front.fault();
  front_ = std::make_unique<ConnectionFront>(
      std::move(front).value(),
      [this](const RawRequest& request, const RequestContext& context) {
        return serve(request, context);
      },
      to_raw_response, log_);
  return front_->start();
}

std::string OriginServer::Impl::not_found(std::string_view path) const {
  if (path == base_ + std::string(performed) || path == base_ + std::string(performed) + "/") {
    return fmt::format(
        "A performed procedure step is created, updated and retrieved at {}{}/ followed by its "
        "UID",
        base_, performed);
  }
  return fmt::format("The resources of this server are {0}{1} and {0}{2}/ followed by a UID", base_,
                     scheduled, performed);
}

// --- Retrieve Capabilities, 8.9, and the preflight of browsers ----------------------------------

std::optional<Answer> OriginServer::Impl::options(const RawRequest& request,
                                                  const RequestContext& context,
                                                  std::string_view path, const std::string& allow) {
  if (!options_.cors_allowed_origins.empty() && CrossOrigin::is_preflight(request)) {
    if (!cross_origin_.allows(request)) {
      return problem(403, "Pages of this origin may not use this server");
    }
    return Answer{204, CrossOrigin::preflight_headers(allow.empty() ? "OPTIONS" : allow), {}};
  }
  if (path == "*") path = base_;
  if (!path.starts_with(base_)) return std::nullopt;
  const std::string_view target = path.substr(base_.size());
  if (!target.empty() && target.front() != '/') return std::nullopt;
  const mapping::Services offered =
      router_({mapping::Caller::Protocol::web, context.user, context.peer_address});
  std::vector<Operation> described;
  for (const Operation& operation : operations) {
    const bool search = operation.transaction == Transaction::search;
    if (search ? offered.worklist != nullptr : offered.mpps != nullptr) {
      described.push_back(operation);
      if (operation.transaction == Transaction::create) described.push_back(update_by_query);
    }
  }
  const auto description = describe(described, target,
                                    {.base_uri = service(request),
                                     .search_forms = search_forms,
                                     .retrieve_forms = retrieve_forms});
  if (!description && !allow.empty()) return problem(501, "This resource is not offered here");
  if (!description) return std::nullopt;
  constexpr std::array types{wadl_xml, wadl_json};
  const auto type = choose_type(request.header("accept"), types);
  if (!type)
    return problem(406, fmt::format("Capabilities are served as {}, {}", wadl_xml, wadl_json));
  return Answer{
      200,
      {{"Content-Type", std::string(*type)}, {"Allow", allow.empty() ? "OPTIONS" : allow}},
      Body(*type == wadl_xml ? to_wadl(*description) : to_json(*description))};
}

// --- Search, 14.4 -------------------------------------------------------------------------------

Answer OriginServer::Impl::search(const Call& call) {
  auto query = mapping::read_search_query(call.query);
  if (!query) return problem(400, query.fault());
  auto form = negotiate(call.request, query.value().accept, query.value().charset, search_forms);
  if (auto* refused = std::get_if<Answer>(&form)) return std::move(*refused);
  const Context context = this->context(call);
  mapping::WorklistService* worklist = router_(context.caller).worklist;
  if (worklist == nullptr) return problem(501, "No worklist is offered here");

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
  Outcome outcome = worklist->search(
      search, [&page](mapping::Match&& match) { return page.take(std::move(match)); }, context);
  outcome.dropped_matches += page.unwritable();
  return search_answer(call, outcome, page);
}

Answer OriginServer::Impl::search_answer(const Call& call, const Outcome& outcome,
                                         SearchPage& page) {
  if (page.too_large()) {
    return problem(413, fmt::format("The results are larger than {} bytes, the limit of this "
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

Answer OriginServer::Impl::post(const Call& call, Transaction by_path) {
  const auto mpps = Uid::parse(call.captures[0]);
  if (!mpps) return problem(400, "The last part of the path is not a valid UID");
  const auto update = mapping::is_update_query(call.query);
  if (!update) return problem(400, update.fault());
  return create_or_update(call, *mpps, update.value() ? Transaction::update : by_path);
}

Answer OriginServer::Impl::create_or_update(const Call& call, const Uid& mpps,
                                            Transaction transaction) {
  const Context context = this->context(call);
  mapping::MppsService* service = router_(context.caller).mpps;
  if (service == nullptr) return problem(501, "No performed procedure steps are kept here");
  auto body = read_request_body(call.request, mpps, options_.max_body_bytes);
  if (auto* refused = std::get_if<Answer>(&body)) return std::move(*refused);
  const DataSet& data_set = std::get<DataSet>(body);
  const bool create = transaction == Transaction::create;
  const Outcome outcome =
      create ? service->create(mpps, data_set, context) : service->update(mpps, data_set, context);
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

Answer OriginServer::Impl::retrieve(const Call& call) {
  const auto mpps = Uid::parse(call.captures[0]);
  if (!mpps) return problem(400, "The last part of the path is not a valid UID");
  const auto query = mapping::read_retrieve_query(call.query);
  if (!query) return problem(400, query.fault());
  auto form = negotiate(call.request, query.value().accept, query.value().charset, retrieve_forms);
  if (auto* refused = std::get_if<Answer>(&form)) return std::move(*refused);
  const Context context = this->context(call);
  mapping::MppsService* service = router_(context.caller).mpps;
  if (service == nullptr) return problem(501, "No performed procedure steps are kept here");

  DataSet found;
  const Outcome outcome =
      service->retrieve(*mpps, top_level(query.value().include), found, context);
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

Answer OriginServer::Impl::failed(Transaction transaction, const Outcome& outcome,
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
void OriginServer::Impl::warn(Answer& answer, const Call& call, std::string_view text) const {
  answer.headers.emplace_back("Warning", fmt::format("299 {}: {}", service(call.request), text));
}

/// The base URI as the client knows it, if its Host header is one.
std::string OriginServer::Impl::service(const RawRequest& request) const {
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

Context OriginServer::Impl::context(const Call& call) {
  Context context;
  context.caller = {mapping::Caller::Protocol::web, call.context.user, call.context.peer_address};
  context.transaction = fmt::format("W{}", ++transactions_);
  context.deadline = call.context.received + options_.transaction_timeout;
  context.cancellation = call.context.cancellation;
  return context;
}

/// Recognises the user, or answers 401. A browser's preflight carries no credentials.
std::optional<Answer> OriginServer::Impl::admit(const RawRequest& request,
                                                RequestContext& context) const {
  const bool preflight =
      !options_.cors_allowed_origins.empty() && CrossOrigin::is_preflight(request);
  if (!authentication_ || preflight) return std::nullopt;
  auto user = authentication_->user(request.header("authorization"));
  if (user) {
    context.user = *std::move(user);
    return std::nullopt;
  }
  Answer answer =
      problem(401, request.header("authorization") ? "The credentials are not known here"
                                                   : "Credentials are needed here");
  for (std::string& challenge : authentication_->challenges()) {
    answer.headers.emplace_back("WWW-Authenticate", std::move(challenge));
  }
  return answer;
}

/// Neither path nor query: they may name a patient.
RawResponse OriginServer::Impl::serve(const RawRequest& request, const RequestContext& context) {
  RequestContext admitted = context;
  auto refused = admit(request, admitted);
  RawResponse response = dispatcher_->dispatch(request, admitted, std::move(refused));
  const std::string_view code = std::string_view(response.head).substr(sizeof "HTTP/1.1", 3);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - context.received);
  // One line a transaction: what reached a service, the gateway logs.
  log_(code < "400" || response.service_asked ? LogLevel::debug : LogLevel::info,
       fmt::format("web: {} {:.7}: {} in {} ms", context.peer_address, request.method, code,
                   took.count()));
  return response;
}

// ------------------------------------------------------------------------------------------------

OriginServer::OriginServer(OriginServerOptions options, mapping::Router router, mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(router), std::move(log))) {}

OriginServer::~OriginServer() = default;

bool OriginServer::valid_origins(const std::vector<std::string>& origins) {
  return CrossOrigin::check(origins).ok();
}

mapping::Result<std::uint16_t> OriginServer::start() { return impl_->start(); }

void OriginServer::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace web
