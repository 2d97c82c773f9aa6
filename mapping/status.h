// The one place that relates DIMSE status words and HTTP status codes: tables with a row a code and
// transaction, each with its reason. No standard defines this mapping; ours is documented in
// docs/status-mapping.md and the conformance statement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mapping/outcome.h"

namespace mapping {

/// What an origin server answers.
struct HttpAnswer {
  int status = 500;
  bool retry_after = false;  ///< send Retry-After
  /// Text for a Warning: 299 header, empty for none. The caller may add the tags.
  std::string warning;
  std::string_view why;  ///< the row's reason; lives for ever
};

/// What to_http needs to know besides the outcome.
struct HttpAnswerOptions {
  bool gateway_status_codes = false;       ///< 502 / 504 where the upstream is at fault (5a)
  std::size_t matches = 0;                 ///< Search: matches received before the outcome
  bool cancelled_by_us = false;            ///< Search: a page was full; the outcome is no failure
  bool optional_keys_unsupported = false;  ///< Search: a match came with FF01
  int no_match_status = 204;               ///< Search: 204 or 200
  /// Search: of the matches, how many the answer holds after offset and limit; nothing = all.
  std::optional<std::size_t> results{};
  /// Retrieve: whether an Attribute List came with the outcome; nothing = where it is good.
  std::optional<bool> attribute_list{};
};

/// mapping.md 1a, 2a, 3a, 4a and 5a. Never 2xx unless the outcome is good (or cancelled by us).
HttpAnswer to_http(Transaction transaction, const Outcome& outcome,
                   const HttpAnswerOptions& options = {});

/// mapping.md 1b, 2b, 3b, 4b: what a DIMSE peer is told for an HTTP status code of an origin
/// server, with an Error Comment such as "HTTP 409 Conflict". Codes not in the table go by their
/// first digit. Careful cases (redirects, repeats, verification by Retrieve) are the user agent's.
Outcome from_http(Transaction transaction, int http_status);

/// What a Warning header of a 2xx answer means (mapping.md 1b, 2b, 4b): 0116 for "... with
/// modifications"; 0107, for Retrieve 0001, for "... optional Attributes are not supported"; for
/// Search FF01 where keys or matching were not supported. 0000, for Search FF00, for any other
/// text, which is for the log only.
std::uint16_t from_warning(Transaction transaction, std::string_view warning);

/// Whether a response to this service may have this failure: of 01xx and 02xx only what PS3.7 10.1
/// lists for it. status_codes.csv.
bool is_listed_failure(Transaction transaction, std::uint16_t dimse_status);

/// The registered reason phrase, or a general one for the class.
std::string_view reason_phrase(int http_status);

/// Which fields a response with this status may carry, beside the mandatory ones.
/// PS3.7, Annex C; status_codes.csv.
struct ResponseFields {
  bool error_comment = false;              ///< (0000,0902)
  bool error_id = false;                   ///< (0000,0903)
  bool offending_element = false;          ///< (0000,0901)
  bool attribute_identifier_list = false;  ///< (0000,1005)
  bool affected_sop_class = false;         ///< (0000,0002)
  bool affected_sop_instance = false;      ///< (0000,1000)
  bool data_set = false;                   ///< a data set of the attributes concerned may follow
};
ResponseFields response_fields(Transaction transaction, std::uint16_t dimse_status);

/// The rows, for documents and tests.
struct DimseToHttpRow {
  Transaction transaction;
  std::uint16_t first, last;   ///< DIMSE status words, inclusive
  std::string_view condition;  ///< what else must hold; empty = nothing
  int http;
  bool retry_after;
  std::string_view why;
  std::string_view warning;  ///< text of the Warning header; empty = none
};
/// The first row that fits counts; the last one of each transaction fits every word.
std::span<const DimseToHttpRow> dimse_to_http_rows();

/// mapping.md 5a: an outcome that is unreachable or unknown goes by its event, not by its status.
struct NetworkEventRow {
  NetworkEvent event;
  int http;
  int gateway_http;  ///< with gateway_status_codes
  bool retry_after;
  std::string_view why;
};
std::span<const NetworkEventRow> network_event_rows();

struct HttpToDimseRow {
  Transaction transaction;
  int first, last;  ///< HTTP status codes, inclusive
  std::uint16_t dimse;
  std::string_view why;
};
/// The first row that fits counts; the last one of each transaction fits every code.
std::span<const HttpToDimseRow> http_to_dimse_rows();

}  // namespace mapping
