#include "web/origin_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

#include "mapping/json.h"
#include "mapping/status.h"
#include "mapping/xml.h"
#include "web/problem.h"
#include "web/retry_after.h"
#include "web/warning_header.h"

namespace web {
namespace {

using mapping::Context;
using mapping::LogLevel;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
namespace status = mapping::dimse_status;

constexpr std::string_view any_type = "application/dicom+json, */*;q=0.1";

/// Several results in XML come in parts (rule B9).
std::string_view accept(Model model) {
  return model == Model::json
             ? dicom_json
             : R"(application/dicom+xml, multipart/related; type="application/dicom+xml")";
}

mapping::Result<std::string> write(const mapping::DataSet& data_set, Model model) {
  std::string body;
  const auto written = model == Model::json ? mapping::write_json(data_set, body)
                                            : mapping::write_xml(data_set, body);
  if (!written) return written.fault();
  return body;
}

/// A status word that a problem report names and the service may answer.
std::optional<std::uint16_t> named_status(Transaction transaction, const Problem& problem) {
  std::uint16_t word = 0;
  const std::string& text = problem.dimse_status;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), word, 16);
  if (text.size() != 4 || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return mapping::is_listed_failure(transaction, word) ? std::optional(word) : std::nullopt;
}

bool says_final(const Problem& problem) {
  return problem.error_id == "A710" ||
         problem.error_comment.find("no longer be updated") != std::string::npos;
}

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds least_wait{100};
constexpr std::chrono::milliseconds time_to_answer{500};

/// False: cancelled meanwhile.
bool sleep_until(Clock::time_point end, const Context& context, bool cancellable) {
  constexpr std::chrono::milliseconds now_and_then{50};
  for (Clock::time_point now = Clock::now(); now < end; now = Clock::now()) {
    if (cancellable && context.cancelled()) return false;
    std::this_thread::sleep_for(std::min<Clock::duration>(end - now, now_and_then));
  }
  return true;
}

}  // namespace

OriginClient::OriginClient(OriginClientOptions options, std::unique_ptr<Credentials> credentials,
                           mapping::Log log)
    : options_(std::move(options)), credentials_(std::move(credentials)), log_(std::move(log)) {
  connections_.push_back(std::make_unique<OriginConnections>(options_.connections));
  for (const BaseUri& server : options_.redirect_servers) {
    OriginConnectionsOptions elsewhere = options_.connections;
    elsewhere.base = server;
    elsewhere.tls = server.tls ? options_.redirect_tls : nullptr;
    connections_.push_back(std::make_unique<OriginConnections>(std::move(elsewhere)));
  }
}

OriginReply OriginClient::get(std::string target, const Context& context, bool cancellable,
                              std::function<TakeBody(const OriginReply& head)> on_head) {
  return follow({{.method = "GET",
                  .target = std::move(target),
                  .accept = std::string(accept(options_.model)),
                  .content_type = "",
                  .body = "",
                  .on_head = std::move(on_head)},
                 context,
                 cancellable});
}

OriginReply OriginClient::options(const Context& context) {
  return follow({{.method = "OPTIONS",
                  .target = base().path + "/",
                  .accept = "*/*",
                  .content_type = "",
                  .body = ""},
                 context,
                 false,
                 true});
}

mapping::Result<OriginReply> OriginClient::post(std::string target,
                                                const mapping::DataSet& data_set,
                                                const Context& context) {
  const auto post_as = [&](Model model) -> mapping::Result<OriginReply> {
    auto body = write(data_set, model);
    if (!body) return body.fault();
    return follow({{.method = "POST",
                    .target = target,
                    .accept = std::string(accept(model)),
                    .content_type = std::string(model == Model::json ? dicom_json : dicom_xml),
                    .body = std::move(body).value()},
                   context,
                   false});
  };
  auto reply = post_as(options_.model);
  const bool type_refused =
      reply.ok() && reply.value().how == OriginReply::How::answered && reply.value().status == 415;
  if (!type_refused) return reply;
  auto other = post_as(options_.model == Model::json ? Model::xml : Model::json);
  return other.ok() ? other : reply;
}

std::optional<std::size_t> OriginClient::number_of(const BaseUri& server) const {
  if (server.same_origin(base())) return 0;
  const auto& allowed = options_.redirect_servers;
  const auto found = std::find_if(allowed.begin(), allowed.end(),
                                  [&](const BaseUri& one) { return one.same_origin(server); });
  if (found == allowed.end()) return std::nullopt;
  return 1 + static_cast<std::size_t>(found - allowed.begin());
}

/// At most three redirects, on the same host unless another is allowed; a POST must stay one (307,
/// 308). mapping.md, 1b, 2b.
OriginReply OriginClient::follow(Try now) {
  constexpr int max_redirects = 3;
  for (int redirects = 0;; ++redirects) {
    OriginReply reply = accept_anything(now);
    reply.repeated = now.repeated;
    if (reply.how != OriginReply::How::answered || redirects == max_redirects) return reply;
    const bool kept = reply.status == 307 || reply.status == 308;
    const bool moved = reply.status == 301 || reply.status == 302 || reply.status == 303;
    if (!kept && !(moved && now.request.method == "GET")) return reply;
    auto there = resolve_redirect({server(now.server), now.request.target}, reply.location);
    const auto number = there ? number_of(there.value().server) : std::nullopt;
    if (!number) return reply;
    now.server = *number;
    now.request.target = std::move(there.value().target);
  }
}

/// A refused Accept header is replaced by a wider one, once; for a GET 415 says the same.
OriginReply OriginClient::accept_anything(Try& now) {
  OriginReply reply = wait_while_busy(now);
  const bool refused =
      reply.how == OriginReply::How::answered &&
      (reply.status == 406 || (reply.status == 415 && now.request.method == "GET"));
  if (!refused || now.request.accept == any_type) return reply;
  now.request.accept = any_type;
  return wait_while_busy(now);
}

/// A server that is overloaded and says when to come again is obeyed, while that is in time.
OriginReply OriginClient::wait_while_busy(Try& now) {
  constexpr int max_repeats = 3;
  OriginReply reply = authorized(now);
  const auto patience = Clock::now() + options_.connections.response_timeout;
  for (int repeats = 0; repeats < max_repeats; ++repeats) {
    const bool busy =
        reply.how == OriginReply::How::answered && (reply.status == 429 || reply.status == 503);
    const auto wait = retry_after(reply.retry_after, std::chrono::system_clock::now());
    if (!busy || !wait) return reply;
    // Not at once, whatever it says, and slower each time.
    const auto again = Clock::now() + std::max<Clock::duration>(*wait, least_wait * (1 << repeats));
    if (again > std::min(patience, now.context.deadline) - time_to_answer) return reply;
    log_(LogLevel::info,
         fmt::format("tx={} {} answered {} and is asked again in {} s", now.context.transaction,
                     server(now.server).host, reply.status, wait->count()));
    if (!sleep_until(again, now.context, now.cancellable)) {
      reply.how = OriginReply::How::cancelled;
      return reply;
    }
    now.repeated = true;
    reply = authorized(now);
  }
  return reply;
}

/// With the credentials, where the origin server is asked. A 401 is worth one more try where there
/// are others by now: nothing was done.
OriginReply OriginClient::authorized(Try& now) {
  now.request.authorization.clear();
  if (now.server != 0) return exchange(now);
  const auto authorize = [&](std::string_view refused) {
    return credentials_->authorization(now.context, now.cancellable, refused);
  };
  const Authorization first = authorize("");
  if (first.how != AccessToken::How::ready) return without_token(now, first);
  now.request.authorization = first.header;
  OriginReply reply = exchange(now);
  if (reply.how != OriginReply::How::answered || reply.status != 401) return reply;
  const Authorization other = authorize(first.header);
  if (other.how != AccessToken::How::ready || other.header == first.header) return reply;
  now.request.authorization = other.header;
  return exchange(now);
}

OriginReply OriginClient::without_token(const Try& now, const Authorization& authorization) {
  OriginReply reply;
  if (now.cancellable && now.context.cancelled()) {
    reply.how = OriginReply::How::cancelled;
  } else if (authorization.how == AccessToken::How::refused) {
    reply.how = OriginReply::How::answered;  // whoever gives out tokens for it speaks for it
    reply.status = 401;
  } else {
    reply.how = OriginReply::How::no_token;
    reply.event = authorization.event;
  }
  return reply;
}

/// Repeats where nothing can have been done twice: a GET whose connection broke before an answer
/// came, and a request of which no byte left because the kept connection was closed meanwhile.
OriginReply OriginClient::exchange(Try& now) {
  OriginConnections& connections = *connections_[now.server];
  OriginReply reply = connections.exchange(now.request, now.context, now.cancellable);
  if (!now.quiet && (reply.event == NetworkEvent::tls_failed || !reply.tls_fault.empty())) {
    log_(LogLevel::warn,
         "web: TLS with " + server(now.server).host + ": " +
             (reply.tls_fault.empty() ? "the handshake ended early" : reply.tls_fault));
  }
  const bool repeatable = now.request.method == "GET" || reply.how == OriginReply::How::not_sent;
  if (!reply.lost_before_answer || !repeatable) return reply;
  return connections.exchange(now.request, now.context, now.cancellable);
}

namespace {

/// Why nothing was sent.
std::string not_sent(const OriginReply& reply) {
  if (reply.event == NetworkEvent::busy) return "All connections to the origin server are busy";
  const std::string& fault = reply.tls_fault.empty() ? reply.connect_fault : reply.tls_fault;
  if (!fault.empty()) return mapping::to_error_comment(fault);
  return reply.event == NetworkEvent::tls_failed ? "The TLS handshake with the origin server failed"
                                                 : "The origin server cannot be reached";
}

}  // namespace

Outcome without_answer(Transaction transaction, const OriginReply& reply) {
  switch (reply.how) {
    case OriginReply::How::cancelled:
      return Outcome::answered(status::cancel);
    case OriginReply::How::not_sent:
      return Outcome::unreachable(transaction, reply.event, not_sent(reply));
    case OriginReply::How::no_token:
      return Outcome::unreachable(transaction, reply.event,
                                  "There is no access token for the origin server");
    case OriginReply::How::too_large:
      return Outcome::unknown(transaction, NetworkEvent::unreadable_answer,
                              "The answer of the origin server is too large");
    case OriginReply::How::answered:
    case OriginReply::How::stopped:
    case OriginReply::How::no_answer:
      break;
  }
  const auto because = [&](std::string_view comment) {
    return Outcome::unknown(transaction, reply.event, comment);
  };
  if (reply.event == NetworkEvent::response_timeout) {
    return because("The origin server did not answer in time");
  }
  return because(reply.event == NetworkEvent::unreadable_answer
                     ? "The answer of the origin server cannot be read"
                     : "The connection to the origin server broke");
}

Outcome unreadable(Transaction transaction, std::string_view comment) {
  return Outcome::unknown(transaction, NetworkEvent::unreadable_answer, comment);
}

Outcome outcome_of(Transaction transaction, const OriginReply& reply) {
  Outcome outcome = mapping::from_http(transaction, reply.status);
  if (outcome.good()) {
    for (const std::string& warning : reply.warnings) {
      const std::uint16_t word = mapping::from_warning(transaction, warning_text(warning));
      if (word == status::success) continue;
      outcome.status = word;
      outcome.attributes = attributes_named(warning_text(warning));
    }
    return outcome;
  }
  outcome.retry_after = retry_after(reply.retry_after, std::chrono::system_clock::now());
  const Problem problem = read_problem(reply.body);
  if (!problem.error_comment.empty()) {
    outcome.error_comment = mapping::to_error_comment(problem.error_comment);
  }
  if (reply.status != 400 && reply.status != 409) return outcome;
  if (transaction == Transaction::update && says_final(problem)) {
    return Outcome::may_no_longer_be_updated();
  }
  if (const auto word = named_status(transaction, problem)) outcome.status = *word;
  outcome.attributes = problem.attributes;
  return outcome;
}

bool is_blank(std::string_view body) {
  return body.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace web
