// What the oracles hold against other people's code: writes reproducible random data sets, and
// makes one form of a data set from another.
//
//   oracle_convert generate DIRECTORY COUNT   0000.wire, 0000.json, 0000.xml, 0001.wire, …
//   oracle_convert FROM TO DIRECTORY          for each *.FROM of wire, json, xml its *.TO
//   oracle_convert check DIRECTORY            each *.wire comes back from wire, JSON and XML
//
// "wire" is a data set in Explicit VR Little Endian without file meta information. Exits 1 where
// something cannot be converted and says why.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "mapping/json.h"
#include "mapping/wire.h"
#include "mapping/xml.h"
#include "tests/support/random_data_set.h"

namespace {

using namespace mapping;
namespace fs = std::filesystem;

constexpr auto syntax = TransferSyntax::explicit_vr_little_endian;

struct Alphabet {
  const char* character_set;
  std::vector<std::string> characters;
};

// Texts of one data set are written in one of these, in turn.
const std::vector<Alphabet> alphabets{
    {"", {"A", "z", "0", " ", ".", ",", "-", "\"", "<", "&", "'", "/", "%", "+"}},
    {"ISO_IR 100", {"ü", "Ä", "é", "ß", "Å", "a", " ", "¿"}},
    {"ISO_IR 101", {"ł", "ő", "Č", "ž", "b", " "}},
    {"ISO_IR 109", {"ħ", "Ġ", "ŭ", "c", " "}},
    {"ISO_IR 110", {"ā", "Ķ", "ų", "d", " "}},
    {"ISO_IR 144", {"Ж", "ю", "Л", "ц", "e", " "}},
    {"ISO_IR 127", {"ق", "ب", "ا", "ن", "f", " "}},
    {"ISO_IR 126", {"Δ", "ι", "ο", "ς", "g", " "}},
    {"ISO_IR 138", {"ש", "ר", "ו", "ן", "h", " "}},
    {"ISO_IR 148", {"ğ", "İ", "ş", "i", " "}},
    {"ISO_IR 166", {"ก", "ข", "ฃ", "j", " "}},
    {"ISO_IR 192", {"ü", "王", "€", "😀", "ш", "k", " "}},
    {"GB18030", {"王", "小", "东", "㐀", "😀", "l", " "}},
    {"GBK", {"王", "小", "东", "m", " "}},
    {"\\ISO 2022 IR 87", {"山", "田", "太", "郎", "や", "n", " "}},
    {"\\ISO 2022 IR 149", {"홍", "길", "동", "洪", "o", " "}},
    {"\\ISO 2022 IR 58", {"张", "小", "东", "p", " "}},
};

// What random data sets do not hold.
const std::vector<const char*> by_hand{
    R"({"00080008":{"vr":"CS","Value":["MPG",null,"XR3"]},"00100021":{"vr":"LO"}})",
    R"({"00100010":{"vr":"PN","Value":[{"Alphabetic":"A^B^C^D^E","Ideographic":"王^小東"},
        {"Ideographic":"王"},{"Phonetic":"x^y"}]}})",
    R"({"00101001":{"vr":"PN","Value":[{"Alphabetic":"^^Middle"},null,{"Alphabetic":"Z"}]}})",
    R"({"00104000":{"vr":"LT","Value":["one\r\ntwo \\ three\n  four"]}})",
    R"({"00101030":{"vr":"DS","Value":["1.10","+5",".5","5.","1e10",-0.25]},
        "00200011":{"vr":"IS","Value":["007","-0","+1"]}})",
    R"({"00081110":{"vr":"SQ","Value":[{},{"00081155":{"vr":"UI","Value":["1.2.3"]}},{}]}})",
    R"({"00081110":{"vr":"SQ"},"00080050":{"vr":"SH"},"00100010":{"vr":"PN"}})",
    R"({"00290010":{"vr":"LO","Value":["MODGATE ONE"]},"00290011":{"vr":"LO","Value":["MODGATE TWO"]},
        "00291001":{"vr":"SH","Value":["a"]},"00291101":{"vr":"US","Value":[7]},
        "00291002":{"vr":"SQ","Value":[{"00100020":{"vr":"LO","Value":["in a private item"]}}]}})",
    R"({"00189073":{"vr":"FD","Value":[0.1,1e300,-5e-324,0]},"00720076":{"vr":"FL","Value":[0.1,-3.4e38]}})",
    R"({"00720082":{"vr":"SV","Value":["9007199254740993",-1]},
        "00720083":{"vr":"UV","Value":["18446744073709551615",1]}})",
    R"({"00400100":{"vr":"SQ","Value":[{"00400100":{"vr":"SQ","Value":[{"00400100":{"vr":"SQ","Value":[
        {"00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["deep"]}}]}}]}}]}}]}})",
};

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

void require(bool holds, std::string_view what) {
  if (!holds) throw std::runtime_error(std::string(what));
}

template <class T>
T value(Result<T> result, const std::string& what) {
  if (!result) throw std::runtime_error(what + ": " + result.fault().what);
  return std::move(result).value();
}

DataSet read_as(const std::string& form, const std::string& bytes) {
  if (form == "wire") return value(read_data_set(bytes, syntax), "reading wire").data_set;
  if (form == "json") return value(read_json(bytes), "reading JSON");
  if (form == "xml") return value(read_xml(bytes), "reading XML");
  throw std::runtime_error("no such form: " + form);
}

std::string write_as(const std::string& form, const DataSet& data_set,
                     const WireWriteOptions& options = {}) {
  std::string out;
  if (form == "wire") return value(write_data_set(data_set, syntax, options), "writing wire");
  if (form == "json") value(write_json(data_set, out), "writing JSON");
  if (form == "xml") value(write_xml(data_set, out), "writing XML");
  return out;
}

DataSet generated(std::size_t index, WireWriteOptions& options) {
  if (index < by_hand.size()) return read_as("json", by_hand[index]);
  const Alphabet& alphabet = alphabets[index % alphabets.size()];
  options.configured = value(CharacterSet::parse(alphabet.character_set), "character set");
  support::RandomOptions random;
  random.max_depth = index % 5 == 0 ? 8 : 4;
  random.characters = alphabet.characters;
  return support::RandomDataSet(index, random).make();
}

void generate(const fs::path& directory, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    WireWriteOptions options;
    const DataSet data_set = generated(i, options);
    const std::string name = fmt::format("{:04}", i);
    const std::string wire = write_as("wire", data_set, options);
    write_file(directory / (name + ".wire"), wire);
    // The whole way: what others are held against has been on the wire.
    const DataSet read = read_as("wire", wire);
    require(read == data_set, name + ": the wire changed it");
    write_file(directory / (name + ".json"), write_as("json", read));
    write_file(directory / (name + ".xml"), write_as("xml", read));
  }
}

void check(const fs::path& path) {
  const auto read = value(read_data_set(read_file(path), syntax), "reading wire");
  WireWriteOptions options;
  options.configured = read.character_set;
  for (const char* form : {"wire", "json", "xml"}) {
    const std::string written = write_as(form, read.data_set, options);
    const DataSet again = read_as(form, written);
    require(again == read.data_set, std::string(form) + " gives back another data set");
    require(write_as(form, again, options) == written, std::string(form) + " changes again");
  }
  const DataSet from_json = read_as("json", write_as("json", read.data_set));
  require(read_as("xml", write_as("xml", from_json)) == read.data_set, "JSON to XML changes it");
}

template <class Work>
bool for_each_file(const std::string& form, const fs::path& directory, const Work& work) {
  bool all = true;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() != "." + form) continue;
    try {
      work(entry.path());
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}: {}\n", entry.path().filename().string(), error.what());
      all = false;
    }
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "generate") {
    generate(arguments[1], std::stoul(arguments[2]));
    return EXIT_SUCCESS;
  }
  if (arguments.size() == 2 && arguments[0] == "check") {
    return for_each_file("wire", arguments[1], check) ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  if (arguments.size() == 3) {
    const bool all = for_each_file(arguments[0], arguments[2], [&](const fs::path& source) {
      fs::path target = source;
      target.replace_extension("." + arguments[1]);
      write_file(target, write_as(arguments[1], read_as(arguments[0], read_file(source))));
    });
    return all ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  fmt::print(
      stderr,
      "usage: oracle_convert generate DIRECTORY COUNT | FROM TO DIRECTORY | check DIRECTORY\n");
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
