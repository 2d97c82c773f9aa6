// The page of a Search result that offset and limit ask for, written while the matches come, so
// that a worklist is held once at most. PS3.18, 8.3.4.4; rules A17 to A20, J7.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "mapping/services.h"
#include "web/result_writer.h"

namespace web {

struct SearchPageOptions {
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> limit;
  ResultForm form = ResultForm::json;
  std::size_t max_bytes = 64u << 20;  ///< of the text
  std::uint64_t count_cap = 1000;     ///< results counted behind a full page
  std::chrono::milliseconds count_time{500};
};

/// Fed by one search, from one thread.
class SearchPage {
 public:
  SearchPage(const SearchPageOptions& options, const mapping::Context& context)
      : options_(options), context_(context), writer_(options.form) {}

  /// Skips, writes or counts the results of one match. False if no more are wanted: enough was
  /// counted, the text is too large, or nobody waits for it.
  bool take(mapping::Match&& match);

  std::size_t matches() const { return matches_; }    ///< seen
  std::uint64_t results() const { return results_; }  ///< in the page
  /// Results behind the page; a lower bound if stopped. rule A20
  std::uint64_t remaining() const { return remaining_; }
  std::size_t unwritable() const { return unwritable_; }  ///< results that JSON or XML cannot hold
  bool stopped() const { return stopped_; }               ///< enough was counted: no failure
  bool too_large() const { return too_large_; }
  ResultForm form() const { return options_.form; }
  bool optional_keys_unsupported() const { return optional_keys_unsupported_; }
  ResultWriter::Written written() && { return std::move(writer_).finish(); }

 private:
  bool take_result(mapping::DataSetView result);
  bool count();
  bool cancelled();

  const SearchPageOptions options_;
  const mapping::Context& context_;
  ResultWriter writer_;
  std::size_t matches_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t results_ = 0;
  std::uint64_t remaining_ = 0;
  std::size_t unwritable_ = 0;
  bool stopped_ = false;
  bool too_large_ = false;
  bool optional_keys_unsupported_ = false;
  std::optional<std::chrono::steady_clock::time_point> count_until_;
};

}  // namespace web
