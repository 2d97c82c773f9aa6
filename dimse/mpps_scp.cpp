// The three operations of an MPPS: arguments checked, service called, response with the fields that
// its status may carry. Whether an attribute may be here is the service's to judge, not the
// front's.
#include "dimse/mpps_scp.h"

#include <algorithm>

#include "mapping/return_keys.h"
#include "mapping/status.h"
#include "mapping/tags.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using mapping::DataSet;
using mapping::Outcome;
using mapping::Tag;
using mapping::Transaction;
using mapping::Uid;
namespace status = mapping::dimse_status;
namespace tags = mapping::tags;

/// 0106 for a character set that cannot be read (mapping.md, 5b), 0110 for anything else.
Outcome refuse(const mapping::Fault& fault) {
  if (fault.kind != mapping::Fault::Kind::character_set) {
    return Outcome::local(status::processing_failure, fault.what);
  }
  auto attributes = fault.attributes;
  if (attributes.empty()) attributes.push_back(tags::SpecificCharacterSet);
  return Outcome::local(status::invalid_attribute_value, fault.what, std::move(attributes));
}

bool is_one_of(const std::vector<Tag>& list, Tag tag) {
  return std::find(list.begin(), list.end(), tag) != list.end();
}

/// Some modalities send the SOP Common attributes, which N-CREATE and N-SET do not have.
mapping::Result<DataSet> without_sop_common(const DataSet& sent) {
  const auto view = sent.view();
  if (!view.find(tags::SOPClassUID) && !view.find(tags::SOPInstanceUID)) return sent;
  mapping::DataSetBuilder builder;
  for (const auto& element : view) {
    if (element.tag != tags::SOPClassUID && element.tag != tags::SOPInstanceUID) {
      builder.add(element);
    }
  }
  return builder.build();
}

/// The data set of the request, or why it is refused.
mapping::Result<DataSet> read_attributes(ScpPeer& peer, const Message& request) {
  if (!request.command.has_data_set()) {
    return mapping::Fault{mapping::Fault::Kind::malformed, "no data set in the request", {}};
  }
  auto sent = peer.read(request);
  if (!sent) return sent;
  return without_sop_common(sent.value());
}

/// What a response names: the attributes at fault as the request had them. PS3.7, C.5.11, C.5.14.
std::string encode_offending(const ScpPeer& peer, const Message& request, const DataSet& sent,
                             Transaction transaction, const Outcome& outcome) {
  if (!mapping::response_fields(transaction, outcome.status).data_set) return {};
  mapping::DataSetBuilder builder;
  for (const auto& element : sent.view()) {
    if (is_one_of(outcome.attributes, element.tag)) builder.add(element);
  }
  auto offending = builder.build();
  if (!offending || offending.value().empty()) return {};
  const auto* context = peer.association.context(request.context_id);
  auto encoded =
      mapping::write_data_set(offending.value(), context->transfer_syntax, peer.write_options());
  return encoded ? std::move(encoded).value() : std::string();
}

bool respond(ScpPeer& peer, const Message& request, Transaction transaction, const Outcome& outcome,
             std::string_view sop_instance, std::string_view data_set) {
  const auto* context = peer.association.context(request.context_id);
  auto response = response_to(request.command, outcome.status);
  add_response_fields(response, transaction, outcome, context->abstract_syntax,
                      Uid::parse(sop_instance) ? sop_instance : std::string_view());
  return peer.respond(request, std::move(response), data_set);
}

/// The SOP class of the command must be the context's; some leave it out. mapping.md, 5b. What was
/// offered when the context was accepted may have ended since.
std::optional<Outcome> check_class(const ScpPeer& peer, const Message& request,
                                   std::string_view sop_class) {
  if (peer.services.mpps == nullptr) {
    return Outcome::local(status::no_such_sop_class, "no longer offered");
  }
  const auto* context = peer.association.context(request.context_id);
  if (sop_class.empty() || sop_class == context->abstract_syntax) return std::nullopt;
  return Outcome::local(status::no_such_sop_class, "SOP class is not the context's");
}

/// Requested UIDs (rule F13); a few devices send the Affected ones instead.
std::string_view requested_instance(const Command& command) {
  return command.requested_sop_instance.empty() ? command.affected_sop_instance
                                                : command.requested_sop_instance;
}
std::string_view requested_class(const Command& command) {
  return command.requested_sop_class.empty() ? command.affected_sop_class
                                             : command.requested_sop_class;
}

Outcome invalid_instance() {
  return Outcome::local(status::invalid_sop_instance, "no valid SOP Instance UID");
}

/// An outcome that a response may carry: a service has no business with pending.
Outcome final_outcome(Outcome outcome) {
  const auto kind = outcome.status_class();
  if (kind == mapping::StatusClass::pending || kind == mapping::StatusClass::cancel) {
    return Outcome::local(status::processing_failure, "no final status");
  }
  return outcome;
}

Outcome create(const ScpPeer& peer, const Message& request, const mapping::Result<DataSet>& sent,
               ScpTransaction& transaction, std::string& sop_instance) {
  if (auto refused = check_class(peer, request, request.command.affected_sop_class)) {
    return *refused;
  }
  if (sop_instance.empty()) sop_instance = Uid::generate().text();  // rule F15
  const auto mpps = Uid::parse(sop_instance);
  if (!mpps) return invalid_instance();
  if (!sent) return refuse(sent.fault());
  return transaction.run(status::processing_failure, [&] {
    return peer.services.mpps->create(*mpps, sent.value(), transaction.context());
  });
}

Outcome update(const ScpPeer& peer, const Message& request, const mapping::Result<DataSet>& sent,
               ScpTransaction& transaction) {
  if (auto refused = check_class(peer, request, requested_class(request.command))) return *refused;
  const auto mpps = Uid::parse(requested_instance(request.command));
  if (!mpps) return invalid_instance();
  if (!sent) return refuse(sent.fault());
  return transaction.run(status::processing_failure, [&] {
    return peer.services.mpps->update(*mpps, sent.value(), transaction.context());
  });
}

Outcome retrieve(const ScpPeer& peer, const Message& request, ScpTransaction& transaction,
                 DataSet& found) {
  if (auto refused = check_class(peer, request, requested_class(request.command))) return *refused;
  const auto mpps = Uid::parse(requested_instance(request.command));
  if (!mpps) return invalid_instance();
  return transaction.run(status::processing_failure, [&] {
    return peer.services.mpps->retrieve(*mpps, request.command.attribute_identifier_list, found,
                                        transaction.context());
  });
}

}  // namespace

bool answer_n_create(ScpPeer& peer, const Message& request) {
  ScpTransaction transaction(peer, "N-CREATE", nullptr);
  auto sop_instance = request.command.affected_sop_instance;
  const auto sent = read_attributes(peer, request);
  auto outcome = final_outcome(create(peer, request, sent, transaction, sop_instance));
  transaction.log(outcome.status);
  auto data_set = sent ? encode_offending(peer, request, sent.value(), Transaction::create, outcome)
                       : std::string();
  return respond(peer, request, Transaction::create, outcome, sop_instance, data_set);
}

bool answer_n_set(ScpPeer& peer, const Message& request) {
  ScpTransaction transaction(peer, "N-SET", nullptr);
  const auto sent = read_attributes(peer, request);
  auto outcome = final_outcome(update(peer, request, sent, transaction));
  transaction.log(outcome.status);
  auto data_set = sent ? encode_offending(peer, request, sent.value(), Transaction::update, outcome)
                       : std::string();
  return respond(peer, request, Transaction::update, outcome, requested_instance(request.command),
                 data_set);
}

bool answer_n_get(ScpPeer& peer, const Message& request) {
  PeerCancellation cancellation(peer.association, *request.command.message_id);
  ScpTransaction transaction(peer, "N-GET", &cancellation);
  DataSet found;
  auto outcome = final_outcome(retrieve(peer, request, transaction, found));
  std::string encoded;
  if (outcome.good()) {
    const auto* context = peer.association.context(request.context_id);
    const auto asked =
        mapping::prune_to_attributes(found, request.command.attribute_identifier_list);
    auto written = mapping::write_data_set(asked, context->transfer_syntax, peer.write_options());
    if (written) encoded = std::move(written).value();
    if (!written) {
      outcome = Outcome::local(status::processing_failure, written.fault().what);
    }
  }
  transaction.log(outcome.status);
  return respond(peer, request, Transaction::retrieve, outcome, requested_instance(request.command),
                 encoded);
}

}  // namespace dimse
