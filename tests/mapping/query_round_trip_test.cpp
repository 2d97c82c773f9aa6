// Properties that hold for every query and every identifier: seeded, so that a failure repeats.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>

#include "mapping/attribute_tables.h"
#include "mapping/dictionary.h"
#include "mapping/query.h"
#include "mapping/tags.h"

using namespace mapping;

namespace {

/// Makes identifiers that a query can express.
class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {
    for (const WorklistAttribute& row : worklist_attributes()) {
      const auto path = parse_attribute_path(row.path).value();
      if (path.back() == tags::SpecificCharacterSet) continue;
      const DictionaryEntry* entry = find_attribute(path.back());
      if (entry != nullptr) (entry->vr == Vr::SQ ? sequences_ : plain_).push_back(*entry);
    }
    for (const char* keyword :
         {"DimensionIndexPointer", "ReferencePixelX0", "AcquisitionDuration", "PatientAge",
          "InstanceNumber", "AcquisitionDateTime", "PixelData", "RetrieveURI", "SelectorSVValue",
          "SelectorUVValue", "SelectorFLValue", "SelectorSSValue", "SelectorULValue"}) {
      const DictionaryEntry* entry = find_attribute(std::string_view(keyword));
      INFO(keyword);
      REQUIRE(entry != nullptr);
      plain_.push_back(*entry);
    }
  }

  Search search() {
    Search search;
    DataSetBuilder builder;
    fill(builder, 0);
    search.identifier = builder.build().value();
    search.fuzzy_matching = below(2) == 0;
    search.empty_value_matching = below(2) == 0;
    search.multiple_value_matching = below(2) == 0;
    return search;
  }
  Page page() {
    Page page;
    page.offset = below(3) == 0 ? random_() : 0;
    if (below(2) == 0) page.limit = below(1000);
    return page;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  void fill(DataSetBuilder& builder, int depth) {
    std::map<Tag, Vr> chosen;
    for (std::size_t i = 1 + below(6); i > 0; --i) {
      const DictionaryEntry& entry = plain_[below(plain_.size())];
      chosen[entry.tag] = entry.vr;
    }
    if (depth < 5) {
      for (std::size_t i = below(3); i > 0; --i) {
        const DictionaryEntry& entry = sequences_[below(sequences_.size())];
        chosen[entry.tag] = entry.vr;
      }
    }
    for (const auto& [tag, vr] : chosen) {
      if (vr != Vr::SQ) {
        builder.add(tag, vr, below(3) == 0 ? std::string() : value(vr));
        continue;
      }
      builder.begin_sequence(tag);
      if (below(4) != 0) {
        builder.begin_item();
        fill(builder, depth + 1);
        builder.end_item();
      }
      builder.end_sequence();
    }
  }

  std::string value(Vr vr) {
    const auto pick = [&](std::initializer_list<const char*> values) -> std::string {
      return *(values.begin() + below(values.size()));
    };
    switch (vr) {
      case Vr::DA:
        return pick({"20250101", "20250101-", "-20250131", "20250101-20250131"});
      case Vr::TM:
        return pick({"08", "0815", "081500.123456", "08-17", "-17"});
      case Vr::DT:
        return pick({"2025", "20250101120000.5-0500", "2025-2026", "20250101+0100-"});
      case Vr::UI:
        return pick({"1.2", "1.2\\3.4", "2.25.1\\2.25.2\\2.25.3"});
      case Vr::AS:
        return pick({"001D", "099Y"});
      case Vr::IS:
        return pick({"1", "-5", "+7"});
      case Vr::DS:
        return pick({"1.5", "-1e3", "070"});
      case Vr::CS:
        return pick({"CT", "A_B", "M*", "?R"});
      case Vr::AE:
        return pick({"CT1", "A b", "*"});
      case Vr::UR:
        return pick({"http://x/y?a=b&c=d", "urn:oid:1.2"});
      case Vr::US:
      case Vr::SS:
        return bytes(2);
      case Vr::UL:
      case Vr::SL:
      case Vr::AT:
        return bytes(4);
      case Vr::UV:
      case Vr::SV:
        return bytes(8);
      case Vr::FL:
        return std::string("\x9A\x99\x99", 3) + pick({"\x3E", "\xBF"});  // 0.3, -1.2
      case Vr::FD:
        return std::string("\x9A\x99\x99\x99\x99\x99", 6) + pick({"\xB9\x3F", "\xC9\xBF"});
      case Vr::OB:
      case Vr::OD:
      case Vr::OF:
      case Vr::OL:
      case Vr::OV:
      case Vr::OW:
      case Vr::UN:
        return {};
      default:
        return text(vr);
    }
  }
  std::string bytes(std::size_t n) {
    std::string out;
    while (out.size() < n) out += static_cast<char>(random_() & 0xFF);
    return out;
  }
  std::string text(Vr vr) {
    std::string out;
    const std::string_view ascii = "aZ09 &=%+,#?*;:/^_~-.'\"<>[]{}|@!$()";
    const char* const others[] = {"\xC3\xA4", "\xE5\xB1\xB1", "\xF0\x9F\x98\x80"};
    for (std::size_t i = below(15); i > 0; --i) {
      const char c = ascii[below(ascii.size())];
      if (c == '=' && vr == Vr::PN) continue;  // at most two of them
      out += below(6) == 0 ? others[below(3)] : std::string(1, c);
    }
    if (!facts(vr).many_values && below(2) == 0) out += "\\";
    return out + "x";
  }

  std::mt19937_64 random_;
  std::vector<DictionaryEntry> plain_, sequences_;
};

}  // namespace

// As PS3.18 has it, a user agent asks what an SCU of K.2.2 would ask: whatever that is, it arrives.
TEST_CASE("What write_search_query writes, read_search_query reads back, whatever is asked (F31)") {
  Generator generator(20251120);
  std::size_t keys = 0;
  for (int round = 0; round < 3000; ++round) {
    const Search search = generator.search();
    const Page page = generator.page();
    const auto written = write_search_query(search, page);
    if (!written) FAIL(written.fault().what);
    const auto read = read_search_query(written.value());
    if (!read) FAIL(read.fault().what << " in " << written.value());
    const SearchQuery& query = read.value();
    if (query.include_all) continue;  // over 6 kB
    if (query.search.identifier != search.identifier) {
      FAIL(written.value());
    }
    const bool same = query.search.fuzzy_matching == search.fuzzy_matching &&
                      query.search.empty_value_matching == search.empty_value_matching &&
                      query.search.multiple_value_matching == search.multiple_value_matching &&
                      query.offset == page.offset && query.limit == page.limit &&
                      query.ignored.empty();
    if (!same) FAIL(written.value());
    // And once more: the text is a fixed point.
    if (write_search_query(query.search, page).value() != written.value()) FAIL(written.value());
    for ([[maybe_unused]] const Element& element : search.identifier.view()) ++keys;
  }
  CHECK(keys > 9000);  // the property is not empty
}

TEST_CASE("Random bytes never do worse than a fault, and what is read can be written") {
  const std::string_view alphabet[] = {"&",
                                       "=",
                                       ",",
                                       ".",
                                       "%",
                                       "%2C",
                                       "%5C",
                                       "00400100",
                                       "00080060",
                                       "PatientName",
                                       "includefield",
                                       "limit",
                                       "offset",
                                       "all",
                                       "fuzzymatching",
                                       "true",
                                       "StudyInstanceUID",
                                       "1.2",
                                       "*",
                                       "-",
                                       "20250101",
                                       "\xC3",
                                       "\xFF",
                                       "%FF",
                                       "%00",
                                       "001021C0",
                                       "4",
                                       "Modality",
                                       "00080005",
                                       "accept",
                                       "ScheduledProcedureStepSequence",
                                       " ",
                                       "\\",
                                       "^",
                                       "+",
                                       "emptyvaluematching",
                                       "\"\"",
                                       "x"};
  std::mt19937 random(7);
  std::size_t understood = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string query;
    for (std::size_t i = random() % 16; i > 0; --i)
      query += alphabet[random() % std::size(alphabet)];
    if (round % 4 == 0 && !query.empty())
      query[random() % query.size()] = static_cast<char>(random());
    static_cast<void>(read_retrieve_query(query));
    static_cast<void>(is_update_query(query));
    const auto read = read_search_query(query);
    if (!read) {
      if (read.fault().what.empty()) FAIL(query);
      continue;
    }
    ++understood;
    const auto written = write_search_query(read.value().search, {});
    if (!written) FAIL(written.fault().what << ": " << query);
    const auto again = read_search_query(written.value());
    if (!again) FAIL(again.fault().what << ": " << query << " -> " << written.value());
    if (again.value().search.identifier != read.value().search.identifier) FAIL(query);
  }
  CHECK(understood > 1000);
}
