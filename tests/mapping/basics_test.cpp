// Tag, Uid, Vr, dictionary, base64 and the rules of VRs.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <catch2/catch.hpp>
#include <set>

#include "mapping/base64.h"
#include "mapping/dictionary.h"
#include "mapping/tag.h"
#include "mapping/tags.h"
#include "mapping/uid.h"
#include "mapping/uids.h"
#include "mapping/vr.h"
#include "mapping/vr_rules.h"

using namespace mapping;

TEST_CASE("a tag is read from eight hexadecimal digits of either case and written in upper case") {
  Tag tag;
  REQUIRE(parse_tag("0040a730", tag));
  CHECK(tag == Tag(0x0040, 0xA730));
  CHECK(to_string(tag) == "0040A730");
  for (const char* bad : {"", "0040A73", "0040A7300", "0040,A730", "0040A73G", " 040A730"}) {
    CHECK_FALSE(parse_tag(bad, tag));
  }
  CHECK(tag == Tag(0x0040, 0xA730));
}

TEST_CASE("a UID keeps the rules of PS3.5, 9.1 (B24)") {
  for (const char* good :
       {"1.2.840.10008.1.1", "0", "1.0.3", "2.25.329800735698586629295641978511506172918"}) {
    CHECK(Uid::parse(good));
  }
  const std::string too_long = "1." + std::string(63, '2');
  for (const std::string& bad : {std::string(), std::string("1..2"), std::string(".1"),
                                 std::string("1."), std::string("1.02"), std::string("1.2a"),
                                 std::string("1.2 "), std::string("1.-2"), too_long}) {
    CHECK_FALSE(Uid::parse(bad));
  }
}

TEST_CASE("generated UIDs are valid, under 2.25 and all different (F15)") {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const Uid uid = Uid::generate();
    CHECK(Uid::parse(uid.text()));
    CHECK(uid.text().rfind("2.25.", 0) == 0);
    CHECK(seen.insert(uid.text()).second);
  }
}

TEST_CASE("the facts of every VR agree with DCMTK") {
  int count = 0;
  for (char a = 'A'; a <= 'Z'; ++a) {
    for (char b = 'A'; b <= 'Z'; ++b) {
      const std::string name{a, b};
      const auto vr = parse_vr(name);
      const DcmVR theirs(name.c_str());
      CHECK(vr.has_value() == (theirs.isStandard() && theirs.getVRName() == name));
      if (!vr) continue;
      ++count;
      INFO(name);
      CHECK(to_string(*vr) == name);
      CHECK(facts(*vr).vr == *vr);
      CHECK(facts(*vr).long_header == theirs.usesExtendedLengthEncoding());
      CHECK(facts(*vr).in_character_set == theirs.isAffectedBySpecificCharacterSet());
    }
  }
  CHECK(count == 34);
  CHECK_FALSE(parse_vr("sh"));
  CHECK_FALSE(parse_vr("SHX"));
}

TEST_CASE("the dictionary finds attributes by tag and by case-sensitive keyword (A3)") {
  const DictionaryEntry* entry =
      find_attribute(std::string_view("ScheduledProcedureStepStartDate"));
  REQUIRE(entry != nullptr);
  CHECK(entry->tag == tags::ScheduledProcedureStepStartDate);
  CHECK(entry->vr == Vr::DA);
  CHECK(find_attribute(tags::ScheduledProcedureStepStartDate) == entry);
  CHECK(find_attribute(std::string_view("EthnicGroup"))->tag == Tag(0x0010, 0x2160));  // retired
  CHECK(find_attribute(std::string_view("patientname")) == nullptr);
  CHECK(find_attribute(Tag(0x0009, 0x0001)) == nullptr);
}

TEST_CASE("the tags and UIDs that the code names are DCMTK's") {
  const std::pair<Tag, const char*> named[] = {
      {tags::AffectedSOPInstanceUID, "AffectedSOPInstanceUID"},
      {tags::AttributeIdentifierList, "AttributeIdentifierList"},
      {tags::ErrorComment, "ErrorComment"},
      {tags::ErrorID, "ErrorID"},
      {tags::OffendingElement, "OffendingElement"},
      {tags::CommandDataSetType, "CommandDataSetType"},
      {tags::MessageIDBeingRespondedTo, "MessageIDBeingRespondedTo"},
      {tags::RequestedSOPClassUID, "RequestedSOPClassUID"},
      {tags::RequestedSOPInstanceUID, "RequestedSOPInstanceUID"},
      {tags::AffectedSOPClassUID, "AffectedSOPClassUID"},
      {tags::MessageID, "MessageID"},
      {tags::Priority, "Priority"},
      {tags::Status, "Status"},
      {tags::CommandField, "CommandField"},
      {tags::SpecificCharacterSet, "SpecificCharacterSet"},
      {tags::SOPClassUID, "SOPClassUID"},
      {tags::SOPInstanceUID, "SOPInstanceUID"},
      {tags::AccessionNumber, "AccessionNumber"},
      {tags::Modality, "Modality"},
      {tags::TimezoneOffsetFromUTC, "TimezoneOffsetFromUTC"},
      {tags::PatientName, "PatientName"},
      {tags::PatientID, "PatientID"},
      {tags::StudyInstanceUID, "StudyInstanceUID"},
      {tags::ScheduledStationAETitle, "ScheduledStationAETitle"},
      {tags::ScheduledProcedureStepStartTime, "ScheduledProcedureStepStartTime"},
      {tags::ScheduledProcedureStepDescription, "ScheduledProcedureStepDescription"},
      {tags::ScheduledProcedureStepID, "ScheduledProcedureStepID"},
      {tags::ScheduledProcedureStepSequence, "ScheduledProcedureStepSequence"},
      {tags::PerformedProcedureStepEndDate, "PerformedProcedureStepEndDate"},
      {tags::PerformedProcedureStepEndTime, "PerformedProcedureStepEndTime"},
      {tags::PerformedProcedureStepStatus, "PerformedProcedureStepStatus"},
      {tags::PerformedProcedureStepID, "PerformedProcedureStepID"},
      {tags::ScheduledStepAttributesSequence, "ScheduledStepAttributesSequence"},
      {tags::PerformedSeriesSequence, "PerformedSeriesSequence"},
  };
  for (const auto& [tag, keyword] : named) {
    CHECK(std::string(DcmTag(tag.group(), tag.element()).getTagName()) == keyword);
  }
  CHECK(uids::verification == UID_VerificationSOPClass);
  CHECK(uids::modality_worklist_find == UID_FINDModalityWorklistInformationModel);
  CHECK(uids::mpps == UID_ModalityPerformedProcedureStepSOPClass);
  CHECK(uids::mpps_retrieve == UID_ModalityPerformedProcedureStepRetrieveSOPClass);
  CHECK(uids::implicit_vr_little_endian == UID_LittleEndianImplicitTransferSyntax);
  CHECK(uids::explicit_vr_little_endian == UID_LittleEndianExplicitTransferSyntax);
  CHECK(uids::explicit_vr_big_endian == UID_BigEndianExplicitTransferSyntax);
}

TEST_CASE("base64 is written padded and read in both alphabets, padded or not (D14)") {
  const std::pair<std::string, std::string> vectors[] = {// RFC 4648, 10
                                                         {"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    std::string out;
    append_base64(bytes, out);
    CHECK(out == text);
    std::string back;
    REQUIRE(decode_base64(text, back));
    CHECK(back == bytes);
    back.clear();
    REQUIRE(decode_base64(text.substr(0, text.find('=')), back));
    CHECK(back == bytes);
  }
  std::string out;
  REQUIRE(decode_base64("-_-_", out));
  CHECK(out == "\xFB\xFF\xBF");
  for (const char* bad : {"A", "Zg=", "Zg===", "Z=g=", "Zh==", "Zm 9v", "Zm9v\n"}) {
    out.clear();
    INFO(bad);
    CHECK_FALSE(decode_base64(bad, out));
  }
}

TEST_CASE("values keep the length and character rules of their VR (D8, D19)") {
  struct {
    Vr vr;
    const char* value;
    bool fits;
  } const rows[] = {
      {Vr::DA, "20261120", true},
      {Vr::DA, "1970-01-01", false},
      {Vr::DA, "19700101x", false},
      {Vr::DA, "20261320", false},
      {Vr::TM, "2230", true},
      {Vr::TM, "223000.123456", true},
      {Vr::TM, "24", false},
      {Vr::TM, "22:30", false},
      {Vr::DT, "20261120153015.5+0100", true},
      {Vr::DT, "202611201", false},
      {Vr::IS, "+5", true},
      {Vr::IS, "2147483648", false},
      {Vr::IS, "5.0", false},
      {Vr::DS, "1e400", true},
      {Vr::DS, "12345678901234567", false},
      {Vr::DS, ".", false},
      {Vr::DS, "-.5", true},
      {Vr::CS, "IN PROGRESS", true},
      {Vr::CS, "in progress", false},
      {Vr::AS, "018Y", true},
      {Vr::AS, "18Y", false},
      {Vr::SH, "sixteen chars ok", true},
      {Vr::SH, "seventeen chars !", false},
      {Vr::AE, "    ", false},
      {Vr::UI, "1.2.840", true},
      {Vr::UI, "1..2", false},
      {Vr::LO, "a\x01", false},
      {Vr::LT, "a\r\nb", true},
      {Vr::LO, "a\nb", false},
  };
  for (const auto& row : rows) {
    INFO(to_string(row.vr) << " " << row.value);
    CHECK(fits_vr(row.vr, row.value) == row.fits);
    CHECK_FALSE(expectation(row.vr).empty());
  }
  const std::pair<Vr, std::size_t> longest[] = {
      {Vr::AE, 16}, {Vr::CS, 16}, {Vr::DS, 16},    {Vr::IS, 12},   {Vr::LO, 64},
      {Vr::PN, 64}, {Vr::SH, 16}, {Vr::LT, 10240}, {Vr::ST, 1024}, {Vr::UI, 64}};
  for (const auto& [vr, length] : longest) {
    INFO(to_string(vr));
    const std::string most = vr == Vr::IS ? "+00000000001" : std::string(length, '1');
    CHECK(fits_vr(vr, most));
    CHECK_FALSE(fits_vr(vr, vr == Vr::IS ? "+000000000001" : most + "1"));
    if (!facts(vr).in_character_set) continue;
    std::string characters;  // are counted, not bytes
    for (std::size_t i = 0; i < length; ++i) characters += "\xC3\xBC";
    CHECK(fits_vr(vr, characters));
  }
}
