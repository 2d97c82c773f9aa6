#include "mapping/return_keys.h"

#include <catch2/catch.hpp>
#include <functional>
#include <set>
#include <string>

#include "mapping/attribute_tables.h"
#include "mapping/tags.h"

using namespace mapping;

namespace {

constexpr Tag steps = tags::ScheduledProcedureStepSequence;
constexpr Tag protocol_codes{0x0040, 0x0008};
constexpr Tag code_value{0x0008, 0x0100};
constexpr Tag coding_scheme{0x0008, 0x0102};
constexpr Tag code_meaning{0x0008, 0x0104};

DataSet make(const std::function<void(DataSetBuilder&)>& fill) {
  DataSetBuilder builder;
  fill(builder);
  auto result = builder.build();
  REQUIRE(result.ok());
  return std::move(result).value();
}

/// "tag", "tag=text", "tag[" items "]": a data set on one line.
std::string dump(DataSetView data_set) {
  std::string out;
  for (const Element& element : data_set) {
    if (!out.empty()) out += ' ';
    out += to_string(element.tag);
    if (element.vr == Vr::SQ) {
      out += '[';
      for (const DataSetView item : element.items()) out += "{" + dump(item) + "}";
      out += ']';
    } else if (!element.empty()) {
      out += '=' + std::string(element.text());
    }
  }
  return out;
}

/// Every path in the data set, items of one sequence taken together.
void collect(DataSetView data_set, const std::string& prefix, std::set<std::string>& paths) {
  for (const Element& element : data_set) {
    const std::string path = prefix + to_string(element.tag);
    paths.insert(path);
    if (element.vr != Vr::SQ) continue;
    for (const DataSetView item : element.items()) collect(item, path + ".", paths);
  }
}
std::set<std::string> paths_of(DataSetView data_set) {
  std::set<std::string> paths;
  collect(data_set, "", paths);
  return paths;
}

const std::set<std::string> default_paths = {
    // Scheduled Procedure Step
    "00400100", "00400100.00400001", "00400100.00400002", "00400100.00400003", "00400100.00080060",
    "00400100.00400006", "00400100.00400007", "00400100.00400010", "00400100.00400011",
    "00400100.00400008", "00400100.00400012", "00400100.00400009", "00400100.00321070",
    // Requested Procedure
    "00401001", "00321060", "00321064", "0020000D", "00081110", "00401003", "00401004",
    // Imaging Service Request, Visit
    "00080050", "00321032", "00080090", "00380010", "00380300", "00081120",
    // Patient
    "00100010", "00100020", "00100030", "00100040", "00101030", "00403001", "00380500", "001021C0",
    "00102000", "00102110", "00380050"};

}  // namespace

TEST_CASE("An SCP is asked for every attribute of return type 1, 1C, 2 and 2C (A13)") {
  const DataSet asked = with_default_return_keys(DataSetView());
  CHECK(paths_of(asked) == default_paths);
  for (const Element& element : asked.view()) {
    if (element.tag != steps) CHECK(element.empty());
  }
  CHECK(asked.view().find(steps)->items().size() == 1);
  CHECK(DataSet::from_bytes(asked.bytes()).ok());
}

TEST_CASE("Keys that are there already keep their values and others are added around them (A13)") {
  const DataSet identifier = make([](DataSetBuilder& b) {
    b.add(tags::PatientName, Vr::PN, "DOE^*");
    b.add(Tag(0x0008, 0x1070), Vr::PN, "A*");  // Operators' Name, not in the model (A22)
    b.add(Tag(0x0010, 0x4000), Vr::LT, "");    // Patient Comments, type 3
    b.begin_sequence(steps).begin_item();
    b.add(tags::Modality, Vr::CS, "CT");
    b.begin_sequence(protocol_codes).begin_item();
    b.add(code_value, Vr::SH, "12");
    b.end_item().end_sequence();
    b.end_item().end_sequence();
  });
  const DataSet asked = with_default_return_keys(identifier);

  auto expected = default_paths;
  expected.insert("00081070");
  expected.insert("00104000");
  // Type 1C inside the item of the code sequence.
  for (const char* path : {"00400100.00400008.00080100", "00400100.00400008.00080102",
                           "00400100.00400008.00080119", "00400100.00400008.00080120"}) {
    expected.insert(path);
  }
  CHECK(paths_of(asked) == expected);
  CHECK(asked.view().text(tags::PatientName) == "DOE^*");
  CHECK(asked.view().text(Tag(0x0008, 0x1070)) == "A*");
  const DataSetView item = *asked.view().first_item(steps);
  CHECK(item.text(tags::Modality) == "CT");
  CHECK(item.first_item(protocol_codes)->text(code_value) == "12");
  CHECK(DataSet::from_bytes(asked.bytes()).ok());
}

TEST_CASE("A sequence that is asked for whole stays so (A13)") {
  const DataSet no_item = make([](DataSetBuilder& b) { b.begin_sequence(steps).end_sequence(); });
  CHECK(with_default_return_keys(no_item).view().find(steps)->empty());
  CHECK(with_all_return_keys(no_item).view().find(steps)->empty());

  const DataSet empty_item = make(
      [](DataSetBuilder& b) { b.begin_sequence(steps).begin_item().end_item().end_sequence(); });
  const DataSet asked = with_default_return_keys(empty_item);
  CHECK(asked.view().find(steps)->items().size() == 1);
  CHECK(asked.view().first_item(steps)->empty());
}

TEST_CASE("Adding return keys twice adds nothing") {
  const DataSet once = with_default_return_keys(DataSetView());
  CHECK(with_default_return_keys(once) == once);
  const DataSet all = with_all_return_keys(DataSetView());
  CHECK(with_all_return_keys(all) == all);
  CHECK(with_default_return_keys(all) == all);
}

TEST_CASE("includefield=all asks for every attribute of Table K.6-1, sequences whole (A14)") {
  std::set<std::string> expected;
  for (const WorklistAttribute& row : worklist_attributes()) {
    const bool in_step = row.path.starts_with("00400100.") && row.path.size() == 17;
    if (in_step || row.path.size() == 8) expected.emplace(row.path);
  }
  // Table K.6-1a is no part of the model.
  for (const char* path : {"00080005", "00080201", "0040A390"}) expected.erase(path);
  const DataSet all = with_all_return_keys(DataSetView());
  CHECK(paths_of(all) == expected);
  CHECK(expected.count("00104000") == 1);
  CHECK(expected.count("00400100.00400400") == 1);
}

TEST_CASE("An answer is pruned to the keys of the identifier at every level (A13, F8)") {
  const DataSet match = make([](DataSetBuilder& b) {
    b.add(tags::PatientName, Vr::PN, "DOE^JANE");
    b.add(tags::PatientID, Vr::LO, "1");
    b.begin_sequence(steps);
    for (const char* modality : {"CT", "MR"}) {
      b.begin_item();
      b.add(tags::Modality, Vr::CS, modality);
      b.add(tags::ScheduledProcedureStepID, Vr::SH, "S");
      b.begin_sequence(protocol_codes).begin_item();
      b.add(code_value, Vr::SH, "12").add(code_meaning, Vr::LO, "head");
      b.end_item().end_sequence();
      b.end_item();
    }
    b.end_sequence();
  });
  const auto key = [](const std::function<void(DataSetBuilder&)>& fill_item) {
    return make([&](DataSetBuilder& b) {
      b.begin_sequence(steps).begin_item();
      fill_item(b);
      b.end_item().end_sequence();
    });
  };
  struct Row {
    DataSet identifier;
    const char* expected;
    const char* why;
  };
  const Row rows[] = {
      {make([](DataSetBuilder& b) { b.add(tags::PatientID, Vr::LO, ""); }), "00100020=1",
       "only what was asked"},
      {make([](DataSetBuilder& b) {
         b.add(tags::PatientName, Vr::PN, "DOE*").add(Tag(0x0010, 0x1020), Vr::DS, "");
       }),
       "00100010=DOE^JANE", "what is not there is not made up"},
      {key([](DataSetBuilder& b) { b.add(tags::Modality, Vr::CS, ""); }),
       "00400100[{00080060=CT}{00080060=MR}]", "in every item"},
      {key([](DataSetBuilder& b) {
         b.begin_sequence(protocol_codes).begin_item();
         b.add(code_value, Vr::SH, "").add(coding_scheme, Vr::SH, "");
         b.end_item().end_sequence();
       }),
       "00400100[{00400008[{00080100=12}]}{00400008[{00080100=12}]}]", "at depth"},
      {key([](DataSetBuilder& b) { b.begin_sequence(protocol_codes).end_sequence(); }),
       "00400100[{00400008[{00080100=12 00080104=head}]}"
       "{00400008[{00080100=12 00080104=head}]}]",
       "a sequence without an item asks for all in it"},
      {key([](DataSetBuilder& b) {
         b.begin_sequence(protocol_codes).begin_item().end_item().end_sequence();
       }),
       "00400100[{00400008[{00080100=12 00080104=head}]}"
       "{00400008[{00080100=12 00080104=head}]}]",
       "as does an empty item"},
      {key([](DataSetBuilder& b) { b.add(tags::AccessionNumber, Vr::SH, ""); }), "00400100[{}{}]",
       "items stay even if nothing asked for is in them"},
      {DataSet(), "", "an empty identifier asks for nothing (F30)"},
  };
  for (const Row& row : rows) {
    INFO(row.why);
    const DataSet pruned = prune_to_identifier(match, row.identifier);
    CHECK(dump(pruned) == row.expected);
    CHECK(DataSet::from_bytes(pruned.bytes()).ok());
    CHECK(prune_to_identifier(pruned, row.identifier) == pruned);
  }
  CHECK(prune_to_identifier(match, match) == match);
}

TEST_CASE("A key of return type 2 that a server left out comes back empty, no other does (F8)") {
  const DataSet identifier = make([](DataSetBuilder& b) {
    b.add(tags::AccessionNumber, Vr::SH, "");  // type 2
    b.add(tags::PatientName, Vr::PN, "");      // type 1
    b.add(Tag(0x0010, 0x1020), Vr::DS, "");    // type 3
    b.begin_sequence(steps).begin_item();
    b.add(tags::Modality, Vr::CS, "");       // type 1
    b.add(Tag(0x0040, 0x0006), Vr::PN, "");  // type 2
    b.end_item().end_sequence();
  });
  const DataSet match = make([](DataSetBuilder& b) {
    b.begin_sequence(steps).begin_item().add(tags::Modality, Vr::CS, "MR").end_item();
    b.end_sequence();
  });
  CHECK(dump(prune_to_identifier(match, identifier)) ==
        "00080050 00400100[{00080060=MR 00400006}]");
}

TEST_CASE("Time zone and referenced documents stay in an answer unasked, at the root (F8)") {
  const DataSet match = make([](DataSetBuilder& b) {
    b.add(tags::TimezoneOffsetFromUTC, Vr::SH, "+0100");
    b.add(tags::PatientID, Vr::LO, "1");
    b.begin_sequence(Tag(0x0040, 0xA390)).begin_item();
    b.add(Tag(0x0040, 0xE001), Vr::ST, "1.2^3");
    b.end_item().end_sequence();
  });
  const DataSet identifier = make([](DataSetBuilder& b) { b.add(tags::PatientID, Vr::LO, ""); });
  CHECK(dump(prune_to_identifier(match, identifier)) ==
        "00080201=+0100 00100020=1 0040A390[{0040E001=1.2^3}]");
  const DataSet empty_zone = make([](DataSetBuilder& b) {
    b.add(tags::TimezoneOffsetFromUTC, Vr::SH, "").add(tags::PatientID, Vr::LO, "1");
  });
  CHECK(dump(prune_to_identifier(empty_zone, identifier)) == "00100020=1");
}

TEST_CASE("A match with several scheduled steps becomes one data set a step (F9)") {
  const auto match = [](int items) {
    return make([&](DataSetBuilder& b) {
      b.add(tags::PatientID, Vr::LO, "1");
      b.begin_sequence(steps);
      for (int i = 0; i < items; ++i) {
        b.begin_item();
        b.add(tags::ScheduledProcedureStepID, Vr::SH, std::to_string(i));
        b.end_item();
      }
      b.end_sequence();
      b.add(Tag(0x0040, 0x1001), Vr::SH, "R");
    });
  };
  const auto split = split_scheduled_procedure_steps(match(3));
  REQUIRE(split.size() == 3);
  CHECK(dump(split[0]) == "00100020=1 00400100[{00400009=0}] 00401001=R");
  CHECK(dump(split[2]) == "00100020=1 00400100[{00400009=2}] 00401001=R");

  for (const DataSet& whole :
       {match(0), match(1), make([](DataSetBuilder& b) { b.add(tags::PatientID, Vr::LO, "1"); })}) {
    const auto same = split_scheduled_procedure_steps(whole);
    REQUIRE(same.size() == 1);
    CHECK(same[0] == whole);
  }
}

TEST_CASE("A retrieved MPPS is reduced to the paths or attributes asked for (F26)") {
  const DataSet mpps = make([](DataSetBuilder& b) {
    b.add(tags::PatientID, Vr::LO, "1");
    b.begin_sequence(tags::ScheduledStepAttributesSequence).begin_item();
    b.add(tags::AccessionNumber, Vr::SH, "A").add(tags::StudyInstanceUID, Vr::UI, "1.2");
    b.end_item().begin_item();
    b.add(tags::StudyInstanceUID, Vr::UI, "1.3");
    b.end_item().end_sequence();
    b.add(tags::PerformedProcedureStepStatus, Vr::CS, "COMPLETED");
  });
  const auto paths = [](std::initializer_list<const char*> texts) {
    std::vector<AttributePath> list;
    for (const char* text : texts) list.push_back(parse_attribute_path(text).value());
    return list;
  };
  CHECK(prune_to_paths(mpps, {}) == mpps);
  CHECK(dump(prune_to_paths(mpps, paths({"00400252"}))) == "00400252=COMPLETED");
  CHECK(dump(prune_to_paths(mpps, paths({"00400270.0020000D"}))) ==
        "00400270[{0020000D=1.2}{0020000D=1.3}]");
  CHECK(dump(prune_to_paths(mpps, paths({"00400270.00080050", "00100020"}))) ==
        "00100020=1 00400270[{00080050=A}{}]");
  CHECK(dump(prune_to_paths(mpps, paths({"00400270.00080050", "00400270"}))) ==
        "00400270[{00080050=A 0020000D=1.2}{0020000D=1.3}]");
  CHECK(dump(prune_to_paths(mpps, paths({"00100010"}))).empty());

  CHECK(prune_to_attributes(mpps, {}) == mpps);
  CHECK(dump(prune_to_attributes(mpps, {tags::PerformedProcedureStepStatus, tags::PatientID,
                                        tags::PatientName})) == "00100020=1 00400252=COMPLETED");
}

TEST_CASE("An SCP answers every key, with zero length where its step knows no value (F8)") {
  const DataSet step = make([](DataSetBuilder& b) {
    b.add(tags::PatientID, Vr::LO, "1").add(tags::PatientName, Vr::PN, "N");
    b.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
    b.add(tags::Modality, Vr::CS, "MR").end_item().end_sequence();
  });
  const DataSet identifier = make([](DataSetBuilder& b) {
    b.add(tags::AccessionNumber, Vr::SH, {}).add(tags::PatientID, Vr::LO, {});
    b.add(Tag{0x0008, 0x0081}, Vr::ST, {});               // of no worklist
    b.add(tags::TimezoneOffsetFromUTC, Vr::SH, "+0100");  // no key
    b.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
    b.add(Tag{0x0040, 0x0020}, Vr::CS, {}).add(tags::Modality, Vr::CS, {});
    b.begin_sequence(Tag{0x0040, 0x0008}).begin_item();
    b.add(Tag{0x0008, 0x0100}, Vr::SH, {}).end_item().end_sequence();
    b.end_item().end_sequence();
  });
  CHECK(dump(answer_to_identifier(step, identifier)) ==
        "00080050 00080081 00100020=1 00400100[{00080060=MR 00400020}]");
}
