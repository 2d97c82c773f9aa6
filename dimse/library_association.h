// What both roles of the negotiation share of dcmnet: its two networks, and its association while
// it is being negotiated. Internal to the negotiation: nothing else meets DCMTK's network.
#pragma once

#include <string>
#include <string_view>

#include "dimse/negotiation.h"
#include "dimse/transport.h"

struct T_ASC_Network;
struct T_ASC_Association;
struct T_ASC_Parameters;

namespace dimse {

/// Made on first use and kept for ever. They hand out the transport of expect_transport.
T_ASC_Network* acceptor_network();
T_ASC_Network* requestor_network();
/// Where a requestor is to say that it connects to.
const std::string& dummy_address();

/// The next association that this thread receives or requests goes over this transport.
void expect_transport(Transport& transport, Transport::Clock::time_point deadline);

/// The length field of a PDU whose header is here.
std::size_t pdu_length(std::string_view pdu);

/// Waits for the answer to an association request; true if it is an -AC that DCMTK must not see
/// (associate_pdu.h). It stays in the transport's input then.
bool has_broken_answer(Transport& transport, Transport::Clock::time_point deadline);

/// Owns DCMTK's association while it negotiates; dropping it leaves our transport alone.
class LibraryAssociation {
 public:
  LibraryAssociation() = default;
  LibraryAssociation(const LibraryAssociation&) = delete;
  LibraryAssociation& operator=(const LibraryAssociation&) = delete;
  ~LibraryAssociation();
  T_ASC_Association** out() { return &association_; }
  T_ASC_Association* get() const { return association_; }
  T_ASC_Parameters* parameters() const;

 private:
  T_ASC_Association* association_ = nullptr;
};

/// An AE title without the blanks around it. rule H11
std::string trimmed(std::string_view title);

Negotiated read_parameters(T_ASC_Parameters* parameters, std::uint32_t max_pdu_bytes);

/// Under which this program is known to its peers. PS3.7, D.3.3.2
inline constexpr std::string_view implementation_class_uid =
    "2.25.180354740498350953243325321135368477278";
inline constexpr std::string_view implementation_version_name = "MODGATE_010";
/// Puts both in place of DCMTK's own.
void name_implementation(T_ASC_Parameters& parameters);

/// The Service-class-application-information of the Modality Worklist: two reserved bytes, fuzzy
/// matching of names, timezone query adjustment, which is never ours. PS3.4, K.5.1; rule H9.
void propose_fuzzy_matching(T_ASC_Parameters* parameters);
/// Answers where it was asked: not to ask means literal matching. True if both want it.
bool answer_fuzzy_matching(T_ASC_Parameters* parameters, bool agree);
bool is_fuzzy_matching_agreed(T_ASC_Parameters* parameters);

/// Rule H6: never more than the peer takes; one that takes nothing cannot be spoken to.
bool takes_too_little(const T_ASC_Parameters& parameters);

}  // namespace dimse
