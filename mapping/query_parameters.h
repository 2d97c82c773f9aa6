// The parameters of a query component, before anything is known of what they mean.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/result.h"

namespace mapping {

struct Parameter {
  std::string name;            ///< decoded; not empty
  std::string_view raw_value;  ///< as it came; views the raw query
};

/// Splits at & and the first =; empty segments are tolerated (rule A1).
Result<std::vector<Parameter>> split_query(std::string_view raw_query);

/// The value, percent-decoded. Fault: names the parameter.
Result<std::string> decoded_value(const Parameter& parameter);

/// Appends the elements of a comma list. Empty ones say nothing (RFC 9110, 5.6.1). A comma may come
/// percent-encoded, as many libraries send it: none of our lists has commas inside its elements.
std::optional<Fault> append_list(const Parameter& parameter, std::vector<std::string>& list);

/// What a fault or a log may repeat of a name: only what cannot be a value that slipped in.
std::string_view shown(std::string_view name);

/// The fault, with the parameter named.
Fault about(std::string_view name, Fault fault);
Fault bad_value(std::string_view name, std::string_view expected);

/// The list that accept or charset, which every transaction takes under two spellings (rules A2,
/// A27), go to; null for any other name.
std::vector<std::string>* negotiation_list(std::string_view name, std::vector<std::string>& accept,
                                           std::vector<std::string>& charset);

/// All includefield parameters of a query together (rule A12).
struct IncludeFields {
  std::vector<std::string> names;  ///< decoded, not yet read as attributes
  bool all = false;                ///< and then names holds nothing else

  std::optional<Fault> add(const Parameter& parameter);
};

}  // namespace mapping
