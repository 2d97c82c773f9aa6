// DIMSE → HTTP: one row a status word and transaction, the recommendations of mapping.md 1a, 2a,
// 3a, 4a and 5a with their reasons. The code below the tables only looks rows up. The way back is
// in status_from_http.cpp.
#include "mapping/status.h"

#include <algorithm>
#include <cctype>

namespace mapping {
namespace {

using enum Transaction;

// ---- Conditions that a row may name beside the status word --------------------------------------

struct Asked {
  const Outcome& outcome;
  const HttpAnswerOptions& options;

  std::size_t results() const { return options.results.value_or(options.matches); }
  bool attribute_list() const { return options.attribute_list.value_or(outcome.good()); }
};

bool says_no_longer_updated(const std::string& comment) {
  constexpr std::string_view words = "no longer be updated";
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return std::search(comment.begin(), comment.end(), words.begin(), words.end(), same) !=
         comment.end();
}

struct Condition {
  std::string_view text;
  bool (*holds)(const Asked&);
};

constexpr std::string_view always;
constexpr std::string_view page_without_results = "cancelled by this gateway, nothing in the page";
constexpr std::string_view page_full = "cancelled by this gateway";
constexpr std::string_view all_unreadable = "matches came and none could be read";
constexpr std::string_view no_results = "no match, or none after offset and limit";
constexpr std::string_view after_matches = "after the first match";
constexpr std::string_view own_verdict = "this gateway's own verdict, nothing was sent";
constexpr std::string_view final_by_id = "with Error ID A710";
constexpr std::string_view final_by_comment = "no Error ID, comment \"no longer be updated\"";
constexpr std::string_view with_attributes = "with an Attribute List";
constexpr std::string_view without_attributes = "without an Attribute List";

constexpr Condition conditions[] = {
    {always, [](const Asked&) { return true; }},
    {page_without_results,
     [](const Asked& a) { return a.options.cancelled_by_us && a.results() == 0; }},
    {page_full, [](const Asked& a) { return a.options.cancelled_by_us; }},
    {all_unreadable,
     [](const Asked& a) { return a.options.matches == 0 && a.outcome.dropped_matches > 0; }},
    {no_results, [](const Asked& a) { return a.results() == 0; }},
    {after_matches, [](const Asked& a) { return a.options.matches > 0; }},
    {own_verdict, [](const Asked& a) { return a.outcome.how == Outcome::How::local; }},
    {final_by_id,
     [](const Asked& a) {
       return a.outcome.error_id == dimse_status::error_id_may_no_longer_be_updated;
     }},
    {final_by_comment,
     [](const Asked& a) {
       return !a.outcome.error_id && says_no_longer_updated(a.outcome.error_comment);
     }},
    {with_attributes, [](const Asked& a) { return a.attribute_list(); }},
    {without_attributes, [](const Asked& a) { return !a.attribute_list(); }},
};

constexpr const Condition* find_condition(std::string_view text) {
  for (const Condition& condition : conditions) {
    if (condition.text == text) return &condition;
  }
  return nullptr;
}

// ---- Texts of Warning headers. Rules A16, B20 ---------------------------------------------------

constexpr std::string_view optional_keys = "One or more optional keys were not supported.";
constexpr std::string_view left_out = "One or more matches could not be read and were left out.";
constexpr std::string_view worklists_failed =
    "One or more worklists did not answer and are missing.";
constexpr std::string_view search_warned = "The search was performed with a warning.";
constexpr std::string_view attributes_not_supported =
    "Requested optional Attributes are not supported.";
constexpr std::string_view created_modified =
    "The Modality Performed Procedure Step was created with modifications.";
constexpr std::string_view created_warned =
    "The Modality Performed Procedure Step was created with a warning.";
constexpr std::string_view updated_modified =
    "The Modality Performed Procedure Step was updated with modifications.";
constexpr std::string_view updated_warned =
    "The Modality Performed Procedure Step was updated with a warning.";

// ---- The rows -----------------------------------------------------------------------------------

constexpr DimseToHttpRow rows[] = {
    // 1a. C-FIND → Search. Supplement 246, Table 14.4.3-1; PS3.4, Table K.4-1.
    {search,
     0x0000,
     0x0000,
     all_unreadable,
     503,
     false,
     "no match could be read: an empty worklist would be a lie",
     {}},
    {search, 0x0000, 0x0000, no_results, 204, false, "Table 14.4.3-1; 8.3.4.4.1: results <= 0", {}},
    {search, 0x0000, 0x0000, always, 200, false, "Table 14.4.3-1", {}},
    {search,
     0xFE00,
     0xFE00,
     page_without_results,
     204,
     false,
     "the cancel was ours, and the page is empty",
     {}},
    {search,
     0xFE00,
     0xFE00,
     page_full,
     200,
     false,
     "the cancel was ours, the page is complete",
     {}},
    {search, 0xFE00, 0xFE00, always, 503, false, "result set incomplete for an unknown reason", {}},
    {search,
     0xA700,
     0xA700,
     after_matches,
     413,
     false,
     "typical refusal of too many matches: the client narrows or pages",
     {}},
    {search, 0xA700, 0xA700, always, 503, true, "the SCP cannot handle the query now", {}},
    {search, 0x0001, 0x0001, no_results, 204, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0x0001, 0x0001, always, 200, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0x0107, 0x0107, no_results, 204, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0x0107, 0x0107, always, 200, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0x0116, 0x0116, no_results, 204, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0x0116, 0x0116, always, 200, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0xB000, 0xBFFF, no_results, 204, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search, 0xB000, 0xBFFF, always, 200, false, "a warning is performed (PS3.7, C.4)",
     search_warned},
    {search,
     0x0000,
     0xFFFF,
     after_matches,
     503,
     false,
     "no partial lists: the results are discarded (PS3.18, 8.5 has no code for them)",
     {}},
    {search,
     0xA900,
     0xA900,
     always,
     400,
     false,
     "the identifier is not acceptable: an error of the request",
     {}},
    {search,
     0xC004,
     0xC004,
     own_verdict,
     400,
     false,
     "the query's text does not fit the peer's character set: known before any DIMSE traffic",
     {}},
    {search, 0x0118, 0x0118, always, 501, false, "PS3.18, 8.5: SOP Class not supported", {}},
    {search, 0x0122, 0x0122, always, 501, false, "PS3.18, 8.5: SOP Class not supported", {}},
    {search, 0x0124, 0x0124, always, 403, false, "the peer denies the gateway's AE or user", {}},
    {search,
     0xC000,
     0xCFFF,
     always,
     503,
     false,
     "cannot handle the query; temporary or permanent",
     {}},
    {search,
     0x0000,
     0xFFFF,
     always,
     500,
     false,
     "a defect of the gateway's or the peer's protocol: retry will not help",
     {}},

    // 2a. N-CREATE → Create. Supplement 246, Table 15.4.3-1; PS3.7, 10.1.5.
    {create, 0x0000, 0x0000, always, 201, false, "Table 15.4.3-1", {}},
    {create, 0x0107, 0x0107, always, 201, false, "created, some attributes are unknown to it",
     attributes_not_supported},
    {create, 0x0116, 0x0116, always, 201, false, "created with default or omitted values",
     created_modified},
    {create, 0x0001, 0x0001, always, 201, false, "any warning is performed", created_warned},
    {create, 0xB000, 0xBFFF, always, 201, false, "any warning is performed", created_warned},
    {create, 0x0111, 0x0111, always, 409, false, "UID in use, literal match in Table 15.4.3-1", {}},
    {create, 0x0105, 0x0105, always, 400, false, "content error of the request", {}},
    {create, 0x0106, 0x0106, always, 400, false, "content error of the request", {}},
    {create, 0x0120, 0x0120, always, 400, false, "content error of the request", {}},
    {create, 0x0121, 0x0121, always, 400, false, "content error of the request", {}},
    {create, 0x0117, 0x0117, always, 400, false, "the UID in the path is malformed", {}},
    {create, 0x0118, 0x0118, always, 501, false, "SOP class or operation not supported", {}},
    {create, 0x0122, 0x0122, always, 501, false, "SOP class or operation not supported", {}},
    {create, 0x0211, 0x0211, always, 501, false, "SOP class or operation not supported", {}},
    {create, 0x0119, 0x0119, always, 409, false, "the instance belongs to another class", {}},
    {create, 0x0124, 0x0124, always, 403, false, "not authorised", {}},
    {create, 0x0213, 0x0213, always, 503, true, "resource shortage", {}},
    {create, 0x0110, 0x0110, always, 503, false, "generic failure: cannot handle the creation", {}},
    {create, 0x0210, 0x0210, always, 500, false, "gateway defect", {}},
    {create, 0x0212, 0x0212, always, 500, false, "gateway defect", {}},
    {create, 0x0115, 0x0115, always, 500, false, "gateway defect", {}},
    {create, 0x0000, 0xFFFF, always, 503, false, "unable to process", {}},

    // 3a. N-SET → Update. Supplement 246, Table 15.5.3-1; PS3.4, F.7.2.2; PS3.7, 10.1.3.
    {update, 0x0000, 0x0000, always, 200, false, "Table 15.5.3-1", {}},
    {update, 0x0107, 0x0107, always, 200, false, "performed with remarks",
     attributes_not_supported},
    {update, 0x0116, 0x0116, always, 200, false, "performed with remarks", updated_modified},
    {update, 0x0001, 0x0001, always, 200, false, "performed with remarks", updated_warned},
    {update, 0xB000, 0xBFFF, always, 200, false, "performed with remarks", updated_warned},
    {update,
     0x0112,
     0x0112,
     always,
     404,
     false,
     "unknown instance (PS3.7, C.5.19; missing in PS3.2, N.7-13)",
     {}},
    {update,
     0x0110,
     0x0110,
     final_by_id,
     409,
     false,
     "state conflict: already final (PS3.4, F.7.2.2.3)",
     {}},
    {update, 0x0110, 0x0110, final_by_comment, 409, false, "peers often omit the Error ID", {}},
    {update, 0x0110, 0x0110, always, 503, false, "generic failure", {}},
    {update,
     0x0105,
     0x0105,
     always,
     409,
     false,
     "the attribute was not created at N-CREATE (15.5.3.1 note)",
     {}},
    {update, 0x0106, 0x0106, always, 400, false, "content error of the request", {}},
    {update, 0x0120, 0x0120, always, 400, false, "content error of the request", {}},
    {update, 0x0121, 0x0121, always, 400, false, "content error of the request", {}},
    {update, 0x0117, 0x0117, always, 400, false, "the UID in the path is malformed", {}},
    {update, 0x0119, 0x0119, always, 409, false, "conflict of class and instance", {}},
    {update, 0x0118, 0x0118, always, 501, false, "unsupported", {}},
    {update, 0x0122, 0x0122, always, 501, false, "unsupported", {}},
    {update, 0x0211, 0x0211, always, 501, false, "unsupported", {}},
    {update, 0x0124, 0x0124, always, 403, false, "not authorised", {}},
    {update, 0x0213, 0x0213, always, 503, true, "resource shortage", {}},
    {update, 0x0210, 0x0210, always, 500, false, "gateway defect", {}},
    {update, 0x0212, 0x0212, always, 500, false, "gateway defect", {}},
    {update, 0x0115, 0x0115, always, 500, false, "gateway defect", {}},
    {update, 0x0000, 0xFFFF, always, 503, false, "unable to process", {}},

    // 4a. N-GET → Retrieve. Supplement 246, Table 15.6.3-1; PS3.4, F.8.2; PS3.7, 10.1.2.
    {retrieve, 0x0000, 0x0000, with_attributes, 200, false, "Table 15.6.3-1", {}},
    {retrieve, 0x0001, 0x0001, with_attributes, 200, false,
     "readable attributes were returned (PS3.4, F.8.2-2)", attributes_not_supported},
    {retrieve, 0x0107, 0x0107, with_attributes, 200, false, "readable attributes were returned",
     attributes_not_supported},
    {retrieve, 0x0116, 0x0116, with_attributes, 200, false, "readable attributes were returned",
     attributes_not_supported},
    {retrieve, 0x0106, 0x0106, with_attributes, 200, false, "readable attributes were returned",
     attributes_not_supported},
    {retrieve, 0xB000, 0xBFFF, with_attributes, 200, false, "any warning is performed",
     attributes_not_supported},
    {retrieve,
     0x0106,
     0x0106,
     always,
     400,
     false,
     "includefield not supported (PS3.4, 5.4.2.2)",
     {}},
    {retrieve,
     0x0116,
     0x0116,
     always,
     400,
     false,
     "includefield not supported (PS3.4, 5.4.2.2)",
     {}},
    {retrieve,
     0x0000,
     0x0000,
     without_attributes,
     503,
     false,
     "the Attribute List is mandatory",
     {}},
    {retrieve, 0x0112, 0x0112, always, 404, false, "PS3.4, F.8.1", {}},
    {retrieve, 0x0117, 0x0117, always, 400, false, "the UID in the path is malformed", {}},
    {retrieve, 0x0118, 0x0118, always, 501, false, "Retrieve is optional", {}},
    {retrieve, 0x0122, 0x0122, always, 501, false, "Retrieve is optional", {}},
    {retrieve, 0x0211, 0x0211, always, 501, false, "Retrieve is optional", {}},
    {retrieve, 0x0119, 0x0119, always, 404, false, "the UID exists but is no MPPS", {}},
    {retrieve, 0x0124, 0x0124, always, 403, false, "not authorised", {}},
    {retrieve, 0x0213, 0x0213, always, 503, true, "resource shortage", {}},
    {retrieve, 0x0210, 0x0210, always, 500, false, "gateway defect", {}},
    {retrieve, 0x0212, 0x0212, always, 500, false, "gateway defect", {}},
    {retrieve, 0x0000, 0xFFFF, always, 503, false, "cannot handle the retrieval", {}},
};

constexpr NetworkEventRow events[] = {
    // 5a. Upstream trouble is 503, which every client of the supplement knows; global rule 1.
    {NetworkEvent::connect_failed, 503, 502, true, "peer down, retry later"},
    {NetworkEvent::tls_failed, 503, 502, false, "security alert, no fall back to plain"},
    {NetworkEvent::rejected_transient, 503, 502, true, "congestion"},
    {NetworkEvent::rejected_permanent, 503, 502, false, "configuration fault, not the client's"},
    {NetworkEvent::user_identity_refused, 403, 403, false, "user not permitted"},
    {NetworkEvent::abstract_syntax_refused, 501, 501, false, "SOP class not supported"},
    {NetworkEvent::transfer_syntax_refused, 503, 502, false, "interoperability fault"},
    {NetworkEvent::acse_timeout, 503, 504, true, "no A-ASSOCIATE-AC in time"},
    {NetworkEvent::busy, 503, 503, true, "every connection to the peer is in use: our own limit"},
    {NetworkEvent::response_timeout, 503, 504, true, "no whole answer in time"},
    {NetworkEvent::connection_lost, 503, 502, true, "ended before the final response"},
    {NetworkEvent::protocol_error, 503, 502, false, "the peer breaks the protocol"},
    {NetworkEvent::unreadable_answer, 503, 502, false, "the answer cannot be decoded"},
    {NetworkEvent::shutting_down, 503, 503, true, "this gateway is stopping"},
    {NetworkEvent::none, 503, 502, false, "not answered, and nothing more is known"},
};

constexpr bool conditions_are_known() {
  return std::all_of(std::begin(rows), std::end(rows), [](const DimseToHttpRow& row) {
    return find_condition(row.condition) != nullptr;
  });
}
static_assert(conditions_are_known());

constexpr bool is_last_resort(const DimseToHttpRow& row, Transaction transaction) {
  return row.transaction == transaction && row.first == 0 && row.last == 0xFFFF &&
         row.condition == always;
}
constexpr bool every_word_has_a_row(Transaction transaction) {
  return std::any_of(std::begin(rows), std::end(rows),
                     [=](const DimseToHttpRow& row) { return is_last_resort(row, transaction); });
}
static_assert(every_word_has_a_row(search) && every_word_has_a_row(create) &&
              every_word_has_a_row(update) && every_word_has_a_row(retrieve));

// ---- Looking up ---------------------------------------------------------------------------------

const DimseToHttpRow& find_row(Transaction transaction, const Asked& asked) {
  const std::uint16_t status = asked.outcome.status;
  return *std::find_if(std::begin(rows), std::end(rows), [&](const DimseToHttpRow& row) {
    return row.transaction == transaction && row.first <= status && status <= row.last &&
           find_condition(row.condition)->holds(asked);
  });
}

HttpAnswer answer_to_event(Transaction transaction, const Outcome& outcome,
                           const HttpAnswerOptions& options) {
  const NetworkEventRow& row = *std::find_if(
      std::begin(events), std::end(events) - 1,
      [&](const NetworkEventRow& candidate) { return candidate.event == outcome.event; });
  // What may have been done is verified by a Retrieve, not repeated blindly.
  const bool write = transaction == create || transaction == update;
  const bool repeatable = !(write && outcome.how == Outcome::How::unknown);
  return {.status = options.gateway_status_codes ? row.gateway_http : row.http,
          .retry_after = row.retry_after && repeatable,
          .warning = {},
          .why = row.why};
}

/// 1a: FF01 is a warning flavour of Pending, the data are valid; unreadable matches are left out to
/// keep the worklist usable.
std::string search_warning(const Asked& asked) {
  std::string warning;
  const auto add = [&warning](bool holds, std::string_view sentence) {
    if (!holds) return;
    if (!warning.empty()) warning += ' ';
    warning += sentence;
  };
  add(asked.options.optional_keys_unsupported, optional_keys);
  add(asked.outcome.dropped_matches > 0, left_out);
  add(asked.outcome.failed_worklists > 0, worklists_failed);
  return warning;
}

}  // namespace

HttpAnswer to_http(Transaction transaction, const Outcome& outcome,
                   const HttpAnswerOptions& options) {
  if (outcome.how == Outcome::How::unreachable || outcome.how == Outcome::How::unknown) {
    return answer_to_event(transaction, outcome, options);
  }
  const Asked asked{outcome, options};
  const DimseToHttpRow& row = find_row(transaction, asked);
  HttpAnswer answer{.status = row.http,
                    .retry_after = row.retry_after,
                    .warning = std::string(row.warning),
                    .why = row.why};
  if (transaction == search && row.http / 100 == 2) {
    std::string warning = search_warning(asked);
    if (!warning.empty()) answer.warning = std::move(warning);
    if (row.http == 204) answer.status = options.no_match_status;
  }
  return answer;
}

std::span<const DimseToHttpRow> dimse_to_http_rows() { return rows; }

std::span<const NetworkEventRow> network_event_rows() { return events; }

}  // namespace mapping
