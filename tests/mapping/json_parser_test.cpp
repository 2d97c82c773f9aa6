// What stands in DICOM JSON, and what of it is taken for what. rules D
#include "mapping/json_parser.h"

#include <catch2/catch.hpp>

#include "tests/mapping/json_text.h"

using namespace mapping;
using mapping_test::rewritten;

namespace {

std::string strictly(std::string_view json) {
  JsonReadOptions options;
  options.enforce_vr_limits = true;
  return rewritten(json, options);
}

}  // namespace

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
      {R"({"00101030":{"vr":"DS","Value":["0.0001","0.00005","-0.00005"]}})",
       R"({"00101030":{"vr":"DS","Value":[0.0001,"0.00005","-0.00005"]}})"},  // else 5e-05
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

// A weight in pounds is a number of 17 digits in kilograms, and no reason to answer no worklist.
TEST_CASE("a number too long for a DS is rounded in an answer, and refused in a request (D8)") {
  const std::pair<const char*, const char*> rows[] = {
      {"0.30000000000000004", "0.3"},
      {"154.32358352941176", "154.323583529412"},
      {"-154.32358352941176", "-154.32358352941"},
      {"-1.2345678901234567e-300", R"("-1.23456789e-300")"},
      {"12345678901234567890", R"("1.2345678901e+19")"},
      {"0.1234567890123456789", "0.12345678901235"},
  };
  for (const auto& [in, out] : rows) {
    const std::string before = R"({"00101030":{"vr":"DS","Value":[)";
    CHECK(rewritten(before + in + "]}}") == before + out + "]}}");
    CHECK(strictly(before + in + "]}}") ==
          "fault: 00101030: expected a number of at most 16 characters (VR DS)");
  }
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
      {R"({"00100010":{"vr":"PN","Value":[{"Phonetic":"a","Alphabetic":"b","Phonetic":"c"}]}})",
       "00100010: expected each component group once"},
      {R"({"00100010":{"vr":"PN","Value":[{"Given":"a"}]}})",
       "00100010: expected Alphabetic, Ideographic or Phonetic"},
      {R"({"001021C0":{"vr":"US","Value":[65536]}})",
       "001021C0: expected a number in the range of its VR (VR US)"},
      {R"({"001021C0":{"vr":"US","Value":["4"]}})",
       "001021C0: expected a number in the range of its VR (VR US)"},
      {R"({"00101030":{"vr":"DS","Value":[100000000000000000e300]}})",
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
}

TEST_CASE("the limits of VRs are enforced for requests only (D19)") {
  const char* too_long = R"({"00400253":{"vr":"SH","Value":["this is not a short string"]}})";
  CHECK(strictly(too_long) ==
        "fault: 00400253: expected at most 16 characters, no control characters (VR SH)");
  CHECK(rewritten(too_long) == too_long);
  CHECK(strictly(R"({"00400252":{"vr":"CS","Value":["in progress"]}})").rfind("fault", 0) == 0);
  for (const char* group : {"Alphabetic", "Ideographic", "Phonetic"}) {  // each has its 64
    const std::string before =
        R"({"00100010":{"vr":"PN","Value":[{")" + std::string(group) + "\":\"";
    const std::string name = std::string(60, 'x') + "^yyy";
    CHECK(strictly(before + name + "\"}]}}") == before + name + "\"}]}}");
    CHECK(strictly(before + name + "y\"}]}}").rfind("fault: 00100010: expected at most 64", 0) ==
          0);
  }
  CHECK(strictly(R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})").rfind("{", 0) == 0);
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
