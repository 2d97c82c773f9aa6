// Which transactions are recorded, and between whom.
#include "gateway/audited_services.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/gateway/audit_support.h"
#include "tests/gateway/services_support.h"

using namespace gateway;
using namespace audit_test;
using mapping::Caller;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;

namespace {

mapping::DataSet jane() {
  mapping::DataSetBuilder builder;
  builder.add(mapping::tags::PatientName, mapping::Vr::PN, "Doe^Jane");
  builder.add(mapping::tags::PatientID, mapping::Vr::LO, "PID-1");
  builder.add(mapping::tags::PerformedProcedureStepStatus, mapping::Vr::CS, "IN PROGRESS");
  return builder.build().value();
}

AuditPlace at_front() {
  AuditPlace place;
  place.ae_title = "GATE";
  place.resource = "/steps";
  return place;
}

AuditPlace before_scp() {
  AuditPlace place;
  place.backend.emplace();
  place.backend->user_id = place.backend->ae_title = "RIS";
  place.backend->access_point = "ris.example";
  place.ae_title = "CALLING";
  return place;
}

struct Room {
  explicit Room(AuditPlace place)
      : trail(open_trail(options_for(directory, collector.port), lines.log())),
        worklist(inner, place, *trail),
        mpps(inner, place, *trail) {
    inner.matches = {jane()};
    inner.retrieves = false;
  }

  mapping::Context from(Caller::Protocol protocol, const std::string& name) const {
    mapping::Context context;
    context.caller = {protocol, name, "10.0.0.7"};
    return context;
  }
  /// Everything that was recorded has been received before this.
  bool nothing_more() {
    trail->record(AuditActivity{});
    return has(collector.receive(), "csd-code=\"110100\"");
  }

  const queue_test::Directory directory;
  const Collector collector;
  Lines lines;
  services_test::Answering inner;
  const std::unique_ptr<AuditTrail> trail;
  AuditedWorklist worklist;
  AuditedMpps mpps;
};

const mapping::Uid uid = *mapping::Uid::parse("1.2.3");
const auto by_dimse = Caller::Protocol::dimse, by_web = Caller::Protocol::web;

}  // namespace

TEST_CASE("in front, every transaction is recorded between the caller and this gateway") {
  Room room(at_front());
  std::size_t matches = 0;
  const auto outcome = room.worklist.search(
      {},
      [&](mapping::Match&&) {
        ++matches;
        return true;
      },
      room.from(by_dimse, "CT1"));
  CHECK(outcome.good());
  CHECK(matches == 1);
  const std::string find = room.collector.receive();
  CHECK(has(find, "<ActiveParticipant UserID=\"CT1\" AlternativeUserID=\"AETITLES=CT1\""));
  CHECK(has(find, "AlternativeUserID=\"AETITLES=GATE\""));
  CHECK(has(find, "1.2.840.10008.5.1.4.31"));

  room.worklist.search(
      {}, [](mapping::Match&&) { return true; }, room.from(by_web, "nurse"));
  const std::string search = room.collector.receive();
  CHECK(has(search, "<ActiveParticipant UserID=\"nurse\" UserIsRequestor=\"true\""));
  CHECK(!has(search, "AETITLES"));
  CHECK(has(search, "ParticipantObjectID=\"/steps\""));

  room.worklist.search(
      {}, [](mapping::Match&&) { return true; }, room.from(by_web, ""));
  CHECK(has(room.collector.receive(), "<ActiveParticipant UserID=\"10.0.0.7\""));

  room.mpps.create(uid, jane(), room.from(by_dimse, "CT1"));
  const std::string create = room.collector.receive();
  CHECK(has(create, "EventActionCode=\"C\""));
  CHECK(has(create, "MPPS 1.2.3 IN PROGRESS: DIMSE status 0000"));
  CHECK(has(create, "ParticipantObjectID=\"PID-1\""));
  room.mpps.update(uid, {}, room.from(by_dimse, "CT1"));
  const std::string update = room.collector.receive();
  CHECK(has(update, "EventActionCode=\"U\""));
  CHECK(has(update, "ParticipantObjectID=\"PID-1\""));
  room.inner.step = jane();
  mapping::DataSet found;
  room.mpps.retrieve(uid, {}, found, room.from(by_web, "nurse"));
  CHECK(found == jane());
  CHECK(has(room.collector.receive(), "EventActionCode=\"R\""));

  for (const auto& failed :
       {Outcome::unreachable(Transaction::create, NetworkEvent::tls_failed, "down"),
        Outcome::local(0x0106, "invalid"), Outcome::answered(0x0110, "failed")}) {
    room.inner.outcome = failed;
    CHECK(room.mpps.create(uid, jane(), room.from(by_dimse, "CT1")).status == failed.status);
    const std::string message = room.collector.receive();
    CHECK(has(message, failed.error_comment));
    CHECK(!has(message, "csd-code=\"110113\""));
  }
  CHECK(room.nothing_more());
}

TEST_CASE("a state that is longer than any hides nothing else, and is kept in part") {
  Room room(at_front());
  mapping::DataSetBuilder builder;
  builder.add(mapping::tags::PerformedProcedureStepStatus, mapping::Vr::CS,
              std::string(60'000, 'X'));
  room.mpps.create(uid, builder.build().value(), room.from(by_dimse, "CT1"));
  const std::string create = room.collector.receive();
  CHECK(has(create, "MPPS 1.2.3 " + std::string(16, 'X') + ": DIMSE status 0000"));
}

TEST_CASE("before a backend, what was issued is recorded, and for whom") {
  Room room(before_scp());
  room.worklist.search(
      {}, [](mapping::Match&&) { return true; }, room.from(by_web, "nurse"));
  const std::string query = room.collector.receive();
  CHECK(has(query,
            "AlternativeUserID=\"AETITLES=CALLING\" UserName=\"modgate\" "
            "UserIsRequestor=\"false\""));
  CHECK(has(query,
            "<ActiveParticipant UserID=\"RIS\" AlternativeUserID=\"AETITLES=RIS\" "
            "UserIsRequestor=\"false\" NetworkAccessPointID=\"ris.example\" "
            "NetworkAccessPointTypeCode=\"1\""));
  CHECK(has(query, "<ActiveParticipant UserID=\"nurse\" UserIsRequestor=\"true\""));
  CHECK(has(query, "1.2.840.10008.5.1.4.31"));
  room.mpps.create(uid, jane(), room.from(by_dimse, "CT1"));
  const std::string create = room.collector.receive();
  CHECK(has(create, "AETITLES=CALLING\" UserName=\"modgate\" UserIsRequestor=\"true\""));
  CHECK(has(create, "UserID=\"RIS\""));
  CHECK(!has(create, "CT1"));
  CHECK(room.nothing_more());
}

TEST_CASE("before a backend, what never left is no query and no record") {
  Room room(before_scp());
  mapping::DataSet found;
  for (const auto& outcome :
       {Outcome::unreachable(Transaction::search, NetworkEvent::connect_failed, "refused"),
        Outcome::local(0x0106, "invalid")}) {
    room.inner.outcome = outcome;
    room.worklist.search(
        {}, [](mapping::Match&&) { return true; }, room.from(by_dimse, "CT1"));
    room.mpps.create(uid, jane(), room.from(by_dimse, "CT1"));
    room.mpps.update(uid, {}, room.from(by_dimse, "CT1"));
    room.mpps.retrieve(uid, {}, found, room.from(by_dimse, "CT1"));
  }
  CHECK(room.nothing_more());
  room.inner.outcome =
      Outcome::unknown(Transaction::create, NetworkEvent::response_timeout, "no answer");
  room.mpps.create(uid, jane(), room.from(by_dimse, "CT1"));
  CHECK(has(room.collector.receive(), "EventOutcomeIndicator=\"8\""));
}

TEST_CASE("a backend that fails to authenticate, or us at it, is a Security Alert") {
  for (const auto event : {NetworkEvent::tls_failed, NetworkEvent::rejected_permanent,
                           NetworkEvent::user_identity_refused}) {
    Room room(before_scp());
    room.inner.outcome = Outcome::unreachable(Transaction::search, event, "why it is");
    room.worklist.search(
        {}, [](mapping::Match&&) { return true; }, room.from(by_dimse, "CT1"));
    const std::string alert = room.collector.receive();
    CHECK(has(alert, "csd-code=\"110113\""));
    CHECK(has(alert, "csd-code=\"110126\""));
    CHECK(has(alert, "Toward a backend: why it is"));
    CHECK(has(alert, "ParticipantObjectID=\"ris.example\""));
    room.mpps.create(uid, jane(), room.from(by_dimse, "CT1"));
    CHECK(has(room.collector.receive(), "csd-code=\"110126\""));
    CHECK(room.nothing_more());
  }
}

TEST_CASE("whether N-GET is offered is the backend's to say") {
  Room room(at_front());
  CHECK(!room.mpps.offers_retrieve());
  room.inner.retrieves = true;
  CHECK(room.mpps.offers_retrieve());
}
