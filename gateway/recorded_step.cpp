#include "gateway/recorded_step.h"

#include <algorithm>
#include <utility>

#include "mapping/attribute_tables.h"
#include "mapping/return_keys.h"
#include "mapping/tags.h"

namespace gateway {

mapping::Outcome retrieve_recorded(const mapping::DataSet& step,
                                   const mapping::AttributeList& attributes,
                                   mapping::DataSet& found) {
  namespace status = mapping::dimse_status;
  found = mapping::prune_to_attributes(step, attributes);
  mapping::Outcome outcome;
  for (const mapping::Tag tag : attributes) {
    if (tag == mapping::tags::SpecificCharacterSet || step.view().find(tag)) continue;  // rule A30
    if (outcome.good()) outcome.status = status::requested_optional_attributes_not_supported;
    const auto rows = mapping::mpps_retrieve_attributes();
    const bool known = std::any_of(rows.begin(), rows.end(),
                                   [&](const auto& row) { return row.path == to_string(tag); });
    if (!known) outcome.attributes.push_back(tag);
  }
  if (!outcome.attributes.empty()) outcome.status = status::attribute_list_error;
  return outcome;
}

}  // namespace gateway
