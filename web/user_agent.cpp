#include "web/user_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "mapping/json.h"
#include "mapping/query.h"
#include "mapping/return_keys.h"
#include "mapping/status.h"
#include "mapping/tags.h"
#include "web/base_uri.h"
#include "web/media_type.h"
#include "web/origin_connections.h"
#include "web/problem.h"
#include "web/warning_header.h"

namespace web {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::DataSetView;
using mapping::Fault;
using mapping::LogLevel;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Tag;
using mapping::Transaction;
using mapping::Uid;
namespace status = mapping::dimse_status;

constexpr std::string_view scheduled = "/modality-scheduled-procedure-steps";
constexpr std::string_view performed = "/modality-performed-procedure-steps/";
constexpr std::string_view any_type = "application/dicom+json, */*;q=0.1";
constexpr std::size_t long_query = 6000;  ///< bytes; above, all attributes are asked for. rule A29

/// What an exchange without a usable answer means. mapping.md, 5b.
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

/// Whether the body of a 2xx may be read as DICOM JSON; a missing type is forgiven where the body
/// shows what it is.
bool holds_dicom_json(const OriginReply& reply) {
  if (!reply.content_type.empty()) return is_dicom_json(reply.content_type);
  return reply.body.starts_with('[') || reply.body.starts_with('{');
}

bool is_blank(std::string_view body) {
  return body.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// A status word that a problem report names and an N-service may answer.
std::optional<std::uint16_t> named_status(const Problem& problem) {
  std::uint16_t word = 0;
  const std::string& text = problem.dimse_status;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), word, 16);
  const bool failure = mapping::classify(word) == mapping::StatusClass::failure;
  if (text.size() != 4 || error != std::errc() || end != text.data() + text.size() || !failure) {
    return std::nullopt;
  }
  return word >= 0x0100 && word <= 0x02FF ? std::optional(word) : std::nullopt;
}

bool says_final(const Problem& problem) {
  return problem.error_id == "A710" ||
         problem.error_comment.find("no longer be updated") != std::string::npos;
}

/// The outcome of an answered Create, Update or Retrieve. Content errors and conflicts, which HTTP
/// has one code for, are told apart where the problem report does.
Outcome outcome_of(Transaction transaction, const OriginReply& reply) {
  Outcome outcome = mapping::from_http(transaction, reply.status);
  if (outcome.good()) {
    for (const std::string& warning : reply.warnings) {
      const std::uint16_t word = mapping::from_warning(transaction, warning_text(warning));
      if (word != status::success) outcome.status = word;
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
  if (const auto word = named_status(problem)) outcome.status = *word;
  outcome.attributes = problem.attributes;
  return outcome;
}

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

bool is_final(std::string_view step_status) {
  return step_status == "COMPLETED" || step_status == "DISCONTINUED";
}

bool same(Tag tag, DataSetView one, DataSetView other) { return one.text(tag) == other.text(tag); }

/// Whether the object holds every attribute of the list as the list has it.
bool holds(DataSetView object, DataSetView list) {
  return std::all_of(list.begin(), list.end(), [&](const mapping::Element& element) {
    const auto found = object.find(element.tag);
    return found && found->bytes == element.bytes;
  });
}

mapping::AttributeList tags_of(DataSetView data_set) {
  mapping::AttributeList tags;
  for (const mapping::Element& element : data_set) tags.push_back(element.tag);
  return tags;
}

}  // namespace

class UserAgent::Impl {
 public:
  Impl(UserAgentOptions options, BaseUri base, mapping::Log log);

  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const Context& context);
  Outcome create(const Uid& mpps, const DataSet& attributes, const Context& context);
  Outcome update(const Uid& mpps, const DataSet& modifications, const Context& context);
  Outcome retrieve(const Uid& mpps, const mapping::AttributeList& attributes, DataSet& found,
                   const Context& context, bool cancellable = true);

 private:
  struct Paging;

  OriginReply get(std::string target, const Context& context, bool cancellable);
  OriginReply post(std::string target, const std::string& body, const Context& context);
  OriginReply follow(OriginRequest request, const Context& context, bool cancellable);
  OriginReply exchange(OriginRequest& request, const Context& context, bool cancellable);

  mapping::Result<std::string> query(const mapping::Search& search, const Paging& paging) const;
  bool ask_for_less(const OriginReply& reply, Paging& paging) const;
  Outcome hand_on(const mapping::Search& search, const OriginReply& reply,
                  const mapping::OnMatch& on_match, Paging& paging);

  Outcome settle_create(const Uid& mpps, const DataSet& attributes, const std::string& body,
                        const OriginReply& lost, const Context& context);
  Outcome settle_update(const Uid& mpps, const DataSet& modifications, const std::string& body,
                        const OriginReply& lost, const Context& context);
  Outcome conflict_of_update(const Uid& mpps, Outcome conflict, const Context& context);
  std::string path(const Uid& mpps) const;
  std::string update_target(const Uid& mpps) const;
  void note(Transaction transaction, const Context& context, std::string_view what) const;

  const UserAgentOptions options_;
  const BaseUri base_;
  const mapping::Log log_;
  OriginConnections connections_;
};

UserAgent::Impl::Impl(UserAgentOptions options, BaseUri base, mapping::Log log)
    : options_(std::move(options)),
      base_(std::move(base)),
      log_(std::move(log)),
      connections_({.base = base_,
                    .max_connections = options_.max_connections,
                    .connect_timeout = options_.connect_timeout,
                    .response_timeout = options_.response_timeout,
                    .max_response_bytes = options_.max_response_bytes}) {}

std::string UserAgent::Impl::path(const Uid& mpps) const {
  return base_.path + std::string(performed) + mpps.text();
}

std::string UserAgent::Impl::update_target(const Uid& mpps) const {
  return path(mpps) + (options_.update_path ? "/update" : "?update");
}

/// Without patient data: UIDs of steps, like those of studies, stay out of the log too.
void UserAgent::Impl::note(Transaction transaction, const Context& context,
                           std::string_view what) const {
  constexpr std::string_view names[] = {"search", "create", "update", "retrieve"};
  log_(LogLevel::warn, fmt::format("tx={} {} at {}: {}", context.transaction,
                                   names[static_cast<std::size_t>(transaction)], base_.host, what));
}

// --- Exchanges ----------------------------------------------------------------------------------

OriginReply UserAgent::Impl::get(std::string target, const Context& context, bool cancellable) {
  return follow({"GET", std::move(target), std::string(dicom_json), "", ""}, context, cancellable);
}

OriginReply UserAgent::Impl::post(std::string target, const std::string& body,
                                  const Context& context) {
  return follow({"POST", std::move(target), std::string(dicom_json), std::string(dicom_json), body},
                context, false);
}

/// At most three redirects, on the same host; a POST must stay one (307, 308). mapping.md, 1b, 2b.
OriginReply UserAgent::Impl::follow(OriginRequest request, const Context& context,
                                    bool cancellable) {
  constexpr int max_redirects = 3;
  for (int redirects = 0;; ++redirects) {
    OriginReply reply = exchange(request, context, cancellable);
    if (reply.how != OriginReply::How::answered || redirects == max_redirects) return reply;
    const bool kept = reply.status == 307 || reply.status == 308;
    const bool moved = reply.status == 301 || reply.status == 302 || reply.status == 303;
    if (!kept && !(moved && request.method == "GET")) return reply;
    auto target = resolve_redirect(base_, reply.location);
    if (!target) return reply;
    request.target = std::move(target).value();
  }
}

/// Repeats where nothing can have been done twice: a GET whose connection broke before an answer
/// came, a request of which no byte left because the kept connection was closed meanwhile, and one
/// that was refused for its Accept header.
OriginReply UserAgent::Impl::exchange(OriginRequest& request, const Context& context,
                                      bool cancellable) {
  OriginReply reply = connections_.exchange(request, context, cancellable);
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

// --- Search: mapping.md, 1b ---------------------------------------------------------------------

struct UserAgent::Impl::Paging {
  std::uint64_t offset = 0;
  std::uint64_t limit = 0;
  bool all = false;         ///< includefield=all in place of the return keys
  std::string first_match;  ///< bytes of the last page's first match
  std::uint64_t handed_on = 0;
  bool ended = false;  ///< by the server's last page, or by on_match
};

mapping::Result<std::string> UserAgent::Impl::query(const mapping::Search& search,
                                                    const Paging& paging) const {
  const mapping::Page page{.offset = paging.offset, .limit = paging.limit};
  if (!paging.all) {
    auto query = mapping::write_search_query(search, page);
    if (!query || query.value().size() <= long_query) return query;
  }
  mapping::Search shorter = search;
  shorter.identifier = match_keys(search.identifier);
  auto query = mapping::write_search_query(shorter, page);
  if (!query) return query;
  return query.value() + (query.value().empty() ? "" : "&") + "includefield=all";
}

/// After an answer that was too much for one side: a shorter URI, a smaller page. False if there is
/// nothing left to try.
bool UserAgent::Impl::ask_for_less(const OriginReply& reply, Paging& paging) const {
  const bool answered = reply.how == OriginReply::How::answered;
  if (answered && reply.status == 414 && !paging.all) {
    paging.all = true;
    return true;
  }
  const bool too_much =
      reply.how == OriginReply::How::too_large || (answered && reply.status == 413);
  if (!too_much || paging.limit == 1) return false;
  paging.limit = std::max<std::uint64_t>(paging.limit / 10, 1);
  return true;
}

Outcome UserAgent::Impl::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                                const Context& context) {
  Paging paging;
  paging.limit = std::max<std::uint64_t>(options_.page_size, 1);
  Outcome outcome;
  while (!paging.ended) {
    const auto asked = query(search, paging);
    if (!asked) {
      return Outcome::local(status::data_set_does_not_match_sop_class, asked.fault().what,
                            asked.fault().attributes);
    }
    const OriginReply reply =
        get(fmt::format("{}{}?{}", base_.path, scheduled, asked.value()), context, true);
    if (ask_for_less(reply, paging)) continue;
    Outcome page = reply.how == OriginReply::How::answered
                       ? hand_on(search, reply, on_match, paging)
                       : without_answer(Transaction::search, reply);
    if (!page.good()) {
      // What was handed on is not the whole list, whatever the reason.
      const bool interrupted = page.status != status::cancel && paging.handed_on > 0;
      if (interrupted) page.status = status::aborted_after_partial_results;
      return page;
    }
    outcome.fuzzy_matching_ignored |= page.fuzzy_matching_ignored;
    outcome.empty_value_matching_ignored |= page.empty_value_matching_ignored;
    outcome.multiple_value_matching_ignored |= page.multiple_value_matching_ignored;
  }
  return outcome;
}

Outcome UserAgent::Impl::hand_on(const mapping::Search& search, const OriginReply& reply,
                                 const mapping::OnMatch& on_match, Paging& paging) {
  Outcome outcome = mapping::from_http(Transaction::search, reply.status);
  if (!outcome.good()) return outcome;
  std::uint64_t remaining = 0;
  bool keys_supported = true;
  for (const std::string& warning : reply.warnings) {
    const std::string text = warning_text(warning);
    remaining = std::max(remaining, remaining_results(text).value_or(0));
    keys_supported = keys_supported && mapping::from_warning(Transaction::search, text) !=
                                           status::pending_optional_keys_not_supported;
    const auto ignored = [&](std::string_view parameter) {
      return text.find(fmt::format("The {} parameter is not supported", parameter)) !=
             std::string::npos;
    };
    outcome.fuzzy_matching_ignored |= search.fuzzy_matching && ignored("fuzzymatching");
    outcome.empty_value_matching_ignored |=
        search.empty_value_matching && ignored("emptyvaluematching");
    outcome.multiple_value_matching_ignored |=
        search.multiple_value_matching && ignored("multiplevaluematching");
  }
  if (reply.status == 204 || is_blank(reply.body)) {
    paging.ended = true;
    return outcome;
  }
  if (!holds_dicom_json(reply)) {
    return unreadable(Transaction::search, "The origin server did not answer in DICOM JSON");
  }
  std::uint64_t in_page = 0;
  bool same_page = false;
  bool wanted = true;
  const auto read = mapping::read_json_array(
      reply.body,
      [&](DataSet&& match) {
        if (in_page++ == 0) {
          same_page = paging.offset > 0 && match.bytes() == paging.first_match;
          if (same_page) return false;
          paging.first_match = match.bytes();
        }
        ++paging.handed_on;
        wanted = on_match({std::move(match), keys_supported});
        return wanted;
      },
      {.max_bytes = options_.max_response_bytes});
  if (!wanted) {
    paging.ended = true;
    return outcome;
  }
  if (!read) {
    return unreadable(Transaction::search, "The answer of the origin server cannot be read");
  }
  if (same_page || (remaining > 0 && in_page == 0)) {
    return unreadable(Transaction::search, "The origin server does not page its results");
  }
  paging.offset += in_page;
  paging.ended = remaining == 0;
  return outcome;
}

// --- Create: mapping.md, 2b ---------------------------------------------------------------------

Outcome UserAgent::Impl::create(const Uid& mpps, const DataSet& attributes,
                                const Context& context) {
  std::string body;
  if (const auto written = mapping::write_json(attributes, body); !written) {
    return Outcome::local(status::invalid_attribute_value, written.fault().what,
                          written.fault().attributes);
  }
  const OriginReply reply = post(path(mpps), body, context);
  if (reply.how == OriginReply::How::answered) return outcome_of(Transaction::create, reply);
  if (reply.how == OriginReply::How::not_sent) return without_answer(Transaction::create, reply);
  return settle_create(mpps, attributes, body, reply, context);
}

/// Sent, and no answer: a Retrieve shows whether it was done.
Outcome UserAgent::Impl::settle_create(const Uid& mpps, const DataSet& attributes,
                                       const std::string& body, const OriginReply& lost,
                                       const Context& context) {
  note(Transaction::create, context, "no answer came; asking whether it was done");
  const auto is_there = [&](Outcome& seen) {
    DataSet found;
    seen = retrieve(
        mpps,
        {mapping::tags::PerformedProcedureStepStatus, mapping::tags::PerformedProcedureStepID},
        found, context, false);
    return seen.good() &&
           !attributes.view().text(mapping::tags::PerformedProcedureStepID).empty() &&
           same(mapping::tags::PerformedProcedureStepID, found, attributes) &&
           same(mapping::tags::PerformedProcedureStepStatus, found, attributes);
  };
  Outcome seen;
  if (is_there(seen)) return Outcome::answered(status::success);
  const bool unknown_there =
      seen.how == Outcome::How::answered && seen.status == status::no_such_sop_instance;
  if (!unknown_there) return without_answer(Transaction::create, lost);

  note(Transaction::create, context, "it was not done; sending it once more");
  const OriginReply again = post(path(mpps), body, context);
  if (again.how != OriginReply::How::answered) return without_answer(Transaction::create, lost);
  const Outcome outcome = outcome_of(Transaction::create, again);
  // The first one arrived after all.
  if (outcome.status == status::duplicate_sop_instance && is_there(seen)) {
    return Outcome::answered(status::success);
  }
  return outcome;
}

// --- Update: mapping.md, 3b ---------------------------------------------------------------------

Outcome UserAgent::Impl::update(const Uid& mpps, const DataSet& modifications,
                                const Context& context) {
  std::string body;
  if (const auto written = mapping::write_json(modifications, body); !written) {
    return Outcome::local(status::invalid_attribute_value, written.fault().what,
                          written.fault().attributes);
  }
  const OriginReply reply = post(update_target(mpps), body, context);
  if (reply.how == OriginReply::How::not_sent) return without_answer(Transaction::update, reply);
  if (reply.how != OriginReply::How::answered) {
    return settle_update(mpps, modifications, body, reply, context);
  }
  if (reply.status == 201) {
    note(Transaction::update, context, "answered 201 Created: the server seems to ignore update");
  }
  const Outcome outcome = outcome_of(Transaction::update, reply);
  return reply.status == 409 ? conflict_of_update(mpps, outcome, context) : outcome;
}

/// A conflict is most often with the step's state: F.7.2-2 has words of its own for a final one.
Outcome UserAgent::Impl::conflict_of_update(const Uid& mpps, Outcome conflict,
                                            const Context& context) {
  if (conflict.error_id || conflict.status != status::processing_failure) return conflict;
  DataSet found;
  const Outcome seen =
      retrieve(mpps, {mapping::tags::PerformedProcedureStepStatus}, found, context, false);
  const bool final =
      seen.good() && is_final(found.view().text(mapping::tags::PerformedProcedureStepStatus));
  return final ? Outcome::may_no_longer_be_updated() : conflict;
}

Outcome UserAgent::Impl::settle_update(const Uid& mpps, const DataSet& modifications,
                                       const std::string& body, const OriginReply& lost,
                                       const Context& context) {
  note(Transaction::update, context, "no answer came; asking whether it was done");
  DataSet found;
  const Outcome seen = retrieve(mpps, tags_of(modifications), found, context, false);
  if (seen.good() && holds(found, modifications)) return Outcome::answered(status::success);
  if (seen.how != Outcome::How::answered) return without_answer(Transaction::update, lost);

  // Replacing twice is replacing once: sequences are set whole (rule F21).
  note(Transaction::update, context, "it was not done; sending it once more");
  const OriginReply again = post(update_target(mpps), body, context);
  if (again.how != OriginReply::How::answered) return without_answer(Transaction::update, lost);
  const Outcome outcome = outcome_of(Transaction::update, again);
  if (again.status != 409) return outcome;
  if (!retrieve(mpps, {}, found, context, false).good()) return outcome;
  const bool ours =
      is_final(modifications.view().text(mapping::tags::PerformedProcedureStepStatus)) &&
      same(mapping::tags::PerformedProcedureStepStatus, found, modifications) &&
      same(mapping::tags::PerformedProcedureStepEndDate, found, modifications) &&
      same(mapping::tags::PerformedProcedureStepEndTime, found, modifications);
  if (ours) return Outcome::answered(status::success);
  return is_final(found.view().text(mapping::tags::PerformedProcedureStepStatus))
             ? Outcome::may_no_longer_be_updated()
             : outcome;
}

// --- Retrieve: mapping.md, 4b -------------------------------------------------------------------

Outcome UserAgent::Impl::retrieve(const Uid& mpps, const mapping::AttributeList& attributes,
                                  DataSet& found, const Context& context, bool cancellable) {
  mapping::AttributeList asked = attributes;  // rule A30: the character set is no attribute here
  std::erase(asked, mapping::tags::SpecificCharacterSet);
  const std::string query = mapping::write_retrieve_query(asked);
  const OriginReply reply =
      get(path(mpps) + (query.empty() ? "" : "?" + query), context, cancellable);
  if (reply.how != OriginReply::How::answered) return without_answer(Transaction::retrieve, reply);
  Outcome outcome = outcome_of(Transaction::retrieve, reply);
  if (!outcome.good()) return outcome;

  const Outcome nothing_there = Outcome::answered(status::no_such_sop_instance);
  if (is_blank(reply.body)) return nothing_there;
  if (!holds_dicom_json(reply)) {
    return unreadable(Transaction::retrieve, "The origin server did not answer in DICOM JSON");
  }
  std::vector<DataSet> objects;
  const auto read = mapping::read_json_array(reply.body,
                                             [&](DataSet&& object) {
                                               objects.push_back(std::move(object));
                                               return objects.size() < 2;
                                             },
                                             {.max_bytes = options_.max_response_bytes});
  if (!read || objects.size() > 1) {
    return unreadable(Transaction::retrieve, "The answer of the origin server cannot be read");
  }
  if (objects.empty()) return nothing_there;
  found = std::move(objects.front());
  const bool all_there = std::all_of(asked.begin(), asked.end(),
                                     [&](Tag tag) { return found.view().find(tag).has_value(); });
  if (!all_there && outcome.status == status::success) {  // F.8.2-2
    outcome.status = status::requested_optional_attributes_not_supported;
  }
  return outcome;
}

// ------------------------------------------------------------------------------------------------

mapping::Result<bool> UserAgent::check(const UserAgentOptions& options) {
  const auto base = parse_base_uri(options.base_uri);
  if (!base) {
    return Fault{base.fault().kind, "base_uri: " + base.fault().what};
  }
  return true;
}

mapping::Result<std::unique_ptr<UserAgent>> UserAgent::make(UserAgentOptions options,
                                                            mapping::Log log) {
  if (const auto checked = check(options); !checked) return checked.fault();
  BaseUri base = parse_base_uri(options.base_uri).value();
  return std::unique_ptr<UserAgent>(
      new UserAgent(std::make_unique<Impl>(std::move(options), std::move(base), std::move(log))));
}

UserAgent::UserAgent(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

UserAgent::~UserAgent() = default;

Outcome UserAgent::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const Context& context) {
  return impl_->search(search, on_match, context);
}

Outcome UserAgent::create(const Uid& mpps, const DataSet& attributes, const Context& context) {
  return impl_->create(mpps, attributes, context);
}

Outcome UserAgent::update(const Uid& mpps, const DataSet& modifications, const Context& context) {
  return impl_->update(mpps, modifications, context);
}

Outcome UserAgent::retrieve(const Uid& mpps, const mapping::AttributeList& attributes,
                            DataSet& found, const Context& context) {
  return impl_->retrieve(mpps, attributes, found, context);
}

}  // namespace web
