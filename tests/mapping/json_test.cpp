// DICOM JSON, both ways.
#include "mapping/json.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/mapping/json_text.h"
#include "tests/support/random_data_set.h"

using namespace mapping;
using mapping_test::rewritten;
using mapping_test::written;

TEST_CASE("data sets of every VR come back from JSON as they went in") {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    support::RandomOptions options;
    if (seed % 2 == 0) options.characters = {"ü", "王", "\"", "/", "\t", "€", "😀", " "};
    const DataSet data_set = support::RandomDataSet(seed, options).make();
    INFO("seed " << seed);
    const auto read = read_json(written(data_set));
    if (!read) FAIL(read.fault().what);
    CHECK(read.value() == data_set);
  }
}

TEST_CASE(
    "members stand ascending, with vr always, and Value only where there is one (D2, D4, D5)") {
  CHECK(rewritten(R"({"00100020":{"vr":"LO","Value":["7"]},"00080050":{"vr":"SH"}})") ==
        R"({"00080050":{"vr":"SH"},"00100020":{"vr":"LO","Value":["7"]}})");
}

TEST_CASE("every VR is written in the JSON type of Table F.2.3-1 (D7)") {
  struct {
    const char* vr;
    const char* value;
  } const rows[] = {
      {"AE", R"("Value":["A"])"},
      {"AS", R"("Value":["001Y"])"},
      {"AT", R"("Value":["00100020"])"},
      {"CS", R"("Value":["A"])"},
      {"DA", R"("Value":["20261120"])"},
      {"DS", R"("Value":[1.5])"},
      {"DT", R"("Value":["2026"])"},
      {"FD", R"("Value":[1.5])"},
      {"FL", R"("Value":[1.5])"},
      {"IS", R"("Value":[7])"},
      {"LO", R"("Value":["1"])"},
      {"LT", R"("Value":["1"])"},
      {"OB", R"("InlineBinary":"AAE=")"},
      {"OD", R"("InlineBinary":"AAAAAAAAAAA=")"},
      {"OF", R"("InlineBinary":"AAAAAA==")"},
      {"OL", R"("InlineBinary":"AAAAAA==")"},
      {"OV", R"("InlineBinary":"AAAAAAAAAAA=")"},
      {"OW", R"("InlineBinary":"AAE=")"},
      {"PN", R"("Value":[{"Alphabetic":"A"}])"},
      {"SH", R"("Value":["1"])"},
      {"SL", R"("Value":[-7])"},
      {"SQ", R"("Value":[{}])"},
      {"SS", R"("Value":[-7])"},
      {"ST", R"("Value":["1"])"},
      {"SV", R"("Value":[-7])"},
      {"TM", R"("Value":["12"])"},
      {"UC", R"("Value":["1"])"},
      {"UI", R"("Value":["1.2"])"},
      {"UL", R"("Value":[7])"},
      {"UN", R"("InlineBinary":"AAE=")"},
      {"UR", R"("Value":["http://x"])"},
      {"US", R"("Value":[7])"},
      {"UT", R"("Value":["1"])"},
      {"UV", R"("Value":[7])"},
  };
  CHECK(std::size(rows) == 34);
  for (const auto& row : rows) {
    const std::string json =
        R"({"00090010":{"vr":")" + std::string(row.vr) + "\"," + row.value + "}}";
    CHECK(rewritten(json) == json);
  }
}

TEST_CASE("padding never shows in JSON, leading blanks stay (D16)") {
  DataSetBuilder builder;
  builder.add(tags::PatientID, Vr::LO, "odd").add(tags::StudyInstanceUID, Vr::UI, "1.2");
  builder.add(Tag(0x0010, 0x4000), Vr::LT, "  indented");
  CHECK(written(builder.build().value()) == R"({"00100020":{"vr":"LO","Value":["odd"]},)"
                                            R"("00104000":{"vr":"LT","Value":["  indented"]},)"
                                            R"("0020000D":{"vr":"UI","Value":["1.2"]}})");
}

TEST_CASE("names end with their last character: no carets, no blanks before them (D11, D16)") {
  for (const char* name : {"Doe^Jane", "Doe^Jane^^", "Doe^Jane ^ ^", "Doe^Jane^=^ =^"}) {
    DataSetBuilder builder;
    builder.add(tags::PatientName, Vr::PN, name);
    CHECK(written(builder.build().value()) ==
          R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane"}]}})");
  }
  for (const char* name : {"^", "^^=^", " ^ "}) {
    DataSetBuilder builder;
    builder.add(tags::PatientName, Vr::PN, name);
    CHECK(written(builder.build().value()) == R"({"00100010":{"vr":"PN"}})");
  }
}

TEST_CASE("private attributes keep their block and creator in JSON (D18)") {
  const char* json = R"({"00290011":{"vr":"LO","Value":["ME"]},)"
                     R"("00291101":{"vr":"SH","Value":["x"]}})";
  CHECK(rewritten(json) == json);
}

TEST_CASE("0008,0005 stands in the JSON exactly where text is not ASCII (D17)") {
  CHECK(rewritten(R"({"00080001":{"vr":"UL"},"00100020":{"vr":"LO","Value":["\u00fc"]}})") ==
        R"({"00080005":{"vr":"CS","Value":["ISO_IR 192"]},)"
        R"("00100020":{"vr":"LO","Value":["ü"]}})");
  CHECK(rewritten(R"({"00400100":{"vr":"SQ","Value":[{"00400010":{"vr":"SH","Value":["ü"]}}]}})") ==
        R"({"00080005":{"vr":"CS","Value":["ISO_IR 192"]},)"
        R"("00400100":{"vr":"SQ","Value":[{"00400010":{"vr":"SH","Value":["ü"]}}]}})");
}

TEST_CASE("a list of results is handed on one by one, and reading stops when told (B10)") {
  std::vector<DataSet> read;
  const auto take = [&](DataSet&& data_set) {
    read.push_back(std::move(data_set));
    return read.size() < 2;
  };
  CHECK(read_json_array("[]", take).value() == 0);
  CHECK(read_json_array(R"([{"00100020":{"vr":"LO"}},{},{}])", take).value() == 2);
  CHECK(read.size() == 2);
  read.clear();
  CHECK(read_json_array("{}", take).value() == 1);
  read.clear();
  CHECK_FALSE(read_json_array(R"([{},)", take));
  CHECK(read.size() == 1);
}

TEST_CASE("a float that JSON cannot hold is a fault and leaves nothing behind (D10)") {
  DataSetBuilder builder;
  builder.add(tags::PatientID, Vr::LO, "1");
  builder.add(Tag(0x0018, 0x9313), Vr::FD, std::string("\0\0\0\0\0\0\xF8\x7F", 8));
  const DataSet data_set = builder.build().value();
  std::string out = "before";
  const auto result = write_json(data_set, out);
  REQUIRE_FALSE(result);
  CHECK(result.fault().what == "00189313: expected a finite number, JSON has no other");
  CHECK(out == "before");
}

TEST_CASE("control characters and quotes are escaped") {
  DataSetBuilder builder;
  builder.add(Tag(0x0010, 0x4000), Vr::LT, "a\"b\\c\n\x01");
  CHECK(written(builder.build().value()) ==
        R"({"00104000":{"vr":"LT","Value":["a\"b\\c\n\u0001"]}})");
}
