// HTTP → DIMSE: one row a status code and transaction, the recommendations of mapping.md 1b, 2b, 3b
// and 4b with their reasons; and what a DIMSE response with a given status may carry. The way there
// is in status.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "mapping/status.h"

namespace mapping {
namespace {

using enum Transaction;

constexpr HttpToDimseRow rows[] = {
    // 1b. Search → C-FIND. What stands here for 3xx, 406, 413, 414 and 415 holds once the user
    // agent has tried what mapping.md wants tried.
    {search, 200, 200, 0x0000, "a result list, perhaps empty"},
    {search, 201, 202, 0xC003, "no result list is there: never an empty worklist"},
    {search, 203, 203, 0x0000, "transformed, yet whole"},
    {search, 204, 204, 0x0000, "no match (K.4.1.3)"},
    {search, 205, 205, 0xC003, "no result list is there: never an empty worklist"},
    {search, 206, 206, 0xC005, "a part of the list, and the rest was not to be had"},
    {search, 200, 299, 0x0000, "unknown 2xx: success (RFC 9110, 15)"},
    {search, 304, 304, 0xC003, "we sent no validator"},
    {search, 300, 399, 0xC007, "redirected too often or to where we may not go"},
    {search, 400, 400, 0xA900, "the identifier was not processable"},
    {search, 414, 414, 0xA900, "the identifier was not processable, even with fewer words"},
    {search, 401, 401, 0xC006, "0124 is not in the list of C-FIND (PS3.7, 9.1.2.1.6)"},
    {search, 403, 403, 0xC006, "0124 is not in the list of C-FIND (PS3.7, 9.1.2.1.6)"},
    {search, 404, 405, 0x0122, "the service is not there: SOP class not supported by this route"},
    {search, 410, 410, 0x0122, "the service is not there: SOP class not supported by this route"},
    {search, 501, 501, 0x0122, "the service is not there: SOP class not supported by this route"},
    {search, 406, 406, 0xC001, "a defect of negotiation, not the SCU's fault"},
    {search, 415, 415, 0xC001, "a defect of negotiation, not the SCU's fault"},
    {search, 408, 408, 0xA700, "temporary lack of resources: the SCU may repeat"},
    {search, 425, 425, 0xA700, "temporary lack of resources: the SCU may repeat"},
    {search, 429, 429, 0xA700, "temporary lack of resources: the SCU may repeat"},
    {search, 503, 503, 0xA700, "temporary lack of resources: the SCU may repeat"},
    {search, 413, 413, 0xA700, "too many results, and paging did not help"},
    {search, 500, 599, 0xC002, "unable to process"},
    {search, 400, 499, 0xC001, "unable to process"},
    {search, 0, 999, 0xC003, "no HTTP answer at all"},

    // 2b. Create → N-CREATE.
    {create, 200, 201, 0x0000, "B.37 shows 200, Table 15.4.3-1 says 201"},
    {create, 204, 204, 0x0000, "done, nothing to say"},
    {create, 202, 202, 0x0000, "accepted; an MPPS has no pending status"},
    {create, 200, 299, 0x0000, "unknown 2xx: success (RFC 9110, 15)"},
    {create, 400, 400, 0x0106, "content rejected"},
    {create, 401, 401, 0x0124, "not authorised"},
    {create, 403, 403, 0x0124, "not authorised"},
    {create, 404, 404, 0x0110, "base URL wrong; 0112 is no status of N-CREATE"},
    {create, 405, 405, 0x0211, "operation unknown there"},
    {create, 409, 409, 0x0111, "UID already in use, the only meaning in Table 15.4.3-1"},
    {create, 410, 410, 0x0111, "UID was used and deleted: a new one is needed"},
    {create, 406, 406, 0x0110, "the gateway's fault, not the modality's"},
    {create, 411, 411, 0x0110, "the gateway's fault, not the modality's"},
    {create, 414, 415, 0x0110, "the gateway's fault, not the modality's"},
    {create, 413, 413, 0x0213, "resource limitation"},
    {create, 429, 429, 0x0213, "resource limitation"},
    {create, 503, 503, 0x0213, "resource limitation"},
    {create, 501, 501, 0x0118, "SOP class not supported, as N-services say it"},
    {create, 300, 399, 0x0110, "not followed: a POST must not become a GET"},
    {create, 0, 999, 0x0110, "processing failure"},

    // 3b. Update → N-SET.
    {update, 200, 200, 0x0000, "Table 15.5.3-1"},
    {update, 201, 201, 0x0000, "the server took an Update for a Create: its defect, yet done"},
    {update, 202, 202, 0x0000, "accepted; an MPPS has no pending status"},
    {update, 204, 204, 0x0000, "done, nothing to say"},
    {update, 200, 299, 0x0000, "unknown 2xx: success (RFC 9110, 15)"},
    {update, 400, 400, 0x0106, "content rejected"},
    {update, 401, 401, 0x0124, "not authorised"},
    {update, 403, 403, 0x0124, "not authorised"},
    {update, 404, 404, 0x0112, "no such instance"},
    {update, 405, 405, 0x0211, "operation unknown there"},
    {update, 409, 409, 0x0110,
     "a conflict; with Error ID A710 where the user agent knows the MPPS to be final (F.7.2-2)"},
    {update, 410, 410, 0x0112, "no longer available, as F.8.1 has it"},
    {update, 406, 406, 0x0110, "the gateway's fault, not the modality's"},
    {update, 411, 411, 0x0110, "the gateway's fault, not the modality's"},
    {update, 414, 415, 0x0110, "the gateway's fault, not the modality's"},
    {update, 413, 413, 0x0213, "resource limitation"},
    {update, 429, 429, 0x0213, "resource limitation"},
    {update, 503, 503, 0x0213, "resource limitation"},
    {update, 501, 501, 0x0118, "unsupported"},
    {update, 300, 399, 0x0110, "not followed: a POST must not become a GET"},
    {update, 0, 999, 0x0110, "processing failure"},

    // 4b. Retrieve → N-GET.
    {retrieve, 200, 200, 0x0000, "Table 15.6.3-1"},
    {retrieve, 204, 204, 0x0112, "nothing there"},
    {retrieve, 201, 202, 0x0110, "no MPPS is there: the Attribute List is mandatory"},
    {retrieve, 205, 206, 0x0110, "no whole MPPS is there: the Attribute List is mandatory"},
    {retrieve, 200, 299, 0x0000, "unknown 2xx: success (RFC 9110, 15)"},
    {retrieve, 400, 400, 0x0110, "0106 is not in the list of N-GET (PS3.7, 10.1.2.1.9)"},
    {retrieve, 401, 401, 0x0124, "not authorised"},
    {retrieve, 403, 403, 0x0124, "not authorised"},
    {retrieve, 404, 404, 0x0112, "the one DIMSE code for unknown and deleted"},
    {retrieve, 410, 410, 0x0112, "the one DIMSE code for unknown and deleted"},
    {retrieve, 405, 405, 0x0211, "the server does not offer Retrieve"},
    {retrieve, 501, 501, 0x0211, "the server does not offer Retrieve"},
    {retrieve, 406, 406, 0x0110, "the gateway's fault, not the modality's"},
    {retrieve, 415, 415, 0x0110, "the gateway's fault, not the modality's"},
    {retrieve, 413, 413, 0x0213, "resource limitation"},
    {retrieve, 429, 429, 0x0213, "resource limitation"},
    {retrieve, 503, 503, 0x0213, "resource limitation"},
    {retrieve, 0, 999, 0x0110, "processing failure"},
};

constexpr bool every_code_has_a_row(Transaction transaction) {
  return std::any_of(std::begin(rows), std::end(rows), [=](const HttpToDimseRow& row) {
    return row.transaction == transaction && row.first == 0 && row.last == 999;
  });
}
static_assert(every_code_has_a_row(search) && every_code_has_a_row(create) &&
              every_code_has_a_row(update) && every_code_has_a_row(retrieve));

struct Phrase {
  int http;
  std::string_view text;
};
constexpr Phrase phrases[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {511, "Network Authentication Required"},
};
constexpr std::string_view class_phrases[] = {"Unknown",     "Informational", "Successful",
                                              "Redirection", "Client Error",  "Server Error"};

struct FieldsRow {
  std::uint16_t first, last;
  ResponseFields fields;
  std::string_view where;
};
// status_codes.csv, column response_fields.
constexpr FieldsRow fields_rows[] = {
    {0xFF00, 0xFF01, {.data_set = true}, "PS3.4, K.4-1: the Identifier"},
    {0xFE00, 0xFE00, {}, "PS3.4, K.4-1"},
    {0xA700, 0xA700, {.error_comment = true}, "PS3.4, K.4-1"},
    {0x0001, 0x0001, {.error_comment = true, .offending_element = true}, "PS3.7, C.4.1"},
    {0x0105, 0x0105, {.attribute_identifier_list = true}, "PS3.7, C.5.17"},
    {0x0106, 0x0106, {.data_set = true}, "PS3.7, C.5.11: only the invalid values"},
    {0x0107,
     0x0107,
     {.attribute_identifier_list = true, .affected_sop_class = true, .affected_sop_instance = true},
     "PS3.7, C.4.2"},
    {0x0110,
     0x0110,
     {.error_comment = true,
      .error_id = true,
      .affected_sop_class = true,
      .affected_sop_instance = true},
     "PS3.7, C.5.21"},
    {0x0111, 0x0112, {.affected_sop_instance = true}, "PS3.7, C.5.8, C.5.19"},
    {0x0115, 0x0115, {.affected_sop_class = true, .affected_sop_instance = true}, "PS3.7, C.5.10"},
    {0x0116, 0x0116, {.data_set = true}, "PS3.7, C.4.3: only the invalid values"},
    {0x0117, 0x0117, {.affected_sop_instance = true}, "PS3.7, C.5.12"},
    {0x0118, 0x0118, {.affected_sop_class = true}, "PS3.7, C.5.20"},
    {0x0119, 0x0119, {.affected_sop_class = true, .affected_sop_instance = true}, "PS3.7, C.5.7"},
    {0x0120, 0x0120, {.attribute_identifier_list = true}, "PS3.7, C.5.13"},
    {0x0121, 0x0121, {.data_set = true}, "PS3.7, C.5.14"},
    {0x0122, 0x0122, {.error_comment = true}, "PS3.7, C.5.6"},
    {0x0124, 0x0124, {.error_comment = true}, "PS3.7, C.5.25"},
    {0x0100, 0x02FF, {}, "PS3.7, Annex C: status only"},
    {0xA000, 0xCFFF, {.error_comment = true, .offending_element = true}, "PS3.7, C.4.1, C.5.2-3"},
    {0x0000, 0xFFFF, {}, "none"},
};

struct ListedRow {
  std::uint16_t first, last;
  bool create, update, retrieve;  ///< whose list holds it
};
// status_codes.csv, column services, of the failures that N-services share. A C-FIND has 0122
// alone.
constexpr ListedRow listed_rows[] = {
    {0x0105, 0x0106, true, true, false},  {0x0110, 0x0110, true, true, true},
    {0x0111, 0x0111, true, false, false}, {0x0112, 0x0112, false, true, true},
    {0x0117, 0x0118, true, true, true},   {0x0119, 0x0119, false, true, true},
    {0x0120, 0x0120, true, false, false}, {0x0121, 0x0121, true, true, false},
    {0x0124, 0x0124, true, true, true},   {0x0210, 0x0213, true, true, true},
};

bool contains(std::string_view text, std::string_view words) {
  return text.find(words) != std::string_view::npos;
}

}  // namespace

Outcome from_http(Transaction transaction, int http_status) {
  const int code = std::clamp(http_status, 0, 999);
  const HttpToDimseRow& row =
      *std::find_if(std::begin(rows), std::end(rows), [&](const HttpToDimseRow& candidate) {
        return candidate.transaction == transaction && candidate.first <= code &&
               code <= candidate.last;
      });
  if (row.dimse == dimse_status::success) return Outcome::answered(row.dimse);
  return Outcome::answered(row.dimse,
                           fmt::format("HTTP {} {}", http_status, reason_phrase(http_status)));
}

std::uint16_t from_warning(Transaction transaction, std::string_view warning) {
  using namespace dimse_status;
  if (transaction == search) {
    const bool not_honoured = contains(warning, "optional key") ||
                              contains(warning, "matching parameter is not supported");
    return not_honoured ? pending_optional_keys_not_supported : pending;
  }
  if (contains(warning, "optional Attributes are not supported")) {
    return transaction == retrieve ? requested_optional_attributes_not_supported
                                   : attribute_list_error;
  }
  if (transaction != retrieve && contains(warning, "modifications")) {
    return attribute_value_out_of_range;
  }
  return success;
}

bool is_listed_failure(Transaction transaction, std::uint16_t dimse_status) {
  if (transaction == search) return dimse_status == dimse_status::sop_class_not_supported;
  return std::any_of(std::begin(listed_rows), std::end(listed_rows), [&](const ListedRow& row) {
    const bool listed = transaction == create   ? row.create
                        : transaction == update ? row.update
                                                : row.retrieve;
    return listed && row.first <= dimse_status && dimse_status <= row.last;
  });
}

std::string_view reason_phrase(int http_status) {
  const auto* phrase =
      std::find_if(std::begin(phrases), std::end(phrases),
                   [&](const Phrase& candidate) { return candidate.http == http_status; });
  if (phrase != std::end(phrases)) return phrase->text;
  const int digit = http_status >= 100 && http_status <= 599 ? http_status / 100 : 0;
  return class_phrases[digit];
}

ResponseFields response_fields(Transaction transaction, std::uint16_t dimse_status) {
  if (dimse_status == dimse_status::success && transaction != search) {
    // PS3.7, 10.1.2, 10.1.3, 10.1.5: the UIDs may always come along, the Attribute List too.
    return {.affected_sop_class = true, .affected_sop_instance = true, .data_set = true};
  }
  const FieldsRow& row = *std::find_if(
      std::begin(fields_rows), std::end(fields_rows), [&](const FieldsRow& candidate) {
        return candidate.first <= dimse_status && dimse_status <= candidate.last;
      });
  ResponseFields fields = row.fields;
  // An N-GET with a warning returns the attributes that could be read. PS3.4, F.8.2-2.
  if (transaction == retrieve && classify(dimse_status) == StatusClass::warning) {
    fields.data_set = true;
  }
  return fields;
}

std::span<const HttpToDimseRow> http_to_dimse_rows() { return rows; }

}  // namespace mapping
