// The wire's forms, held against DCMTK's reader and writer.
#include "mapping/wire.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "mapping/uids.h"
#include "tests/support/random_data_set.h"

using namespace mapping;
using namespace std::string_literals;

namespace {

constexpr TransferSyntax all_syntaxes[] = {TransferSyntax::implicit_vr_little_endian,
                                           TransferSyntax::explicit_vr_little_endian,
                                           TransferSyntax::explicit_vr_big_endian};

E_TransferSyntax dcmtk(TransferSyntax syntax) {
  return DcmXfer(std::string(to_uid(syntax)).c_str()).getXfer();
}

std::string dcmtk_write(DcmDataset& data_set, TransferSyntax syntax, E_EncodingType lengths) {
  std::vector<char> buffer(1 << 20);
  DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(buffer.size()));
  data_set.transferInit();
  REQUIRE(data_set.write(stream, dcmtk(syntax), lengths, nullptr).good());
  data_set.transferEnd();
  void* at = nullptr;
  offile_off_t length = 0;
  stream.flushBuffer(at, length);
  return {static_cast<char*>(at), static_cast<std::size_t>(length)};
}

std::unique_ptr<DcmDataset> dcmtk_read(const std::string& bytes, TransferSyntax syntax) {
  auto data_set = std::make_unique<DcmDataset>();
  DcmInputBufferStream stream;
  stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
  stream.setEos();
  data_set->transferInit();
  REQUIRE(data_set->read(stream, dcmtk(syntax)).good());
  data_set->transferEnd();
  return data_set;
}

DataSet name(const std::string& utf_8) {
  DataSetBuilder builder;
  builder.add(tags::PatientName, Vr::PN, utf_8);
  return builder.build().value();
}

std::string read_name(const std::string& character_set, const std::string& encoded,
                      const WireReadOptions& options = {}) {
  DcmDataset theirs;
  if (!character_set.empty())
    theirs.putAndInsertString(DCM_SpecificCharacterSet, character_set.c_str());
  theirs.putAndInsertOFStringArray(DCM_PatientName, encoded.c_str());
  const auto read = read_data_set(
      dcmtk_write(theirs, TransferSyntax::explicit_vr_little_endian, EET_ExplicitLength),
      TransferSyntax::explicit_vr_little_endian, options);
  if (!read) return "fault: " + read.fault().what;
  return std::string(read.value().data_set.view().text(tags::PatientName));
}

}  // namespace

TEST_CASE("what DCMTK writes is read alike in every transfer syntax and length form (H4)") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const DataSet data_set = support::RandomDataSet(seed).make();
    auto theirs = dcmtk_read(data_set.bytes(), TransferSyntax::explicit_vr_little_endian);
    for (const TransferSyntax syntax : all_syntaxes) {
      for (const auto lengths : {EET_ExplicitLength, EET_UndefinedLength}) {
        INFO("seed " << seed << " " << to_uid(syntax));
        const auto read = read_data_set(dcmtk_write(*theirs, syntax, lengths), syntax);
        REQUIRE(read);
        CHECK(read.value().data_set == data_set);
      }
    }
  }
}

TEST_CASE("what is written, DCMTK reads alike in every transfer syntax") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const DataSet data_set = support::RandomDataSet(seed).make();
    for (const TransferSyntax syntax : all_syntaxes) {
      INFO("seed " << seed << " " << to_uid(syntax));
      auto theirs = dcmtk_read(write_data_set(data_set, syntax).value(), syntax);
      CHECK(dcmtk_write(*theirs, TransferSyntax::explicit_vr_little_endian, EET_ExplicitLength) ==
            data_set.bytes());
      CHECK(read_data_set(write_data_set(data_set, syntax).value(), syntax).value().data_set ==
            data_set);
    }
  }
}

TEST_CASE("a sequence that no dictionary knows stays one in Implicit VR") {
  DataSetBuilder builder;
  builder.begin_sequence(Tag(0x0029, 0x1010)).begin_item().add(tags::Modality, Vr::CS, "MR");
  builder.end_item().end_sequence();
  const DataSet data_set = builder.build().value();
  for (const TransferSyntax syntax : all_syntaxes) {
    CHECK(read_data_set(write_data_set(data_set, syntax).value(), syntax).value().data_set ==
          data_set);
  }
}

TEST_CASE("what says how something is encoded goes, commands and directories are refused (D3)") {
  const auto read = [](const std::string& element) {
    return read_data_set(element, TransferSyntax::implicit_vr_little_endian);
  };
  const std::string four("\4\0\0\0\1\0\0\0", 8);
  for (const std::string& tag : {"\x08\0\0\0"s, "\x08\0\1\0"s, "\2\0\0\0"s, "\x10\0\0\0"s}) {
    REQUIRE(read(tag + four));
    CHECK(read(tag + four).value().data_set.empty());
  }
  for (const std::string& tag : {"\0\0\0\0"s, "\4\0\0\x12"s, "\x08\0\3\0"s}) {
    CHECK(read(tag + four).fault().what.find("expected no such element") != std::string::npos);
  }
}

TEST_CASE("transfer syntaxes are known by their UIDs") {
  for (const TransferSyntax syntax : all_syntaxes) {
    CHECK(transfer_syntax_of(to_uid(syntax)) == syntax);
  }
  CHECK_FALSE(transfer_syntax_of("1.2.840.10008.1.2.4.50"));
}

TEST_CASE("a standard attribute sent as UN is read by its VR, sequences too (PS3.5, 6.2.2)") {
  const std::string item("\x08\x00\x60\x00\x02\x00\x00\x00MR", 10);  // Implicit VR inside UN
  std::string bytes("\x40\x00\x00\x01UN\x00\x00\x12\x00\x00\x00\xFE\xFF\x00\xE0\x0A\x00\x00\x00",
                    20);
  const auto read = read_data_set(bytes + item, TransferSyntax::explicit_vr_little_endian);
  REQUIRE(read);
  CHECK(read.value()
            .data_set.view()
            .first_item(tags::ScheduledProcedureStepSequence)
            ->text(tags::Modality) == "MR");
}

TEST_CASE("single-byte sets and UTF-8 are decoded; group lengths, padding and 0008,0005 go (G2)") {
  struct {
    const char* set;
    const char* encoded;
    const char* utf_8;
  } const rows[] = {
      {"ISO_IR 100", "M\xFCller^J\xF6rg", "Müller^Jörg"},
      {"ISO 2022 IR 100", "M\xFCller", "Müller"},
      {"ISO_IR 101", "\xA3ukasz", "Łukasz"},
      {"ISO_IR 109", "\xA9\xB9", "İı"},
      {"ISO_IR 110", "\xBFuk", "ŋuk"},
      {"ISO_IR 144",
       "\xBB\xEE\xDA"
       "ce\xDC\xD1"
       "yp\xD3",
       "Люкceмбypг"},
      {"ISO_IR 127", "\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1", "قباني^لنزار"},
      {"ISO_IR 126", "\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"},
      {"ISO_IR 138", "\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4", "שרון^דבורה"},
      {"ISO_IR 148", "\xDD\xFE\xF0", "İşğ"},
      {"ISO_IR 203", "\xA4uro", "€uro"},
      {"ISO_IR 166", "\xA1\xD2\xC3", "การ"},
      {"ISO_IR 13", "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3", "ﾔﾏﾀﾞ^ﾀﾛｳ"},
      {"ISO_IR 192", "Wang^XiaoDong=王^小東", "Wang^XiaoDong=王^小東"},
      {"", "Smith^John", "Smith^John"},
      {"ISO_IR 6", "Smith  ", "Smith"},
  };
  for (const auto& row : rows) {
    INFO(row.set);
    const std::string decoded = read_name(row.set, row.encoded);
    if (std::string(row.set) == "ISO_IR 127")
      CHECK(is_utf_8(decoded));
    else
      CHECK(decoded == row.utf_8);
    if (std::string(row.set) == "ISO_IR 6") continue;
    // … and back, in the same set, byte for byte.
    const auto set = CharacterSet::parse(row.set);
    REQUIRE(set);
    const auto written = write_data_set(name(decoded), TransferSyntax::implicit_vr_little_endian,
                                        {.configured = set.value(), .used_by_peer = {}});
    REQUIRE(written);
    CHECK(written.value().find(row.encoded) != std::string::npos);
  }
}

TEST_CASE("text that its set cannot hold is a fault that names the attribute, not the text (G8)") {
  CHECK(read_name("", "M\xFCller") ==
        "fault: 00100010: expected text in the default repertoire, ISO-IR 6 (VR PN)");
  CHECK(read_name("ISO_IR 192", "M\xFCller") ==
        "fault: 00100010: expected text in ISO_IR 192 (VR PN)");
  CHECK(read_name("ISO_IR 999", "Smith").rfind("fault: 00080005", 0) == 0);
  CHECK(read_name("ISO_IR 100", "A\x1B(JB").rfind("fault: 00100010", 0) == 0);
}

TEST_CASE("undeclared text is read in the assumed set, declared text is not") {
  const WireReadOptions options{.assume_character_set = CharacterSet::parse("ISO_IR 100").value()};
  CHECK(read_name("", "M\xFCller", options) == "Müller");
  CHECK(read_name("ISO_IR 144", "\xBB", options) == "Л");
}

TEST_CASE("an item's own character set holds for that item only") {
  DcmDataset theirs;
  theirs.putAndInsertString(DCM_SpecificCharacterSet, "ISO_IR 100");
  DcmItem* item = nullptr;
  theirs.findOrCreateSequenceItem(DCM_ScheduledProcedureStepSequence, item, 0);
  item->putAndInsertString(DCM_SpecificCharacterSet, "ISO_IR 144");
  item->putAndInsertString(DCM_ScheduledStationName, "\xBB");
  theirs.findOrCreateSequenceItem(DCM_ScheduledProcedureStepSequence, item, 1);
  item->putAndInsertString(DCM_ScheduledStationName, "\xFC");
  const auto syntax = TransferSyntax::implicit_vr_little_endian;
  const auto read = read_data_set(dcmtk_write(theirs, syntax, EET_UndefinedLength), syntax);
  REQUIRE(read);
  CHECK(read.value().character_set.value() == "ISO_IR 100");
  const auto items =
      read.value().data_set.view().find(tags::ScheduledProcedureStepSequence)->items();
  const Tag station_name(0x0040, 0x0010);
  auto at = items.begin();
  CHECK((*at).text(station_name) == "Л");
  CHECK_FALSE((*at).find(tags::SpecificCharacterSet));
  CHECK((*++at).text(station_name) == "ü");
}

TEST_CASE("the set to write: configured, else the peer's, else the smallest, else UTF-8 (G10)") {
  const auto declared = [](const std::string& utf_8, const WireWriteOptions& options) {
    const auto syntax = TransferSyntax::explicit_vr_little_endian;
    const auto written = write_data_set(name(utf_8), syntax, options);
    if (!written) return "fault: " + written.fault().what;
    return read_data_set(written.value(), syntax).value().character_set.value();
  };
  const CharacterSet latin_1 = CharacterSet::parse("ISO_IR 100").value();
  const CharacterSet cyrillic = CharacterSet::parse("ISO_IR 144").value();
  CHECK(declared("Smith", {.configured = latin_1, .used_by_peer = {}}).empty());
  CHECK(declared("Müller", {}) == "ISO_IR 100");
  CHECK(declared("Łukasz", {}) == "ISO_IR 101");
  CHECK(declared("Люк", {}) == "ISO_IR 144");
  CHECK(declared("Müller Люк", {}) == "ISO_IR 192");
  CHECK(declared("Müller", {.configured = {}, .used_by_peer = CharacterSet::utf_8()}) ==
        "ISO_IR 192");
  CHECK(declared("Müller", {.configured = {}, .used_by_peer = cyrillic}) == "ISO_IR 100");
  CHECK(declared("Müller", {.configured = cyrillic, .used_by_peer = latin_1}) ==
        "fault: 00100010: expected text that ISO_IR 144 holds");
}

TEST_CASE("text that its set makes longer than its VR can be is a fault, and never cut in two") {
  std::string text;
  while (text.size() < 60000) text += "aあ";  // each change of sets is three bytes
  DataSetBuilder builder;
  builder.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
  builder.add(Tag(0x0040, 0x0007), Vr::LO, text).end_item().end_sequence();
  const DataSet data_set = builder.build().value();
  WireWriteOptions options{.configured = CharacterSet::parse("\\ISO 2022 IR 87").value(),
                           .used_by_peer = {}};
  std::size_t replaced = 0;
  for (std::size_t* count : {static_cast<std::size_t*>(nullptr), &replaced}) {
    options.count_replaced = count;
    const auto refused =
        write_data_set(data_set, TransferSyntax::explicit_vr_little_endian, options);
    REQUIRE_FALSE(refused);
    CHECK(refused.fault().what ==
          "00400007: expected text of at most 65534 bytes in \\ISO 2022 IR 87");
    CHECK(refused.fault().kind == Fault::Kind::character_set);
    CHECK(refused.fault().attributes == std::vector{tags::ScheduledProcedureStepSequence});
  }
  // Implicit VR has room for it.
  const auto syntax = TransferSyntax::implicit_vr_little_endian;
  CHECK(read_data_set(write_data_set(data_set, syntax, options).value(), syntax).value().data_set ==
        data_set);
  CHECK(write_data_set(data_set, TransferSyntax::explicit_vr_little_endian));
}

TEST_CASE("one set for an MPPS: declared for ASCII text too (F25)") {
  const auto syntax = TransferSyntax::explicit_vr_little_endian;
  WireWriteOptions options{.configured = CharacterSet::utf_8(), .used_by_peer = {}};
  options.declare_always = true;
  const auto written = write_data_set(name("Smith"), syntax, options);
  REQUIRE(written);
  CHECK(read_data_set(written.value(), syntax).value().character_set.is_utf_8());
  CHECK(read_data_set(written.value(), syntax).value().data_set == name("Smith"));
}

TEST_CASE("what a fixed set does not hold is replaced and counted where that is asked for (G11)") {
  const auto syntax = TransferSyntax::implicit_vr_little_endian;
  for (const char* set : {"ISO_IR 100", "ISO_IR 6", "GBK", "\\ISO 2022 IR 149"}) {
    INFO(set);
    std::size_t replaced = 1;
    WireWriteOptions options{.configured = CharacterSet::parse(set).value(), .used_by_peer = {}};
    options.count_replaced = &replaced;
    const auto written = write_data_set(name("A😀^ŋB"), syntax, options);
    REQUIRE(written);
    CHECK(replaced >= 2);
    const auto read = read_data_set(written.value(), syntax);
    REQUIRE(read);
    CHECK(read.value().data_set.view().text(tags::PatientName).find("A?^") == 0);
  }
}

TEST_CASE("a fault deep inside open sequences ends reading, whatever order the tags had") {
  // (0010,...) behind (0040,...): the frame is to be sorted, and its last sequence never ended.
  const std::string open_item("\x40\0\0\1\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF", 16);
  const std::string backwards("\x10\0\xC0\x21\2\0\0\0\4\0", 10);
  std::string bytes = open_item;
  bytes += open_item + backwards + open_item + backwards;
  bytes += std::string("\x08\0\x50\0\xFF\xFF\0\0", 8);  // longer than the data set
  for (const TransferSyntax syntax : all_syntaxes) CHECK_FALSE(read_data_set(bytes, syntax));
}

TEST_CASE("broken bytes are faults: every truncation, mutations, wild lengths, deep nesting") {
  const DataSet data_set = support::RandomDataSet(11).make();
  std::mt19937 random(5);
  for (const TransferSyntax syntax : all_syntaxes) {
    const std::string good = write_data_set(data_set, syntax).value();
    for (std::size_t length = 0; length < good.size(); ++length) {
      (void)read_data_set(good.substr(0, length), syntax);
    }
    for (int i = 0; i < 20000; ++i) {
      std::string bytes = good;
      for (auto n = 1 + random() % 3; n > 0; --n) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      const auto read = read_data_set(bytes, syntax);
      if (read) CHECK(DataSet::from_bytes(read.value().data_set.bytes()));
    }
  }
  std::string deep;
  for (int i = 0; i < 5000; ++i) {
    deep += std::string("\x40\x00\x00\x01\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF", 16);
  }
  const auto read = read_data_set(deep, TransferSyntax::implicit_vr_little_endian);
  REQUIRE_FALSE(read);
  CHECK(read.fault().kind == Fault::Kind::too_large);
  CHECK(read_data_set(deep, TransferSyntax::implicit_vr_little_endian,
                      {.assume_character_set = {}, .max_bytes = 1000})
            .fault()
            .kind == Fault::Kind::too_large);
}
