#include "mapping/xml_scanner.h"

#include <catch2/catch.hpp>

#include "mapping/json.h"
#include "mapping/xml.h"

using mapping::XmlScanner;
using Token = XmlScanner::Token;

namespace {

// The whole document as "name(attribute=value)…text…/", or what was expected of it.
std::string scanned(std::string_view document) {
  XmlScanner scanner(document);
  std::string out;
  while (true) {
    switch (scanner.next()) {
      case Token::start:
        out.append(scanner.name());
        for (const auto& attribute : scanner.attributes()) {
          out.append("(").append(attribute.name).append("=");
          attribute.value.resolve(out);
          out.append(")");
        }
        out.append(":");
        break;
      case Token::text:
        scanner.text().resolve(out);
        break;
      case Token::end:
        out.append("/");
        break;
      case Token::done:
        return out;
      case Token::broken:
        CHECK(scanner.next() == Token::broken);
        return "expected " + scanner.expected();
    }
  }
}

std::string as_json(std::string_view body) {
  const auto read =
      mapping::read_xml("<NativeDicomModel>" + std::string(body) + "</NativeDicomModel>");
  if (!read) return "fault: " + read.fault().what;
  std::string out;
  REQUIRE(mapping::write_json(read.value(), out));
  return out;
}

}  // namespace

TEST_CASE("well-formed XML is walked to its end") {
  const std::pair<const char*, const char*> rows[] = {
      {"<a/>", "a:/"},
      {"<a></a>", "a:/"},
      {"\xEF\xBB\xBF<?xml version='1.0'?>\n<?style x?><!-- c --><a/>\n<!-- d -->\n", "a:/"},
      {"<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes'?><a/>", "a:/"},
      {"<p:a xmlns:p='urn:x' p:b = \"1\"><p:c/></p:a >", "a(xmlns:p=urn:x)(p:b=1):c://"},
      {"<a b='\"&lt;&#x20AC;'\tc=\">\"/>", "a(b=\"<€)(c=>):/"},
      {"<a>x<b>y</b>z</a>", "a:xb:y/z/"},
      {"<a>&amp;&lt;&gt;&quot;&apos;&#65;&#xfc;&#x1F600;</a>", "a:&<>\"'Aü😀/"},
      {"<a>1\r\n2\r3\n</a>", "a:1\n2\n3\n/"},  // XML, 2.11
      {"<a>x<!-- < & -->y</a>", "a:xy/"},
      {"<a><![CDATA[<&amp;>]]]]><![CDATA[>]]></a>", "a:<&amp;>]]>/"},
      {"<ü-1.x/>", "ü-1.x:/"},
  };
  for (const auto& [in, out] : rows) CHECK(scanned(in) == out);
}

TEST_CASE("what is not well-formed, or more XML than the model needs, is refused (E10)") {
  const std::pair<const char*, const char*> rows[] = {
      {"", "a root element"},
      {"  ", "a root element"},
      {"x<a/>", "no text outside the root element"},
      {"<a/>x", "no text outside the root element"},
      {"<a/><a/>", "one root element"},
      {"<a>", "the end of every element"},
      {"<a>x", "the end of every element"},
      {"<a></b>", "the end of the element opened last"},
      {"<a></ab>", "the end of the element opened last"},
      {"<a><b></a></b>", "the end of the element opened last"},
      {"<a></a", "the end of the element opened last"},
      {"</a>", "the name of an element"},
      {"<", "the name of an element"},
      {"<1a/>", "the name of an element"},
      {"< a/>", "the name of an element"},
      {"<a", "an attribute or the end of a tag"},
      {"<a/", "an attribute or the end of a tag"},
      {"<a b/>", "an attribute or the end of a tag"},
      {"<a b='1'c='2'/>", "an attribute or the end of a tag"},
      {"<a b=1/>", "the value of an attribute in quotes"},
      {"<a b='1/>", "the value of an attribute in quotes"},
      {"<a b='<'/>", "the value of an attribute in quotes"},
      {"<a b='1' b='2'/>", "at most 32 attributes, each once"},
      {"<a b='&x;'/>", "one of the five predefined entities or a character"},
      {"<a>&lol;</a>", "one of the five predefined entities or a character"},
      {"<a>&amp</a>", "one of the five predefined entities or a character"},
      {"<a>&#0;</a>", "one of the five predefined entities or a character"},
      {"<a>&#xD800;</a>", "one of the five predefined entities or a character"},
      {"<a>&#x110000;</a>", "one of the five predefined entities or a character"},
      {"<a>&#1;</a>", "one of the five predefined entities or a character"},
      {"<a>&#-65;</a>", "one of the five predefined entities or a character"},
      {"<a><!-- -- --></a>", "a comment without -- within"},
      {"<a><!-- </a>", "a comment without -- within"},
      {"<a><![CDATA[ </a>", "the end of a CDATA section"},
      {"<a><!ENTITY x 'y'></a>", "no declaration within an element"},
      {"<a><?php ?></a>", "the name of an element"},
      {"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>", "no document type declaration"},
      {"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "encoding UTF-8"},
      {" <?xml version='1.0'?><a/>", "a processing instruction"},
  };
  for (const auto& [in, expected] : rows) {
    CHECK(scanned(in) == "expected " + std::string(expected) + ", at line 1");
  }
  CHECK(scanned("<a>\n\n<b></a>") == "expected the end of the element opened last, at line 3");
}

TEST_CASE("elements whose numbers stand in another order are read in the order of numbers (E5)") {
  const auto value = [](const char* number, const char* text) {
    return "<Value number=\"" + std::string(number) + "\">" + text + "</Value>";
  };
  CHECK(as_json("<DicomAttribute tag=\"00080008\" vr=\"CS\">" + value("1", "A") + " <!-- x -->" +
                value("4", "D") + value("3", "C") +
                "\n</DicomAttribute>"
                "<DicomAttribute tag=\"00080050\" vr=\"SH\"/>") ==
        R"({"00080008":{"vr":"CS","Value":["A",null,"C","D"]},"00080050":{"vr":"SH"}})");
  CHECK(as_json("<DicomAttribute tag=\"001021C0\" vr=\"US\">" + value("2", "7") + value("1", "6") +
                "</DicomAttribute>") == R"({"001021C0":{"vr":"US","Value":[6,7]}})");

  const auto item = [](const char* number, const std::string& content) {
    return "<Item number=\"" + std::string(number) + "\">" + content + "</Item>";
  };
  const auto sequence = [](const std::string& items) {
    return "<DicomAttribute tag=\"00400100\" vr=\"SQ\">" + items + "</DicomAttribute>";
  };
  const auto step = [](const char* id) {
    return "<DicomAttribute tag=\"00400009\" vr=\"SH\"><Value>" + std::string(id) +
           "</Value></DicomAttribute>";
  };
  CHECK(as_json(sequence(item("1", step("a")) +
                         item("3", sequence(item("2", step("d")) + item("1", step("c")))) +
                         item("2", step("b"))) +
                "<DicomAttribute tag=\"00401001\" vr=\"SH\"/>") ==
        R"({"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["a"]}},)"
        R"({"00400009":{"vr":"SH","Value":["b"]}},{"00400100":{"vr":"SQ","Value":[)"
        R"({"00400009":{"vr":"SH","Value":["c"]}},{"00400009":{"vr":"SH","Value":["d"]}}]}}]},)"
        R"("00401001":{"vr":"SH"}})");
  CHECK(as_json(sequence(item("1", "") + item("3", "") + item("3", ""))) ==
        "fault: 00400100: expected each number once");
  CHECK(as_json(sequence(item("1", "") + item("1", ""))) ==
        "fault: 00400100: expected each number once");
  CHECK(as_json(sequence(item("2", "") + item("3", ""))) ==
        "fault: 00400100: expected Items numbered from 1 without a gap");
  CHECK(as_json(sequence(item("3", "<Value>") + item("1", ""))).rfind("fault: expected", 0) == 0);
}

TEST_CASE("blanks that are a value are kept: xml:space is preserve (E1)") {
  CHECK(as_json("<DicomAttribute tag=\"00080008\" vr=\"CS\"><Value number=\"1\">A</Value>"
                "<Value number=\"2\">  </Value><Value number=\"3\"> B</Value></DicomAttribute>") ==
        R"({"00080008":{"vr":"CS","Value":["A","  "," B"]}})");
  CHECK(
      as_json("<DicomAttribute tag=\"00104000\" vr=\"LT\"><Value>\n\t</Value></DicomAttribute>") ==
      R"({"00104000":{"vr":"LT","Value":["\n\t"]}})");
}
