// The query component of a request URI ⇄ a Search or a list of attributes. PS3.18, 8.3; rules A.
// Reads the raw query (after "?", still percent-encoded) itself: libraries sort, drop or change it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/attribute_path.h"
#include "mapping/result.h"
#include "mapping/services.h"

namespace mapping {

/// What the query of a Search says.
struct SearchQuery {
  /// The identifier holds the match keys and the includefield keys; default return keys are not yet
  /// added (see return_keys.h). Values are in canonical form: UID lists by backslash.
  Search search;
  bool include_all = false;            ///< includefield=all
  std::uint64_t offset = 0;            ///< matches to skip
  std::optional<std::uint64_t> limit;  ///< results at most; nothing = no limit
  std::vector<std::string> accept;     ///< media types of the accept parameter (rule A27), in order
  std::vector<std::string> charset;    ///< of the charset parameter
  std::vector<std::string> ignored;    ///< names of parameters that are not supported (rule A21)
};

/// raw_query: without "?"; may be empty. Fault: what 400 is to say, naming the parameter.
Result<SearchQuery> read_search_query(std::string_view raw_query);

/// What the query of a Retrieve says: includefield only (rule A28).
struct RetrieveQuery {
  std::vector<AttributePath> include;  ///< empty = everything
  std::vector<std::string> accept;
  std::vector<std::string> charset;
  std::vector<std::string> ignored;
};
Result<RetrieveQuery> read_retrieve_query(std::string_view raw_query);

/// Whether the query of a POST to an MPPS asks for an Update: update, update= and update=true do
/// (rule A28). Fault: update with another value, or a bad percent-encoding.
Result<bool> is_update_query(std::string_view raw_query);

/// A part of a result list.
struct Page {
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> limit;
};

/// The raw query that asks an origin server for what the identifier asks (rule A29): keys with a
/// value as match parameters, others as includefield. Fault: a key that has no form in a query,
/// such as a sequence key with two items (status A900), a binary value, a private attribute without
/// its creator.
Result<std::string> write_search_query(const Search& search, const Page& page);

/// includefield=… for a Retrieve; empty for an empty list. rule J20: top-level tags only. Rule A26:
/// a private attribute's creator is asked for with it, also where a modality has not.
std::string write_retrieve_query(const AttributeList& attributes);

/// Percent-decodes exactly once and checks for UTF-8 without NUL; + stays + (rules A8, A9).
Result<std::string> percent_decode(std::string_view text);
/// Encodes all but the unreserved characters of RFC 3986.
std::string percent_encode(std::string_view text);

}  // namespace mapping
