// Whether a data set matches an identifier: attribute matching of PS3.4, C.2.2.2 and K.2.2;
// rules F1 to F7. Pure; knows no store and no peer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapping/data_set.h"
#include "mapping/services.h"

namespace mapping {

/// An identifier made ready to be held against many data sets. Owns what it needs; any number of
/// threads may ask it.
///
/// * Keys without a value, and "*" alone, match everything (universal matching).
/// * A key with a value matches no data set where the attribute is absent or empty (rule F6).
/// * Single value and wildcard matching tell cases apart, except for person names, whose component
///   groups are compared one by one where the key has one group only (rules F1, F2).
/// * Dates and times match by meaning; ranges are inclusive (rule F3). Ranges of
///   Scheduled Procedure Step Start Date and Time in one item are one period (rule F4).
/// * A sequence key matches if one item matches all keys in it (rule F5); of an attribute with
///   several values one must match; of a list of UIDs in a key one must match (rule F6).
/// * Specific Character Set and Timezone Offset From UTC are no keys (rule A30).
class Matcher {
 public:
  /// search.empty_value_matching: a key of two double quotes matches an attribute without a value.
  explicit Matcher(const Search& search);
  ~Matcher();
  Matcher(Matcher&&) noexcept;
  Matcher& operator=(Matcher&&) noexcept;

  bool matches(DataSetView data_set) const;

 private:
  struct Key;
  using Keys = std::vector<Key>;
  static Keys compile(DataSetView identifier, bool empty_value_matching);
  static bool match_all(const Keys& keys, DataSetView data_set);
  static bool match_element(const Key& key, const Element& element);

  Keys keys_;  ///< ascending by tag, only those that can fail
};

/// The identifier with the start time as a return key where start date and time are one period
/// (rule F4): for SCPs that would match the times of every day by themselves. Rule A24.
DataSet without_period_times(DataSetView identifier);

}  // namespace mapping
