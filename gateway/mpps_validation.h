// Holds what comes in for an MPPS against Table F.7.2-1 before a backend sees it: a decorator.
// PS3.4, F.7.2; rules F17 to F20. What a step's stored state allows is the backend's to judge.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

enum class Validation : std::uint8_t {
  off,
  warn,   ///< one log line with the status and the tags; passed on
  reject  ///< answered with that status; the backend is not asked
};

class ValidatedMpps : public mapping::MppsService {
 public:
  /// inner outlives this. validation: warn or reject.
  ValidatedMpps(mapping::MppsService& inner, Validation validation, mapping::Log log);
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;
  bool offers_retrieve() const override { return inner_.offers_retrieve(); }

 private:
  bool pass(std::string_view operation, const std::optional<mapping::Outcome>& refusal,
            const mapping::Context& context) const;

  mapping::MppsService& inner_;
  const Validation validation_;
  const mapping::Log log_;
};

}  // namespace gateway
