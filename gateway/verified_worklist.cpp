// Matches held against the identifier again.
#include "gateway/verified_worklist.h"

#include <fmt/format.h>

#include "mapping/matching.h"
#include "mapping/return_keys.h"

namespace gateway {

VerifiedWorklist::VerifiedWorklist(mapping::WorklistService& inner, std::string backend,
                                   Options options, mapping::Log log)
    : inner_(inner), backend_(std::move(backend)), options_(options), log_(std::move(log)) {}

mapping::Outcome VerifiedWorklist::search(const mapping::Search& search,
                                          const mapping::OnMatch& on_match,
                                          const mapping::Context& context) {
  const mapping::Matcher matcher(search);
  mapping::Search asked = search;
  if (!options_.combined_date_time)
    asked.identifier = mapping::without_period_times(search.identifier);
  std::uint64_t dropped = 0;
  const auto outcome = inner_.search(
      asked,
      [&](mapping::Match&& match) {
        for (mapping::DataSet& step : mapping::split_scheduled_procedure_steps(match.data_set)) {
          if (!matcher.matches(step)) {
            ++dropped;
          } else if (!on_match({std::move(step), match.optional_keys_supported})) {
            return false;
          }
        }
        return true;
      },
      context);
  if (dropped > 0 && options_.note_dropped) {
    dropped_ += dropped;
    log_(mapping::LogLevel::warn,
         fmt::format("tx={} {}: {} answers did not match the search and were dropped",
                     context.transaction, backend_, dropped));
  }
  return outcome;
}

}  // namespace gateway
