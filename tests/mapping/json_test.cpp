// DICOM JSON, both ways.
#include "mapping/json.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/support/random_data_set.h"

using namespace mapping;

namespace {

std::string written(const DataSet& data_set) {
  std::string out;
  REQUIRE(write_json(data_set, out));
  return out;
}
std::string rewritten(std::string_view json) {
  const auto read = read_json(json);
  return read ? written(read.value()) : "fault: " + read.fault().what;
}
std::string strictly(std::string_view json) {
  JsonReadOptions options;
  options.enforce_vr_limits = true;
  const auto read = read_json(json, options);
  return read ? written(read.value()) : "fault: " + read.fault().what;
}

}  // namespace

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

TEST_CASE("what the rules tolerate is read as what it means") {
  const std::pair<const char*, const char*> rows[] = {
      {R"([{"00100020":{"vr":"LO","Value":["7"]}}])", R"({"00100020":{"vr":"LO","Value":["7"]}})"},
      {"\xEF\xBB\xBF{}", "{}"},                                        // D1
      {R"({"0040a730":{"vr":"SQ"}})", R"({"0040A730":{"vr":"SQ"}})"},  // D2
      {R"({"00100020":{"Value":["7"],"vr":"LO"}})", R"({"00100020":{"vr":"LO","Value":["7"]}})"},
      {R"({"00100020":{"Value":["7"]}})", R"({"00100020":{"vr":"LO","Value":["7"]}})"},  // D4
      {R"({"00080050":{}})", R"({"00080050":{"vr":"SH"}})"},                             // D4
      {R"({"00100020":{"vr":"LO","Value":[]}})", R"({"00100020":{"vr":"LO"}})"},         // D5
      {R"({"00100020":{"vr":"LO","Value":null}})", R"({"00100020":{"vr":"LO"}})"},       // D5
      {R"({"00100020":{"vr":"LO","Value":[null]}})", R"({"00100020":{"vr":"LO"}})"},     // D6
      {R"({"00100020":{"vr":"LO","Value":[""]}})", R"({"00100020":{"vr":"LO"}})"},       // D6
      {R"({"00080008":{"vr":"CS","Value":["MPG",null,"XR3"]}})",
       R"({"00080008":{"vr":"CS","Value":["MPG",null,"XR3"]}})"},  // D6
      {R"({"00100010":{"vr":"PN","Value":["Doe^Jane"]}})",
       R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane"}]}})"},  // D11
      {R"({"00100010":{"vr":"PN","Value":[{}]}})", R"({"00100010":{"vr":"PN"}})"},
      {R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^^^"}]}})",
       R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe"}]}})"},
      {R"({"00081110":{"vr":"SQ","Value":[null,{}]}})",  // D12
       R"({"00081110":{"vr":"SQ","Value":[{},{}]}})"},
      {R"({"00080005":{"vr":"CS","Value":["ISO_IR 100"]},"00100000":{"vr":"UL","Value":[8]}})",
       "{}"},  // D3, D17
      {R"({"00100020":{"vr":"LO","Value":["7  "]}})", R"({"00100020":{"vr":"LO","Value":["7"]}})"},
      {R"({"00100020":{"vr":"LO","name":{"x":[1,{"y":2}]},"Value":["7"]}})",
       R"({"00100020":{"vr":"LO","Value":["7"]}})"},
      {R"({"00420011":{"vr":"OB","InlineBinary":"-_-_AA"}})",
       R"({"00420011":{"vr":"OB","InlineBinary":"+/+/AA=="}})"},  // D14
      {R"({"00091010":{"Value":[{"00100020":{"vr":"LO","Value":["7"]}}],"vr":"SQ"}})",
       R"({"00091010":{"vr":"SQ","Value":[{"00100020":{"vr":"LO","Value":["7"]}}]}})"},
  };
  for (const auto& [in, out] : rows) CHECK(rewritten(in) == out);
}

TEST_CASE("numbers keep their text: IS, DS, SV, UV as number or string (D8)") {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"00101030":{"vr":"DS","Value":[1.10]}})",
       R"({"00101030":{"vr":"DS","Value":["1.10"]}})"},
      {R"({"00101030":{"vr":"DS","Value":["+5","81.5","1e400",-0]}})",
       R"({"00101030":{"vr":"DS","Value":["+5",81.5,"1e400","-0"]}})"},
      {R"({"00200011":{"vr":"IS","Value":["007",7,"-3"]}})",
       R"({"00200011":{"vr":"IS","Value":["007",7,-3]}})"},
      {R"({"00720082":{"vr":"SV","Value":["9007199254740993",5]}})",
       R"({"00720082":{"vr":"SV","Value":["9007199254740993",5]}})"},
      {R"({"00720083":{"vr":"UV","Value":[18446744073709551615]}})",
       R"({"00720083":{"vr":"UV","Value":["18446744073709551615"]}})"},
      {R"({"00280009":{"vr":"AT","Value":["0018106a"]}})",
       R"({"00280009":{"vr":"AT","Value":["0018106A"]}})"},  // D9
  };
  for (const auto& [in, out] : rows) CHECK(rewritten(in) == out);
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

TEST_CASE("faults name the attribute path and what was expected, never a value") {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"00100020":{"vr":"LO","Value":[7]}})", "00100020: expected a string (VR LO)"},
      {R"({"00100020":{"vr":"LO","Value":"secret"}})", "00100020: expected an array as Value"},
      {R"({"00100020":{"vr":"LO","Value":["sec\\ret"]}})",
       "00100020: expected no backslash within one value (VR LO)"},
      {R"({"00100020":{"vr":"LO","Value":[true]}})", "00100020: expected no boolean (VR LO)"},
      {R"({"00100020":{"vr":"LO","Value":[{}]}})",
       "00100020: expected values that are no objects (VR LO)"},
      {R"({"00100020":{"vr":"XX","Value":[]}})", "00100020: expected a VR of PS3.5, 6.2"},
      {R"({"00100020":{"vr":"LO","Value":[[]]}})", "00100020: expected no array here"},
      {R"({"00100020":"secret"})", "00100020: expected an object with vr and Value"},
      {R"({"PatientID":{"vr":"LO"}})",
       "data set: expected tags of eight hexadecimal digits as names"},
      {R"({"00100020":{"vr":"LO"},"00100020":{"vr":"LO"}})",
       "00100020: expected each attribute once"},  // D2
      {R"({"00400100":{"vr":"SQ","Value":[{},{"00080060":{"vr":"CS","Value":[1]}}]}})",
       "00400100[1].00080060: expected a string (VR CS)"},
      {R"({"00400100":{"vr":"SQ","Value":["secret"]}})",
       "00400100: expected objects in the Value of a sequence"},
      {R"({"00420011":{"vr":"OB","InlineBinary":"!"}})", "00420011: expected base64 (RFC 4648)"},
      {R"({"00420011":{"vr":"OB","Value":[1]}})",
       "00420011: expected InlineBinary instead of Value (VR OB)"},
      {R"({"00420011":{"vr":"OB","BulkDataURI":"http://169.254.0.1/"}})",
       "00420011: expected Value or InlineBinary: bulk data is not fetched"},  // D15
      {R"({"00420011":{"vr":"OB","InlineBinary":"AA==","Value":[]}})",
       "00420011: expected one of Value and InlineBinary, once"},  // D4
      {R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"a=b"}]}})",
       "00100010: expected neither '=' nor a backslash within a component group"},  // D11
      {R"({"00100010":{"vr":"PN","Value":[{"Given":"a"}]}})",
       "00100010: expected Alphabetic, Ideographic or Phonetic"},
      {R"({"001021C0":{"vr":"US","Value":[65536]}})",
       "001021C0: expected a number in the range of its VR (VR US)"},
      {R"({"001021C0":{"vr":"US","Value":["4"]}})",
       "001021C0: expected a number in the range of its VR (VR US)"},
      {R"({"00101030":{"vr":"DS","Value":[0.30000000000000004]}})",
       "00101030: expected a number of at most 16 characters (VR DS)"},  // D8
      {R"({"00200011":{"vr":"IS","Value":[1.5]}})",
       "00200011: expected an integer of at most 12 characters (VR IS)"},
      {R"({"00080018":{"vr":"FL","Value":[1e39]}})",
       "00080018: expected a number in the range of its VR (VR FL)"},  // D10
      {R"({"00000100":{"vr":"US"}})",
       "data set: expected attributes of a data set, above 00080005"},
      {"[]", "expected one JSON object or an array of exactly one, found none"},  // B10
      {"[{},{}]", "expected one JSON object or an array of exactly one, found more"},
      {"5", "data set: expected a JSON object of attributes"},
      {"[5]", "data set: expected a JSON object of attributes"},
      {"[[{}]]", "data set: expected objects in the array"},
  };
  for (const auto& [in, fault] : rows) CHECK(rewritten(in) == "fault: " + std::string(fault));
  for (const char* broken :
       {"", "{", "{\"00100020\":", "{}x", "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\xFF\"]}}",
        R"({"00100020":{"vr":"LO","Value":["\ud800"]}})", "{'00100020':{}}", "nul"}) {
    CHECK(rewritten(broken).rfind("fault: expected JSON", 0) == 0);
  }
}

TEST_CASE("the limits of VRs are enforced for requests only (D19)") {
  const char* too_long = R"({"00400253":{"vr":"SH","Value":["this is not a short string"]}})";
  CHECK(strictly(too_long) ==
        "fault: 00400253: expected at most 16 characters, no control characters (VR SH)");
  CHECK(rewritten(too_long) == too_long);
  CHECK(strictly(R"({"00400252":{"vr":"CS","Value":["in progress"]}})").rfind("fault", 0) == 0);
  CHECK(strictly(R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})").rfind("{", 0) == 0);
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

TEST_CASE("hostile JSON ends in a fault, in bounded time and memory (D20)") {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += R"({"00400100":{"vr":"SQ","Value":[)";
  CHECK(read_json(deep).fault().kind == Fault::Kind::too_large);
  CHECK_FALSE(read_json(std::string(100000, '[')));
  std::string skipped = R"({"00100020":{"x":)" + std::string(5000, '[');
  CHECK_FALSE(read_json(skipped));
  JsonReadOptions small;
  small.max_bytes = 10;
  CHECK(read_json(R"({"00100020":{"vr":"LO"}})", small).fault().kind == Fault::Kind::too_large);
  // Many attributes without vr must not make each look through the rest.
  std::string many = "{";
  for (unsigned i = 0; i < 50000; ++i) {
    many += (i == 0 ? "\"" : ",\"") +
            to_string(Tag(0x00110000u + 0x20000u * (i / 60000) + 0x1000 + i)) + "\":{}";
  }
  CHECK(read_json(many + "}"));
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
