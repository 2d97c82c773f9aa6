#include "web/user_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mapping/query.h"
#include "mapping/tags.h"
#include "web/base_uri.h"
#include "web/origin_client.h"
#include "web/paged_search.h"
#include "web/result_reader.h"

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

Outcome unwritable(const Fault& fault) {
  return Outcome::local(status::invalid_attribute_value, fault.what, fault.attributes);
}

bool answered(const mapping::Result<OriginReply>& reply) {
  return reply.ok() && reply.value().how == OriginReply::How::answered;
}

}  // namespace

class UserAgent::Impl {
 public:
  Impl(UserAgentOptions options, BaseUri base, std::shared_ptr<const TlsContext> tls,
       mapping::Log log);

  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const Context& context) {
    const auto page_size = std::max<std::uint64_t>(options_.page_size, 1);
    return PagedSearch(client_, search, on_match, page_size).run(context);
  }
  Outcome create(const Uid& mpps, const DataSet& attributes, const Context& context);
  Outcome update(const Uid& mpps, const DataSet& modifications, const Context& context);
  Outcome retrieve(const Uid& mpps, const mapping::AttributeList& attributes, DataSet& found,
                   const Context& context, bool cancellable = true);

 private:
  Outcome settle_create(const Uid& mpps, const DataSet& attributes, const OriginReply& lost,
                        const Context& context);
  Outcome settle_update(const Uid& mpps, const DataSet& modifications, const OriginReply& lost,
                        const Context& context);
  Outcome conflict_of_update(const Uid& mpps, Outcome conflict, const Context& context);
  std::string path(const Uid& mpps) const;
  std::string update_target(const Uid& mpps) const;
  void note(Transaction transaction, const Context& context, std::string_view what) const;

  const UserAgentOptions options_;
  const mapping::Log log_;
  OriginClient client_;
};

UserAgent::Impl::Impl(UserAgentOptions options, BaseUri base, std::shared_ptr<const TlsContext> tls,
                      mapping::Log log)
    : options_(std::move(options)),
      log_(std::move(log)),
      client_({.base = std::move(base),
               .tls = std::move(tls),
               .max_connections = options_.max_connections,
               .connect_timeout = options_.connect_timeout,
               .response_timeout = options_.response_timeout,
               .max_response_bytes = options_.max_response_bytes},
              options_.xml ? Model::xml : Model::json, log_) {}

std::string UserAgent::Impl::path(const Uid& mpps) const {
  return client_.base().path + std::string(performed) + mpps.text();
}

std::string UserAgent::Impl::update_target(const Uid& mpps) const {
  return path(mpps) + (options_.update_path ? "/update" : "?update");
}

/// Without patient data: UIDs of steps, like those of studies, stay out of the log too.
void UserAgent::Impl::note(Transaction transaction, const Context& context,
                           std::string_view what) const {
  constexpr std::string_view names[] = {"search", "create", "update", "retrieve"};
  log_(LogLevel::warn,
       fmt::format("tx={} {} at {}: {}", context.transaction,
                   names[static_cast<std::size_t>(transaction)], client_.base().host, what));
}

// --- Create: mapping.md, 2b ---------------------------------------------------------------------

Outcome UserAgent::Impl::create(const Uid& mpps, const DataSet& attributes,
                                const Context& context) {
  const auto posted = client_.post(path(mpps), attributes, context);
  if (!posted) return unwritable(posted.fault());
  const OriginReply& reply = posted.value();
  if (reply.how == OriginReply::How::answered) return outcome_of(Transaction::create, reply);
  if (reply.how == OriginReply::How::not_sent) return without_answer(Transaction::create, reply);
  return settle_create(mpps, attributes, reply, context);
}

/// Sent, and no answer: a Retrieve shows whether it was done.
Outcome UserAgent::Impl::settle_create(const Uid& mpps, const DataSet& attributes,
                                       const OriginReply& lost, const Context& context) {
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
  const auto again = client_.post(path(mpps), attributes, context);
  if (!answered(again)) return without_answer(Transaction::create, lost);
  const Outcome outcome = outcome_of(Transaction::create, again.value());
  // The first one arrived after all.
  if (outcome.status == status::duplicate_sop_instance && is_there(seen)) {
    return Outcome::answered(status::success);
  }
  return outcome;
}

// --- Update: mapping.md, 3b ---------------------------------------------------------------------

Outcome UserAgent::Impl::update(const Uid& mpps, const DataSet& modifications,
                                const Context& context) {
  const auto posted = client_.post(update_target(mpps), modifications, context);
  if (!posted) return unwritable(posted.fault());
  const OriginReply& reply = posted.value();
  if (reply.how == OriginReply::How::not_sent) return without_answer(Transaction::update, reply);
  if (reply.how != OriginReply::How::answered) {
    return settle_update(mpps, modifications, reply, context);
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
                                       const OriginReply& lost, const Context& context) {
  note(Transaction::update, context, "no answer came; asking whether it was done");
  DataSet found;
  const Outcome seen = retrieve(mpps, tags_of(modifications), found, context, false);
  if (seen.good() && holds(found, modifications)) return Outcome::answered(status::success);
  if (seen.how != Outcome::How::answered) return without_answer(Transaction::update, lost);

  // Replacing twice is replacing once: sequences are set whole (rule F21).
  note(Transaction::update, context, "it was not done; sending it once more");
  const auto again = client_.post(update_target(mpps), modifications, context);
  if (!answered(again)) return without_answer(Transaction::update, lost);
  const Outcome outcome = outcome_of(Transaction::update, again.value());
  if (again.value().status != 409) return outcome;
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
      client_.get(path(mpps) + (query.empty() ? "" : "?" + query), context, cancellable);
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
  std::shared_ptr<const TlsContext> tls;
  if (base.tls) {
    auto made = TlsContext::for_client(options.tls);
    if (!made) return made.fault();
    tls = std::move(made).value();
  }
  return std::unique_ptr<UserAgent>(new UserAgent(
      std::make_unique<Impl>(std::move(options), std::move(base), std::move(tls), std::move(log))));
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
