// The Native DICOM Model, both ways.
#include "mapping/xml.h"

#include <tinyxml2.h>

#include <catch2/catch.hpp>

#include "mapping/json.h"
#include "mapping/tags.h"
#include "tests/support/random_data_set.h"

using namespace mapping;

namespace {

const std::string start =
    R"(<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel )"
    R"(xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">)";
const std::string end = "</NativeDicomModel>";

std::string written(const DataSet& data_set) {
  std::string out;
  const auto result = write_xml(data_set, out);
  return result ? out : "fault: " + result.fault().what;
}

// What an XML body means, as JSON.
std::string as_json(const std::string& body, bool strict = false) {
  XmlReadOptions options;
  options.enforce_vr_limits = strict;
  const auto read = read_xml("<NativeDicomModel>" + body + end, options);
  if (!read) return "fault: " + read.fault().what;
  std::string out;
  REQUIRE(write_json(read.value(), out));
  return out;
}

DataSet from_json(std::string_view json) { return read_json(json).value(); }

}  // namespace

TEST_CASE("data sets of every VR come back from XML as they went in") {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    support::RandomOptions options;
    if (seed % 2 == 0) options.characters = {"ü", "王", "\"", "<", "&", "\t", "€", "😀", " ", "]]>"};
    const DataSet data_set = support::RandomDataSet(seed, options).make();
    INFO("seed " << seed);
    const auto read = read_xml(written(data_set));
    if (!read) FAIL(read.fault().what);
    CHECK(read.value() == data_set);
  }
}

TEST_CASE("another XML library reads what is written, and what it prints is read alike") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    support::RandomOptions options;
    options.characters = {"ü", "王", "\"", "<", "&", "€", "'", "]]>"};
    const DataSet data_set = support::RandomDataSet(seed, options).make();
    const std::string xml = written(data_set);
    tinyxml2::XMLDocument document;
    REQUIRE(document.Parse(xml.data(), xml.size()) == tinyxml2::XML_SUCCESS);
    for (const bool compact : {true, false}) {
      tinyxml2::XMLPrinter printer(nullptr, compact);
      document.Print(&printer);
      const auto read = read_xml(printer.CStr());
      INFO("seed " << seed);
      if (!read) FAIL(read.fault().what);
      CHECK(read.value() == data_set);
    }
  }
}

TEST_CASE("JSON, XML and JSON again are the same data set") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const DataSet data_set = support::RandomDataSet(seed).make();
    std::string json;
    REQUIRE(write_json(data_set, json));
    std::string back;
    REQUIRE(write_json(read_xml(written(from_json(json))).value(), back));
    CHECK(back == json);
  }
}

TEST_CASE("a document has the namespace, xml:space, vr and keyword of every attribute (E1, E2)") {
  CHECK(written(from_json(R"({"00080050":{"vr":"SH"},"00100020":{"vr":"LO","Value":["a<b"]}})")) ==
        start +
            R"(<DicomAttribute tag="00080050" vr="SH" keyword="AccessionNumber"/>)"
            R"(<DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">)"
            "a&lt;b</Value></DicomAttribute>" +
            end);
}

TEST_CASE("person names have fifteen parts, empty ones are left out and read back (E6)") {
  const char* json =
      R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"Fam^Giv^Mid^Dr.^Jr.","Phonetic":"^P"}]}})";
  const std::string xml = written(from_json(json));
  CHECK(xml.find("<PersonName number=\"1\"><Alphabetic><FamilyName>Fam</FamilyName>"
                 "<GivenName>Giv</GivenName><MiddleName>Mid</MiddleName>"
                 "<NamePrefix>Dr.</NamePrefix><NameSuffix>Jr.</NameSuffix></Alphabetic>"
                 "<Phonetic><GivenName>P</GivenName></Phonetic></PersonName>") !=
        std::string::npos);
  CHECK(read_xml(xml).value() == from_json(json));
}

TEST_CASE("values and items are ordered by number, left-out values and items are empty (E5, E9)") {
  CHECK(as_json(R"(<DicomAttribute tag="00080008" vr="CS"><Value number="3">C</Value>)"
                R"(<Value number="1">A</Value></DicomAttribute>)") ==
        R"({"00080008":{"vr":"CS","Value":["A",null,"C"]}})");
  CHECK(
      as_json(R"(<DicomAttribute tag="00081110" vr="SQ"><Item number="2">)"
              R"(<DicomAttribute tag="00081155" vr="UI"><Value>1.2</Value></DicomAttribute></Item>)"
              R"(<Item number="1"/></DicomAttribute>)") ==
      R"({"00081110":{"vr":"SQ","Value":[{},{"00081155":{"vr":"UI","Value":["1.2"]}}]}})");
}

TEST_CASE("private attributes carry their creator and get a block of their own (E3)") {
  const char* json =
      R"({"00290010":{"vr":"LO","Value":["ONE"]},"00290011":{"vr":"LO","Value":["TWO"]},)"
      R"("00291001":{"vr":"SH","Value":["a"]},"00291101":{"vr":"SH","Value":["b"]}})";
  const std::string xml = written(from_json(json));
  CHECK(xml.find(R"(<DicomAttribute tag="00290001" vr="SH" privateCreator="ONE">)") !=
        std::string::npos);
  CHECK(xml.find(R"(<DicomAttribute tag="00290001" vr="SH" privateCreator="TWO">)") !=
        std::string::npos);
  CHECK(xml.find("00290010") == std::string::npos);
  CHECK(read_xml(xml).value() == from_json(json));
}

TEST_CASE("private creators that stand in the document as elements too keep their block (E3)") {
  // As dcm2xml of DCMTK writes them.
  CHECK(as_json(R"(<DicomAttribute tag="00290010" vr="LO"><Value number="1">ONE</Value>)"
                R"(</DicomAttribute><DicomAttribute tag="00290012" vr="LO"><Value>TWO</Value>)"
                R"(</DicomAttribute><DicomAttribute tag="00290001" vr="SH" privateCreator="TWO"/>)"
                R"(<DicomAttribute tag="00290001" vr="SH" privateCreator="ONE"/>)"
                R"(<DicomAttribute tag="00290001" vr="SH" privateCreator="NEW"/>)") ==
        R"({"00290010":{"vr":"LO","Value":["ONE"]},"00290011":{"vr":"LO","Value":["NEW"]},)"
        R"("00290012":{"vr":"LO","Value":["TWO"]},"00291001":{"vr":"SH"},"00291101":{"vr":"SH"},)"
        R"("00291201":{"vr":"SH"}})");
}

TEST_CASE("what is wrong in one item is said of it, not of the next") {
  CHECK(
      as_json(R"(<DicomAttribute tag="00400100" vr="SQ"><Item number="1">)"
              R"(<DicomAttribute tag="00400009" vr="SH"/><DicomAttribute tag="00400009" vr="SH"/>)"
              R"(</Item><Item number="2"/></DicomAttribute>)") ==
      "fault: 00400009: expected each attribute once");
}

TEST_CASE("the first private attribute of a block is no group length (E3)") {
  const char* json =
      R"({"00290010":{"vr":"LO","Value":["ONE"]},"00291000":{"vr":"SH","Value":["a"]}})";
  const std::string xml = written(from_json(json));
  CHECK(xml.find(R"(tag="00290000" vr="SH" privateCreator="ONE")") != std::string::npos);
  CHECK(read_xml(xml).value() == from_json(json));
}

TEST_CASE("0008,0005 is ISO_IR 192 where text is not ASCII, and never another (E7, D17)") {
  const std::string xml = written(from_json(R"({"00100020":{"vr":"LO","Value":["ü"]}})"));
  CHECK(xml.find(
            R"(<DicomAttribute tag="00080005" vr="CS" keyword="SpecificCharacterSet">)"
            R"(<Value number="1">ISO_IR 192</Value></DicomAttribute><DicomAttribute tag="0010)") !=
        std::string::npos);
  CHECK(as_json(R"(<DicomAttribute tag="00080005" vr="CS"><Value>ISO_IR 100</Value>)"
                "</DicomAttribute>") == "{}");
}

TEST_CASE("XML that the rules tolerate is read as what it means") {
  const std::pair<const char*, const char*> rows[] = {
      {R"(<DicomAttribute tag="00100020"><Value>7</Value></DicomAttribute>)",
       R"({"00100020":{"vr":"LO","Value":["7"]}})"},  // E2: vr from the dictionary
      {R"(<DicomAttribute tag="0040a730" vr="SQ"/>)", R"({"0040A730":{"vr":"SQ"}})"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Value><![CDATA[a<b]]>c<!-- x --></Value></DicomAttribute>)",
       R"({"00100020":{"vr":"LO","Value":["a<bc"]}})"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Value>&#xFC;&#65;</Value></DicomAttribute>)",
       R"({"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00100020":{"vr":"LO","Value":["üA"]}})"},
      {"\n  <DicomAttribute tag=\"00420011\" vr=\"OB\">\n <InlineBinary>AA\n==</InlineBinary>\n"
       "</DicomAttribute>\n",
       R"({"00420011":{"vr":"OB","InlineBinary":"AAA="}})"},  // padded: E8
  };
  for (const auto& [in, out] : rows) CHECK(as_json(in) == out);
  CHECK(
      read_xml("<d:NativeDicomModel xmlns:d=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">"
               "<d:DicomAttribute tag=\"00100020\" vr=\"LO\"/></d:NativeDicomModel>"));
}

TEST_CASE("faults of XML name the attribute path and what was expected, never a value (E4)") {
  const std::pair<const char*, const char*> rows[] = {
      {R"(<DicomAttribute tag="PatientID" vr="LO"/>)",
       "data set: expected a DicomAttribute with a tag of eight hexadecimal digits"},
      {"secret", "data set: expected DicomAttribute elements and nothing else"},
      {R"(<DicomAttribute tag="00100020" vr="XX"/>)", "00100020: expected a VR of PS3.5, 6.2"},
      {R"(<DicomAttribute tag="00100020" vr="LO">secret</DicomAttribute>)",
       "00100020: expected Value elements and no others (VR LO)"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Item number="1"/></DicomAttribute>)",
       "00100020: expected Value elements and no others (VR LO)"},
      {R"(<DicomAttribute tag="00420011" vr="OB"><BulkData uri="http://169.254.0.1/"/></DicomAttribute>)",
       "00420011: expected InlineBinary elements and no others (VR OB)"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Value number="0">x</Value></DicomAttribute>)",
       "00100020: expected a number from 1 to 65535"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Value number="4000000000">x</Value></DicomAttribute>)",
       "00100020: expected a number from 1 to 65535"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Value number="1">x</Value><Value number="1"/></DicomAttribute>)",
       "00100020: expected each number once"},
      {R"(<DicomAttribute tag="00100020" vr="LO"><Value>sec\ret</Value></DicomAttribute>)",
       "00100020: expected no backslash within one value (VR LO)"},
      {R"(<DicomAttribute tag="001021C0" vr="US"><Value>70000</Value></DicomAttribute>)",
       "001021C0: expected a number in the range of its VR (VR US)"},
      {R"(<DicomAttribute tag="00100010" vr="PN"><PersonName><Alphabetic><Surname/></Alphabetic></PersonName></DicomAttribute>)",
       "00100010: expected FamilyName to NameSuffix in Alphabetic"},
      {R"(<DicomAttribute tag="00100010" vr="PN"><PersonName><Alphabetic><FamilyName>a^b</FamilyName></Alphabetic></PersonName></DicomAttribute>)",
       "00100010: expected no delimiter within a name component"},
      {R"(<DicomAttribute tag="00400100" vr="SQ"><Item number="1"/><Item number="2"><DicomAttribute tag="001021C0" vr="US"><Value>x</Value></DicomAttribute></Item></DicomAttribute>)",
       "00400100[1].001021C0: expected a number in the range of its VR (VR US)"},
      {R"(<DicomAttribute tag="00400100" vr="SQ"><Item number="2"/></DicomAttribute>)",
       "00400100: expected Items numbered from 1 without a gap"},
      {R"(<DicomAttribute tag="00100020" vr="LO"/><DicomAttribute tag="00100020" vr="LO"/>)",
       "00100020: expected each attribute once"},
      {R"(<DicomAttribute tag="00014500" vr="UN" privateCreator="ME"/>)",
       "00014500: expected an attribute of a data set, above 00080005"},
      {R"(<DicomAttribute tag="00420011" vr="OB"><InlineBinary>!</InlineBinary></DicomAttribute>)",
       "00420011: expected base64 (RFC 4648)"},
  };
  for (const auto& [in, fault] : rows) CHECK(as_json(in) == "fault: " + std::string(fault));
  CHECK(
      as_json(
          R"(<DicomAttribute tag="00080050" vr="SH"><Value>more than sixteen characters</Value></DicomAttribute>)",
          true)
          .rfind("fault: 00080050: expected at most 16 characters", 0) == 0);
}

TEST_CASE("document types, entities, other encodings and broken XML are refused (E10)") {
  const std::string body = "<NativeDicomModel/>";
  const std::string bad[] = {
      "",
      "no xml",
      "<Other/>",
      "<NativeDicomModel>",
      body + body,
      "<!DOCTYPE x [<!ENTITY a \"b\">]>" + body,
      "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" + body,
      "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value>&lol;</Value>"
      "</DicomAttribute></NativeDicomModel>",
      "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value>&#0;</Value>"
      "</DicomAttribute></NativeDicomModel>",
      "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value>&#xD800;</Value>"
      "</DicomAttribute></NativeDicomModel>",
      std::string("<NativeDicomModel>\0</NativeDicomModel>", 37),
      "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value>\x01</Value>"
      "</DicomAttribute></NativeDicomModel>",
      "<NativeDicomModel>\xFF</NativeDicomModel>",
  };
  for (const std::string& text : bad) {
    INFO(text);
    CHECK_FALSE(read_xml(text));
  }
  std::string deep = "<NativeDicomModel>";
  for (int i = 0; i < 5000; ++i)
    deep += R"(<DicomAttribute tag="00400100" vr="SQ"><Item number="1">)";
  CHECK(read_xml(deep).fault().kind == Fault::Kind::too_large);
  XmlReadOptions small;
  small.max_bytes = 10;
  CHECK(read_xml(body, small).fault().kind == Fault::Kind::too_large);
}

TEST_CASE("what XML cannot hold is a fault and leaves nothing behind (E10)") {
  CHECK(written(from_json(R"({"00100020":{"vr":"LO","Value":["a\u0001"]}})")) ==
        "fault: 00100020: expected no control character but TAB, LF and CR: XML 1.0 has no other");
  for (const char* no_character : {R"(a\uFFFEb)", R"(a\uFFFF)"}) {
    CHECK(written(from_json(R"({"00100020":{"vr":"LO","Value":[")" + std::string(no_character) +
                            R"("]}})")) ==
          "fault: 00100020: expected no U+FFFE and no U+FFFF: XML 1.0 has neither");
  }
  CHECK(read_xml(written(from_json(R"({"00104000":{"vr":"LT","Value":["a\r\nb\tc"]}})"))).value() ==
        from_json(R"({"00104000":{"vr":"LT","Value":["a\r\nb\tc"]}})"));
}
