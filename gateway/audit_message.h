// Audit messages as XML: what happened, who took part, whose data it was about. PS3.15, A.5 (the
// schema of A.5.1, the conventions of A.5.2, the messages of A.5.3); rules I1 to I5. Pure: knows no
// collector and no clock. These messages name patients; nothing of them belongs into a log.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/data_set.h"
#include "mapping/outcome.h"
#include "mapping/services.h"
#include "mapping/uid.h"

namespace gateway {

/// A coded value; constant text.
struct AuditCode {
  std::string_view code, system, meaning;
};
namespace audit_code {
// Event IDs, types and roles. PS3.16, CID 400 to 403.
inline constexpr AuditCode application_activity{"110100", "DCM", "Application Activity"};
inline constexpr AuditCode application_start{"110120", "DCM", "Application Start"};
inline constexpr AuditCode application_stop{"110121", "DCM", "Application Stop"};
inline constexpr AuditCode query{"110112", "DCM", "Query"};
inline constexpr AuditCode procedure_record{"110111", "DCM", "Procedure Record"};
inline constexpr AuditCode security_alert{"110113", "DCM", "Security Alert"};
inline constexpr AuditCode node_authentication{"110126", "DCM", "Node Authentication"};
inline constexpr AuditCode software_configuration{"110131", "DCM", "Software Configuration"};
inline constexpr AuditCode restricted_function{"110132", "DCM", "Use of Restricted Function"};
inline constexpr AuditCode recording_stopped{"110133", "DCM", "Audit Recording Stopped"};
inline constexpr AuditCode recording_started{"110134", "DCM", "Audit Recording Started"};
inline constexpr AuditCode application{"110150", "DCM", "Application"};
inline constexpr AuditCode launcher{"110151", "DCM", "Application Launcher"};
inline constexpr AuditCode destination{"110152", "DCM", "Destination Role ID"};
inline constexpr AuditCode source{"110153", "DCM", "Source Role ID"};
// What an identifier of an object is.
inline constexpr AuditCode study_instance_uid{"110180", "DCM", "Study Instance UID"};
inline constexpr AuditCode sop_class_uid{"110181", "DCM", "SOP Class UID"};
inline constexpr AuditCode node_id{"110182", "DCM", "Node ID"};
inline constexpr AuditCode patient_number{"2", "RFC-3881", "Patient Number"};
inline constexpr AuditCode uri{"12", "RFC-3881", "URI"};
}  // namespace audit_code

using AuditTime = std::chrono::system_clock::time_point;
/// As in EventDateTime and RFC 5424: UTC, to the millisecond.
std::string to_text(AuditTime time);

/// An ActiveParticipant. A.5.2.1 to A.5.2.4.
struct AuditParticipant {
  std::string user_id;   ///< AE title, user, base URI, or a process id
  std::string ae_title;  ///< AlternativeUserID; empty = no DICOM application
  std::string name;      ///< UserName; empty = none
  bool requestor = false;
  std::optional<AuditCode> role;
  std::string access_point;  ///< numeric address or host name; empty = not known
};

/// Who writes the messages.
struct AuditSource {
  std::string id;    ///< AuditSourceID
  std::string site;  ///< AuditEnterpriseSiteID; empty = none
};

/// A ParticipantObjectIdentification.
struct AuditObject {
  std::string id;
  AuditCode id_type;
  bool person = false;    ///< otherwise a system object
  std::string_view role;  ///< ParticipantObjectTypeCodeRole: 1 patient, 3 report, 13 …
  std::string name;       ///< written where there is no query
  std::optional<std::string> query{};                               ///< bytes
  std::vector<std::pair<std::string_view, std::string>> details{};  ///< type, value
  std::string mpps{};                                               ///< UID; of a study
  std::string accession{};  ///< Accession Number; of a study
};

struct AuditMessage {
  AuditCode event;
  std::optional<AuditCode> type;
  char action = 'E';  ///< C R U D E
  int outcome = 0;    ///< 0 success, 4 minor, 8 serious failure, 12 major
  AuditTime time;
  std::string description{};                   ///< EventOutcomeDescription; empty = none
  std::vector<AuditParticipant> participants;  ///< one at least
  std::vector<AuditObject> objects{};
};

/// One line, well-formed whatever the texts hold: what XML cannot hold is U+FFFD, and values longer
/// than any of the standard's are cut.
std::string to_xml(const AuditMessage& message, const AuditSource& source);

// --- The messages of A.5.3 -----------------------------------------------------------------------

/// What is told of the end of a transaction.
struct AuditOutcome {
  mapping::Outcome::How how = mapping::Outcome::How::answered;
  std::uint16_t status = 0;
  std::string comment{};  ///< Error Comment
};

/// A.5.3.1. launcher: who started or stopped it; nothing if that is not known.
AuditMessage application_activity(bool start, AuditParticipant self,
                                  std::optional<AuditParticipant> launcher, AuditTime time);

/// A.5.3.10: one for each query received, and one for each issued.
struct AuditedQuery {
  AuditParticipant source, destination;
  std::optional<AuditParticipant> asker;  ///< for whom source asks
  mapping::Search search;
  /// Of the target resource, where it was asked by DICOMweb: the query is its URI then, and the
  /// identifier otherwise.
  std::optional<std::string> resource;
  AuditOutcome outcome;
  AuditTime time;
};
AuditMessage to_message(const AuditedQuery& query);

/// Whom a performed procedure step is about.
struct AuditedStep {
  struct Study {
    std::string uid, accession;
    bool operator==(const Study&) const = default;
  };
  std::string patient_id, patient_name;
  std::vector<Study> studies;    ///< different ones, at most max_studies of them
  std::size_t more_studies = 0;  ///< that had no room
  static constexpr std::size_t max_studies = 16;

  /// From the attributes of an MPPS; nothing if they name no patient, as those of an N-SET.
  static std::optional<AuditedStep> of(mapping::DataSetView attributes);
};

/// A.5.3.15: create, update, retrieve.
struct AuditedProcedure {
  mapping::Transaction transaction = mapping::Transaction::create;
  mapping::Uid mpps;
  std::string state;                ///< Performed Procedure Step Status, where it was named
  std::optional<AuditedStep> step;  ///< nothing: not named in this transaction
  AuditParticipant user, process;   ///< who asked, who did it
  AuditOutcome outcome;
  AuditTime time;
};
AuditMessage to_message(const AuditedProcedure& procedure);

/// A.5.3.11.
struct AuditedAlert {
  AuditCode type;
  int outcome = 4;          ///< 4: it was refused
  std::string description;  ///< one sentence
  AuditParticipant reporter;
  std::optional<AuditParticipant> performer;  ///< who did what is alerted of
  std::string node;                           ///< its address, or whose the alert is; empty: ours
  AuditTime time;
};
AuditMessage to_message(const AuditedAlert& alert);

}  // namespace gateway
