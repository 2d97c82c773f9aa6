// Table F.7.2-1 as a tree that is laid over a data set.
#include "mapping/mpps_rules.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "mapping/attribute_path.h"
#include "mapping/attribute_tables.h"
#include "mapping/tags.h"

namespace mapping {
namespace {

namespace status = dimse_status;

constexpr std::string_view in_progress = "IN PROGRESS";
constexpr std::string_view completed = "COMPLETED";
constexpr std::string_view discontinued = "DISCONTINUED";

/// A row of the table, with what stands inside if it is a sequence.
struct Rule {
  std::string_view create;  ///< type for the SCU of N-CREATE: 1, 1C, 2, 3
  std::string_view set;     ///< type for the SCU of N-SET, or "Not allowed"
  std::string_view final_state;
  std::map<Tag, Rule> item;
};
using Rules = std::map<Tag, Rule>;

Rules make_rules() {
  Rules rules;
  for (const MppsAttribute& row : mpps_attributes()) {
    const auto path = parse_attribute_path(row.path);
    if (!path) continue;  // none such; see the test of the tables
    Rules* level = &rules;
    for (std::size_t i = 0; i + 1 < path.value().size(); ++i)
      level = &(*level)[path.value()[i]].item;
    Rule& rule = (*level)[path.value().back()];
    rule.create = row.n_create_scu;
    rule.set = row.n_set_scu;
    rule.final_state = row.final_state;
  }
  return rules;
}

const Rules& rules() {
  static const Rules instance = make_rules();
  return instance;
}

using Type = std::string_view Rule::*;

/// Top-level tags of what breaks the rules, each once.
struct Findings {
  std::vector<Tag> missing;  ///< type 1 and 2
  std::vector<Tag> empty;    ///< type 1, and 1C where it is there

  static void note(std::vector<Tag>& tags, Tag tag) {
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(tag);
  }
};

/// Holds one data set against the types of its level; top: the top-level tag it stands in.
void check_level(DataSetView data_set, const Rules& level, Type type, std::optional<Tag> top,
                 Findings& findings);

void check_items(const Element& sequence, const Rule& rule, Type type, Tag top,
                 Findings& findings) {
  if (sequence.vr != Vr::SQ) return;
  for (const DataSetView item : sequence.items()) {
    check_level(item, rule.item, type, top, findings);
  }
}

void check_level(DataSetView data_set, const Rules& level, Type type, std::optional<Tag> top,
                 Findings& findings) {
  auto element = data_set.begin();  // both go up by their tags
  for (const auto& [tag, rule] : level) {
    const std::string_view wanted = rule.*type;
    while (element != data_set.end() && element->tag < tag) ++element;
    if (tag == tags::SpecificCharacterSet) continue;  // never in a DataSet
    if (element == data_set.end() || element->tag != tag) {
      if (wanted == "1" || wanted == "2") Findings::note(findings.missing, top.value_or(tag));
      continue;
    }
    if (element->empty() && (wanted == "1" || wanted == "1C")) {
      Findings::note(findings.empty, top.value_or(tag));
    }
    check_items(*element, rule, type, top.value_or(tag), findings);
  }
}

std::optional<Outcome> to_outcome(Findings findings) {
  if (!findings.missing.empty()) {
    return Outcome::local(status::missing_attribute, "Missing attribute",
                          std::move(findings.missing));
  }
  if (!findings.empty.empty()) {
    return Outcome::local(status::missing_attribute_value, "Missing attribute value",
                          std::move(findings.empty));
  }
  return std::nullopt;
}

Outcome invalid_status(std::string_view expected) {
  return Outcome::local(status::invalid_attribute_value, expected,
                        {tags::PerformedProcedureStepStatus});
}

bool is_final_status(std::string_view value) { return value == completed || value == discontinued; }

/// Attributes that are given and that the predicate does not let pass. Private ones and those that
/// the table does not know (further attributes are type 3) pass.
template <class Refused>
std::vector<Tag> refused_attributes(DataSetView modifications, const Refused& refused) {
  std::vector<Tag> found;
  for (const Element& element : modifications) {
    const auto rule = rules().find(element.tag);
    if (rule != rules().end() && refused(element.tag, rule->second)) found.push_back(element.tag);
  }
  return found;
}

/// What the final state lacks. rule F23
std::optional<Outcome> check_final_state(DataSetView step) {
  Findings findings;
  check_level(step, rules(), &Rule::final_state, std::nullopt, findings);
  return to_outcome(std::move(findings));
}

}  // namespace

bool is_final(DataSetView step) {
  return is_final_status(step.text(tags::PerformedProcedureStepStatus));
}

std::optional<Outcome> check_create(DataSetView attributes) {
  const auto given = attributes.find(tags::PerformedProcedureStepStatus);
  if (given && !given->empty() && given->text() != in_progress) {
    return invalid_status("Performed Procedure Step Status must be IN PROGRESS");
  }
  Findings findings;
  check_level(attributes, rules(), &Rule::create, std::nullopt, findings);
  return to_outcome(std::move(findings));
}

std::optional<Outcome> check_update(DataSetView modifications) {
  auto refused = refused_attributes(
      modifications, [](Tag, const Rule& rule) { return rule.set == "Not allowed"; });
  if (!refused.empty()) {
    return Outcome::local(status::no_such_attribute, "Attributes that N-SET may not hold",
                          std::move(refused));
  }
  const auto given = modifications.find(tags::PerformedProcedureStepStatus);
  if (given && given->text() != in_progress && !is_final_status(given->text())) {
    return invalid_status("expected IN PROGRESS, COMPLETED or DISCONTINUED");
  }
  Findings findings;  // top-level attributes may all be left out; items are whole
  for (const Element& element : modifications) {
    const auto rule = rules().find(element.tag);
    if (rule != rules().end()) {
      check_items(element, rule->second, &Rule::set, element.tag, findings);
    }
  }
  return to_outcome(std::move(findings));
}

std::optional<Outcome> check_update(DataSetView stored, DataSetView modifications) {
  if (is_final(stored)) return Outcome::may_no_longer_be_updated();
  if (auto refused = check_update(modifications)) return refused;
  auto unknown =
      refused_attributes(modifications, [&](Tag tag, const Rule&) { return !stored.find(tag); });
  if (!unknown.empty()) {
    return Outcome::local(status::no_such_attribute, "Attributes that N-CREATE did not create",
                          std::move(unknown));
  }
  if (!is_final(modifications)) return std::nullopt;
  return check_final_state(apply_modifications(stored, modifications));
}

bool is_step_of(DataSetView created, DataSetView found) {
  const auto same = [&](Tag tag) { return created.text(tag) == found.text(tag); };
  return !created.text(tags::PerformedProcedureStepID).empty() &&
         same(tags::PerformedProcedureStepID) && same(tags::PerformedProcedureStepStartDate) &&
         same(tags::PerformedProcedureStepStartTime);
}

bool is_just_created(DataSetView created, DataSetView found) {
  const auto same = [&](Tag tag) { return created.text(tag) == found.text(tag); };
  return !created.text(tags::PerformedProcedureStepID).empty() &&
         same(tags::PerformedProcedureStepID) && same(tags::PerformedProcedureStepStatus);
}

bool holds_modifications(DataSetView step, DataSetView modifications) {
  return std::all_of(modifications.begin(), modifications.end(), [&](const Element& element) {
    const auto found = step.find(element.tag);
    return found && found->bytes == element.bytes;
  });
}

bool became_final_by(DataSetView modifications, DataSetView step) {
  const auto same = [&](Tag tag) { return modifications.text(tag) == step.text(tag); };
  return is_final(modifications) && same(tags::PerformedProcedureStepStatus) &&
         same(tags::PerformedProcedureStepEndDate) && same(tags::PerformedProcedureStepEndTime);
}

DataSet apply_modifications(DataSetView stored, DataSetView modifications) {
  DataSetBuilder builder;
  auto modification = modifications.begin();
  const auto end = modifications.end();
  for (const Element& element : stored) {
    for (; modification != end && modification->tag < element.tag; ++modification) {
      builder.add(*modification);
    }
    if (modification != end && modification->tag == element.tag) {
      builder.add(*modification);
      ++modification;
    } else {
      builder.add(element);
    }
  }
  for (; modification != end; ++modification) builder.add(*modification);
  return builder.build().value();  // both were data sets: nothing can fail
}

}  // namespace mapping
