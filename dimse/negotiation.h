// Association establishment, both roles: A-ASSOCIATE-RQ, -AC and -RJ. PS3.8, 7.1 and 9.3. DCMTK's
// dcmnet writes and reads these PDUs, over our transport; only the files behind this header meet
// it. Once an association stands, nothing of DCMTK is left of it: association.h goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dimse/transport.h"
#include "mapping/outcome.h"
#include "mapping/wire.h"

namespace dimse {

/// An accepted presentation context.
struct PresentationContext {
  std::uint8_t id = 0;
  std::string abstract_syntax;
  mapping::TransferSyntax transfer_syntax = mapping::TransferSyntax::implicit_vr_little_endian;
};

/// What both sides agreed on.
struct Negotiated {
  std::string calling_ae_title, called_ae_title;  ///< trimmed (rule H11)
  std::vector<PresentationContext> contexts;
  std::uint32_t peer_max_pdu_bytes = 0;  ///< 0 = no limit
  std::uint32_t max_pdu_bytes = 16384;   ///< ours
  std::string peer_implementation;       ///< version name or class UID, for logs
  bool fuzzy_matching = false;           ///< of names in the Modality Worklist. PS3.4, K.5.1
};

/// User Identity sub-item of an A-ASSOCIATE-RQ. PS3.7, D.3.3.7; rule H10.
struct UserIdentity {
  enum class Type : std::uint8_t { user = 1, passcode = 2, kerberos = 3, saml = 4, jwt = 5 };
  Type type = Type::user;
  std::string primary{};   ///< user name, ticket, assertion or token
  std::string passcode{};  ///< with Type::passcode only
};

/// A-ASSOCIATE-RJ. PS3.8, 9.3.4; rules H1, H2.
struct Rejection {
  std::uint8_t result = 1, source = 1, reason = 1;
  bool operator==(const Rejection&) const = default;
};
namespace rejection {
inline constexpr Rejection application_context{1, 1, 2};
inline constexpr Rejection calling_ae_title{1, 1, 3};
inline constexpr Rejection called_ae_title{1, 1, 7};
inline constexpr Rejection user_identity{1, 2, 1};  ///< mapping.md, 5a
inline constexpr Rejection local_limit_exceeded{2, 3, 2};
}  // namespace rejection
std::string to_string(const Rejection& rejection);

/// What an acceptor makes of a request. Transfer syntaxes are chosen here, in this order: Explicit
/// VR Little Endian, Implicit VR Little Endian, Explicit VR Big Endian.
struct Decision {
  std::optional<Rejection> rejection;
  std::string why;                                  ///< of the rejection, for the log
  std::vector<std::string_view> abstract_syntaxes;  ///< accepted ones
  bool fuzzy_matching = false;                      ///< agree to it where it is proposed
};
struct AssociationRequest {
  std::string calling_ae_title, called_ae_title;
  std::optional<UserIdentity> user;
};
using Decide = std::function<Decision(const AssociationRequest&)>;

struct AcceptResult {
  enum class Kind {
    accepted,
    rejected,   ///< as decided, or for its application context or protocol version
    no_dicom,   ///< the first bytes are no A-ASSOCIATE-RQ
    vanished,   ///< closed before a word was said: a load balancer's probe
    timed_out,  ///< no whole A-ASSOCIATE-RQ in time
    failed      ///< broken request or connection
  };
  Kind kind = Kind::failed;
  std::string why;  ///< one line for the log, no patient data
  Negotiated negotiated;
};

/// Reads an A-ASSOCIATE-RQ and answers it. decide is called once the whole request is here. Never
/// throws. max_pdu_bytes: 4096 to 131072.
AcceptResult accept_association(Transport& transport, std::uint32_t max_pdu_bytes,
                                Transport::Clock::time_point deadline, const Decide& decide);

struct ProposedAssociation {
  std::string calling_ae_title, called_ae_title;
  std::vector<std::string_view> abstract_syntaxes;  ///< a context each, explicit and implicit
  std::uint32_t max_pdu_bytes = 16384;
  bool fuzzy_matching = false;  ///< propose it
  std::optional<UserIdentity> user{};
};

struct RequestResult {
  mapping::NetworkEvent event = mapping::NetworkEvent::none;  ///< none = accepted
  std::string why;
  Negotiated negotiated;
  /// Contexts that were refused, by abstract syntax: abstract_ or transfer_syntax_refused.
  std::vector<std::pair<std::string, mapping::NetworkEvent>> refused;
};

/// Proposes an association and waits for the answer. Never throws.
RequestResult request_association(Transport& transport, const ProposedAssociation& proposed,
                                  Transport::Clock::time_point deadline);

}  // namespace dimse
