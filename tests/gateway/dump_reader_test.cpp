// What dump2dcm reads is read as it reads it; what it would not read is one fault, with the line.
#include "gateway/dump_reader.h"

#include <catch2/catch.hpp>
#include <string>

#include "mapping/json.h"

using gateway::read_dump;

namespace {

std::string json_of(std::string_view dump) {
  const auto read = read_dump(dump);
  if (!read) return "fault: " + read.fault().what;
  std::string json;
  REQUIRE(mapping::write_json(read.value(), json));
  return json;
}

}  // namespace

TEST_CASE(
    "a dump as DCMTK's example worklist holds it: tags in any order, values without brackets") {
  CHECK(json_of("(0008,0050) SH  00000\n"
                "(0008,0005) CS  [ISO_IR 100]\n"
                "(0010,0010) PN  VIVALDI^ANTONIO\n"
                "(0040,0100) SQ\n"
                "(fffe,e000) -\n"
                "(0032,1070) LO  BARIUMSULFAT\n"
                "(0008,0060) CS  MR\n"
                "(0040,0001) AE  AA32\\AA33\n"
                "(0040,0012) LO\n"
                "(fffe,e00d) -\n"
                "(fffe,e0dd) -\n"
                "(0040,1003) SH  LOW") ==
        R"({"00080050":{"vr":"SH","Value":["00000"]},)"
        R"("00100010":{"vr":"PN","Value":[{"Alphabetic":"VIVALDI^ANTONIO"}]},)"
        R"("00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]},)"
        R"("00321070":{"vr":"LO","Value":["BARIUMSULFAT"]},)"
        R"("00400001":{"vr":"AE","Value":["AA32","AA33"]},"00400012":{"vr":"LO"}}]},)"
        R"("00401003":{"vr":"SH","Value":["LOW"]}})");
}

TEST_CASE("what dcmdump prints: meta information, comments, lengths, names of UIDs, no value") {
  CHECK(json_of(
            "\n# Dicom-File-Format\r\n\r\n# Used TransferSyntax: Little Endian Explicit\r\n"
            "(0002,0010) UI =LittleEndianExplicit                   #  20, 1 TransferSyntaxUID\r\n"
            "\r\n# Dicom-Data-Set\r\n"
            "(0008,0016) UI =MRImageStorage                         #  26, 1 SOPClassUID\r\n"
            "(0010,0010) PN (no value available)                    #   0, 0 PatientName\r\n"
            "(0010,0020) LO [A]B #1 ]                               #   8, 1 PatientID\r\n"
            "(0040,0100) SQ (Sequence with undefined length #=1)    # u/l, 1 ScheduledPro\r\n"
            "  (fffe,e000) na (Item with undefined length #=2)      # u/l, 1 Item\r\n"
            "    (0040,0400) SQ (Sequence with explicit length #=0) #   0, 1 Other\r\n"
            "    (fffe,e0dd) na (SequenceDelimitationItem for re-enc.) #   0, 0 \r\n"
            "    (0040,0009) SH [SPS1]                              #   4, 1 ID\r\n"
            "  (fffe,e00d) na (ItemDelimitationItem for re-enc.)    #   0, 0 \r\n"
            "(fffe,e0dd) na (SequenceDelimitationItem for re-enc.)  #   0, 0\r\n") ==
        R"({"00080016":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.4"]},"00100010":{"vr":"PN"},)"
        R"("00100020":{"vr":"LO","Value":["A]B #1"]},)"
        R"("00400100":{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["SPS1"]},)"
        R"("00400400":{"vr":"SQ"}}]}})");
}

TEST_CASE(
    "numbers, tags, bytes and words are written as dcmdump writes them; a VR may be left out") {
  CHECK(
      json_of("( 0028 , 0010 ) US 256\n"
              "(0028,0009) AT (3004,000c)\\(0018,1063)\n"
              "(0018,9073) FD 1.5\\-2\n"
              "(0042,0011) OB 01\\00\\fF  # three bytes\n"
              "(0028,1201) OW 0102\\ff00\n"
              "(0010,0020)  NO-VR\n"
              "(0010,0030) ?? 19700102\n"
              "(0009,0010) LO [MINE]\n"
              "(0009,1001) UN 0a\\00\n") ==
      R"({"00090010":{"vr":"LO","Value":["MINE"]},"00091001":{"vr":"UN","InlineBinary":"CgA="},)"
      R"("00100020":{"vr":"LO","Value":["NO-VR"]},"00100030":{"vr":"DA","Value":["19700102"]},)"
      R"("00189073":{"vr":"FD","Value":[1.5,-2]},"00280009":{"vr":"AT","Value":["3004000C","00181063"]},)"
      R"("00280010":{"vr":"US","Value":[256]},"00281201":{"vr":"OW","InlineBinary":"AgEA/w=="},)"
      R"("00420011":{"vr":"OB","InlineBinary":"AQD/AA=="}})");
}

TEST_CASE(
    "text is in the dump's Specific Character Set, wherever that stands; items may have their "
    "own") {
  CHECK(json_of("(0010,0010) PN [M\xDCLLER^J\xD6RG]\n(0008,0005) CS [ISO_IR 100]\n"
                "(0040,0100) SQ\n(fffe,e000) -\n(0032,1070) LO [\xC3\xBC]\n"
                "(0008,0005) CS [ISO_IR 192]\n(fffe,e00d) -\n"
                "(fffe,e000) -\n(0032,1070) LO [\xFC]\n(fffe,e00d) -\n(fffe,e0dd) -\n") ==
        R"({"00080005":{"vr":"CS","Value":["ISO_IR 192"]},)"
        R"("00100010":{"vr":"PN","Value":[{"Alphabetic":"MÜLLER^JÖRG"}]},)"
        R"("00400100":{"vr":"SQ","Value":[{"00321070":{"vr":"LO","Value":["ü"]}},)"
        R"({"00321070":{"vr":"LO","Value":["ü"]}}]}})");
}

TEST_CASE("a fault names its line and what was expected, never a value") {
  struct Row {
    std::string dump;
    std::string expected;
  };
  std::string deep;
  for (int depth = 0; depth < 40; ++depth) deep += "(0040,0100) SQ\n(fffe,e000) -\n";
  const std::vector<Row> rows = {
      {"(0010,0010) PN [SECRET\n", "line 1: expected ] behind ["},
      {"\n\nSECRET\n", "line 3: expected a tag as (gggg,eeee)"},
      {"(0010;0010) PN SECRET\n", "line 1: expected a tag as (gggg,eeee)"},
      {"(0010,00100) PN SECRET\n", "line 1: expected a tag as (gggg,eeee)"},
      {"(fffe,e000) -\n", "line 1: expected no item outside a sequence"},
      {"(fffe,e00d) -\n", "line 1: expected no end of an item"},
      {"(fffe,e0dd) -\n", "line 1: expected (fffe,e00d) first: an item is open"},
      {"(0040,0100) SQ\n(0010,0010) PN SECRET\n",
       "line 2: expected (fffe,e000) or (fffe,e0dd) in a sequence"},
      {"(0040,0100) SQ\n(fffe,e000) -\n",
       "line 2: expected (fffe,e00d) and (fffe,e0dd) before the end: an item is open"},
      {"(0040,0100) SQ\n(fffe,e000) -\n(fffe,e00d) -\n",
       "line 3: expected (fffe,e0dd) before the end"},
      {"(0028,0010) US SECRET\n", "line 1: expected values of VR US, joined by backslashes"},
      {"(0028,0010) US 65536\n", "line 1: expected values of VR US, joined by backslashes"},
      {"(0028,0009) AT 300A\n", "line 1: expected values of VR AT, joined by backslashes"},
      {"(0042,0011) OB 100\n", "line 1: expected values of VR OB, joined by backslashes"},
      {"(0042,0011) OB =secret.dat\n", "line 1: expected the value itself, not the name of a file"},
      {"(0008,0016) UI =NoSuchThing\n", "line 1: expected the name of a UID of PS3.6 behind ="},
      {"(0010,0010) PN <SECRET>\n", "line 1: expected no value that begins with <"},
      {"(0010,0010) PN [M\xDCLLER]\n",
       "line 1: expected text in the default repertoire, ISO-IR 6 (VR PN)"},
      {"(0008,0005) CS [ISO_IR 192]\n(0010,0010) PN [M\xDCLLER]\n",
       "line 2: expected text in ISO_IR 192 (VR PN)"},
      {"(0000,0002) UI [1.2]\n", "line 1: expected no such element in a data set"},
      {deep, "line 65: expected at most 32 sequences inside each other"},
  };
  for (const Row& row : rows) CHECK(json_of(row.dump) == "fault: " + row.expected);
  // DCMTK's own example has one twice; dump2dcm takes the first.
  CHECK(json_of("(0010,0020) LO [1]\n(0010,0020) LO [2]\n") ==
        R"({"00100020":{"vr":"LO","Value":["1"]}})");
  CHECK(json_of("(0008,0005) CS [NONE]\n").starts_with("fault: line 1: "));
}

TEST_CASE("an empty dump is an empty data set, and bytes of any kind are at worst a fault") {
  CHECK(json_of("# nothing\n\n") == "{}");
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  CHECK(json_of(all).starts_with("fault: "));
  CHECK(json_of("(0010,0010) PN [" + all + "]").starts_with("fault: "));
  CHECK(json_of("(0010,0020) LO [" + std::string(70000, 'x') + "]").starts_with("fault: "));
}
