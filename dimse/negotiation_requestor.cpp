// The requestor: an A-ASSOCIATE-RQ is sent and its answer understood.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/cond.h>
#include <dcmtk/dcmnet/dcuserid.h>
#include <dcmtk/dcmnet/dul.h>
#include <fmt/format.h>

#include <exception>
#include <tuple>

#include "dimse/library_association.h"
#include "dimse/negotiation.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using mapping::NetworkEvent;

OFCondition propose_user(T_ASC_Parameters* parameters, const UserIdentity& user) {
  switch (user.type) {
    case UserIdentity::Type::passcode:
      return ASC_setIdentRQUserPassword(parameters, user.primary.c_str(), user.passcode.c_str(),
                                        OFFalse);
    case UserIdentity::Type::jwt:
      return ASC_setIdentRQJwt(parameters, user.primary.data(),
                               static_cast<Uint16>(user.primary.size()), OFFalse);
    default:
      return ASC_setIdentRQUserOnly(parameters, user.primary.c_str(), OFFalse);
  }
}

OFCondition propose(T_ASC_Parameters* parameters, const ProposedAssociation& proposed) {
  name_implementation(*parameters);
  OFCondition condition = ASC_setAPTitles(parameters, proposed.calling_ae_title.c_str(),
                                          proposed.called_ae_title.c_str(), nullptr);
  if (condition.good()) {
    condition = ASC_setPresentationAddresses(parameters, "localhost", dummy_address().c_str());
  }
  const std::string explicit_le(mapping::uids::explicit_vr_little_endian);
  const std::string implicit_le(mapping::uids::implicit_vr_little_endian);
  const char* syntaxes[] = {explicit_le.c_str(), implicit_le.c_str()};
  T_ASC_PresentationContextID id = 1;
  for (auto abstract_syntax : proposed.abstract_syntaxes) {
    if (condition.bad()) break;
    condition = ASC_addPresentationContext(parameters, id, std::string(abstract_syntax).c_str(),
                                           syntaxes, 2);
    id = static_cast<T_ASC_PresentationContextID>(id + 2);
  }
  if (proposed.fuzzy_matching) propose_fuzzy_matching(parameters);
  if (condition.good() && proposed.user) condition = propose_user(parameters, *proposed.user);
  return condition;
}

std::pair<NetworkEvent, std::string> explain_rejection(T_ASC_Parameters* parameters,
                                                       bool with_user) {
  T_ASC_RejectParameters given;
  if (ASC_getRejectParameters(parameters, &given).bad()) {
    return {NetworkEvent::rejected_permanent, "association rejected"};
  }
  Rejection rejection{static_cast<std::uint8_t>(given.result),
                      static_cast<std::uint8_t>(given.source),
                      static_cast<std::uint8_t>(given.reason & 0xFF)};
  auto event =
      rejection.result == 2 ? NetworkEvent::rejected_transient : NetworkEvent::rejected_permanent;
  if (with_user && rejection == rejection::user_identity) {
    event = NetworkEvent::user_identity_refused;
  }
  return {event, "association rejected: " + to_string(rejection)};
}

void read_refused(T_ASC_Parameters* parameters, RequestResult& result) {
  const int count = ASC_countPresentationContexts(parameters);
  for (int i = 0; i < count; ++i) {
    T_ASC_PresentationContext context;
    if (ASC_getPresentationContext(parameters, i, &context).bad()) continue;
    if (context.resultReason == ASC_P_ACCEPTANCE) continue;
    result.refused.emplace_back(context.abstractSyntax,
                                context.resultReason == ASC_P_ABSTRACTSYNTAXNOTSUPPORTED
                                    ? NetworkEvent::abstract_syntax_refused
                                    : NetworkEvent::transfer_syntax_refused);
  }
}

RequestResult explain_failure(OFCondition condition, T_ASC_Parameters* parameters, bool with_user,
                              Transport& transport, Transport::Clock::time_point deadline) {
  RequestResult result;
  if (condition == DUL_ASSOCIATIONREJECTED) {
    std::tie(result.event, result.why) = explain_rejection(parameters, with_user);
  } else if (Transport::Clock::now() >= deadline) {
    result.event = NetworkEvent::acse_timeout;
    result.why = "no answer to the association request";
  } else if (!transport.input().empty() && transport.input()[0] == 2) {  // kept from DCMTK
    result.event = NetworkEvent::protocol_error;
    result.why = "broken answer to the association request";
  } else if (condition == DUL_PEERABORTEDASSOCIATION || condition == DUL_NETWORKCLOSED) {
    result.event = NetworkEvent::connection_lost;
    result.why = "connection lost in the association request";
  } else {
    result.event = NetworkEvent::protocol_error;
    result.why = "broken answer to the association request";
  }
  return result;
}

RequestResult request_by_library(Transport& transport, const ProposedAssociation& proposed,
                                 Transport::Clock::time_point deadline) {
  T_ASC_Parameters* parameters = nullptr;
  ASC_createAssociationParameters(&parameters, static_cast<long>(proposed.max_pdu_bytes));
  OFCondition condition = propose(parameters, proposed);
  if (condition.bad()) {
    ASC_destroyAssociationParameters(&parameters);
    return {NetworkEvent::connect_failed, condition.text(), {}, {}};
  }
  LibraryAssociation association;
  expect_transport(transport, deadline);
  condition = ASC_requestAssociation(requestor_network(), parameters, association.out());
  RequestResult result;
  if (condition.bad()) {
    result = explain_failure(condition, parameters, proposed.user.has_value(), transport, deadline);
    if (association.get() == nullptr) ASC_destroyAssociationParameters(&parameters);
    return result;
  }
  if (takes_too_little(*association.parameters())) {
    return {NetworkEvent::protocol_error, "maximum PDU length too small", {}, {}};
  }
  result.negotiated = read_parameters(parameters, proposed.max_pdu_bytes);
  read_refused(parameters, result);
  result.negotiated.fuzzy_matching =
      proposed.fuzzy_matching && is_fuzzy_matching_agreed(parameters);
  return result;
}

}  // namespace

std::string to_string(const Rejection& rejection) {
  static constexpr struct {
    std::uint8_t source, reason;
    std::string_view text;
  } reasons[] = {{1, 1, "no reason given"},
                 {1, 2, "application context not supported"},
                 {1, 3, "calling AE title not recognized"},
                 {1, 7, "called AE title not recognized"},
                 {2, 1, "no reason given"},
                 {2, 2, "protocol version not supported"},
                 {3, 1, "temporary congestion"},
                 {3, 2, "local limit exceeded"}};
  for (const auto& known : reasons) {
    if (known.source == rejection.source && known.reason == rejection.reason) {
      return std::string(known.text);
    }
  }
  return fmt::format("source {} reason {}", rejection.source, rejection.reason);
}

RequestResult request_association(Transport& transport, const ProposedAssociation& proposed,
                                  Transport::Clock::time_point deadline) {
  try {
    return request_by_library(transport, proposed, deadline);
  } catch (const std::exception& error) {
    return {NetworkEvent::connect_failed, error.what(), {}, {}};
  }
}

}  // namespace dimse
