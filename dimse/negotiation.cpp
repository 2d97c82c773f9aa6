// The border to dcmnet. DCMTK wants to accept and connect by itself; its transport layer is a
// factory, so the factory here hands out our transport instead of the socket that DCMTK opened:
//  - as acceptor DCMTK is given, once and for all, one end of a dummy connection as "external
//    socket", on which it sets options and which it never reads;
//  - as requestor it connects to a dummy listener on the loopback; that connection is reset at
//  once.
// The real connection was made by listener.cpp or connector.cpp: with IPv6, deadlines, a free
// choice of addresses, and the peer's true address (LIBRARY-NOTES, DCMTK 3.6.7: network).
#include "dimse/negotiation.h"

#include <arpa/inet.h>
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/cond.h>
#include <dcmtk/dcmnet/dcmlayer.h>
#include <dcmtk/dcmnet/dcmtrans.h>
#include <dcmtk/dcmnet/dul.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <stdexcept>

#include "dimse/associate_pdu.h"
#include "dimse/descriptor.h"
#include "dimse/library.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using Status = Transport::Status;
using mapping::NetworkEvent;
using mapping::TransferSyntax;

constexpr std::uint32_t max_associate_pdu = 256u << 10;  // as in library.cpp
constexpr std::uint32_t smallest_pdu = 64;  // less holds no command of ours in any sane way
constexpr int library_timeout = 24 * 3600;  // seconds; our deadlines come first

/// What DCMTK's state machine reads and writes through while it negotiates.
class TransportAdapter : public DcmTransportConnection {
 public:
  TransportAdapter(DcmNativeSocketType placeholder, Transport& transport,
                   Transport::Clock::time_point deadline, Descriptor owned)
      : DcmTransportConnection(placeholder),
        transport_(transport),
        deadline_(deadline),
        owned_(std::move(owned)) {}

  OFCondition serverSideHandshake() override { return EC_Normal; }
  OFCondition clientSideHandshake() override { return EC_Normal; }
  OFCondition renegotiate(const char*) override { return EC_Normal; }
  ssize_t read(void* buffer, size_t count) override {
    auto status = transport_.fill(1, deadline_);
    if (status != Status::ok) return status == Status::closed ? 0 : -1;
    auto got = transport_.input().substr(0, count);
    std::copy(got.begin(), got.end(), static_cast<char*>(buffer));
    transport_.consume(got.size());
    return static_cast<ssize_t>(got.size());
  }
  ssize_t write(void* buffer, size_t count) override {
    transport_.write({static_cast<const char*>(buffer), count});
    return static_cast<ssize_t>(count);
  }
  void close() override {}
  void closeTransportConnection() override {}
  unsigned long getPeerCertificateLength() override { return 0; }
  unsigned long getPeerCertificate(void*, unsigned long) override { return 0; }
  OFBool networkDataAvailable(int) override {
    return !transport_.input().empty() || transport_.wait(deadline_) == Transport::Wait::readable;
  }
  OFBool isTransparentConnection() override { return OFTrue; }
  OFString& dumpConnectionParameters(OFString& out) override { return out = "modgate"; }

 private:
  Transport& transport_;
  const Transport::Clock::time_point deadline_;
  const Descriptor owned_;  ///< the placeholder, where DCMTK opened it
};

/// What the next createConnection of this thread is to hand out.
struct Pending {
  Transport* transport = nullptr;
  Transport::Clock::time_point deadline;
};
thread_local Pending pending;

sockaddr_in loopback() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Descriptor listen_on_loopback(sockaddr_in& address) {
  Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  address = loopback();
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!listener || ::bind(listener.get(), generic, size) != 0 ||
      ::listen(listener.get(), 128) != 0 || ::getsockname(listener.get(), generic, &size) != 0) {
    throw std::runtime_error("no socket on the loopback interface");
  }
  return listener;
}

/// Closes by reset, so that no TIME_WAIT piles up.
void reset_waiting(int listener) {
  for (;;) {
    Descriptor accepted(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted) return;
    linger at_once{1, 0};
    ::setsockopt(accepted.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
}

class AcceptingLayer : public DcmTransportLayer {
 public:
  DcmTransportConnection* createConnection(DcmNativeSocketType placeholder, OFBool) override {
    return new TransportAdapter(placeholder, *pending.transport, pending.deadline, {});
  }
};

class RequestingLayer : public DcmTransportLayer {
 public:
  explicit RequestingLayer(int listener) : listener_(listener) {}
  DcmTransportConnection* createConnection(DcmNativeSocketType placeholder, OFBool) override {
    reset_waiting(listener_);
    return new TransportAdapter(placeholder, *pending.transport, pending.deadline,
                                Descriptor(placeholder));
  }

 private:
  const int listener_;
};

T_ASC_Network* open_network(T_ASC_NetworkRole role, DcmTransportLayer& layer) {
  T_ASC_Network* network = nullptr;
  OFCondition condition = ASC_initializeNetwork(role, 0, library_timeout, &network);
  if (condition.good()) condition = ASC_setTransportLayer(network, &layer, 0);
  if (condition.bad()) throw std::runtime_error(condition.text());
  return network;
}

/// Both networks of DCMTK, made on first use and kept for ever.
class Networks {
 public:
  static Networks& get() {
    static Networks& networks = *new Networks;
    return networks;
  }
  T_ASC_Network* acceptor() const { return acceptor_; }
  T_ASC_Network* requestor() const { return requestor_; }
  const std::string& dummy_address() const { return dummy_address_; }

 private:
  Networks() {
    set_up_library();
    sockaddr_in address;
    dummy_listener_ = listen_on_loopback(address);
    requesting_ = std::make_unique<RequestingLayer>(dummy_listener_.get());
    dummy_address_ = fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
    near_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(near_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("no connection on the loopback interface");
    }
    far_ = Descriptor(::accept4(dummy_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    dcmExternalSocketHandle.set(near_.get());
    acceptor_ = open_network(NET_ACCEPTOR, accepting_);
    requestor_ = open_network(NET_REQUESTOR, *requesting_);
  }

  Descriptor dummy_listener_, near_, far_;
  std::string dummy_address_;
  AcceptingLayer accepting_;
  std::unique_ptr<RequestingLayer> requesting_;
  T_ASC_Network* acceptor_ = nullptr;
  T_ASC_Network* requestor_ = nullptr;
};

/// Owns DCMTK's association while it negotiates; dropping it leaves our transport alone.
class LibraryAssociation {
 public:
  LibraryAssociation() = default;
  LibraryAssociation(const LibraryAssociation&) = delete;
  LibraryAssociation& operator=(const LibraryAssociation&) = delete;
  ~LibraryAssociation() {
    if (association_ == nullptr) return;
    if (association_->DULassociation != nullptr) ASC_dropAssociation(association_);
    ASC_destroyAssociation(&association_);
  }
  T_ASC_Association** out() { return &association_; }
  T_ASC_Association* get() const { return association_; }
  T_ASC_Parameters* parameters() const { return association_->params; }

 private:
  T_ASC_Association* association_ = nullptr;
};

std::string trimmed(std::string_view title) {
  auto first = title.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return std::string(title.substr(first, title.find_last_not_of(' ') - first + 1));
}

Negotiated read_parameters(T_ASC_Parameters* parameters, std::uint32_t max_pdu_bytes) {
  Negotiated negotiated;
  const auto& dul = parameters->DULparams;
  negotiated.calling_ae_title = trimmed(dul.callingAPTitle);
  negotiated.called_ae_title = trimmed(dul.calledAPTitle);
  negotiated.peer_max_pdu_bytes = static_cast<std::uint32_t>(dul.peerMaxPDU);
  negotiated.max_pdu_bytes = max_pdu_bytes;
  negotiated.peer_implementation = parameters->theirImplementationVersionName;
  const int count = ASC_countPresentationContexts(parameters);
  for (int i = 0; i < count; ++i) {
    T_ASC_PresentationContext context;
    if (ASC_getPresentationContext(parameters, i, &context).bad()) continue;
    auto syntax = mapping::transfer_syntax_of(context.acceptedTransferSyntax);
    if (context.resultReason != ASC_P_ACCEPTANCE || !syntax) continue;
    negotiated.contexts.push_back({context.presentationContextID, context.abstractSyntax, *syntax});
  }
  return negotiated;
}

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

/// Rule H6: never more than the peer takes; one that takes nothing cannot be spoken to.
bool takes_too_little(const T_ASC_Parameters& parameters) {
  const auto most = parameters.DULparams.peerMaxPDU;
  return most != 0 && most < smallest_pdu;
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
  std::uint32_t length = 0;
  if (status == Status::ok) {
    for (std::size_t i = 2; i < 6; ++i) length = length << 8 | static_cast<unsigned char>(input[i]);
    if (length > max_associate_pdu) {
      return failed(Kind::failed, "the A-ASSOCIATE-RQ is too long");
    }
    status = transport.fill(6u + length, deadline);
  }
  if (status == Status::timed_out) return failed(Kind::timed_out, "no A-ASSOCIATE-RQ in time");
  if (status == Status::closed) return failed(Kind::failed, "closed in its A-ASSOCIATE-RQ");
  if (!is_well_formed_associate(transport.input().substr(6, length))) {
    return failed(Kind::failed, "broken A-ASSOCIATE-RQ");
  }
  return std::nullopt;
}

Decision decide_on(const T_ASC_Parameters& parameters, const Decide& decide) {
  if (std::string_view(parameters.DULparams.applicationContextName) !=
      DICOM_STDAPPLICATIONCONTEXT) {
    return {rejection::application_context, "application context not supported", {}};
  }
  if (takes_too_little(parameters)) return {Rejection{}, "maximum PDU length too small", {}};
  return decide(
      {trimmed(parameters.DULparams.callingAPTitle), trimmed(parameters.DULparams.calledAPTitle)});
}

AcceptResult accept_by_library(Transport& transport, std::uint32_t max_pdu_bytes,
                               Transport::Clock::time_point deadline, const Decide& decide) {
  using Kind = AcceptResult::Kind;
  LibraryAssociation association;
  pending = {&transport, deadline};
  OFCondition condition = ASC_receiveAssociation(Networks::get().acceptor(), association.out(),
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
  condition = answer_contexts(parameters, decision.abstract_syntaxes);
  if (condition.good()) condition = ASC_acknowledgeAssociation(association.get());
  if (condition.bad()) return failed(Kind::failed, condition.text());
  if (transport.flush(deadline) != Status::ok) return failed(Kind::failed, "connection lost");
  return {Kind::accepted, {}, read_parameters(parameters, max_pdu_bytes)};
}

OFCondition propose(T_ASC_Parameters* parameters, const ProposedAssociation& proposed) {
  OFCondition condition = ASC_setAPTitles(parameters, proposed.calling_ae_title.c_str(),
                                          proposed.called_ae_title.c_str(), nullptr);
  if (condition.good()) {
    condition = ASC_setPresentationAddresses(parameters, "localhost",
                                             Networks::get().dummy_address().c_str());
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
  return condition;
}

std::pair<NetworkEvent, std::string> explain_rejection(T_ASC_Parameters* parameters) {
  T_ASC_RejectParameters given;
  if (ASC_getRejectParameters(parameters, &given).bad()) {
    return {NetworkEvent::rejected_permanent, "association rejected"};
  }
  Rejection rejection{static_cast<std::uint8_t>(given.result),
                      static_cast<std::uint8_t>(given.source),
                      static_cast<std::uint8_t>(given.reason & 0xFF)};
  auto event =
      rejection.result == 2 ? NetworkEvent::rejected_transient : NetworkEvent::rejected_permanent;
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

RequestResult explain_failure(OFCondition condition, T_ASC_Parameters* parameters,
                              Transport::Clock::time_point deadline) {
  RequestResult result;
  if (condition == DUL_ASSOCIATIONREJECTED) {
    std::tie(result.event, result.why) = explain_rejection(parameters);
  } else if (Transport::Clock::now() >= deadline) {
    result.event = NetworkEvent::acse_timeout;
    result.why = "no answer to the association request";
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
  pending = {&transport, deadline};
  condition = ASC_requestAssociation(Networks::get().requestor(), parameters, association.out());
  RequestResult result;
  if (condition.bad()) {
    result = explain_failure(condition, parameters, deadline);
    if (association.get() == nullptr) ASC_destroyAssociationParameters(&parameters);
    return result;
  }
  if (takes_too_little(*association.parameters())) {
    return {NetworkEvent::protocol_error, "maximum PDU length too small", {}, {}};
  }
  result.negotiated = read_parameters(parameters, proposed.max_pdu_bytes);
  read_refused(parameters, result);
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

AcceptResult accept_association(Transport& transport, std::uint32_t max_pdu_bytes,
                                Transport::Clock::time_point deadline, const Decide& decide) {
  try {
    if (auto result = await_request(transport, deadline)) return *std::move(result);
    return accept_by_library(transport, max_pdu_bytes, deadline, decide);
  } catch (const std::exception& error) {
    return failed(AcceptResult::Kind::failed, error.what());
  }
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
