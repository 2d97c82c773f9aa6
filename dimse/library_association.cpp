// The border to dcmnet, shared by both roles. DCMTK wants to accept and connect by itself; its
// transport layer is a factory, so the factory here hands out our transport instead of the socket
// that DCMTK opened:
//  - as acceptor DCMTK is given, once and for all, one end of a dummy connection as "external
//    socket", on which it sets options and which it never reads;
//  - as requestor it connects to a dummy listener on the loopback; that connection is reset at
//  once.
// The real connection was made by listener.cpp or connector.cpp: with IPv6, deadlines, a free
// choice of addresses, and the peer's true address.
#include "dimse/library_association.h"

#include <arpa/inet.h>
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/dcmlayer.h>
#include <dcmtk/dcmnet/dcmtrans.h>
#include <dcmtk/dcmnet/dul.h>
#include <dcmtk/dcmnet/extneg.h>
#include <dcmtk/ofstd/ofstd.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "dimse/associate_pdu.h"
#include "dimse/descriptor.h"
#include "dimse/library.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using Status = Transport::Status;

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
        owned_(std::move(owned)),
        unchecked_(owned_.get() >= 0) {}

  OFCondition serverSideHandshake() override { return EC_Normal; }
  OFCondition clientSideHandshake() override { return EC_Normal; }
  OFCondition renegotiate(const char*) override { return EC_Normal; }
  ssize_t read(void* buffer, size_t count) override {
    if (std::exchange(unchecked_, false)) refused_ = has_broken_answer(transport_, deadline_);
    if (refused_) return 0;  // as if closed
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
  const Descriptor owned_;  ///< the placeholder, where DCMTK opened it: as requestor
  bool unchecked_;          ///< the answer to our request is not yet looked at
  bool refused_ = false;
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

const SOPClassExtendedNegotiationSubItem* find_worklist_options(
    const SOPClassExtendedNegotiationSubItemList& items) {
  for (const auto* item : items) {
    if (mapping::uids::modality_worklist_find == item->sopClassUID.c_str()) return item;
  }
  return nullptr;
}

bool has_fuzzy_matching(const SOPClassExtendedNegotiationSubItemList& items) {
  const auto* item = find_worklist_options(items);
  return item != nullptr && item->serviceClassAppInfoLength >= 3 &&
         item->serviceClassAppInfo[2] == 1;
}

/// DCMTK's parameters own what they are given.
SOPClassExtendedNegotiationSubItemList* make_worklist_options(bool fuzzy_matching) {
  constexpr unsigned short size = 4;
  auto item = std::make_unique<SOPClassExtendedNegotiationSubItem>();
  item->sopClassUID = std::string(mapping::uids::modality_worklist_find).c_str();
  item->serviceClassAppInfo = new unsigned char[size]{1, 1, fuzzy_matching, 0};
  item->serviceClassAppInfoLength = size;
  auto items = std::make_unique<SOPClassExtendedNegotiationSubItemList>();
  items->push_back(item.release());
  return items.release();
}

}  // namespace

bool has_broken_answer(Transport& transport, Transport::Clock::time_point deadline) {
  if (transport.fill(6, deadline) != Status::ok || transport.input()[0] != 2) return false;
  const auto length = pdu_length(transport.input());
  if (length > max_associate_bytes) return true;
  if (transport.fill(6 + length, deadline) != Status::ok) return false;
  return !is_well_formed_associate(transport.input().substr(6, length));
}

std::size_t pdu_length(std::string_view pdu) {
  std::size_t length = 0;
  for (char byte : pdu.substr(2, 4)) length = length << 8 | static_cast<unsigned char>(byte);
  return length;
}

LibraryAssociation::~LibraryAssociation() {
  if (association_ == nullptr) return;
  if (association_->DULassociation != nullptr) ASC_dropAssociation(association_);
  ASC_destroyAssociation(&association_);
}

T_ASC_Parameters* LibraryAssociation::parameters() const { return association_->params; }

T_ASC_Network* acceptor_network() { return Networks::get().acceptor(); }
T_ASC_Network* requestor_network() { return Networks::get().requestor(); }
const std::string& dummy_address() { return Networks::get().dummy_address(); }

void expect_transport(Transport& transport, Transport::Clock::time_point deadline) {
  pending = {&transport, deadline};
}

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

void name_implementation(T_ASC_Parameters& parameters) {
  auto& dul = parameters.DULparams;
  for (auto* uid : {parameters.ourImplementationClassUID, dul.callingImplementationClassUID,
                    dul.calledImplementationClassUID}) {
    OFStandard::strlcpy(uid, implementation_class_uid.data(), sizeof(DIC_UI));
  }
  for (auto* name : {parameters.ourImplementationVersionName, dul.callingImplementationVersionName,
                     dul.calledImplementationVersionName}) {
    OFStandard::strlcpy(name, implementation_version_name.data(), sizeof(DIC_SH));
  }
}

void propose_fuzzy_matching(T_ASC_Parameters* parameters) {
  ASC_setRequestedExtNegList(parameters, make_worklist_options(true));
}

bool answer_fuzzy_matching(T_ASC_Parameters* parameters, bool agree) {
  SOPClassExtendedNegotiationSubItemList* proposed = nullptr;
  ASC_getRequestedExtNegList(parameters, &proposed);
  if (proposed == nullptr || find_worklist_options(*proposed) == nullptr) return false;
  const bool agreed = agree && has_fuzzy_matching(*proposed);
  ASC_setAcceptedExtNegList(parameters, make_worklist_options(agreed));
  return agreed;
}

bool is_fuzzy_matching_agreed(T_ASC_Parameters* parameters) {
  SOPClassExtendedNegotiationSubItemList* accepted = nullptr;
  ASC_getAcceptedExtNegList(parameters, &accepted);
  return accepted != nullptr && has_fuzzy_matching(*accepted);
}

bool takes_too_little(const T_ASC_Parameters& parameters) {
  const auto most = parameters.DULparams.peerMaxPDU;
  return most != 0 && most < smallest_pdu;
}

}  // namespace dimse
