// The acceptor: an A-ASSOCIATE-RQ is read, judged and answered.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/cond.h>
#include <dcmtk/dcmnet/dcuserid.h>
#include <dcmtk/dcmnet/dul.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>

#include "dimse/associate_pdu.h"
#include "dimse/library_association.h"
#include "dimse/negotiation.h"

namespace dimse {
namespace {

using Status = Transport::Status;
using mapping::TransferSyntax;

bool proposes(const T_ASC_PresentationContext& context, TransferSyntax syntax) {
  const auto* begin = context.proposedTransferSyntaxes;
  return std::any_of(begin, begin + context.transferSyntaxCount,
                     [&](const char* uid) { return mapping::to_uid(syntax) == uid; });
}

/// Rule H3: 3 for an unknown abstract syntax, 4 for no transfer syntax in common. Rule H8: we are
/// never the SCU here.
OFCondition answer_context(T_ASC_Parameters* parameters, const T_ASC_PresentationContext& context,
                           const std::vector<std::string_view>& abstract_syntaxes) {
  auto known = std::find(abstract_syntaxes.begin(), abstract_syntaxes.end(),
                         std::string_view(context.abstractSyntax));
  auto refuse = [&](T_ASC_P_ResultReason reason) {
    return ASC_refusePresentationContext(parameters, context.presentationContextID, reason);
  };
  if (known == abstract_syntaxes.end()) return refuse(ASC_P_ABSTRACTSYNTAXNOTSUPPORTED);
  if (context.proposedRole == ASC_SC_ROLE_SCP) return refuse(ASC_P_USERREJECTION);
  auto role = context.proposedRole == ASC_SC_ROLE_DEFAULT ? ASC_SC_ROLE_DEFAULT : ASC_SC_ROLE_SCU;
  for (auto syntax :
       {TransferSyntax::explicit_vr_little_endian, TransferSyntax::implicit_vr_little_endian,
        TransferSyntax::explicit_vr_big_endian}) {
    if (!proposes(context, syntax)) continue;
    return ASC_acceptPresentationContext(parameters, context.presentationContextID,
                                         std::string(mapping::to_uid(syntax)).c_str(), role);
  }
  return refuse(ASC_P_TRANSFERSYNTAXESNOTSUPPORTED);
}

OFCondition answer_contexts(T_ASC_Parameters* parameters,
                            const std::vector<std::string_view>& abstract_syntaxes) {
  const int count = ASC_countPresentationContexts(parameters);
  for (int i = 0; i < count; ++i) {
    T_ASC_PresentationContext context;
    OFCondition condition = ASC_getPresentationContext(parameters, i, &context);
    if (condition.good()) condition = answer_context(parameters, context, abstract_syntaxes);
    if (condition.bad()) return condition;
  }
  return EC_Normal;
}

/// A positive response, where one was asked for, has no content but for Kerberos and SAML, which
/// nobody checks here.
void acknowledge_user(T_ASC_Parameters* parameters) {
  UserIdentityNegotiationSubItemRQ* item = nullptr;
  ASC_getUserIdentRQ(parameters, &item);
  if (item == nullptr || !item->isPosResponseRequested()) return;
  auto answer = std::make_unique<UserIdentityNegotiationSubItemAC>();
  answer->setServerResponse("", 0);
  parameters->DULparams.ackUserIdentNeg = answer.release();  // ASC_setIdentAC does not exist
}

void reject(T_ASC_Association* association, const Rejection& rejection) {
  T_ASC_RejectParameters parameters;
  parameters.result = static_cast<T_ASC_RejectParametersResult>(rejection.result);
  parameters.source = static_cast<T_ASC_RejectParametersSource>(rejection.source);
  parameters.reason =
      static_cast<T_ASC_RejectParametersReason>(rejection.source << 8 | rejection.reason);
  ASC_rejectAssociation(association, &parameters);
}

/// What a first burst that is no A-ASSOCIATE-RQ looks like.
std::string_view guess_protocol(std::string_view first) {
  for (std::string_view method : {"GET ", "POST", "HEAD", "PUT ", "OPTI", "DELE"}) {
    if (first.starts_with(method)) return "HTTP";
  }
  if (first.starts_with("\x16\x03")) return "a TLS client hello";
  if (first.starts_with("SSH-")) return "SSH";
  if (!first.empty() && first[0] >= 0x02 && first[0] <= 0x07) return "another PDU";
  return "something unknown";
}

AcceptResult failed(AcceptResult::Kind kind, std::string_view why) {
  return {kind, std::string(why), {}};
}

/// An AE title without a character: DCMTK would refuse the request too, and leak it. rule H11
std::optional<AcceptResult> reject_empty_title(Transport& transport, std::string_view body,
                                               Transport::Clock::time_point deadline) {
  constexpr std::size_t called = 4, calling = 20, size = 16;
  const auto is_empty = [&](std::size_t at) {
    const auto title = body.substr(at, size);
    return title.substr(0, title.find('\0')).find_first_not_of(' ') == std::string_view::npos;
  };
  if (!is_empty(called) && !is_empty(calling)) return std::nullopt;
  const auto& refusal = is_empty(called) ? rejection::called_ae_title : rejection::calling_ae_title;
  const char pdu[] = {3,
                      0,
                      0,
                      0,
                      0,
                      4,
                      0,
                      static_cast<char>(refusal.result),
                      static_cast<char>(refusal.source),
                      static_cast<char>(refusal.reason)};
  transport.write({pdu, sizeof pdu});
  transport.flush(deadline);
  return failed(AcceptResult::Kind::rejected, "AE title without a character");
}

/// Waits until the whole A-ASSOCIATE-RQ is in the transport's input; DCMTK then never waits.
std::optional<AcceptResult> await_request(Transport& transport,
                                          Transport::Clock::time_point deadline) {
  using Kind = AcceptResult::Kind;
  auto status = transport.fill(1, deadline);
  if (status == Status::ok && transport.input()[0] == 0x01) status = transport.fill(6, deadline);
  auto input = transport.input();
  if (status == Status::closed && input.empty()) {
    return failed(Kind::vanished, "closed without a word");
  }
  if (!input.empty() && input[0] != 0x01) {
    return failed(Kind::no_dicom, fmt::format("no DICOM: it looks like {}", guess_protocol(input)));
  }
  std::size_t length = 0;
  if (status == Status::ok) {
    length = pdu_length(input);
    if (length > max_associate_bytes) {
      return failed(Kind::failed, "the A-ASSOCIATE-RQ is too long");
    }
    status = transport.fill(6 + length, deadline);
  }
  if (status == Status::timed_out) return failed(Kind::timed_out, "no A-ASSOCIATE-RQ in time");
  if (status == Status::closed) return failed(Kind::failed, "closed in its A-ASSOCIATE-RQ");
  if (!is_well_formed_associate(transport.input().substr(6, length))) {
    return failed(Kind::failed, "broken A-ASSOCIATE-RQ");
  }
  return reject_empty_title(transport, transport.input().substr(6, length), deadline);
}

std::string take_field(char* bytes, Uint16 length) {
  const std::unique_ptr<char[]> owned(bytes);
  return bytes == nullptr ? std::string() : std::string(bytes, length);
}

std::optional<UserIdentity> read_user(T_ASC_Parameters& parameters) {
  UserIdentityNegotiationSubItemRQ* item = nullptr;
  ASC_getUserIdentRQ(&parameters, &item);
  if (item == nullptr) return std::nullopt;
  UserIdentity user;
  user.type = static_cast<UserIdentity::Type>(item->getIdentityType());
  char* bytes = nullptr;
  Uint16 length = 0;
  length = item->getPrimField(bytes, length);
  user.primary = take_field(bytes, length);
  bytes = nullptr;
  length = item->getSecField(bytes, length);
  user.passcode = take_field(bytes, length);
  return user;
}

Decision decide_on(T_ASC_Parameters& parameters, const Decide& decide) {
  if (std::string_view(parameters.DULparams.applicationContextName) !=
      DICOM_STDAPPLICATIONCONTEXT) {
    return {rejection::application_context, "application context not supported", {}};
  }
  if (takes_too_little(parameters)) return {Rejection{}, "maximum PDU length too small", {}};
  return decide({trimmed(parameters.DULparams.callingAPTitle),
                 trimmed(parameters.DULparams.calledAPTitle), read_user(parameters)});
}

AcceptResult accept_by_library(Transport& transport, std::uint32_t max_pdu_bytes,
                               Transport::Clock::time_point deadline, const Decide& decide) {
  using Kind = AcceptResult::Kind;
  LibraryAssociation association;
  expect_transport(transport, deadline);
  OFCondition condition = ASC_receiveAssociation(acceptor_network(), association.out(),
                                                 static_cast<long>(max_pdu_bytes), nullptr, nullptr,
                                                 OFFalse, DUL_BLOCK);
  if (condition == DUL_UNSUPPORTEDPEERPROTOCOL) {
    transport.flush(deadline);
    return failed(Kind::rejected, "protocol version not supported");
  }
  if (condition.bad()) return failed(Kind::failed, condition.text());
  auto* parameters = association.parameters();
  const Decision decision = decide_on(*parameters, decide);
  if (decision.rejection) {
    reject(association.get(), *decision.rejection);
    transport.flush(deadline);
    return failed(Kind::rejected, decision.why);
  }
  name_implementation(*parameters);
  const bool fuzzy_matching = answer_fuzzy_matching(parameters, decision.fuzzy_matching);
  acknowledge_user(parameters);
  condition = answer_contexts(parameters, decision.abstract_syntaxes);
  if (condition.good()) condition = ASC_acknowledgeAssociation(association.get());
  if (condition.bad()) return failed(Kind::failed, condition.text());
  if (transport.flush(deadline) != Status::ok) return failed(Kind::failed, "connection lost");
  AcceptResult result{Kind::accepted, {}, read_parameters(parameters, max_pdu_bytes)};
  result.negotiated.fuzzy_matching = fuzzy_matching;
  return result;
}

}  // namespace

AcceptResult accept_association(Transport& transport, std::uint32_t max_pdu_bytes,
                                Transport::Clock::time_point deadline, const Decide& decide) {
  try {
    if (auto result = await_request(transport, deadline)) return *std::move(result);
    return accept_by_library(transport, max_pdu_bytes, deadline, decide);
  } catch (const std::exception& error) {
    return failed(AcceptResult::Kind::failed, error.what());
  }
}

}  // namespace dimse
