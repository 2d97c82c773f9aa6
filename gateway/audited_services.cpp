// What is recorded is what happened: a request that never left is none.
#include "gateway/audited_services.h"

#include <fmt/format.h>

#include "mapping/tags.h"
#include "web/base_uri.h"
#include "web/resources.h"

namespace gateway {
namespace {

using mapping::Caller;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using Clock = std::chrono::system_clock;

/// CS. PS3.5, 6.2
constexpr std::size_t longest_code_string = 16;

AuditParticipant participant(const Caller& caller) {
  AuditParticipant asker;
  asker.user_id = caller.name.empty() ? caller.address : caller.name;
  if (caller.protocol == Caller::Protocol::dimse) asker.ae_title = caller.name;
  asker.access_point = caller.address;
  return asker;
}

/// The resource that a Search asks.
std::string scheduled_below(std::string base) {
  while (base.ends_with('/')) base.pop_back();
  return base.append(web::scheduled);
}

AuditOutcome audited(const Outcome& outcome) {
  return {outcome.how, outcome.status, outcome.error_comment};
}

bool was_issued(const Outcome& outcome) {
  return outcome.how == Outcome::How::answered || outcome.how == Outcome::How::unknown;
}

/// A backend that is not who it should be, or takes us for nobody it knows. mapping.md, 5a
void alert_of(const Outcome& outcome, const AuditPlace& place, AuditTrail& trail) {
  if (!place.backend) return;
  const bool refused = outcome.event == NetworkEvent::tls_failed ||
                       outcome.event == NetworkEvent::rejected_permanent ||
                       outcome.event == NetworkEvent::user_identity_refused;
  if (!refused) return;
  AuditedAlert alert;
  alert.type = audit_code::node_authentication;
  alert.description = "Toward a backend: " + outcome.error_comment;
  alert.reporter = trail.self(place.ae_title);
  alert.performer = place.backend;
  alert.node = place.backend->access_point;
  alert.time = Clock::now();
  trail.record(std::move(alert));
}

}  // namespace

AuditPlace audit_place(const BackendConfig& backend) {
  AuditPlace place;
  AuditParticipant& peer = place.backend.emplace();
  if (const auto* scu = std::get_if<dimse::ScuOptions>(&backend.options)) {
    peer.user_id = peer.ae_title = scu->ae_title;
    peer.access_point = scu->host;
    place.ae_title = scu->calling_ae_title;
  } else if (const auto* agent = std::get_if<web::UserAgentOptions>(&backend.options)) {
    const auto base = web::parse_base_uri(agent->base_uri);
    peer.user_id = agent->base_uri;
    if (base) peer.access_point = base.value().host;
    place.resource = scheduled_below(agent->base_uri);
  }
  return place;
}

AuditPlace audit_place(const Config& config) {
  AuditPlace place;
  if (config.dimse) place.ae_title = config.dimse->options.ae_title;
  if (config.web) place.resource = scheduled_below(config.web->options.base_path);
  return place;
}

Outcome AuditedWorklist::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                                const mapping::Context& context) {
  const AuditTime begun = Clock::now();
  Outcome outcome = inner_.search(search, on_match, context);
  if (!trail_.on()) return outcome;
  alert_of(outcome, place_, trail_);
  if (place_.backend && !was_issued(outcome)) return outcome;
  AuditedQuery query;
  query.time = begun;
  if (place_.backend) {
    query.source = trail_.self(place_.ae_title);
    query.destination = *place_.backend;
    query.asker = participant(context.caller);
    query.resource = place_.resource;
  } else {
    const bool web = context.caller.protocol == Caller::Protocol::web;
    query.source = participant(context.caller);
    query.destination = trail_.self(web ? std::string() : place_.ae_title);
    if (web) query.resource = place_.resource;
  }
  query.search = search;
  query.outcome = audited(outcome);
  trail_.record(std::move(query));
  return outcome;
}

Outcome AuditedMpps::create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                            const mapping::Context& context) {
  const AuditTime begun = Clock::now();
  Outcome outcome = inner_.create(mpps, attributes, context);
  record(Transaction::create, mpps, attributes, outcome, context, begun);
  return outcome;
}

Outcome AuditedMpps::update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                            const mapping::Context& context) {
  const AuditTime begun = Clock::now();
  Outcome outcome = inner_.update(mpps, modifications, context);
  record(Transaction::update, mpps, modifications, outcome, context, begun);
  return outcome;
}

Outcome AuditedMpps::retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                              mapping::DataSet& found, const mapping::Context& context) {
  const AuditTime begun = Clock::now();
  Outcome outcome = inner_.retrieve(mpps, attributes, found, context);
  record(Transaction::retrieve, mpps, outcome.good() ? found.view() : mapping::DataSetView(),
         outcome, context, begun);
  return outcome;
}

void AuditedMpps::record(Transaction transaction, const mapping::Uid& mpps,
                         mapping::DataSetView attributes, const Outcome& outcome,
                         const mapping::Context& context, AuditTime begun) const {
  if (!trail_.on()) return;
  alert_of(outcome, place_, trail_);
  if (place_.backend && !was_issued(outcome)) return;
  const bool web = context.caller.protocol == Caller::Protocol::web;
  AuditParticipant caller = participant(context.caller);
  AuditParticipant self = trail_.self(!place_.backend && web ? std::string() : place_.ae_title);
  AuditedProcedure procedure{
      .transaction = transaction,
      .mpps = mpps,
      .state = std::string(attributes.text(mapping::tags::PerformedProcedureStepStatus)
                               .substr(0, longest_code_string)),
      .step = AuditedStep::of(attributes),
      .user = place_.backend ? self : std::move(caller),
      .process = place_.backend ? *place_.backend : self,
      .outcome = audited(outcome),
      .time = begun};
  trail_.record(std::move(procedure));
}

}  // namespace gateway
