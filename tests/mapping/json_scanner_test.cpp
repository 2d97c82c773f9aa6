// JSON itself, as DICOM JSON is read.
#include "mapping/json_scanner.h"

#include <catch2/catch.hpp>
#include <utility>

#include "tests/mapping/json_text.h"

using mapping_test::rewritten;

namespace {

/// The text of a long text that stands in JSON like this.
std::string text_of(const std::string& string) {
  const auto read = mapping::read_json(R"({"00104000":{"vr":"LT","Value":[)" + string + "]}}");
  if (!read) return "fault: " + read.fault().what;
  return std::string(read.value().view().text(mapping::Tag(0x0010, 0x4000)));
}

}  // namespace

TEST_CASE("what is no JSON is a fault of JSON") {
  for (const char* broken :
       {"", "{", "{\"00100020\":", "{}x", "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\xFF\"]}}",
        R"({"00100020":{"vr":"LO","Value":["\ud800"]}})", "{'00100020':{}}", "nul"}) {
    CHECK(rewritten(broken).rfind("fault: expected JSON", 0) == 0);
  }
}

TEST_CASE("a fault of JSON says at which byte it is, and what") {
  const std::pair<const char*, const char*> rows[] = {
      {"{", "1: the text ends too early"},
      {"{x", "1: the name of a member is missing"},
      {R"({"00100020" {)", "12: a colon is missing behind the name of a member"},
      {R"({"00100020":{} )", "15: the text ends too early"},
      {R"({"00100020":{}])", "14: a comma or the end of an object is missing"},
      {R"({"00104000":{"Value":["a" "b"]}})", "26: a comma or the end of an array is missing"},
      {R"({"00104000":nul})", "12: a word that JSON does not know"},
      {R"({"00104000":,})", "12: a value is missing"},
      {"{\"00104000\":{\"Value\":[\"a\n\"]}}", "24: a control character in a string"},
  };
  for (const auto& [in, fault] : rows) {
    CHECK(rewritten(in) == "fault: expected JSON, at byte " + std::string(fault));
  }
}

TEST_CASE("escapes are the characters that they stand for, in UTF-8") {
  const std::pair<const char*, const char*> rows[] = {
      {R"("\"\\\/\b\f\n\r\t")", "\"\\/\b\f\n\r\t"},
      {R"("a\u0041\u007fb")",
       "aA\x7F"
       "b"},
      {R"("\u0080\u00fc\u07FF")", "\xC2\x80\xC3\xBC\xDF\xBF"},
      {R"("\u0800\u20AC\uffff")", "\xE0\xA0\x80\xE2\x82\xAC\xEF\xBF\xBF"},
      {R"("\ud800\udc00\uD83D\uDE00\udbff\udfff")",
       "\xF0\x90\x80\x80\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF"},
  };
  for (const auto& [in, out] : rows) CHECK(text_of(in) == out);
  for (const char* bad :
       {R"("\x41")", R"("\u12")", R"("\u12g4")", R"("\u+123")", R"("\u 123")", R"("\ud83d")",
        R"("\ud83dx")", R"("\ud83d\n")", R"("\ud83d\u0041")", R"("\ude00")"}) {
    INFO(bad);
    CHECK(text_of(bad).starts_with("fault: expected JSON, at byte "));
  }
  for (const char* cut :
       {R"("\)", R"("\u)", R"("\u12)", R"("\ud83d)", R"("\ud83d\)", R"("\ud83d\ude)"}) {
    INFO(cut);
    const auto read = mapping::read_json(R"({"00104000":{"vr":"LT","Value":[)" + std::string(cut));
    REQUIRE_FALSE(read);
    CHECK(read.fault().what.ends_with("the text ends too early"));
  }
}

TEST_CASE("a number is what RFC 8259 says it is") {
  const auto number = [](const std::string& text) {
    return rewritten(R"({"00101030":{"vr":"DS","Value":[)" + text + "]}}");
  };
  for (const char* good : {"0", "-0", "7", "10", "1.5", "0.05", "1e5", "1E+5", "-1.5e-3"}) {
    INFO(good);
    CHECK_FALSE(number(good).starts_with("fault"));
  }
  for (const char* bad : {"-", "01", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x1", "NaN", "1_0"}) {
    INFO(bad);
    CHECK(number(bad).starts_with("fault: expected JSON, at byte "));
  }
  CHECK(number(std::string(401, '1')).ends_with(": a number that is too long"));
}
