// The audit messages of PS3.15, A.5.3, and that whatever peers say makes no broken XML. The schema
// is held against them in tests/end_to_end/audit.test.js.
#include "gateway/audit_message.h"

#include <tinyxml2.h>

#include <catch2/catch.hpp>
#include <string>

#include "gateway/syslog_sender.h"
#include "mapping/base64.h"
#include "mapping/tags.h"
#include "mapping/wire.h"

using namespace gateway;
using mapping::Transaction;
namespace tags = mapping::tags;

namespace {

const AuditTime when = AuditTime(std::chrono::milliseconds(1'700'000'000'123));

class Document {
 public:
  explicit Document(const AuditMessage& message, const AuditSource& source = {"gate", ""})
      : text(to_xml(message, source)) {
    REQUIRE(parsed_.Parse(text.data(), text.size()) == tinyxml2::XML_SUCCESS);
    root = parsed_.RootElement();
  }
  const tinyxml2::XMLElement* first(const char* name) const {
    const auto* found = root->FirstChildElement(name);
    REQUIRE(found != nullptr);
    return found;
  }
  std::size_t count(const char* name) const {
    std::size_t all = 0;
    for (auto* one = root->FirstChildElement(name); one != nullptr;
         one = one->NextSiblingElement(name)) {
      ++all;
    }
    return all;
  }
  std::string object_text(const char* name) const {
    const auto* element = first("ParticipantObjectIdentification")->FirstChildElement(name);
    return element == nullptr || element->GetText() == nullptr ? "" : element->GetText();
  }

  const std::string text;
  const tinyxml2::XMLElement* root = nullptr;

 private:
  tinyxml2::XMLDocument parsed_;
};

std::string value(const tinyxml2::XMLElement* element, const char* name) {
  const char* text = element->Attribute(name);
  return text == nullptr ? "" : text;
}

std::string decoded(const std::string& base64) {
  std::string bytes;
  REQUIRE(mapping::decode_base64(base64, bytes));
  return bytes;
}

AuditParticipant ct() {
  AuditParticipant ct;
  ct.user_id = ct.ae_title = "CT1";
  ct.access_point = "10.0.0.7";
  return ct;
}

AuditParticipant gate() {
  AuditParticipant gate;
  gate.user_id = "4711";
  gate.name = "modgate";
  gate.access_point = "gate.example";
  return gate;
}

AuditedQuery query_for(const std::string& name) {
  mapping::DataSetBuilder builder;
  builder.add(tags::PatientName, mapping::Vr::PN, name);
  AuditedQuery query;
  query.source = ct();
  query.destination = gate();
  query.search.identifier = builder.build().value();
  query.time = when;
  return query;
}

AuditedProcedure procedure(Transaction transaction, std::optional<AuditedStep> step) {
  return {.transaction = transaction,
          .mpps = *mapping::Uid::parse("1.2.3"),
          .state = "IN PROGRESS",
          .step = std::move(step),
          .user = ct(),
          .process = gate(),
          .outcome = {},
          .time = when};
}

/// Everything that XML and its attributes could stumble over, and more of it than is taken.
std::string hostile(std::size_t size) {
  std::string text;
  while (text.size() < size) {
    text += "<&>\"'\t\r\n\x01\x1F\x7F ]]> \xFF \xC3 \xED\xA0\x80 \xEF\xBF\xBF \xF5\x80\x80\x80 é";
  }
  return text;
}

}  // namespace

TEST_CASE("Application Activity: A.5.3.1, rule I2") {
  AuditParticipant self = gate();
  self.ae_title = "MODGATE";
  AuditParticipant init;
  init.user_id = "1";
  const Document start(application_activity(true, self, init, when), {"g", "site"});
  const auto* event = start.first("EventIdentification");
  CHECK(value(event, "EventActionCode") == "E");
  CHECK(value(event, "EventDateTime") == "2023-11-14T22:13:20.123Z");
  CHECK(value(event, "EventOutcomeIndicator") == "0");
  CHECK(value(event->FirstChildElement("EventID"), "csd-code") == "110100");
  CHECK(value(event->FirstChildElement("EventTypeCode"), "csd-code") == "110120");
  const auto* application = start.first("ActiveParticipant");
  CHECK(value(application, "UserID") == "4711");
  CHECK(value(application, "AlternativeUserID") == "AETITLES=MODGATE");
  CHECK(value(application, "NetworkAccessPointTypeCode") == "1");
  CHECK(value(application->FirstChildElement("RoleIDCode"), "csd-code") == "110150");
  const auto* launcher = application->NextSiblingElement("ActiveParticipant");
  CHECK(value(launcher->FirstChildElement("RoleIDCode"), "csd-code") == "110151");
  CHECK(value(launcher, "NetworkAccessPointID").empty());
  CHECK(value(start.first("AuditSourceIdentification"), "AuditEnterpriseSiteID") == "site");
  CHECK(start.count("ParticipantObjectIdentification") == 0);

  const Document stop(application_activity(false, gate(), std::nullopt, when));
  CHECK(value(stop.first("EventIdentification")->FirstChildElement("EventTypeCode"), "csd-code") ==
        "110121");
  CHECK(stop.count("ActiveParticipant") == 1);
}

TEST_CASE("Query by C-FIND holds the identifier, and its character set: A.5.3.10, rule I3") {
  const Document message(to_message(query_for("Schröder^Zoë")));
  CHECK(value(message.first("EventIdentification"), "EventActionCode") == "E");
  const auto* object = message.first("ParticipantObjectIdentification");
  CHECK(value(object, "ParticipantObjectID") == "1.2.840.10008.5.1.4.31");
  CHECK(value(object, "ParticipantObjectTypeCode") == "2");
  CHECK(value(object, "ParticipantObjectTypeCodeRole") == "3");
  const auto* detail = object->FirstChildElement("ParticipantObjectDetail");
  CHECK(value(detail, "type") == "TransferSyntax");
  CHECK(decoded(value(detail, "value")) == "1.2.840.10008.1.2.1");
  const auto identifier =
      mapping::read_data_set(decoded(message.object_text("ParticipantObjectQuery")),
                             mapping::TransferSyntax::explicit_vr_little_endian);
  REQUIRE(identifier);
  CHECK(identifier.value().data_set.view().text(tags::PatientName) == "Schröder^Zoë");
}

TEST_CASE("Query by Search holds the URI") {
  auto query = query_for("Schröder^Zoë");
  query.resource = "http://ris/steps";
  query.asker = ct();
  query.source = gate();
  const Document message(to_message(query));
  const auto* object = message.first("ParticipantObjectIdentification");
  CHECK(value(object, "ParticipantObjectID") == "http://ris/steps");
  CHECK(value(object->FirstChildElement("ParticipantObjectIDTypeCode"), "csd-code") == "12");
  CHECK(value(object->FirstChildElement("ParticipantObjectIDTypeCode"), "codeSystemName") ==
        "RFC-3881");
  CHECK(decoded(message.object_text("ParticipantObjectQuery")).starts_with("http://ris/steps?"));
  CHECK(message.count("ActiveParticipant") == 3);
  const auto* source = message.first("ActiveParticipant");
  CHECK(value(source, "UserIsRequestor") == "false");
  const auto* asker = source->NextSiblingElement()->NextSiblingElement();
  CHECK(value(asker, "UserIsRequestor") == "true");
  CHECK(value(asker, "UserID") == "CT1");
  CHECK(asker->FirstChildElement("RoleIDCode") == nullptr);
}

TEST_CASE("a query without keys is a query, not a name") {
  AuditedQuery query;
  query.source = ct();
  query.destination = gate();
  const Document message(to_message(query));
  const auto* object = message.first("ParticipantObjectIdentification");
  CHECK(object->FirstChildElement("ParticipantObjectQuery") != nullptr);
  CHECK(object->FirstChildElement("ParticipantObjectName") == nullptr);
}

TEST_CASE("a query that is too long is cut, and says so") {
  const Document message(to_message(query_for(std::string(30'000, 'x'))));
  CHECK(message.text.size() < 32'512);
  const auto* detail = message.first("ParticipantObjectIdentification")
                           ->FirstChildElement("ParticipantObjectDetail")
                           ->NextSiblingElement("ParticipantObjectDetail");
  REQUIRE(detail != nullptr);
  CHECK(value(detail, "type") == "QueryTruncated");
  CHECK(decoded(value(detail, "value")) == "16384 of 30008 bytes");
  CHECK(decoded(message.object_text("ParticipantObjectQuery")).size() == 16'384);
}

TEST_CASE("Procedure Record: the action, the studies, the patient: A.5.3.15, rule I4") {
  AuditedStep step;
  step.patient_id = "PID-1";
  step.patient_name = "Müller^Jörg";
  step.studies = {{"1.2.840.1", "ACC1"}, {"1.2.840.2", ""}};
  const std::pair<Transaction, std::string> actions[] = {
      {Transaction::create, "C"}, {Transaction::update, "U"}, {Transaction::retrieve, "R"}};
  for (const auto& [transaction, action] : actions) {
    const Document message(to_message(procedure(transaction, step)));
    const auto* event = message.first("EventIdentification");
    CHECK(value(event, "EventActionCode") == action);
    CHECK(event->FirstChildElement("EventOutcomeDescription")->GetText() ==
          std::string("MPPS 1.2.3 IN PROGRESS: DIMSE status 0000"));
    CHECK(message.count("ActiveParticipant") == 2);
    CHECK(message.count("ParticipantObjectIdentification") == 3);
    const auto* first = message.first("ParticipantObjectIdentification");
    CHECK(value(first, "ParticipantObjectID") == "1.2.840.1");
    const auto* about = first->FirstChildElement("ParticipantObjectDescription");
    CHECK(value(about->FirstChildElement("MPPS"), "UID") == "1.2.3");
    CHECK(value(about->FirstChildElement("Accession"), "Number") == "ACC1");
    CHECK(value(about->FirstChildElement("SOPClass"), "UID") == "1.2.840.10008.3.1.2.3.3");
    const auto* second = first->NextSiblingElement();
    CHECK(
        second->FirstChildElement("ParticipantObjectDescription")->FirstChildElement("Accession") ==
        nullptr);
    const auto* patient = second->NextSiblingElement();
    CHECK(value(patient, "ParticipantObjectID") == "PID-1");
    CHECK(value(patient, "ParticipantObjectTypeCode") == "1");
    CHECK(value(patient, "ParticipantObjectTypeCodeRole") == "1");
    CHECK(patient->FirstChildElement("ParticipantObjectName")->GetText() ==
          std::string("Müller^Jörg"));
  }
  const Document nobody(to_message(procedure(Transaction::update, std::nullopt)));
  CHECK(nobody.count("ParticipantObjectIdentification") == 1);
}

TEST_CASE("how a transaction ended (I1)") {
  using How = mapping::Outcome::How;
  const std::tuple<AuditOutcome, std::string> rows[] = {
      {{How::answered, 0x0000, ""}, "0"},    {{How::answered, 0x0107, ""}, "0"},
      {{How::answered, 0xFE00, ""}, "0"},    {{How::answered, 0x0110, ""}, "4"},
      {{How::local, 0x0106, ""}, "4"},       {{How::unreachable, 0x0213, ""}, "8"},
      {{How::unknown, 0x0110, "gone"}, "8"},
  };
  for (const auto& [outcome, indicator] : rows) {
    auto one = procedure(Transaction::create, std::nullopt);
    one.outcome = outcome;
    const Document message(to_message(one));
    CHECK(value(message.first("EventIdentification"), "EventOutcomeIndicator") == indicator);
  }
}

TEST_CASE("Security Alert: who reports, who did it, which node, and why: A.5.3.11, rule I5") {
  AuditedAlert alert;
  alert.type = audit_code::restricted_function;
  alert.description = "HTTP 403";
  alert.reporter = gate();
  alert.performer = ct();
  alert.performer->requestor = true;
  alert.node = "10.0.0.7";
  alert.time = when;
  const Document message(to_message(alert));
  const auto* event = message.first("EventIdentification");
  CHECK(value(event->FirstChildElement("EventTypeCode"), "csd-code") == "110132");
  CHECK(value(event, "EventOutcomeIndicator") == "4");
  const auto* performer = message.first("ActiveParticipant")->NextSiblingElement();
  CHECK(value(performer, "UserIsRequestor") == "false");
  const auto* object = message.first("ParticipantObjectIdentification");
  CHECK(value(object, "ParticipantObjectID") == "10.0.0.7");
  const auto* detail = object->FirstChildElement("ParticipantObjectDetail");
  CHECK(value(detail, "type") == "Alert Description");
  CHECK(decoded(value(detail, "value")) == "HTTP 403");
}

TEST_CASE("text that XML cannot hold becomes U+FFFD, everything else comes back as it was") {
  const std::tuple<std::string, std::string> rows[] = {
      {"O\"Neill^<b>&'", "O\"Neill^<b>&'"},
      {"tab\tline\nreturn\r.", "tab\tline\nreturn\r."},
      {"a\x01"
       "b\x1B",
       "a\xEF\xBF\xBD"
       "b\xEF\xBF\xBD"},
      {"\xFF\xC3", "\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // a surrogate
      {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                  // overlong
      {"\xEF\xBF\xBE", "\xEF\xBF\xBD"},
      {"東京^\xF0\x9F\x98\x80", "東京^\xF0\x9F\x98\x80"},
      {std::string("\0", 1), "\xEF\xBF\xBD"},
  };
  for (const auto& [in, out] : rows) {
    AuditParticipant self = gate();
    self.user_id = in;
    const Document message(application_activity(true, self, std::nullopt, when));
    CHECK(value(message.first("ActiveParticipant"), "UserID") == out);
  }
}

TEST_CASE("no peer makes a message that is not well-formed, or longer than every collector takes") {
  const std::string long_text = hostile(5'000);
  AuditParticipant evil;
  evil.user_id = evil.ae_title = evil.name = evil.access_point = long_text;
  AuditedStep step;
  step.patient_id = step.patient_name = std::string(512, '"');
  for (int i = 0; i < 16; ++i) step.studies.push_back({std::string(64, '"'), std::string(64, '"')});
  step.more_studies = 3;
  auto record = procedure(Transaction::create, step);
  record.user = record.process = evil;
  record.state = record.outcome.comment = long_text;
  auto query = query_for(std::string(20'000, '"'));
  query.source = query.destination = evil;
  query.asker = evil;
  query.outcome.comment = long_text;
  auto uri = query;
  uri.resource = "http://" + std::string(10'000, '"');
  AuditedAlert alert;
  alert.type = audit_code::node_authentication;
  alert.description = alert.node = long_text;
  alert.reporter = evil;
  alert.performer = evil;
  const AuditSource source{std::string(5'000, '"'), std::string(5'000, '&')};
  for (const AuditMessage& message :
       {to_message(record), to_message(query), to_message(uri), to_message(alert)}) {
    const Document document(message, source);
    const std::string syslog =
        to_syslog({std::string(300, 'h'), "modgate", "4711", to_text(message.time)}, document.text);
    CHECK(syslog.size() <= 32'512);
  }
}

TEST_CASE("whom a step is about is read from its attributes, each study once") {
  mapping::DataSetBuilder builder;
  builder.add(tags::PatientName, mapping::Vr::PN, "Doe^Jane");
  builder.add(tags::PatientID, mapping::Vr::LO, std::string(2'000, 'x'));
  builder.begin_sequence(tags::ScheduledStepAttributesSequence);
  for (int i = 0; i < 20; ++i) {
    for (int twice = 0; twice < 2; ++twice) {
      builder.begin_item();
      builder.add(tags::AccessionNumber, mapping::Vr::SH, "A" + std::to_string(i));
      builder.add(tags::StudyInstanceUID, mapping::Vr::UI, "1.2." + std::to_string(i));
      builder.end_item();
    }
  }
  builder.begin_item().end_item().end_sequence();
  const auto attributes = builder.build();
  REQUIRE(attributes);
  const auto step = AuditedStep::of(attributes.value());
  REQUIRE(step);
  CHECK(step->patient_name == "Doe^Jane");
  CHECK(step->patient_id.size() == 512);
  CHECK(step->studies.size() == 16);
  CHECK(step->studies[3] == AuditedStep::Study{"1.2.3", "A3"});
  CHECK(step->more_studies == 8);  // counted as they came, twice each
  CHECK(!AuditedStep::of(mapping::DataSetView()));
}
