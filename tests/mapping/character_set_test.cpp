// Specific Character Set: the examples of PS3.5 byte for byte, code extensions, faults.
#include "mapping/character_set.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "mapping/wire.h"

using namespace mapping;
using namespace std::string_literals;

namespace {

struct Example {
  const char* where;
  const char* set;
  Vr vr;
  std::string encoded;
  std::string utf_8;
};

const std::vector<Example>& examples() {
  static const std::vector<Example> all{
      {"PS3.5 H.3.1", "\\ISO 2022 IR 87", Vr::PN,
       "Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B",
       "Yamada^Tarou=山田^太郎=やまだ^たろう"},
      {"PS3.5 H.3.2", "ISO 2022 IR 13\\ISO 2022 IR 87", Vr::PN,
       "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J=\x1B$B$d$^$@\x1B(J^"
       "\x1B$B$?$m$&\x1B(J",
       "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"},
      {"PS3.5 I.2", "\\ISO 2022 IR 149", Vr::PN,
       "Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\x1B$)C\xC8\xAB^\x1B$)"
       "C\xB1\xE6\xB5\xBF",
       "Hong^Gildong=洪^吉洞=홍^길동"},
      {"PS3.5 J.1", "ISO_IR 192", Vr::PN, "Wang^XiaoDong=王^小東=", "Wang^XiaoDong=王^小東="},
      {"PS3.5 J.3", "GB18030", Vr::PN,
       "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB=", "Wang^XiaoDong=王^小东="},
      {"GBK", "GBK", Vr::PN, "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB=", "Wang^XiaoDong=王^小东="},
      {"PS3.5 K.2", "\\ISO 2022 IR 58", Vr::PN,
       "Zhang^XiaoDong=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB=", "Zhang^XiaoDong=张^小东="},
      {"JIS X 0212", "\\ISO 2022 IR 87\\ISO 2022 IR 159", Vr::PN, "A^B=\x1B$B;3\x1B$(D0!\x1B(B",
       "A^B=山丂"},
      {"two single-byte sets", "ISO 2022 IR 100\\ISO 2022 IR 144", Vr::PN,
       "M\xFCller^\x1B-L\xBB\xEE", "Müller^Лю"},
      {"a value each time anew (G5)", "\\ISO 2022 IR 149", Vr::LO,
       "\x1B$)C\xC8\xAB\\\x1B$)C\xC8\xAB^\xC8\xAB", "홍\\홍^홍"},
      {"a line each time anew (G5)", "\\ISO 2022 IR 149", Vr::LT,
       "\x1B$)C\xC8\xAB\\\xC8\xAB\r\n\x1B$)C\xC8\xAB", "홍\\홍\r\n홍"},
      {"a page and a column each time anew (G5)", "\\ISO 2022 IR 149", Vr::LT,
       "\x1B$)C\xC8\xAB\f\x1B$)C\xC8\xAB\t\x1B$)C\xC8\xAB", "홍\f홍\t홍"},
      {"5C as second byte (G6)", "GBK", Vr::LO, "\x81\x5C\\A", "乗\\A"},
      {"5C within kanji (G6)", "\\ISO 2022 IR 87", Vr::LO, "\x1B$B\x30\x5C\x1B(B\\A", "移\\A"},
      {"Latin 1", "ISO_IR 100", Vr::PN, "M\xFCller^J\xF6rg", "Müller^Jörg"},
      {"Cyrillic", "ISO_IR 144", Vr::PN, "\xBB\xEE\xDA", "Люк"},
      {"Greek", "ISO_IR 126", Vr::PN, "\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"},
      {"Hebrew", "ISO_IR 138", Vr::PN, "\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4", "שרון^דבורה"},
      {"Arabic", "ISO_IR 127", Vr::PN, "\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1",
       "\u0642\u0628\u0627\u0646\u064A^\u0644\u0646\u0632\u0627\u0631"},
      {"Thai", "ISO_IR 166", Vr::PN, "\xA1\xD2\xC3", "การ"},
      {"kanji in value 1, a common mistake", "ISO 2022 IR 87", Vr::PN,
       "Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "Yamada^Tarou=山田^太郎"},
      {"hangul in value 1, a common mistake", "ISO 2022 IR 149", Vr::PN,
       "Hong^Gildong=\xFB\xF3^\xD1\xCE\xD4\xD7", "Hong^Gildong=洪^吉洞"},
      {"katakana alone", "ISO_IR 13", Vr::PN, "\xD4\xCF\xC0\xDE", "ﾔﾏﾀﾞ"},
  };
  return all;
}

DataSet with(Vr vr, const std::string& utf_8) {
  const Tag tag = vr == Vr::PN   ? tags::PatientName
                  : vr == Vr::LO ? Tag(0x0010, 0x2000)
                                 : Tag(0x0010, 0x4000);
  DataSetBuilder item;
  item.add(tag, vr, utf_8);
  const DataSet nested = item.build().value();
  DataSetBuilder builder;  // alone, and in a sequence
  builder.add(tag, vr, utf_8);
  builder.begin_sequence(tags::ScheduledProcedureStepSequence).add_item(nested).end_sequence();
  return builder.build().value();
}

}  // namespace

TEST_CASE("the standard's names are decoded and encoded byte for byte (G2 to G7)") {
  for (const Example& example : examples()) {
    INFO(example.where);
    const CharacterSet set = CharacterSet::parse(example.set).value();
    CHECK(set.value() == example.set);
    std::string decoded;
    REQUIRE(set.decode(example.encoded, example.vr, decoded));
    CHECK(decoded == example.utf_8);
    std::string encoded;
    REQUIRE(set.encode(example.utf_8, example.vr, encoded));
    CHECK(encoded == example.encoded);
  }
}

TEST_CASE("names in every set go through a data set and back, in multi-values and sequences too") {
  for (const Example& example : examples()) {
    const std::string twice =
        facts(example.vr).many_values ? example.utf_8 + "\\" + example.utf_8 : example.utf_8;
    const DataSet data_set = with(example.vr, twice);
    const CharacterSet set = CharacterSet::parse(example.set).value();
    for (const auto syntax :
         {TransferSyntax::implicit_vr_little_endian, TransferSyntax::explicit_vr_little_endian,
          TransferSyntax::explicit_vr_big_endian}) {
      INFO(example.where << " " << to_uid(syntax));
      const auto written =
          write_data_set(data_set, syntax, {.configured = set, .used_by_peer = {}});
      REQUIRE(written);
      CHECK(written.value().find(example.encoded) != std::string::npos);
      const auto read = read_data_set(written.value(), syntax);
      REQUIRE(read);
      CHECK(read.value().data_set == data_set);
      CHECK(read.value().character_set == set);
    }
  }
}

TEST_CASE(
    "a set that is named once a value, or only declared, is meant where no other can be (G5)") {
  struct {
    const char* set;
    Vr vr;
    std::string encoded;
    const char* utf_8;  // null: it is not decoded
  } const rows[] = {
      {"\\ISO 2022 IR 149", Vr::PN, "Hong^Gildong=\x1B$)C\xFB\xF3^\xD1\xCE\xD4\xD7",
       "Hong^Gildong=洪^吉洞"},
      {"\\ISO 2022 IR 58", Vr::LT, "\x1B$)A\xD5\xC5\r\n\xD0\xA1", "张\r\n小"},
      {"\\ISO 2022 IR 100", Vr::PN, "\x1B-A\xFC^\xFC", "ü^ü"},
      // Value 1 can be meant, and is.
      {"ISO 2022 IR 100\\ISO 2022 IR 144", Vr::PN, "\x1B-L\xBB^\xFC", "Л^ü"},
      // Not even named, but declared, and no other with it.
      {"\\ISO 2022 IR 149", Vr::PN, "Hong=\xFB\xF3", "Hong=洪"},
      {"ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 87", Vr::PN, "\xE9=\x1B$B;3\x1B(B\xE9",
       "é=山é"},
      {"\\ISO 2022 IR 100\\ISO 2022 IR 144", Vr::PN, "\xFC", nullptr},
      {"\\ISO 2022 IR 87", Vr::PN, "\xFC", nullptr},
  };
  for (const auto& row : rows) {
    INFO(row.set << " " << row.encoded);
    std::string decoded;
    CHECK(CharacterSet::parse(row.set).value().decode(row.encoded, row.vr, decoded) ==
          (row.utf_8 != nullptr));
    if (row.utf_8 != nullptr) CHECK(decoded == row.utf_8);
  }
}

TEST_CASE("padding goes where an escape sequence stands behind it, too") {
  const std::string encoded =
      "\x08\0\x05\0\x10\0\0\0\\ISO 2022 IR 87 "s + "\x10\0\x20\0\x06\0\0\0"s + "A \x1B(B "s;
  const auto read = read_data_set(encoded, TransferSyntax::implicit_vr_little_endian);
  REQUIRE(read);
  CHECK(read.value().data_set.view().find(tags::PatientID)->value == "A ");
}

TEST_CASE("values of 0008,0005 are told apart: alone, extended, empty, none (G1 to G3)") {
  const std::pair<const char*, const char*> good[] = {
      {"", ""},
      {"ISO_IR 6", ""},
      {"ISO 2022 IR 6", ""},
      {"ISO_IR 100 ", "ISO_IR 100"},
      {"ISO 2022 IR 100", "ISO_IR 100"},  // the same repertoire
      {"ISO 2022 IR 6\\ISO 2022 IR 87", "\\ISO 2022 IR 87"},
      {"ISO_IR 100\\ISO_IR 144", "ISO 2022 IR 100\\ISO 2022 IR 144"},  // a common mistake
  };
  for (const auto& [text, value] : good) {
    INFO(text);
    REQUIRE(CharacterSet::parse(text));
    CHECK(CharacterSet::parse(text).value().value() == value);
  }
  for (const char* bad : {"ISO_IR 999", "ISO-IR 100", "UTF-8", "ISO_IR 87", "latin1",
                          "ISO_IR 192\\ISO 2022 IR 87", "\\ISO_IR 192", "GB18030\\GBK",
                          "GBK\\ISO 2022 IR 87", "ISO 2022 IR 100\\\\ISO 2022 IR 144"}) {
    INFO(bad);
    const auto set = CharacterSet::parse(bad);
    REQUIRE_FALSE(set);
    CHECK(set.fault().kind == Fault::Kind::character_set);
    CHECK(set.fault().what.find("00080005") == 0);
  }
}

TEST_CASE("bytes that stand for nothing are not decoded, and nothing is left behind (G8, G9)") {
  const std::pair<const char*, std::string> rows[] = {
      {"", "M\xFCller"},                         // 8 bits in the default repertoire
      {"ISO_IR 192", "M\xFCller"},               // no UTF-8
      {"ISO_IR 126", "\xFF"},                    // no Greek letter
      {"ISO_IR 100", "A\x1B-LB"},                // an escape where none is declared
      {"\\ISO 2022 IR 87", "A\x1B$ZB"},          // an unknown escape
      {"\\ISO 2022 IR 87", "A\x1B$B;"},          // half a kanji
      {"\\ISO 2022 IR 87", "A\xFC"},             // nothing in the right half
      {"\\ISO 2022 IR 149", "\x1B$)C\xFB"},      // half a hanja
      {"\\ISO 2022 IR 149", "\x1B$)C\xFB\x33"},  // one half with, one without the high bit
      {"GB18030", "\xCD"},
      {"GBK", "\xFF\xFF"},
  };
  for (const auto& [set, encoded] : rows) {
    INFO(set);
    std::string out = "before";
    CHECK_FALSE(CharacterSet::parse(set).value().decode(encoded, Vr::PN, out));
    CHECK(out == "before");
  }
}

TEST_CASE("text that a set does not hold is not encoded, and nothing is left behind (G11)") {
  for (const char* set :
       {"", "ISO_IR 100", "ISO 2022 IR 13\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "GBK"}) {
    std::string out = "before";
    INFO(set);
    CHECK_FALSE(CharacterSet::parse(set).value().encode("A😀", Vr::LO, out));
    CHECK(out == "before");
  }
  std::string out;
  CHECK_FALSE(CharacterSet::utf_8().encode("\x1B(B", Vr::LO, out));  // no escape in text
}

TEST_CASE("garbage is decoded to well-formed UTF-8 or not at all, in every set") {
  std::uint32_t random = 1;
  const auto next = [&] { return random = random * 1664525u + 1013904223u; };
  for (const Example& example : examples()) {
    const CharacterSet set = CharacterSet::parse(example.set).value();
    for (int i = 0; i < 3000; ++i) {
      std::string bytes = example.encoded;
      for (int changes = 0; changes < 3; ++changes) {
        bytes[(next() >> 8) % bytes.size()] = static_cast<char>(next() >> 16);
      }
      std::string decoded;
      if (!set.decode(bytes, example.vr, decoded)) continue;
      CHECK(is_utf_8(decoded));
    }
  }
}

TEST_CASE("a character is one to four bytes of UTF-8") {
  const std::pair<std::uint32_t, const char*> rows[] = {
      {0x41, "A"},
      {0x7F, "\x7F"},
      {0x80, "\xC2\x80"},
      {0x7FF, "\xDF\xBF"},
      {0x800, "\xE0\xA0\x80"},
      {0xFFFD, "\xEF\xBF\xBD"},
      {0x10000, "\xF0\x90\x80\x80"},
      {0x10FFFF, "\xF4\x8F\xBF\xBF"},
  };
  for (const auto& [code, bytes] : rows) {
    std::string text = "x";
    append_utf_8(code, text);
    CHECK(text == "x" + std::string(bytes));
    CHECK(is_utf_8(text));
  }
}
