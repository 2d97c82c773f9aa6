// The front as stock devices meet it: driven by DCMTK's own calls and by its command-line tools.
#include "dimse/scp.h"

#include <future>

#include "dimse/library.h"
#include "library_scu.h"
#include "loopback.h"
#include "raw_modality.h"

using namespace loopback;  // NOLINT: test code

TEST_CASE("C-ECHO is answered, and the association released (rule H13)") {
  Front front;
  LibraryScu scu(front.port);
  REQUIRE(scu.open());
  CHECK(scu.echo() == 0);
  CHECK(front.scp->associations() == 1);
  scu.release();
  CHECK(eventually([&] { return front.scp->associations() == 0; }));
}

TEST_CASE("C-FIND answers each match and then success (rules F10, F8)") {
  Front front;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("A1")});
    on_match({item("A2", "M\u00fcller^J\u00f6rg"), false});
    return Outcome::answered(status::success);
  };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 1;
  auto matches = scu.find(*library_identifier(), final_status);
  CHECK(final_status == 0);
  REQUIRE(matches.size() == 2);
  CHECK(text(*matches[0], DCM_AccessionNumber) == "A1");
  CHECK(text(*matches[1], DCM_PatientName) == "M\xFCller^J\xF6rg");
  CHECK(text(*matches[1], DCM_SpecificCharacterSet) == "ISO_IR 100");
  CHECK_FALSE(matches[0]->tagExists(DCM_PatientID));  // was not asked for
  CHECK(front.services.last_caller().name == "CT1");
  CHECK(front.services.last_caller().address == "127.0.0.1");
}

TEST_CASE("A match with several scheduled steps becomes several responses (rule F9)") {
  Front front;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("A1", "DOE^JANE", 3)});
    return Outcome::answered(status::success);
  };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 1;
  auto matches = scu.find(*library_identifier(), final_status);
  REQUIRE(matches.size() == 3);
  DcmItem* step = nullptr;
  REQUIRE(matches[2]->findAndGetSequenceItem(DCM_ScheduledProcedureStepSequence, step).good());
  CHECK(text(*step, DCM_ScheduledProcedureStepID) == "S2");
  CHECK_FALSE(step->tagExists(DCM_ScheduledStationAETitle));
}

TEST_CASE("Every transfer syntax that we accept works both ways (rule H4)") {
  Front front;
  for (const char* syntax :
       {UID_LittleEndianImplicitTransferSyntax, UID_LittleEndianExplicitTransferSyntax,
        UID_BigEndianExplicitTransferSyntax}) {
    INFO(syntax);
    LibraryScu scu(front.port, "MODGATE", "CT1", {syntax});
    REQUIRE(scu.open());
    std::uint16_t final_status = 1;
    auto matches = scu.find(*library_identifier(), final_status);
    REQUIRE(matches.size() == 1);
    CHECK(text(*matches[0], DCM_AccessionNumber) == "A1");
  }
}

TEST_CASE("A proposed SCU role is accepted, a role of SCP alone is not (rule H8)") {
  Front front;
  LibraryScu both(front.port, "MODGATE", "CT1", {UID_LittleEndianExplicitTransferSyntax},
                  ASC_SC_ROLE_SCUSCP);
  REQUIRE(both.open());
  CHECK(both.echo() == 0);
  LibraryScu scp_only(front.port, "MODGATE", "CT1", {UID_LittleEndianExplicitTransferSyntax},
                      ASC_SC_ROLE_SCP);
  REQUIRE(scp_only.association() != nullptr);
  auto* parameters = scp_only.association()->params;
  CHECK(ASC_countPresentationContexts(parameters) == 4);
  CHECK(ASC_countAcceptedPresentationContexts(parameters) == 0);
}

TEST_CASE(
    "More than one item in a sequence key answers A900 with the offending element (rule F5)") {
  Front front;
  LibraryScu scu(front.port);
  std::uint16_t final_status = 0;
  CHECK(scu.find(*library_identifier(2), final_status).empty());
  CHECK(final_status == status::data_set_does_not_match_sop_class);
  CHECK_FALSE(text(scu.detail(), DCM_ErrorComment).empty());
  CHECK(text(scu.detail(), DCM_OffendingElement) == "(0040,0100)");
  CHECK(scu.find(*library_identifier(), final_status).size() == 1);  // the next one works
}

TEST_CASE("A C-CANCEL between responses stops the search and ends in FE00 (rule F11)") {
  Front front;
  std::atomic<int> produced{0};
  front.services.on_search = [&](const auto&, const auto& on_match, const Context& context) {
    while (on_match({item("A" + std::to_string(++produced))})) {
      if (produced > 10'000'000 || context.cancelled()) break;
    }
    return Outcome::answered(status::success);
  };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 0;
  CHECK(scu.find(*library_identifier(), final_status, 5).size() >= 5);
  CHECK(final_status == status::cancel);
  front.services.on_search = nullptr;
  CHECK(scu.find(*library_identifier(), final_status, 1).size() == 1);  // cancelled too late
  CHECK(final_status == 0);
  CHECK(scu.echo() == 0);  // and the late C-CANCEL was ignored
}

TEST_CASE("A search that fails after matches ends in the failure (rule F10)") {
  Front front;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("A1")});
    return Outcome::answered(status::out_of_resources, "too many");
  };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 0;
  CHECK(scu.find(*library_identifier(), final_status).size() == 1);
  CHECK(final_status == status::out_of_resources);
  CHECK(text(scu.detail(), DCM_ErrorComment) == "too many");
}

TEST_CASE("A service that throws is a failure, and the association goes on") {
  Front front;
  front.services.on_search = [](const auto&, const auto&, const auto&) -> Outcome {
    throw std::runtime_error("boom");
  };
  front.services.on_mpps = []() -> std::optional<Outcome> { throw 7; };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 0;
  CHECK(scu.find(*library_identifier(), final_status).empty());
  CHECK(final_status == status::upstream_server_error);
  CHECK(scu.create("1.2.3", *library_mpps("IN PROGRESS")) == status::processing_failure);
  CHECK(scu.echo() == 0);
  CHECK(front.lines.hold("boom"));
}

TEST_CASE("N-CREATE, N-SET and N-GET reach the service and come back (rules F13, F14, F26)") {
  Front front;
  LibraryScu scu(front.port);
  CHECK(scu.create("1.2.3", *library_mpps("IN PROGRESS")) == 0);
  CHECK(front.services.stored("1.2.3") == mpps("IN PROGRESS"));
  CHECK(scu.create("1.2.3", *library_mpps("IN PROGRESS")) == status::duplicate_sop_instance);
  CHECK(scu.set("1.2.3", *library_mpps("COMPLETED")) == 0);
  CHECK(scu.set("1.2.4", *library_mpps("COMPLETED")) == status::no_such_sop_instance);

  std::unique_ptr<DcmDataset> found;
  CHECK(scu.get("1.2.3", {}, found) == 0);
  REQUIRE(found);
  CHECK(found->card() == 3);
  CHECK(scu.get("1.2.3", {0x0040, 0x0252, 0x0010, 0x0030}, found) == 0);
  CHECK(found->card() == 1);
  CHECK(text(*found, DCM_PerformedProcedureStepStatus) == "COMPLETED");
  CHECK(scu.get("1.2.9", {}, found) == status::no_such_sop_instance);
}

TEST_CASE("N-SET and N-GET that name the UIDs as Affected ones are understood, too (rule F13)") {
  Front front;
  auto peer = associate(front.port);
  LibraryScu(front.port).create("1.2.3", *library_mpps("IN PROGRESS"));
  auto set = request(dimse::command_field::n_set_rq);
  set.affected_sop_class = uids::mpps;
  set.affected_sop_instance = "1.2.3";
  peer.send(message(5, set, explicit_bytes(mpps("COMPLETED"))));
  auto response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->status == status::success);
  CHECK(front.services.stored("1.2.3") == mpps("COMPLETED"));
  auto get = request(dimse::command_field::n_get_rq, 2);
  get.affected_sop_class = uids::mpps_retrieve;
  get.affected_sop_instance = "1.2.3";
  peer.send(message(7, get));
  response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->status == status::success);
}

TEST_CASE("N-CREATE without an instance UID gets one assigned and returned (rules F15, F16)") {
  Front front;
  LibraryScu scu(front.port);
  std::string assigned;
  CHECK(scu.create(nullptr, *library_mpps("IN PROGRESS"), &assigned) == 0);
  CHECK(assigned == front.services.last_created());
  CHECK(mapping::Uid::parse(assigned));
}

TEST_CASE("N-CREATE with an invalid instance UID answers 0117") {
  Front front;
  LibraryScu scu(front.port);
  CHECK(scu.create("1.02.3", *library_mpps("IN PROGRESS")) == status::invalid_sop_instance);
  CHECK(front.services.stored_count() == 0);
}

TEST_CASE("SOP Common attributes in an N-CREATE do not reach the service") {
  Front front;
  LibraryScu scu(front.port);
  auto attributes = library_mpps("IN PROGRESS");
  attributes->putAndInsertString(DCM_SOPClassUID, UID_ModalityPerformedProcedureStepSOPClass);
  attributes->putAndInsertString(DCM_SOPInstanceUID, "1.2.3");
  CHECK(scu.create("1.2.3", *attributes) == 0);
  CHECK(front.services.stored("1.2.3") == mpps("IN PROGRESS"));
}

TEST_CASE("An N-SET of a final step answers 0110 with Error ID A710 (rule F22)") {
  Front front;
  front.services.on_mpps = [] { return Outcome::may_no_longer_be_updated(); };
  LibraryScu scu(front.port);
  CHECK(scu.set("1.2.3", *library_mpps("COMPLETED")) == status::processing_failure);
  Uint16 error_id = 0;
  scu.detail().findAndGetUint16(DCM_ErrorID, error_id);
  CHECK(error_id == status::error_id_may_no_longer_be_updated);
  CHECK(text(scu.detail(), DCM_ErrorComment) ==
        "Performed Procedure Step Object may no longer be updated");
}

TEST_CASE(
    "The associations over the limit are rejected, and accepted when one has left (rule H2)") {
  dimse::ScpOptions options;
  options.max_associations = 3;
  Front front(options);
  std::vector<std::unique_ptr<LibraryScu>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<LibraryScu>(front.port));
    REQUIRE(held.back()->open());
  }
  for (int i = 0; i < 5; ++i) {
    LibraryScu refused(front.port);
    CHECK_FALSE(refused.open());
    CHECK(refused.rejection().result == ASC_RESULT_REJECTEDTRANSIENT);
    CHECK(refused.rejection().reason == ASC_REASON_SP_PRES_LOCALLIMITEXCEEDED);
  }
  for (auto& scu : held) CHECK(scu->echo() == 0);
  held.pop_back();
  REQUIRE(eventually([&] { return front.scp->associations() == 2; }));
  LibraryScu next(front.port);
  CHECK(next.open());
}

TEST_CASE("Matches go out as they come, while the search is still running") {
  Front front;
  std::promise<void> go_on;
  auto waiting = go_on.get_future();
  front.services.on_search = [&](const auto&, const auto& on_match, const Context& context) {
    on_match({item("A1")});
    context.cancelled();
    waiting.wait_for(20s);
    return Outcome::answered(status::success);
  };
  LibraryScu scu(front.port);
  T_DIMSE_Message message{};
  message.CommandField = DIMSE_C_FIND_RQ;
  auto& request = message.msg.CFindRQ;
  request.MessageID = 1;
  std::strcpy(request.AffectedSOPClassUID, UID_FINDModalityWorklistInformationModel);
  request.DataSetType = DIMSE_DATASET_PRESENT;
  auto identifier = library_identifier();
  REQUIRE(DIMSE_sendMessageUsingMemoryData(scu.association(), 3, &message, nullptr,
                                           identifier.get(), nullptr, nullptr)
              .good());
  T_ASC_PresentationContextID id = 0;
  message = {};
  CHECK(DIMSE_receiveCommand(scu.association(), DIMSE_NONBLOCKING, 15, &id, &message, nullptr)
            .good());
  CHECK(message.msg.CFindRSP.DimseStatus == status::pending);
  go_on.set_value();
  DcmDataset* match = nullptr;
  CHECK(DIMSE_receiveDataSetInMemory(scu.association(), DIMSE_NONBLOCKING, 15, &id, &match, nullptr,
                                     nullptr)
            .good());
  delete match;
  message = {};
  CHECK(DIMSE_receiveCommand(scu.association(), DIMSE_NONBLOCKING, 15, &id, &message, nullptr)
            .good());
  CHECK(message.msg.CFindRSP.DimseStatus == 0);
}

TEST_CASE("What differs for a modality: its sets, its host, its station") {
  dimse::ScpOptions options;
  dimse::Modality modality;
  modality.ae_title = "CT1";
  modality.host = "127.0.0.1";
  modality.character_set = mapping::CharacterSet::parse("ISO_IR 192").value();
  modality.station_filter = true;
  options.modalities = {modality};
  modality.ae_title = "CT2";
  modality.host = "192.0.2.1";
  options.modalities.push_back(modality);
  options.known_modalities_only = true;
  Front front(options);
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    on_match({item("A1", "M\u00fcller")});
    return Outcome::answered(status::success);
  };

  LibraryScu scu(front.port);
  REQUIRE(scu.open());
  std::uint16_t final_status = 1;
  auto matches = scu.find(*library_identifier(), final_status);
  REQUIRE(matches.size() == 1);
  CHECK(text(*matches[0], DCM_SpecificCharacterSet) == "ISO_IR 192");
  CHECK(text(*matches[0], DCM_PatientName) == "M\u00fcller");
  const auto asked = front.services.last_search().identifier;
  auto step = asked.view().first_item(tags::ScheduledProcedureStepSequence);
  REQUIRE(step);
  CHECK(step->text(tags::ScheduledStationAETitle) == "CT1");
  CHECK(step->find(tags::ScheduledProcedureStepID));
  DcmItem* returned = nullptr;  // the key was ours: it does not come back (rule F8)
  REQUIRE(matches[0]->findAndGetSequenceItem(DCM_ScheduledProcedureStepSequence, returned).good());
  CHECK_FALSE(returned->tagExists(DCM_ScheduledStationAETitle));

  auto another = library_identifier();  // who asks for another's steps gets them
  DcmItem* keys = nullptr;
  REQUIRE(another->findAndGetSequenceItem(DCM_ScheduledProcedureStepSequence, keys).good());
  keys->putAndInsertString(DCM_ScheduledStationAETitle, "MR7");
  scu.find(*another, final_status);
  const auto theirs = front.services.last_search().identifier;
  CHECK(theirs.view()
            .first_item(tags::ScheduledProcedureStepSequence)
            ->text(tags::ScheduledStationAETitle) == "MR7");

  for (const char* stranger : {"CT2", "CT3"}) {  // wrong host; unknown
    LibraryScu refused(front.port, "MODGATE", stranger);
    CHECK_FALSE(refused.open());
    CHECK(refused.rejection().reason == ASC_REASON_SU_CALLINGAETITLENOTRECOGNIZED);
  }
}

TEST_CASE("Text that the modality's set does not hold ends the search in C004") {
  dimse::ScpOptions options;
  dimse::Modality modality;
  modality.ae_title = "CT1";
  modality.character_set = mapping::CharacterSet::parse("ISO_IR 100").value();
  options.modalities = {modality};
  Front front(options);
  std::atomic<bool> went_on{false}, ended{false};
  front.services.on_search = [&](const auto&, const auto& on_match, const auto&) {
    went_on = on_match({item("A1")});
    ended = !on_match({item("A2", "\u738b^\u5c0f\u6771")});
    return Outcome::answered(status::cancel);
  };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 0;
  CHECK(scu.find(*library_identifier(), final_status).size() == 1);
  CHECK(final_status == status::character_set_not_supported);
  CHECK_FALSE(text(scu.detail(), DCM_ErrorComment).empty());
  CHECK(went_on);
  CHECK(ended);
}

TEST_CASE("Where the modality's rules say so, such text is replaced, counted and logged (G11)") {
  dimse::ScpOptions options;
  dimse::Modality modality;
  modality.ae_title = "CT1";
  modality.character_set = mapping::CharacterSet::parse("ISO_IR 100").value();
  modality.replace_unencodable = true;
  options.modalities = {modality};
  Front front(options);
  front.services.on_search = [&](const auto&, const auto& on_match, const auto&) {
    on_match({item("A2", "\u738b^M\u00fcller")});
    return Outcome::answered(status::success);
  };
  LibraryScu scu(front.port);
  std::uint16_t final_status = 1;
  const auto matches = scu.find(*library_identifier(), final_status);
  REQUIRE(matches.size() == 1);
  CHECK(final_status == 0);
  CHECK(text(*matches[0], DCM_PatientName) == "?^M\xFCller");
  CHECK(eventually([&] { return front.lines.hold("1 characters replaced"); }));
  CHECK(front.scp->replaced_characters() == 1);
}

TEST_CASE("Stopping ends idle associations at once and lets a running operation finish") {
  const auto descriptors = open_descriptors();
  const auto running = threads();
  {
    Front front;
    std::promise<void> begun, go_on;
    front.services.on_mpps = [&]() -> std::optional<Outcome> {
      begun.set_value();
      go_on.get_future().wait_for(20s);
      return Outcome::answered(status::success);
    };
    LibraryScu idle(front.port), busy(front.port);
    auto idle_ended = std::async(std::launch::async, [&] {
      begun.get_future().wait_for(20s);
      auto stopped = std::async(std::launch::async, [&] { front.scp->stop(20s); });
      const bool ended = eventually([&] { return front.scp->associations() == 1; });
      go_on.set_value();
      return ended;
    });
    CHECK(busy.create("1.2.3", *library_mpps("IN PROGRESS")) == 0);
    CHECK(idle_ended.get());
    CHECK(front.scp->associations() == 0);
    idle.abort();
    busy.abort();
  }
  CHECK(eventually([&] { return threads() <= running; }));
  CHECK(open_descriptors() <= descriptors + 3);  // the library's dummy connection stays
}

TEST_CASE("Stopping without patience cuts an operation's connection and waits for its service") {
  Front front;
  std::promise<void> begun;
  std::atomic<bool> returned{false};
  front.services.on_search = [&](const auto&, const auto&, const Context& context) {
    begun.set_value();
    while (!context.cancelled()) std::this_thread::sleep_for(1ms);
    returned = true;
    return Outcome::answered(status::cancel);
  };
  auto peer = RawPeer::connect(front.port);
  peer.send(associate_rq({{std::string(uids::modality_worklist_find)}}));
  REQUIRE(peer.receive_pdu().at(0) == 2);
  dimse::Command find;
  find.field = dimse::command_field::c_find_rq;
  find.message_id = std::uint16_t{1};
  peer.send(message(1, find, explicit_bytes(identifier())));
  begun.get_future().wait_for(20s);
  front.scp->stop(0ms);
  CHECK(returned);
  CHECK(front.scp->associations() == 0);
}

TEST_CASE("DCMTK's own log lines are led into ours, and silenced again") {
  Front front;
  Lines lines;
  dimse::lead_library_log(lines.log(), mapping::LogLevel::debug);
  { LibraryScu(front.port).echo(); }
  dimse::lead_library_log({}, mapping::LogLevel::error);
  CHECK(lines.hold("Association"));
}

TEST_CASE("DCMTK's echoscu and findscu are served") {
  Front front;
  const auto port = std::to_string(front.port);
  CHECK(std::system(("echoscu -aec MODGATE 127.0.0.1 " + port).c_str()) == 0);
  CHECK(std::system(("findscu -W -aec MODGATE -k 0008,0050 -k 0010,0010 127.0.0.1 " + port +
                     " 2>/dev/null >/dev/null")
                        .c_str()) == 0);
  CHECK(front.services.last_caller().name == "FINDSCU");
}
