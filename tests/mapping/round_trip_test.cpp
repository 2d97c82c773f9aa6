// What goes in comes back: the wire, JSON, XML, and JSON through XML, as a property of random data
// sets nested to depth 8 and of every data set that the fuzz targets start from.
// tests/oracle does the same with DCMTK's example worklist.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "mapping/json.h"
#include "mapping/wire.h"
#include "mapping/xml.h"
#include "tests/support/random_data_set.h"

using namespace mapping;

namespace {

constexpr TransferSyntax syntaxes[] = {TransferSyntax::implicit_vr_little_endian,
                                       TransferSyntax::explicit_vr_little_endian,
                                       TransferSyntax::explicit_vr_big_endian};

struct Text {
  const char* character_set;  // to write it in; empty: what the writer chooses
  std::vector<std::string> characters;
};
const std::vector<Text> texts{
    {"", {}},
    {"", {"ü", "王", "\"", "<", "&", "\t", "€", "😀", " ", "]]>", "\n"}},
    {"ISO_IR 100", {"ü", "Ä", "é", " ", "x"}},
    {"ISO_IR 144", {"Ж", "ю", "Л", " ", "x"}},
    {"\\ISO 2022 IR 87", {"山", "田", "や", " ", "x"}},
    {"\\ISO 2022 IR 149", {"홍", "길", "洪", " ", "x"}},
    {"GB18030", {"王", "㐀", "😀", " ", "x"}},
    {"ISO_IR 192", {"ש", "ร", "ق", " ", "x"}},
};

int depth_of(DataSetView data_set) {
  int deepest = 0;
  for (const Element& element : data_set) {
    if (element.vr != Vr::SQ) continue;
    for (const DataSetView item : element.items()) {
      deepest = std::max(deepest, 1 + depth_of(item));
    }
  }
  return deepest;
}

std::string to_json(DataSetView data_set) {
  std::string out;
  REQUIRE(write_json(data_set, out));
  return out;
}

void check_wire(const DataSet& data_set, const WireWriteOptions& options) {
  for (const TransferSyntax syntax : syntaxes) {
    const auto wire = write_data_set(data_set, syntax, options);
    if (!wire) FAIL(wire.fault().what);
    const auto read = read_data_set(wire.value(), syntax);
    if (!read) FAIL(read.fault().what);
    REQUIRE(read.value().data_set == data_set);
    REQUIRE(write_data_set(read.value().data_set, syntax, options).value() == wire.value());
  }
}

void check_json_and_xml(const DataSet& data_set) {
  const std::string json = to_json(data_set);
  const auto from_json = read_json(json);
  if (!from_json) FAIL(from_json.fault().what);
  REQUIRE(from_json.value() == data_set);

  std::string xml;
  REQUIRE(write_xml(from_json.value(), xml));
  const auto from_xml = read_xml(xml);
  if (!from_xml) FAIL(from_xml.fault().what);
  REQUIRE(from_xml.value() == data_set);
  REQUIRE(to_json(from_xml.value()) == json);
}

}  // namespace

TEST_CASE("random data sets nested to depth 8 come back from the wire, JSON and XML") {
  int deepest = 0;
  for (std::uint64_t seed = 1; seed <= 4000; ++seed) {
    INFO("seed " << seed);
    const Text& text = texts[seed % texts.size()];
    support::RandomOptions random;
    random.max_depth = 8;
    random.characters = text.characters;
    WireWriteOptions options;
    if (*text.character_set != '\0') {
      options.configured = CharacterSet::parse(text.character_set).value();
    }
    const DataSet data_set = support::RandomDataSet(seed, random).make();
    deepest = std::max(deepest, depth_of(data_set));
    check_wire(data_set, options);
    check_json_and_xml(data_set);
  }
  CHECK(deepest == 8);
}

TEST_CASE(
    "the web has little endian and a VR for each attribute, whatever the wire had (B22, D14)") {
  DataSetBuilder builder;
  builder.add(Tag(0x0028, 0x0009), Vr::AT, std::string("\x18\0\x6A\x10", 4));
  builder.add(Tag(0x0028, 0x1201), Vr::OW, std::string("\1\0\2\0", 4));
  builder.add(Tag(0x0028, 0x9099), Vr::US, std::string("\1\0", 2));
  const DataSet data_set = builder.build().value();
  for (const TransferSyntax syntax : syntaxes) {
    INFO(to_uid(syntax));
    const auto read = read_data_set(write_data_set(data_set, syntax).value(), syntax);
    REQUIRE(read);
    CHECK(to_json(read.value().data_set) == R"({"00280009":{"vr":"AT","Value":["0018106A"]},)"
                                            R"("00281201":{"vr":"OW","InlineBinary":"AQACAA=="},)"
                                            R"("00289099":{"vr":"US","Value":[1]}})");
    std::string xml;
    REQUIRE(write_xml(read.value().data_set, xml));
    CHECK(xml.find(R"(vr="OW" keyword="RedPaletteColorLookupTableData"><InlineBinary>AQACAA==<)") !=
          std::string::npos);
  }
}

TEST_CASE("what the fuzz targets start from comes back too, where it is a data set") {
  std::size_t read = 0;
  for (const char* folder : {"json", "xml"}) {
    const std::filesystem::path corpus = SOURCE_DIR "/tests/fuzz/corpus";
    for (const auto& entry : std::filesystem::directory_iterator(corpus / folder)) {
      INFO(entry.path());
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      const auto data_set = std::string_view(folder) == "json" ? read_json(bytes) : read_xml(bytes);
      std::string out;
      // What has no form in one of the three is refused there: other tests show it.
      if (!data_set || !write_json(data_set.value(), out) || !write_xml(data_set.value(), out) ||
          !write_data_set(data_set.value(), syntaxes[0])) {
        continue;
      }
      check_wire(data_set.value(), {});
      check_json_and_xml(data_set.value());
      ++read;
    }
  }
  CHECK(read >= 3);
}
