// Several worklists that are asked as one: worklist = a, b.
#pragma once

#include <string>
#include <vector>

#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

/// Asks all of them at the same time, each on a thread of its own, and hands their matches on in
/// the order of the list. A scheduled step that an earlier one has answered already (same Study
/// Instance UID and Scheduled Procedure Step ID) is left out; without both nothing is known to be
/// the same. Matches with several scheduled steps are handed on step by step.
///
/// A later one waits while it is some way ahead of those before it: of the worklist, only the keys
/// of steps that were handed on stay in memory. A cancellation, the deadline, a false of on_match
/// or an exception out of it reach all of them.
///
/// If one fails, the search fails with its outcome and the others are cancelled. Where a partial
/// answer is allowed the others are answered and the failure is logged and counted in
/// Outcome::failed_worklists; from then on matches are handed on with optional_keys_supported =
/// false, the last one always. If nothing at all was found then, the search has failed all the
/// same.
class MergedWorklist : public mapping::WorklistService {
 public:
  struct Source {
    mapping::WorklistService* service = nullptr;  ///< outlives this
    std::string name;                             ///< in the configuration
  };
  MergedWorklist(std::vector<Source> sources, bool partial_allowed, mapping::Log log);
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;

 private:
  const std::vector<Source> sources_;
  const bool partial_allowed_;
  const mapping::Log log_;
};

}  // namespace gateway
