// The four messages, and their XML. Attributes and elements stand in the order of the schema.
#include "gateway/audit_message.h"

#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mapping/base64.h"
#include "mapping/query.h"
#include "mapping/tags.h"
#include "mapping/uids.h"
#include "mapping/wire.h"

namespace gateway {
namespace {

namespace tags = mapping::tags;
namespace uids = mapping::uids;
using mapping::Outcome;
using mapping::StatusClass;
using mapping::Transaction;

/// As it stands in the message; the standard's longest value, a name in three forms, is below it.
/// What a peer makes up must not make a message that no collector takes.
constexpr std::size_t max_value_bytes = 512;
/// UI, and SH in UTF-8. PS3.5, 6.2
constexpr std::size_t max_uid_bytes = 64, max_accession_bytes = 64;
/// Of a query, before Base64: with all the rest below the 32768 octets that every collector takes
/// (PS3.15, A.6).
constexpr std::size_t max_query_bytes = 16384;

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view person = "1", system_object = "2";
constexpr std::string_view patient_role = "1", report_role = "3", security_resource_role = "13";

/// The bytes of the character that text begins with, 0 if it is none. RFC 3629.
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) >= 0xA0;
  const bool too_high = first == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || too_high ? 0 : size;
}

/// What XML 1.0 cannot hold, even escaped. XML, 2.2.
bool is_forbidden(std::string_view character) {
  if (character.size() == 1) {
    const char c = character[0];
    return c < 0x20 && c != '\t' && c != '\n' && c != '\r';
  }
  return character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF";
}

/// One character as XML holds it, in an attribute too.
std::string_view escaped(std::string_view character, bool valid) {
  if (!valid || is_forbidden(character)) return replacement;
  switch (character[0]) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\t':  // as they are, a reader would take these for blanks
      return "&#9;";
    case '\n':
      return "&#10;";
    case '\r':
      return "&#13;";
    default:
      return character;
  }
}

void append_text(std::string_view text, std::string& out) {
  const std::size_t most = out.size() + max_value_bytes;
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(size, 1));
    const std::string_view form = escaped(character, size > 0);
    if (out.size() + form.size() > most) return;
    out += form;
    text.remove_prefix(character.size());
  }
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  Writer& open(std::string_view name) {
    out_.append("<").append(name);
    return *this;
  }
  Writer& attribute(std::string_view name, std::string_view value) {
    out_.append(" ").append(name).append("=\"");
    append_text(value, out_);
    out_ += '"';
    return *this;
  }
  Writer& optional(std::string_view name, std::string_view value) {
    return value.empty() ? *this : attribute(name, value);
  }
  void has_content() { out_ += '>'; }
  void end() { out_ += "/>"; }
  void close(std::string_view name) { out_.append("</").append(name).append(">"); }

  void code(std::string_view name, const AuditCode& code) {
    open(name).attribute("csd-code", code.code).attribute("codeSystemName", code.system);
    attribute("originalText", code.meaning).end();
  }
  void text(std::string_view name, std::string_view value) {
    open(name).has_content();
    append_text(value, out_);
    close(name);
  }

  void event(const AuditMessage& message);
  void participant(const AuditParticipant& participant);
  void object(const AuditObject& object);

 private:
  std::string& out_;
};

bool is_numeric_address(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::string_view yes_no(bool value) { return value ? "true" : "false"; }

void Writer::event(const AuditMessage& message) {
  open("EventIdentification").attribute("EventActionCode", {&message.action, 1});
  attribute("EventDateTime", to_text(message.time));
  attribute("EventOutcomeIndicator", std::to_string(message.outcome)).has_content();
  code("EventID", message.event);
  if (message.type) code("EventTypeCode", *message.type);
  if (!message.description.empty()) text("EventOutcomeDescription", message.description);
  close("EventIdentification");
}

void Writer::participant(const AuditParticipant& participant) {
  open("ActiveParticipant").attribute("UserID", participant.user_id);
  if (!participant.ae_title.empty()) {
    attribute("AlternativeUserID", "AETITLES=" + participant.ae_title);
  }
  optional("UserName", participant.name);
  attribute("UserIsRequestor", yes_no(participant.requestor));
  if (!participant.access_point.empty()) {
    const bool numeric = is_numeric_address(participant.access_point);
    attribute("NetworkAccessPointID", participant.access_point);
    attribute("NetworkAccessPointTypeCode", numeric ? "2" : "1");
  }
  if (!participant.role) return end();
  has_content();
  code("RoleIDCode", *participant.role);
  close("ActiveParticipant");
}

void Writer::object(const AuditObject& object) {
  open("ParticipantObjectIdentification").attribute("ParticipantObjectID", object.id);
  attribute("ParticipantObjectTypeCode", object.person ? person : system_object);
  attribute("ParticipantObjectTypeCodeRole", object.role).has_content();
  code("ParticipantObjectIDTypeCode", object.id_type);
  if (!object.query) {
    text("ParticipantObjectName", object.name);
  } else {
    open("ParticipantObjectQuery").has_content();
    mapping::append_base64(std::string_view(*object.query).substr(0, max_query_bytes), out_);
    close("ParticipantObjectQuery");
  }
  const auto detail = [&](std::string_view type, std::string_view value) {
    open("ParticipantObjectDetail").attribute("type", type);
    out_ += " value=\"";
    mapping::append_base64(value.substr(0, max_value_bytes), out_);
    out_ += '"';
    end();
  };
  for (const auto& [type, value] : object.details) detail(type, value);
  if (object.query && object.query->size() > max_query_bytes) {
    detail("QueryTruncated", fmt::format("{} of {} bytes", max_query_bytes, object.query->size()));
  }
  if (!object.mpps.empty()) {
    open("ParticipantObjectDescription").has_content();
    open("MPPS").attribute("UID", object.mpps).end();
    if (!object.accession.empty()) open("Accession").attribute("Number", object.accession).end();
    open("SOPClass").attribute("UID", uids::mpps).attribute("NumberOfInstances", "1").end();
    close("ParticipantObjectDescription");
  }
  close("ParticipantObjectIdentification");
}

/// 0, 4, or 8 where it is not known what came of it.
int indicator(const AuditOutcome& outcome) {
  const auto end = mapping::classify(outcome.status);
  if (end != StatusClass::failure) return 0;
  return outcome.how == Outcome::How::unreachable || outcome.how == Outcome::How::unknown ? 8 : 4;
}

std::string describe(const AuditOutcome& outcome) {
  std::string text = fmt::format("DIMSE status {:04X}", outcome.status);
  if (!outcome.comment.empty()) text += ": " + outcome.comment;
  return text;
}

AuditObject patient(std::string id, std::string name) {
  AuditObject object;
  object.id = std::move(id);
  object.id_type = audit_code::patient_number;
  object.person = true;
  object.role = patient_role;
  object.name = std::move(name);
  return object;
}

}  // namespace

std::string to_text(AuditTime time) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto since = duration_cast<milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)), since % 1000);
}

std::string to_xml(const AuditMessage& message, const AuditSource& source) {
  std::string xml = R"(<?xml version="1.0" encoding="UTF-8"?><AuditMessage>)";
  Writer writer(xml);
  writer.event(message);
  for (const AuditParticipant& participant : message.participants) writer.participant(participant);
  writer.open("AuditSourceIdentification").optional("AuditEnterpriseSiteID", source.site);
  writer.attribute("AuditSourceID", source.id).has_content();
  // An application server process. A.5.1.2.1
  writer.open("AuditSourceTypeCode").attribute("csd-code", "4").end();
  writer.close("AuditSourceIdentification");
  for (const AuditObject& object : message.objects) writer.object(object);
  writer.close("AuditMessage");
  return xml;
}

AuditMessage application_activity(bool start, AuditParticipant self,
                                  std::optional<AuditParticipant> launcher, AuditTime time) {
  AuditMessage message;
  message.event = audit_code::application_activity;
  message.type = start ? audit_code::application_start : audit_code::application_stop;
  message.time = time;
  self.role = audit_code::application;
  message.participants.push_back(std::move(self));
  if (launcher) {
    launcher->role = audit_code::launcher;
    launcher->requestor = true;
    message.participants.push_back(*std::move(launcher));
  }
  return message;
}

AuditMessage to_message(const AuditedQuery& query) {
  AuditMessage message;
  message.event = audit_code::query;
  message.time = query.time;
  message.outcome = indicator(query.outcome);
  message.description = describe(query.outcome);
  message.participants = {query.source, query.destination};
  message.participants[0].role = audit_code::source;
  message.participants[0].requestor = !query.asker;
  message.participants[1].role = audit_code::destination;
  if (query.asker) {
    message.participants.push_back(*query.asker);
    message.participants.back().requestor = true;
  }
  AuditObject object;
  object.role = report_role;
  if (query.resource) {
    object.id = *query.resource;
    object.id_type = audit_code::uri;
    const auto keys = mapping::write_search_query(query.search, {});
    object.query = *query.resource;
    if (keys && !keys.value().empty()) *object.query += "?" + keys.value();
  } else {
    constexpr auto syntax = mapping::TransferSyntax::explicit_vr_little_endian;
    object.id = uids::modality_worklist_find;
    object.id_type = audit_code::sop_class_uid;
    // It names its character set, since nobody who reads the audit trail knows ours.
    const auto identifier = mapping::write_data_set(query.search.identifier, syntax);
    object.query = identifier ? identifier.value() : std::string();
    object.details.emplace_back("TransferSyntax", mapping::to_uid(syntax));
  }
  message.objects.push_back(std::move(object));
  return message;
}

std::optional<AuditedStep> AuditedStep::of(mapping::DataSetView attributes) {
  // No value is written longer, so none is kept longer.
  const auto text = [](mapping::DataSetView from, mapping::Tag tag, std::size_t most) {
    return std::string(from.text(tag).substr(0, most));
  };
  AuditedStep step;
  step.patient_id = text(attributes, tags::PatientID, max_value_bytes);
  step.patient_name = text(attributes, tags::PatientName, max_value_bytes);
  const auto scheduled = attributes.find(tags::ScheduledStepAttributesSequence);
  if (scheduled && scheduled->vr == mapping::Vr::SQ) {
    for (const mapping::DataSetView item : scheduled->items()) {
      Study study{text(item, tags::StudyInstanceUID, max_uid_bytes),
                  text(item, tags::AccessionNumber, max_accession_bytes)};
      const auto known = std::find(step.studies.begin(), step.studies.end(), study);
      if (study.uid.empty() || known != step.studies.end()) continue;
      if (step.studies.size() == max_studies) {
        ++step.more_studies;
      } else {
        step.studies.push_back(std::move(study));
      }
    }
  }
  if (step.patient_id.empty() && step.patient_name.empty() && step.studies.empty()) {
    return std::nullopt;
  }
  return step;
}

AuditMessage to_message(const AuditedProcedure& procedure) {
  AuditMessage message;
  message.event = audit_code::procedure_record;
  switch (procedure.transaction) {
    case Transaction::create:
      message.action = 'C';
      break;
    case Transaction::update:
      message.action = 'U';
      break;
    default:
      message.action = 'R';
  }
  message.time = procedure.time;
  message.outcome = indicator(procedure.outcome);
  message.description =
      fmt::format("MPPS {}{}{}: {}", procedure.mpps.text(), procedure.state.empty() ? "" : " ",
                  procedure.state, describe(procedure.outcome));
  message.participants = {procedure.user, procedure.process};
  message.participants[0].role = audit_code::source;
  message.participants[0].requestor = true;
  message.participants[1].role = audit_code::destination;
  const AuditedStep step = procedure.step.value_or(AuditedStep());
  if (step.more_studies > 0) {
    message.description += fmt::format("; {} more studies", step.more_studies);
  }
  for (const AuditedStep::Study& study : step.studies) {
    AuditObject object;
    object.id = study.uid;
    object.id_type = audit_code::study_instance_uid;
    object.role = report_role;
    object.name = "Study";
    object.mpps = procedure.mpps.text();
    object.accession = study.accession;
    message.objects.push_back(std::move(object));
  }
  message.objects.push_back(patient(step.patient_id, step.patient_name));
  return message;
}

AuditMessage to_message(const AuditedAlert& alert) {
  AuditMessage message;
  message.event = audit_code::security_alert;
  message.type = alert.type;
  message.outcome = alert.outcome;
  message.time = alert.time;
  message.description = alert.description;
  message.participants.push_back(alert.reporter);
  message.participants[0].requestor = false;
  if (alert.performer) {
    message.participants.push_back(*alert.performer);
    message.participants.back().requestor = false;  // A.5.3.11
  }
  AuditObject object;
  object.id = alert.node;
  object.id_type = audit_code::node_id;
  object.role = security_resource_role;
  object.name = "Alert subject";
  object.details.emplace_back("Alert Description", alert.description);
  message.objects.push_back(std::move(object));
  return message;
}

}  // namespace gateway
