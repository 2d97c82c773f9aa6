#include "web/origin_client.h"

#include <charconv>
#include <optional>
#include <utility>

#include "mapping/json.h"
#include "mapping/status.h"
#include "mapping/xml.h"
#include "web/problem.h"
#include "web/warning_header.h"

namespace web {
namespace {

using mapping::Context;
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

}  // namespace

OriginReply OriginClient::get(std::string target, const Context& context, bool cancellable) {
  return follow({"GET", std::move(target), std::string(accept(model_)), "", ""}, context,
                cancellable);
}

mapping::Result<OriginReply> OriginClient::post(std::string target,
                                                const mapping::DataSet& data_set,
                                                const Context& context) {
  const auto post_as = [&](Model model) -> mapping::Result<OriginReply> {
    auto body = write(data_set, model);
    if (!body) return body.fault();
    return follow(
        {"POST", target, std::string(accept(model)),
         std::string(model == Model::json ? dicom_json : dicom_xml), std::move(body).value()},
        context, false);
  };
  auto reply = post_as(model_);
  const bool type_refused =
      reply.ok() && reply.value().how == OriginReply::How::answered && reply.value().status == 415;
  if (!type_refused) return reply;
  auto other = post_as(model_ == Model::json ? Model::xml : Model::json);
  return other.ok() ? other : reply;
}

/// At most three redirects, on the same host; a POST must stay one (307, 308). mapping.md, 1b, 2b.
OriginReply OriginClient::follow(OriginRequest request, const Context& context, bool cancellable) {
  constexpr int max_redirects = 3;
  for (int redirects = 0;; ++redirects) {
    OriginReply reply = exchange(request, context, cancellable);
    if (reply.how != OriginReply::How::answered || redirects == max_redirects) return reply;
    const bool kept = reply.status == 307 || reply.status == 308;
    const bool moved = reply.status == 301 || reply.status == 302 || reply.status == 303;
    if (!kept && !(moved && request.method == "GET")) return reply;
    auto target = resolve_redirect(options_.base, reply.location);
    if (!target) return reply;
    request.target = std::move(target).value();
  }
}

/// Repeats where nothing can have been done twice: a GET whose connection broke before an answer
/// came, a request of which no byte left because the kept connection was closed meanwhile, and one
/// that was refused for its Accept header.
OriginReply OriginClient::exchange(OriginRequest& request, const Context& context,
                                   bool cancellable) {
  OriginReply reply = connections_.exchange(request, context, cancellable);
  if (reply.event == NetworkEvent::tls_failed) {
    log_(mapping::LogLevel::warn,
         "web: TLS with " + options_.base.host + ": " +
             (reply.tls_fault.empty() ? "the handshake ended early" : reply.tls_fault));
  }
  const bool repeatable = request.method == "GET" || reply.how == OriginReply::How::not_sent;
  if (reply.lost_before_answer && repeatable) {
    reply = connections_.exchange(request, context, cancellable);
  }
  if (reply.how == OriginReply::How::answered && reply.status == 406 &&
      request.accept != any_type) {
    request.accept = any_type;
    reply = connections_.exchange(request, context, cancellable);
  }
  return reply;
}

Outcome without_answer(Transaction transaction, const OriginReply& reply) {
  switch (reply.how) {
    case OriginReply::How::cancelled:
      return Outcome::answered(status::cancel);
    case OriginReply::How::not_sent:
      return Outcome::unreachable(transaction, reply.event,
                                  reply.event == NetworkEvent::busy
                                      ? "All connections to the origin server are busy"
                                      : "The origin server cannot be reached");
    case OriginReply::How::too_large:
      return Outcome::unknown(transaction, NetworkEvent::unreadable_answer,
                              "The answer of the origin server is too large");
    case OriginReply::How::answered:
    case OriginReply::How::no_answer:
      break;
  }
  return Outcome::unknown(transaction, reply.event,
                          reply.event == NetworkEvent::response_timeout
                              ? "The origin server did not answer in time"
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
