// DICOM JSON, both ways.
#include "mapping/json.h"

#include <array>
#include <catch2/catch.hpp>
#include <memory>

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

TEST_CASE("a character that is to be escaped is seen wherever it stands in a text") {
  for (std::size_t length = 1; length <= 80; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      std::string text(length, 'x');
      text[at] = '"';
      std::string two_values(length, 'x');
      two_values[at] = '\\';
      std::string json(length, 'x');
      json.replace(at, 1, R"(\")");
      DataSetBuilder builder;
      builder.add(Tag(0x0010, 0x1090), Vr::LO, two_values);
      builder.add(Tag(0x0010, 0x4000), Vr::LT, text);
      const auto value = [](std::string_view part) {
        return part.empty() ? std::string("null") : '"' + std::string(part) + '"';
      };
      INFO(at << " of " << length);
      REQUIRE(written(builder.build().value()) ==
              R"({"00101090":{"vr":"LO","Value":[)" + value(std::string(at, 'x')) + "," +
                  value(std::string(length - at - 1, 'x')) +
                  R"(]},"00104000":{"vr":"LT","Value":[")" + json + R"("]}})");
    }
  }
}

TEST_CASE("a name's component groups stand apart wherever the delimiter stands") {
  for (std::size_t length = 3; length <= 80; ++length) {
    for (std::size_t at = 1; at + 1 < length; ++at) {
      std::string name(length, 'x');
      name[at] = '=';
      DataSetBuilder builder;
      builder.add(tags::PatientName, Vr::PN, name);
      INFO(at << " of " << length);
      REQUIRE(written(builder.build().value()) ==
              R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":")" + std::string(at, 'x') +
                  R"(","Ideographic":")" + std::string(length - at - 1, 'x') + R"("}]}})");
    }
  }
}

TEST_CASE("a text goes to where it is to stay, or where it does not fit as a whole to a string") {
  JsonWriter writer;
  std::size_t in_place = 0;
  std::size_t instead_of = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    support::RandomOptions options;
    if (seed % 5 < 3) options.characters = {"ü", "王", "\"", " "};  // and now and then ASCII only
    const DataSet data_set = support::RandomDataSet(seed, options).make();
    const std::string expected = written(data_set);
    // Around the size of the text and of what the writer keeps free behind it.
    const std::size_t step = 1 + seed % 37;
    const std::size_t least = expected.size() > 300 ? expected.size() - 300 : 0;
    for (std::size_t room = seed % 3 == 0 ? 0 : least; room < expected.size() + 400; room += step) {
      const auto place = std::make_unique<char[]>(room + 1);  // the sanitizer sees what is beyond
      place[room] = '!';
      std::string instead = "before";
      const auto result = writer.write(data_set, {place.get(), room}, instead);
      REQUIRE(result);
      INFO("seed " << seed << ", room for " << room << " of " << expected.size());
      REQUIRE(place[room] == '!');
      if (result.value() > 0) {
        ++in_place;
        REQUIRE(std::string_view(place.get(), result.value()) == expected);
        REQUIRE(instead == "before");
      } else {
        ++instead_of;
        REQUIRE(instead == "before" + expected);
      }
    }
  }
  CHECK(in_place > 500);
  CHECK(instead_of > 500);
}

TEST_CASE(
    "a fault leaves nothing behind of a text that goes elsewhere, and the next one is whole") {
  DataSetBuilder builder;
  builder.add(tags::PatientName, Vr::PN, "Müller");
  builder.add(Tag(0x0018, 0x9313), Vr::FD, std::string("\0\0\0\0\0\0\xF8\x7F", 8));
  const DataSet faulty = builder.build().value();
  builder.add(tags::PatientID, Vr::LO, "1");
  const DataSet good = builder.build().value();
  JsonWriter writer;
  std::array<char, 1000> place{};
  std::string instead = "before";
  for (const std::size_t room : {std::size_t{10}, place.size()}) {
    CHECK_FALSE(writer.write(faulty, {place.data(), room}, instead));
    CHECK(instead == "before");
  }
  const auto result = writer.write(good, place, instead);
  REQUIRE(result);
  CHECK(std::string_view(place.data(), result.value()) == written(good));
}
