// Validation before the backend.
#include "gateway/mpps_validation.h"

#include <fmt/format.h>

#include <string>

#include "mapping/mpps_rules.h"

namespace gateway {

ValidatedMpps::ValidatedMpps(mapping::MppsService& inner, Validation validation, mapping::Log log)
    : inner_(inner), validation_(validation), log_(std::move(log)) {}

// True where the backend is to be asked.
bool ValidatedMpps::pass(std::string_view operation, const std::optional<mapping::Outcome>& refusal,
                         const mapping::Context& context) const {
  if (!refusal) return true;
  if (validation_ == Validation::reject) return false;
  std::string tags;
  for (const mapping::Tag tag : refusal->attributes) tags += " " + to_string(tag);
  log_(mapping::LogLevel::warn,
       fmt::format("tx={} {} breaks the rules of PS3.4, F.7.2 (status {:04X}):{}",
                   context.transaction, operation, refusal->status, tags));
  return true;
}

mapping::Outcome ValidatedMpps::create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                                       const mapping::Context& context) {
  const auto refusal = mapping::check_create(attributes);
  return pass("create", refusal, context) ? inner_.create(mpps, attributes, context) : *refusal;
}

mapping::Outcome ValidatedMpps::update(const mapping::Uid& mpps,
                                       const mapping::DataSet& modifications,
                                       const mapping::Context& context) {
  const auto refusal = mapping::check_update(modifications);
  return pass("update", refusal, context) ? inner_.update(mpps, modifications, context) : *refusal;
}

mapping::Outcome ValidatedMpps::retrieve(const mapping::Uid& mpps,
                                         const mapping::AttributeList& attributes,
                                         mapping::DataSet& found, const mapping::Context& context) {
  return inner_.retrieve(mpps, attributes, found, context);
}

}  // namespace gateway
