#include "web/user_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "mapping/mpps_rules.h"
#include "mapping/query.h"
#include "mapping/status.h"
#include "mapping/tags.h"
#include "web/base_uri.h"
#include "web/origin_client.h"
#include "web/paged_search.h"
#include "web/result_reader.h"
#include "web/warning_header.h"

namespace web {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::DataSetView;
using mapping::Fault;
using mapping::LogLevel;
using mapping::Outcome;
using mapping::Tag;
using mapping::Transaction;
using mapping::Uid;
namespace status = mapping::dimse_status;

constexpr std::string_view performed = "/modality-performed-procedure-steps/";

mapping::AttributeList tags_of(DataSetView data_set) {
  mapping::AttributeList tags;
  for (const mapping::Element& element : data_set) tags.push_back(element.tag);
  return tags;
}

Outcome unwritable(const Fault& fault) {
  return Outcome::local(status::invalid_attribute_value, fault.what, fault.attributes);
}

bool answered(const mapping::Result<OriginReply>& reply) {
  return reply.ok() && reply.value().how == OriginReply::How::answered;
}

/// Nothing left of this gateway, so nothing can have been done.
bool nothing_was_sent(const OriginReply& reply) {
  return reply.how == OriginReply::How::not_sent || reply.how == OriginReply::How::no_token;
}

}  // namespace

class UserAgent::Impl {
 public:
  Impl(const UserAgentOptions& options, OriginClientOptions client,
       std::unique_ptr<Credentials> credentials, const mapping::Log& log)
      : update_uri_(options.update_uri),
        page_size_(std::max<std::uint64_t>(options.page_size, 1)),
        log_(log),
        client_(std::move(client), std::move(credentials), log) {}

  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const Context& context) {
    return PagedSearch(client_, search, on_match, page_size_).run(context);
  }
  Outcome probe(const Context& context);
  mapping::PoolState pool() const { return client_.pool(); }
  Outcome create(const Uid& mpps, const DataSet& attributes, const Context& context);
  Outcome update(const Uid& mpps, const DataSet& modifications, const Context& context);
  Outcome retrieve(const Uid& mpps, const mapping::AttributeList& attributes, DataSet& found,
                   const Context& context, bool cancellable = true);

 private:
  Outcome created(const Uid& mpps, const DataSet& attributes, const OriginReply& reply,
                  bool repeated, const Context& context);
  bool is_there(const Uid& mpps, const DataSet& attributes, Outcome& seen, const Context& context);
  Outcome settle_create(const Uid& mpps, const DataSet& attributes, const OriginReply& lost,
                        const Context& context);
  mapping::Result<OriginReply> post_update(const Uid& mpps, const DataSet& modifications,
                                           const Context& context);
  Outcome updated(const Uid& mpps, const DataSet& modifications, const OriginReply& reply,
                  bool repeated, const Context& context);
  Outcome settle_update(const Uid& mpps, const DataSet& modifications, const OriginReply& lost,
                        const Context& context);
  Outcome conflict_of_update(const Uid& mpps, Outcome conflict, const Context& context);
  Outcome conflict_after_repeat(const Uid& mpps, const DataSet& modifications,
                                const Outcome& conflict, const Context& context);
  OriginReply get_patiently(const std::string& target, const Context& context, bool cancellable);
  std::string path(const Uid& mpps) const;
  void note(Transaction transaction, const Context& context, std::string_view what) const;
  void note_remarks(Transaction transaction, const OriginReply& reply,
                    const Context& context) const;

  const UpdateUri update_uri_;
  const std::uint64_t page_size_;
  const mapping::Log log_;
  OriginClient client_;
  /// For query_then_path: the last Update for which one of the two would not do went by path.
  std::atomic<bool> path_worked_{false};
};

Outcome UserAgent::Impl::probe(const Context& context) {
  const OriginReply reply = client_.options(context);
  if (reply.how != OriginReply::How::answered) return without_answer(Transaction::retrieve, reply);
  if (reply.status == 502 || reply.status == 503 || reply.status == 504) {
    return Outcome::unreachable(Transaction::retrieve, mapping::NetworkEvent::none,
                                fmt::format("HTTP status {}", reply.status));
  }
  return Outcome::answered(status::success);
}

std::string UserAgent::Impl::path(const Uid& mpps) const {
  return client_.base().path + std::string(performed) + mpps.text();
}

mapping::Result<OriginReply> UserAgent::Impl::post_update(const Uid& mpps,
                                                          const DataSet& modifications,
                                                          const Context& context) {
  const auto post_to = [&](bool by_path) {
    return client_.post(path(mpps) + (by_path ? "/update" : "?update"), modifications, context);
  };
  const auto unknown_there = [](const mapping::Result<OriginReply>& one) {
    return answered(one) && (one.value().status == 404 || one.value().status == 405);
  };
  const bool path_first = update_uri_ == UpdateUri::path || path_worked_;
  auto reply = post_to(path_first);
  if (update_uri_ != UpdateUri::query_then_path || !unknown_there(reply)) return reply;
  auto other = post_to(!path_first);
  if (unknown_there(other)) return reply;
  if (answered(other) && other.value().status / 100 == 2) path_worked_ = !path_first;
  return other;
}

/// Without patient data: UIDs of steps, like those of studies, stay out of the log too.
void UserAgent::Impl::note(Transaction transaction, const Context& context,
                           std::string_view what) const {
  constexpr std::string_view names[] = {"search", "create", "update", "retrieve"};
  log_(LogLevel::warn,
       fmt::format("tx={} {} at {}: {}", context.transaction,
                   names[static_cast<std::size_t>(transaction)], client_.base().host, what));
}

/// What is odd about a success, and done for all that.
void UserAgent::Impl::note_remarks(Transaction transaction, const OriginReply& reply,
                                   const Context& context) const {
  if (reply.status == 202) {
    note(transaction, context, "answered 202 Accepted, which is taken for done");
  }
  if (transaction == Transaction::update && reply.status == 201) {
    note(transaction, context, "answered 201 Created: the server seems to ignore update");
  }
  const bool unknown_warning =
      std::any_of(reply.warnings.begin(), reply.warnings.end(), [&](const std::string& warning) {
        return mapping::from_warning(transaction, warning_text(warning)) == status::success;
      });
  // Its text may hold anything, so it is not repeated.
  if (unknown_warning) note(transaction, context, "a Warning says something not in PS3.18");
}

// --- Create: mapping.md, 2b ---------------------------------------------------------------------

Outcome UserAgent::Impl::create(const Uid& mpps, const DataSet& attributes,
                                const Context& context) {
  const auto posted = client_.post(path(mpps), attributes, context);
  if (!posted) return unwritable(posted.fault());
  const OriginReply& reply = posted.value();
  if (nothing_was_sent(reply)) return without_answer(Transaction::create, reply);
  return reply.how == OriginReply::How::answered
             ? created(mpps, attributes, reply, reply.repeated, context)
             : settle_create(mpps, attributes, reply, context);
}

/// An answer came. repeated: to a request that was not the first of its kind.
Outcome UserAgent::Impl::created(const Uid& mpps, const DataSet& attributes,
                                 const OriginReply& reply, bool repeated, const Context& context) {
  const Outcome outcome = outcome_of(Transaction::create, reply);
  if (outcome.good()) note_remarks(Transaction::create, reply, context);
  Outcome seen;
  const bool ours = repeated && outcome.status == status::duplicate_sop_instance &&
                    is_there(mpps, attributes, seen, context);
  return ours ? Outcome::answered(status::success) : outcome;  // an earlier one arrived after all
}

/// Whether the server has the step as we created it. seen: the outcome of the Retrieve.
bool UserAgent::Impl::is_there(const Uid& mpps, const DataSet& attributes, Outcome& seen,
                               const Context& context) {
  using mapping::tags::PerformedProcedureStepID;
  using mapping::tags::PerformedProcedureStepStatus;
  DataSet found;
  seen = retrieve(mpps, {PerformedProcedureStepStatus, PerformedProcedureStepID}, found, context,
                  false);
  return seen.good() && mapping::is_just_created(attributes, found);
}

/// Sent, and no answer: a Retrieve shows whether it was done.
Outcome UserAgent::Impl::settle_create(const Uid& mpps, const DataSet& attributes,
                                       const OriginReply& lost, const Context& context) {
  note(Transaction::create, context, "no answer came; asking whether it was done");
  Outcome seen;
  if (is_there(mpps, attributes, seen, context)) return Outcome::answered(status::success);
  const bool unknown_there =
      seen.how == Outcome::How::answered && seen.status == status::no_such_sop_instance;
  if (!unknown_there) return without_answer(Transaction::create, lost);

  note(Transaction::create, context, "it was not done; sending it once more");
  const auto again = client_.post(path(mpps), attributes, context);
  if (!answered(again)) return without_answer(Transaction::create, lost);
  return created(mpps, attributes, again.value(), true, context);
}

// --- Update: mapping.md, 3b ---------------------------------------------------------------------

Outcome UserAgent::Impl::update(const Uid& mpps, const DataSet& modifications,
                                const Context& context) {
  const auto posted = post_update(mpps, modifications, context);
  if (!posted) return unwritable(posted.fault());
  const OriginReply& reply = posted.value();
  if (nothing_was_sent(reply)) return without_answer(Transaction::update, reply);
  return reply.how == OriginReply::How::answered
             ? updated(mpps, modifications, reply, reply.repeated, context)
             : settle_update(mpps, modifications, reply, context);
}

/// An answer came. repeated: to a request that was not the first of its kind.
Outcome UserAgent::Impl::updated(const Uid& mpps, const DataSet& modifications,
                                 const OriginReply& reply, bool repeated, const Context& context) {
  const Outcome outcome = outcome_of(Transaction::update, reply);
  if (outcome.good()) note_remarks(Transaction::update, reply, context);
  if (reply.status != 409) return outcome;
  return repeated ? conflict_after_repeat(mpps, modifications, outcome, context)
                  : conflict_of_update(mpps, outcome, context);
}

/// A conflict is most often with the step's state: F.7.2-2 has words of its own for a final one.
Outcome UserAgent::Impl::conflict_of_update(const Uid& mpps, Outcome conflict,
                                            const Context& context) {
  if (conflict.error_id || conflict.status != status::processing_failure) return conflict;
  DataSet found;
  const Outcome seen =
      retrieve(mpps, {mapping::tags::PerformedProcedureStepStatus}, found, context, false);
  const bool final = seen.good() && mapping::is_final(found);
  return final ? Outcome::may_no_longer_be_updated() : conflict;
}

Outcome UserAgent::Impl::settle_update(const Uid& mpps, const DataSet& modifications,
                                       const OriginReply& lost, const Context& context) {
  note(Transaction::update, context, "no answer came; asking whether it was done");
  DataSet found;
  const Outcome seen = retrieve(mpps, tags_of(modifications), found, context, false);
  if (seen.good() && mapping::holds_modifications(found, modifications))
    return Outcome::answered(status::success);
  if (seen.how != Outcome::How::answered) return without_answer(Transaction::update, lost);

  // Replacing twice is replacing once: sequences are set whole (rule F21).
  note(Transaction::update, context, "it was not done; sending it once more");
  const auto again = post_update(mpps, modifications, context);
  if (!answered(again)) return without_answer(Transaction::update, lost);
  return updated(mpps, modifications, again.value(), true, context);
}

/// Perhaps it was our own earlier Update that made the step final.
Outcome UserAgent::Impl::conflict_after_repeat(const Uid& mpps, const DataSet& modifications,
                                               const Outcome& conflict, const Context& context) {
  DataSet found;
  if (!retrieve(mpps, {}, found, context, false).good()) return conflict;
  if (mapping::became_final_by(modifications, found)) return Outcome::answered(status::success);
  return mapping::is_final(found) ? Outcome::may_no_longer_be_updated() : conflict;
}

// --- Retrieve: mapping.md, 4b -------------------------------------------------------------------

/// Read-only, so a server that was not there or kept silent is asked once more.
OriginReply UserAgent::Impl::get_patiently(const std::string& target, const Context& context,
                                           bool cancellable) {
  using How = OriginReply::How;
  OriginReply reply = client_.get(target, context, cancellable);
  const bool again =
      (reply.how == How::not_sent && reply.event == mapping::NetworkEvent::connect_failed) ||
      (reply.how == How::no_answer && reply.event == mapping::NetworkEvent::response_timeout);
  if (!again) return reply;
  OriginReply second = client_.get(target, context, cancellable);
  // What was not sent for want of time says nothing new.
  return second.how == How::not_sent ? reply : second;
}

Outcome UserAgent::Impl::retrieve(const Uid& mpps, const mapping::AttributeList& attributes,
                                  DataSet& found, const Context& context, bool cancellable) {
  mapping::AttributeList asked = attributes;  // rule A30: the character set is no attribute here
  std::erase(asked, mapping::tags::SpecificCharacterSet);
  const std::string query = mapping::write_retrieve_query(asked);
  const OriginReply reply =
      get_patiently(path(mpps) + (query.empty() ? "" : "?" + query), context, cancellable);
  if (reply.how != OriginReply::How::answered) return without_answer(Transaction::retrieve, reply);
  Outcome outcome = outcome_of(Transaction::retrieve, reply);
  if (!outcome.good()) return outcome;

  const Outcome nothing_there = Outcome::answered(status::no_such_sop_instance);
  if (is_blank(reply.body)) return nothing_there;
  if (!holds_results(reply)) {
    return unreadable(Transaction::retrieve, "The origin server answered in no DICOM model");
  }
  std::vector<DataSet> objects;
  const auto take = [&](DataSet&& object) {
    objects.push_back(std::move(object));
    return objects.size() < 2;
  };
  const auto read = read_results(reply, take, client_.max_response_bytes());
  if (!read || objects.size() > 1) {
    return unreadable(Transaction::retrieve, "The answer of the origin server cannot be read");
  }
  if (objects.empty()) return nothing_there;
  found = std::move(objects.front());
  std::erase_if(asked, [&](Tag tag) { return found.view().find(tag).has_value(); });
  if (asked.empty()) return outcome;
  if (outcome.status == status::success) {  // F.8.2-2
    outcome.status = status::requested_optional_attributes_not_supported;
  } else if (outcome.status == status::requested_optional_attributes_not_supported) {
    // The server says so itself, and which they are is seen.
    outcome.status = status::attribute_list_error;
    outcome.attributes = std::move(asked);
  }
  return outcome;
}

// ------------------------------------------------------------------------------------------------

namespace {

mapping::Result<std::vector<BaseUri>> parse_redirect_origins(const UserAgentOptions& options) {
  std::vector<BaseUri> servers;
  for (const std::string& origin : options.redirect_origins) {
    auto uri = parse_base_uri(origin);
    const bool path = uri.ok() && !uri.value().path.empty();
    if (!uri || path) {
      return Fault{
          Fault::Kind::invalid_value,
          "redirect_origins: " + (path ? "an origin must have no path" : uri.fault().what)};
    }
    servers.push_back(std::move(uri).value());
  }
  return servers;
}

}  // namespace

mapping::Result<bool> UserAgent::check(const UserAgentOptions& options) {
  const auto base = parse_base_uri(options.base_uri);
  if (!base) return Fault{base.fault().kind, "base_uri: " + base.fault().what};
  const auto redirects = parse_redirect_origins(options);
  if (!redirects) return redirects.fault();
  return Credentials::check(options.credentials, base.value());
}

mapping::Result<std::unique_ptr<UserAgent>> UserAgent::make(UserAgentOptions options,
                                                            mapping::Log log) {
  if (const auto checked = check(options); !checked) return checked.fault();
  OriginClientOptions client;
  client.model = options.xml ? Model::xml : Model::json;
  client.redirect_servers = parse_redirect_origins(options).value();
  OriginConnectionsOptions& connections = client.connections;
  connections.base = parse_base_uri(options.base_uri).value();
  connections.max_connections = options.max_connections;
  connections.connect_timeout = options.connect_timeout;
  connections.response_timeout = options.response_timeout;
  connections.max_response_bytes = options.max_response_bytes;
  if (connections.base.tls) {
    auto made = TlsContext::for_client(options.tls);
    if (!made) return made.fault();
    connections.tls = std::move(made).value();
  }
  if (!client.redirect_servers.empty()) {
    auto made = TlsContext::for_client({"", "", options.tls.trusted});
    if (!made) return made.fault();
    client.redirect_tls = std::move(made).value();
  }
  options.credentials.oauth.connect_timeout = options.connect_timeout;
  options.credentials.oauth.response_timeout = options.response_timeout;
  auto credentials = Credentials::make(options.credentials, connections.base, log);
  if (!credentials) return credentials.fault();
  return std::unique_ptr<UserAgent>(new UserAgent(
      std::make_unique<Impl>(options, std::move(client), std::move(credentials).value(), log)));
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

Outcome UserAgent::probe(const Context& context) { return impl_->probe(context); }

mapping::PoolState UserAgent::pool() const { return impl_->pool(); }

}  // namespace web
