// How a transaction ended: the DIMSE status with its fields, and how that came about.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/tag.h"

namespace mapping {

/// The four transactions, under the names PS3.18 gives them. C-FIND, N-CREATE, N-SET, N-GET.
enum class Transaction : std::uint8_t { search, create, update, retrieve };

/// DIMSE status words. PS3.7, Annex C; PS3.4, K.4-1, F.7.2-2, F.8.2-2.
namespace dimse_status {
inline constexpr std::uint16_t success = 0x0000;
inline constexpr std::uint16_t requested_optional_attributes_not_supported = 0x0001;
inline constexpr std::uint16_t no_such_attribute = 0x0105;
inline constexpr std::uint16_t invalid_attribute_value = 0x0106;
inline constexpr std::uint16_t attribute_list_error = 0x0107;
inline constexpr std::uint16_t processing_failure = 0x0110;
inline constexpr std::uint16_t duplicate_sop_instance = 0x0111;
inline constexpr std::uint16_t no_such_sop_instance = 0x0112;
inline constexpr std::uint16_t attribute_value_out_of_range = 0x0116;
inline constexpr std::uint16_t invalid_sop_instance = 0x0117;
inline constexpr std::uint16_t no_such_sop_class = 0x0118;
inline constexpr std::uint16_t class_instance_conflict = 0x0119;
inline constexpr std::uint16_t missing_attribute = 0x0120;
inline constexpr std::uint16_t missing_attribute_value = 0x0121;
inline constexpr std::uint16_t sop_class_not_supported = 0x0122;
inline constexpr std::uint16_t not_authorized = 0x0124;
inline constexpr std::uint16_t duplicate_invocation = 0x0210;
inline constexpr std::uint16_t unrecognized_operation = 0x0211;
inline constexpr std::uint16_t mistyped_argument = 0x0212;
inline constexpr std::uint16_t resource_limitation = 0x0213;
inline constexpr std::uint16_t out_of_resources = 0xA700;
inline constexpr std::uint16_t data_set_does_not_match_sop_class = 0xA900;
// Private values of this gateway's C-FIND SCP; any Cxxx is legal. mapping.md, global rule 5.
inline constexpr std::uint16_t upstream_client_error = 0xC001;
inline constexpr std::uint16_t upstream_server_error = 0xC002;
inline constexpr std::uint16_t upstream_answer_unreadable = 0xC003;
inline constexpr std::uint16_t character_set_not_supported = 0xC004;
inline constexpr std::uint16_t aborted_after_partial_results = 0xC005;
inline constexpr std::uint16_t upstream_refused_authorization = 0xC006;
inline constexpr std::uint16_t redirect_denied = 0xC007;
inline constexpr std::uint16_t cancel = 0xFE00;
inline constexpr std::uint16_t pending = 0xFF00;
inline constexpr std::uint16_t pending_optional_keys_not_supported = 0xFF01;
/// Error ID, never a status: the step is final. PS3.4, F.7.2.2.3.
inline constexpr std::uint16_t error_id_may_no_longer_be_updated = 0xA710;
}  // namespace dimse_status

/// The class of a status word. Unknown words are sorted by range. PS3.7, Annex C.
enum class StatusClass : std::uint8_t { success, pending, cancel, warning, failure };
StatusClass classify(std::uint16_t dimse_status);

/// What happened on the network. mapping.md, 5a.
enum class NetworkEvent : std::uint8_t {
  none,
  connect_failed,           ///< TCP refused, no route, DNS failure, connect timeout
  tls_failed,               ///< handshake or certificate
  rejected_transient,       ///< A-ASSOCIATE-RJ, result 2
  rejected_permanent,       ///< A-ASSOCIATE-RJ, result 1
  user_identity_refused,    ///< A-ASSOCIATE-RJ after a user identity was sent
  abstract_syntax_refused,  ///< presentation context result 3: SOP class not offered
  transfer_syntax_refused,  ///< presentation context result 4, 1 or 2
  acse_timeout,             ///< no A-ASSOCIATE-AC in time
  busy,                     ///< no free association or connection before the deadline
  response_timeout,         ///< sent, and no whole answer in time
  connection_lost,          ///< A-ABORT, TCP close, release in mid operation
  protocol_error,           ///< invalid PDU, wrong Message ID, broken HTTP
  unreadable_answer,        ///< the answer's data set or body cannot be decoded
  shutting_down,            ///< this gateway is stopping
};

/// One transaction's end. A value.
struct Outcome {
  enum class How : std::uint8_t {
    answered,     ///< the peer (or the embedded store) answered with this status
    unreachable,  ///< nothing was sent to the peer; repeating is safe
    unknown,      ///< sent, and no usable answer came: it may or may not have been done
    local,        ///< this gateway's own verdict, before anything was sent
  };

  How how = How::answered;
  NetworkEvent event = NetworkEvent::none;  ///< for unreachable and unknown
  /// The DIMSE status a modality is told, whatever kind of peer answered.
  std::uint16_t status = dimse_status::success;
  std::string error_comment;  ///< ASCII, at most 64 characters, no patient data
  std::optional<std::uint16_t> error_id;
  /// Offending tags, or the Attribute Identifier List, as the status has it.
  std::vector<Tag> attributes;
  /// A refusal for now: how long the peer wants to be left alone (HTTP's Retry-After).
  std::optional<std::chrono::seconds> retry_after;
  /// Search: matching that was asked for and not done. rule A16
  bool fuzzy_matching_ignored = false;
  bool empty_value_matching_ignored = false;
  bool multiple_value_matching_ignored = false;
  /// Search: matches that had to be left out because they could not be read. mapping.md, 1a
  std::size_t dropped_matches = 0;
  /// Search: worklists that failed while others answered, where a partial answer is allowed.
  std::size_t failed_worklists = 0;

  static Outcome answered(std::uint16_t status, std::string_view error_comment = {});
  static Outcome local(std::uint16_t status, std::string_view error_comment,
                       std::vector<Tag> attributes = {});
  /// The status is the one mapping.md 5b gives this transaction: A700 for C-FIND, 0213 otherwise.
  static Outcome unreachable(Transaction transaction, NetworkEvent event,
                             std::string_view error_comment);
  /// A700 for a C-FIND that timed out, C003 for an unreadable answer or lost connection, 0110 for
  /// the others.
  static Outcome unknown(Transaction transaction, NetworkEvent event,
                         std::string_view error_comment);
  /// F.7.2.2.3: 0110 with the prescribed Error Comment and Error ID A710.
  static Outcome may_no_longer_be_updated();

  StatusClass status_class() const { return classify(status); }
  /// Performed: success or warning.
  bool good() const {
    return status_class() == StatusClass::success || status_class() == StatusClass::warning;
  }
};

/// Makes text fit Error Comment: printable ASCII only (others become ?), at most 64 characters.
/// rule G12
std::string to_error_comment(std::string_view text);

}  // namespace mapping
