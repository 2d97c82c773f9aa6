// Attribute matching, rule by rule (F1 to F7), and dates and times.
#include "mapping/matching.h"

#include <catch2/catch.hpp>

#include "mapping/date_time.h"
#include "mapping/json.h"

using namespace mapping;

namespace {

// keys and data: DICOM JSON without the outer braces.
bool match(const std::string& keys, const std::string& data, bool empty_value_matching = false) {
  Search search;
  search.identifier = read_json("{" + keys + "}").value();
  search.empty_value_matching = empty_value_matching;
  return Matcher(search).matches(read_json("{" + data + "}").value());
}

std::string one(const char* tag, const char* vr, const std::string& value) {
  if (value.empty()) return "\"" + std::string(tag) + "\":{\"vr\":\"" + vr + "\"}";
  return "\"" + std::string(tag) + "\":{\"vr\":\"" + vr + "\",\"Value\":[\"" + value + "\"]}";
}

std::string step(const std::string& attributes) {
  return R"("00400100":{"vr":"SQ","Value":[{)" + attributes + "}]}";
}

}  // namespace

TEST_CASE("single values, wildcards, names, lists and universal keys match as the rules say") {
  struct {
    const char* rule;
    const char* tag;
    const char* vr;
    const char* key;
    const char* value;
    bool matches;
  } const rows[] = {
      {"F1 exact", "00100020", "LO", "ID1", "ID1", true},
      {"F1 case-sensitive", "00100020", "LO", "id1", "ID1", false},
      {"F1 no prefix", "00100020", "LO", "ID", "ID1", false},
      {"F1 names without case", "00100010", "PN", "müller^jörg", "MÜLLER^Jörg", true},
      {"F1 names, other script", "00100010", "PN", "ЛЮК", "Люк", true},
      {"F1 names, empty components", "00100010", "PN", "Doe^Jane", "DOE^JANE^^^", true},
      {"F1 names, whole", "00100010", "PN", "Doe", "Doe^Jane", false},
      {"F2 star", "00100020", "LO", "I*1", "ID-01", true},
      {"F2 star matches nothing too", "00100020", "LO", "ID1*", "ID1", true},
      {"F2 question mark is one character", "00100020", "LO", "?D1", "üD1", true},
      {"F2 question mark is not none", "00100020", "LO", "ID1?", "ID1", false},
      {"F2 case-sensitive", "00080060", "CS", "m*", "MR", false},
      {"F2 names", "00100010", "PN", "d*^j?ne", "Doe^Jane", true},
      {"F2 no wildcard in a date", "00100030", "DA", "1970*", "19700131", false},
      {"F2 no wildcard in a UID", "0020000D", "UI", "1.2.*", "1.2.3", false},
      {"F3 date", "00100030", "DA", "19700131", "19700131", true},
      {"F3 date, old form", "00100030", "DA", "19700131", "1970.01.31", true},
      {"F3 inside", "00100030", "DA", "19700101-19701231", "19700131", true},
      {"F3 inclusive", "00100030", "DA", "19700131-19700131", "19700131", true},
      {"F3 outside", "00100030", "DA", "19700201-", "19700131", false},
      {"F3 open start", "00100030", "DA", "-19700131", "19700131", true},
      {"F3 time by meaning", "00080030", "TM", "2230", "223000", true},
      {"F3 time by meaning, back", "00080030", "TM", "223000.000", "2230", true},
      {"F3 time is a point", "00080030", "TM", "2230", "223001", false},
      {"F3 time range, end by its precision", "00080030", "TM", "2200-2230", "223059.5", true},
      {"F3 time range does not cross midnight", "00080030", "TM", "2300-0100", "2330", false},
      {"F3 date-time range", "0008002A", "DT", "20261120-20261121", "20261121235959", true},
      {"F3 date-time, zones", "0008002A", "DT", "20261120120000+0100", "20261120110000+0000", true},
      {"F3 date-time, a zone is no range", "0008002A", "DT", "20261120-0500", "20261121", false},
      {"F6 UID", "0020000D", "UI", "1.2.3", "1.2.3", true},
      {"F6 empty value matches no key", "00100020", "LO", "ID1", "", false},
      {"universal", "00100020", "LO", "", "ID1", true},
      {"universal, empty value", "00100020", "LO", "", "", true},
      {"universal star", "00100020", "LO", "*", "", true},
  };
  for (const auto& row : rows) {
    INFO(row.rule);
    CHECK(match(one(row.tag, row.vr, row.key), one(row.tag, row.vr, row.value)) == row.matches);
  }
  CHECK(match(
      one("00100010", "PN", "山田^*"),
      R"("00100010":{"vr":"PN","Value":[{"Alphabetic":"Yamada","Ideographic":"山田^太郎"}]})"));
  CHECK_FALSE(match(one("00100020", "LO", "ID1"), one("00100040", "CS", "M")));  // absent
  CHECK(match(one("00100020", "LO", ""), one("00100040", "CS", "M")));
}

TEST_CASE("a list of UIDs matches one of them, a value of several is enough (F6)") {
  const std::string list = R"("0020000D":{"vr":"UI","Value":["1.2.3","1.2.4"]})";
  CHECK(match(list, one("0020000D", "UI", "1.2.4")));
  CHECK_FALSE(match(list, one("0020000D", "UI", "1.2.5")));
  const std::string stations = R"("00400001":{"vr":"AE","Value":["AA32","AA33"]})";
  CHECK(match(step(one("00400001", "AE", "AA33")), step(stations)));
  CHECK_FALSE(match(step(one("00400001", "AE", "AA34")), step(stations)));
}

TEST_CASE("all keys of a sequence match within one item (F5)") {
  const std::string keys = step(one("00080060", "CS", "MR") + "," + one("00400001", "AE", "A"));
  const std::string same = R"("00400100":{"vr":"SQ","Value":[{},{)" + one("00080060", "CS", "MR") +
                           "," + one("00400001", "AE", "A") + "}]}";
  const std::string apart = R"("00400100":{"vr":"SQ","Value":[{)" + one("00080060", "CS", "MR") +
                            "},{" + one("00400001", "AE", "A") + "}]}";
  CHECK(match(keys, same));
  CHECK_FALSE(match(keys, apart));
  CHECK_FALSE(match(keys, R"("00400100":{"vr":"SQ"})"));
  CHECK(match(R"("00400100":{"vr":"SQ"})", one("00100020", "LO", "x")));
  CHECK(match(step(one("00080060", "CS", "")), one("00100020", "LO", "x")));  // only return keys
}

TEST_CASE("ranges of start date and start time are one period (F4)") {
  const auto key = [](const std::string& date, const std::string& time) {
    return step(one("00400002", "DA", date) + "," + one("00400003", "TM", time));
  };
  const auto at = key;
  const std::string period = key("20260705-20260707", "1000-1800");
  CHECK(match(period, at("20260705", "1000")));
  CHECK(match(period, at("20260706", "0300")));  // not between 10 and 18 h, but inside
  CHECK(match(period, at("20260707", "1800")));
  CHECK_FALSE(match(period, at("20260705", "0959")));
  CHECK_FALSE(match(period, at("20260707", "1801")));
  CHECK_FALSE(match(period, step(one("00400002", "DA", "20260706"))));
  CHECK(match(key("20260705-", "1000-"), at("20260706", "0100")));
  CHECK_FALSE(match(key("20260705-", "1000-"), at("20260705", "0100")));
  // A single date with a range of times is no period.
  CHECK_FALSE(match(key("20260705", "1000-1800"), at("20260705", "0300")));
  CHECK(match(key("20260705", "1000-1800"), at("20260705", "1200")));
}

TEST_CASE("two double quotes match an empty value where that was asked for") {
  const std::string quotes = R"("00100020":{"vr":"LO","Value":["\"\""]})";
  CHECK(match(quotes, one("00100020", "LO", ""), true));
  CHECK(match(quotes, one("00100040", "CS", "M"), true));
  CHECK_FALSE(match(quotes, one("00100020", "LO", "x"), true));
  CHECK_FALSE(match(quotes, one("00100020", "LO", ""), false));
}

TEST_CASE("the timezone of a request is no key (A30), numbers match by value") {
  CHECK(match(one("00080201", "SH", "+0100"), one("00100020", "LO", "x")));
  CHECK(match(R"("001021C0":{"vr":"US","Value":[4]})", R"("001021C0":{"vr":"US","Value":[4]})"));
  CHECK_FALSE(
      match(R"("001021C0":{"vr":"US","Value":[4]})", R"("001021C0":{"vr":"US","Value":[3]})"));
}

TEST_CASE("a hostile pattern costs no more than its length times the text's") {
  std::string pattern;
  for (int i = 0; i < 5000; ++i) pattern += "*a";
  const std::string text(20000, 'a');
  CHECK_FALSE(match(one("00104000", "LT", pattern + "b"), one("00104000", "LT", text)));
}

TEST_CASE("what is no date or time is no moment") {
  for (const char* bad : {"", "2026", "20261301", "20260230", "2026-01-01", "x0260101"}) {
    CHECK_FALSE(read_moment(Vr::DA, bad));
  }
  for (const char* bad : {"", "2", "24", "2360", "12:", "1230.5", "123015.", "123015.1234567"}) {
    INFO(bad);
    CHECK_FALSE(read_moment(Vr::TM, bad));
  }
  CHECK(read_moment(Vr::TM, "08:56:07")->first == ((8 * 60 + 56) * 60 + 7) * std::int64_t{1000000});
  CHECK(read_moment(Vr::DT, "1970")->first == 0);
  CHECK(read_moment(Vr::DT, "197001")->last == 31 * day - 1);
  CHECK_FALSE(read_time_range(Vr::DA, "-"));
  CHECK_FALSE(read_time_range(Vr::DA, "20260101"));
}
