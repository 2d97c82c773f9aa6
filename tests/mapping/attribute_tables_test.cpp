#include "mapping/attribute_tables.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "mapping/attribute_path.h"
#include "mapping/dictionary.h"

using namespace mapping;

namespace {

/// Counts rows and checks what all three tables have in common.
template <class Row>
void check_rows(std::span<const Row> rows) {
  std::set<std::string, std::less<>> sequences;
  std::set<std::string, std::less<>> paths;
  for (const Row& row : rows) {
    INFO(row.path);
    CHECK(paths.insert(std::string(row.path)).second);

    const auto path = parse_attribute_path(row.path);
    REQUIRE(path.ok());
    CHECK(to_string(path.value()) == row.path);

    const std::size_t dot = row.path.rfind('.');
    if (dot != std::string_view::npos) {
      const std::string parent(row.path.substr(0, dot));
      INFO("the sequence stands before what it holds");
      CHECK(sequences.count(parent) == 1);
    }
    if (row.vr == Vr::SQ) sequences.emplace(row.path);

    const DictionaryEntry* entry = find_attribute(path.value().back());
    if (entry != nullptr) CHECK(to_string(entry->vr) == to_string(row.vr));
  }
}

template <class Row>
const Row* find(std::span<const Row> rows, std::string_view path) {
  for (const Row& row : rows) {
    if (row.path == path) return &row;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("Table K.6-1 is read whole, sequences before what they hold") {
  CHECK(worklist_attributes().size() == 478 - 14);  // 14 rows say "all other attributes"
  check_rows(worklist_attributes());
}

TEST_CASE("Table F.7.2-1 is read whole, sequences before what they hold") {
  CHECK(mpps_attributes().size() == 254 - 4);
  check_rows(mpps_attributes());
}

TEST_CASE("Table F.8.2-1 is read whole, sequences before what they hold (J25)") {
  CHECK(mpps_retrieve_attributes().size() == 212 - 4);
  check_rows(mpps_retrieve_attributes());
}

TEST_CASE("Rows hold what the standard prints") {
  const auto* modality = find(worklist_attributes(), "00400100.00080060");
  REQUIRE(modality != nullptr);
  CHECK(modality->keyword == "Modality");
  CHECK(modality->vr == Vr::CS);
  CHECK(modality->matching_key == "R");
  CHECK(modality->return_key == "1");

  const auto* pre_medication = find(worklist_attributes(), "00400100.00400012");
  REQUIRE(pre_medication != nullptr);
  CHECK(pre_medication->matching_key == "O");
  CHECK(pre_medication->return_key == "2C");

  const auto* status = find(mpps_attributes(), "00400252");
  REQUIRE(status != nullptr);
  CHECK(status->keyword == "PerformedProcedureStepStatus");
  CHECK(status->vr == Vr::CS);
  CHECK(status->n_create_scu == "1");
  CHECK(status->n_create_scp == "1");

  const auto* step_id = find(mpps_attributes(), "00400253");
  REQUIRE(step_id != nullptr);
  CHECK(step_id->n_create_scu == "1");
  CHECK(step_id->n_set_scu == "Not allowed");
  CHECK(step_id->n_set_scp == "Not allowed");

  const auto* end_date = find(mpps_attributes(), "00400250");
  REQUIRE(end_date != nullptr);
  CHECK(end_date->n_create_scu == "2");
  CHECK(end_date->final_state == "1");

  const auto* steps = find(mpps_retrieve_attributes(), "00400270");
  REQUIRE(steps != nullptr);
  CHECK(steps->usage_scu == "3");
  CHECK(steps->usage_scp == "1");
}
