// Checks again that what a backend answers matches what was asked: a decorator for backends that
// are known to answer too much (verify_matches = yes), or that cannot match a period of date and
// time (combined_date_time = no).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

/// Scheduled steps that do not match are dropped; counted and logged, without patient data. A match
/// with several steps in one sequence is handed on step by step, those that match.
class VerifiedWorklist : public mapping::WorklistService {
 public:
  struct Options {
    /// False: of a period of start date and time the backend is asked for the dates only, and the
    /// times are matched here. PS3.18, 8.3.4.1.1; rules F4, A24.
    bool combined_date_time = true;
    bool note_dropped = true;  ///< false: answers outside the period are no news
  };
  /// inner outlives this. backend: its name in the configuration.
  VerifiedWorklist(mapping::WorklistService& inner, std::string backend, Options options,
                   mapping::Log log);
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;

  /// Steps dropped since this was made, where that is news.
  std::uint64_t dropped() const { return dropped_; }

 private:
  mapping::WorklistService& inner_;
  const std::string backend_;
  const Options options_;
  const mapping::Log log_;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace gateway
