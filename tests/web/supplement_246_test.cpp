// The requests of Supplement 246, B.36 to B.40, with their misprints mended, as a client would send
// them, and the answers the supplement shows. Rules J1 to J11 say what was mended:
// J3 the blank inside a URI and the slash before "?", J7 two items in one sequence, J8 braces that
// do not balance, J9 UIDs with an empty component and an SH of 34 characters.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/web/origin_server_support.h"

using web_test::ask;
using web_test::get;
using web_test::Response;

namespace {

const std::string base = "/radiology";
const std::string sps = base + "/modality-scheduled-procedure-steps";
const std::string mpps_uid = "1.2.250.1.59.40211.12345678.678910.20200102.101010.2";
const std::string mpps = base + "/modality-performed-procedure-steps/" + mpps_uid;

struct Radiology : web_test::Site {
  Radiology()
      : Site([] {
          web::OriginServerOptions options;
          options.base_path = base;
          return options;
        }()) {}
};

/// B.37: without an Accept header, which Table 15.4.1-1 wants and the example has not (rule J10).
std::string post_as_printed(const std::string& target, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: www.hospital-stmarco\r\nContent-Type: application/dicom+json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      target, body.size(), body);
}

// B.37: PPS ID and Study Instance UID mended (rule J9).
const std::string created_step = R"({
  "00080060": {"vr": "CS", "Value": ["MG"]},
  "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Dupont^Pierre"}]},
  "00100020": {"vr": "LO", "Value": ["12345"]},
  "00100030": {"vr": "DA", "Value": ["19800101"]},
  "00100040": {"vr": "CS", "Value": ["M"]},
  "00400241": {"vr": "AE", "Value": ["MG1"]},
  "00400244": {"vr": "DA", "Value": ["20250102"]},
  "00400245": {"vr": "TM", "Value": ["101010"]},
  "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
  "00400253": {"vr": "SH", "Value": ["PPS20250102"]},
  "00400270": {"vr": "SQ", "Value": [{
    "00080050": {"vr": "SH", "Value": ["2025010212"]},
    "0020000D": {"vr": "UI", "Value": ["1.2.250.1.59.40211.789001276.14556172.67789"]},
    "00400009": {"vr": "SH", "Value": ["SPS789"]}
  }]},
  "00400340": {"vr": "SQ"}
})";

}  // namespace

TEST_CASE("B.36: Search by station AE title and date finds two scheduled procedure steps") {
  Radiology radiology;
  // J7: the example shows both in one sequence; K.6-1 has one item a result.
  radiology.worklist.matches.push_back(web_test::data_set(R"({
    "00080050": {"vr": "SH", "Value": ["2025010212"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Dupont^Pierre"}]},
    "00400100": {"vr": "SQ", "Value": [
      {"00080060": {"vr": "CS", "Value": ["MG"]}, "00400009": {"vr": "SH", "Value": ["SPS789"]}},
      {"00080060": {"vr": "CS", "Value": ["MG"]}, "00400009": {"vr": "SH", "Value": ["SPS790"]}}]}
  })"));
  // J3: the slash before the question mark is in the example and tolerated.
  for (const std::string slash : {"/", ""}) {
    const Response response =
        ask(radiology.port, get(sps + slash + "?00400100.00400001=MG1&00400100.00400002=20250102" +
                                    "&includefield=00400100.00400007",
                                "Accept: application/dicom+json\r\n"));
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/dicom+json");
    const std::size_t first = response.body.find("SPS789");
    const std::size_t second = response.body.find("SPS790");
    CHECK(first < second);
    CHECK(second != std::string::npos);
    // Two results, each with the patient and one item.
    CHECK(response.body.find("Dupont") != response.body.rfind("Dupont"));
    const mapping::Search search = radiology.worklist.last();
    const auto item =
        search.identifier.view().first_item(mapping::tags::ScheduledProcedureStepSequence);
    REQUIRE(item);
    CHECK(item->text(mapping::tags::ScheduledStationAETitle) == "MG1");
    CHECK(item->text(mapping::tags::ScheduledProcedureStepStartDate) == "20250102");
    CHECK(item->find(mapping::tags::ScheduledProcedureStepDescription).has_value());
  }
}

TEST_CASE("B.36 in keywords, with the ?& of the template, asks the same (rules A4, J13)") {
  Radiology radiology;
  ask(radiology.port, get(sps + "?00400100.00400001=MG1&00400100.00400002=20250102"));
  const mapping::DataSet by_tag = radiology.worklist.last().identifier;
  ask(radiology.port, get(sps + "?&ScheduledProcedureStepSequence.ScheduledStationAETitle=MG1" +
                          "&00400100.ScheduledProcedureStepStartDate=20250102"));
  CHECK(radiology.worklist.last().identifier == by_tag);
}

TEST_CASE("B.37 to B.40: a step is created, completed and retrieved") {
  Radiology radiology;
  const Response created = ask(radiology.port, post_as_printed(mpps, created_step));
  CHECK(created.status == 201);  // J2: the example prints 200 OK, Table 15.4.3-1 has 201
  CHECK(created.header("content-length") == "0");
  CHECK(radiology.steps.stored(mpps_uid) == web_test::data_set(created_step));

  // B.38: COMPLETED, with every series whole. J1: the example writes /update.
  const std::string completed = R"({
    "00400250": {"vr": "DA", "Value": ["20250102"]},
    "00400251": {"vr": "TM", "Value": ["102020"]},
    "00400252": {"vr": "CS", "Value": ["COMPLETED"]},
    "00400340": {"vr": "SQ", "Value": [{
      "00080054": {"vr": "AE"},
      "0008103E": {"vr": "LO", "Value": ["CC and MLO"]},
      "00081050": {"vr": "PN"},
      "00081070": {"vr": "PN"},
      "00081140": {"vr": "SQ", "Value": [{
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.1.2"]},
        "00081155": {"vr": "UI", "Value": ["1.2.250.1.59.40211.789001276.14556172.67789.1"]}}]},
      "00181030": {"vr": "LO", "Value": ["Screening"]},
      "0020000E": {"vr": "UI", "Value": ["1.2.250.1.59.40211.789001276.14556172.67790"]},
      "00400220": {"vr": "SQ"}
    }]}
  })";
  const Response updated = ask(radiology.port, post_as_printed(mpps + "/update", completed));
  CHECK(updated.status == 200);
  CHECK(updated.header("content-length") == "0");

  // B.40: two attributes, as an array of one object (rule J5).
  const Response found = ask(radiology.port, get(mpps + "?includefield=00400252,00400270.0020000D",
                                                 "Accept: application/dicom+json\r\n"));
  CHECK(found.status == 200);
  CHECK(found.body ==
        R"([{"00400252":{"vr":"CS","Value":["COMPLETED"]},"00400270":{"vr":"SQ","Value":[)"
        R"({"0020000D":{"vr":"UI","Value":["1.2.250.1.59.40211.789001276.14556172.67789"]}}]}}])");

  // Final is final: 409 (rule J22).
  CHECK(ask(radiology.port, post_as_printed(mpps + "?update", completed)).status == 409);
}

TEST_CASE("B.39: a step is discontinued with its reason") {
  Radiology radiology;
  REQUIRE(ask(radiology.port, post_as_printed(mpps, created_step)).status == 201);
  // J9: the end is after the start here; the example's is five years before it.
  const std::string discontinued = R"({
    "00400250": {"vr": "DA", "Value": ["20250102"]},
    "00400251": {"vr": "TM", "Value": ["101530"]},
    "00400252": {"vr": "CS", "Value": ["DISCONTINUED"]},
    "00400281": {"vr": "SQ", "Value": [{
      "00080100": {"vr": "SH", "Value": ["110513"]},
      "00080102": {"vr": "SH", "Value": ["DCM"]},
      "00080104": {"vr": "LO", "Value": ["Discontinued for unspecified reason"]}}]}
  })";
  CHECK(ask(radiology.port, post_as_printed(mpps + "?update", discontinued)).status == 200);
  const auto stored = radiology.steps.stored(mpps_uid);
  CHECK(stored.view().text(mapping::tags::PerformedProcedureStepStatus) == "DISCONTINUED");
  CHECK(stored.view().text(mapping::tags::PerformedProcedureStepID) == "PPS20250102");
}

TEST_CASE("The misprints themselves are refused, not guessed at (rules J3, J9)") {
  Radiology radiology;
  struct Row {
    std::string request;
    std::string why;
  };
  std::string long_id = created_step;
  long_id.replace(long_id.find("PPS20250102"), 11, "1.2.250.1.59.40211.12345678.67891");
  std::string empty_component = created_step;
  empty_component.replace(empty_component.find("1.2.250.1.59.40211.7890"), 23,
                          "1.2.250.1.59..40211.7890");
  for (const Row& row : {
           Row{post_as_printed(base + "/modality-performed-procedure-steps/ " + mpps_uid,
                               created_step),
               "J3: a blank inside the URI"},
           Row{post_as_printed(mpps, long_id), "J9: a PPS ID of 34 characters (D19)"},
           Row{post_as_printed(mpps, empty_component), "J9: a UID with an empty component"},
           Row{post_as_printed(mpps, created_step.substr(0, created_step.size() - 1)),
               "J8: braces that do not balance"},
       }) {
    CAPTURE(row.why);
    CHECK(ask(radiology.port, row.request).status == 400);
  }
}
