// Holds the tables of mapping/status against a second, literal reading of spec/mapping.md: what is
// expected stands here as numbers, never read from the tables under test.
#include "mapping/status.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <vector>

using namespace mapping;
using enum Transaction;

namespace {

constexpr Transaction all_transactions[] = {search, create, update, retrieve};

int http_of(Transaction transaction, std::uint16_t status, const HttpAnswerOptions& options = {}) {
  return to_http(transaction, Outcome::answered(status), options).status;
}

/// Every word that is not in named must give fallback.
void check_all_words(Transaction transaction, const std::map<unsigned, int>& named,
                     const std::function<int(unsigned)>& fallback,
                     const HttpAnswerOptions& options = {}) {
  for (unsigned status = 0; status <= 0xFFFF; ++status) {
    const auto found = named.find(status);
    const int expected = found != named.end() ? found->second : fallback(status);
    const int actual = http_of(transaction, static_cast<std::uint16_t>(status), options);
    if (actual != expected) {
      CAPTURE(status, expected, actual);
      FAIL("status word maps to another HTTP code");
    }
  }
}

void check_all_codes(Transaction transaction, const std::map<int, unsigned>& named,
                     const std::function<unsigned(int)>& fallback) {
  for (int code = 100; code <= 599; ++code) {
    const auto found = named.find(code);
    const unsigned expected = found != named.end() ? found->second : fallback(code);
    const unsigned actual = from_http(transaction, code).status;
    if (actual != expected) {
      CAPTURE(code, expected, actual);
      FAIL("HTTP code maps to another status word");
    }
  }
}

bool in(unsigned status, unsigned first, unsigned last) {
  return first <= status && status <= last;
}

}  // namespace

// ---- 1a -----------------------------------------------------------------------------------------

TEST_CASE("1a: the final C-FIND status before any match decides the Search's code") {
  check_all_words(search,
                  {{0x0000, 204},
                   {0xFE00, 503},
                   {0xA700, 503},
                   {0xA900, 400},
                   {0x0122, 501},
                   {0x0118, 501},
                   {0x0124, 403},
                   {0x0210, 500},
                   {0x0211, 500},
                   {0x0212, 500},
                   {0x0001, 204},
                   {0x0107, 204},
                   {0x0116, 204}},
                  [](unsigned status) {
                    if (in(status, 0xC000, 0xCFFF)) return 503;
                    if (in(status, 0xB000, 0xBFFF)) return 204;
                    return 500;
                  });
}

TEST_CASE("1a: after a match success is 200, A700 is 413 and any other failure 503") {
  HttpAnswerOptions options;
  options.matches = 3;
  check_all_words(
      search, {{0x0000, 200}, {0xA700, 413}, {0x0001, 200}, {0x0107, 200}, {0x0116, 200}},
      [](unsigned status) { return in(status, 0xB000, 0xBFFF) ? 200 : 503; }, options);
}

TEST_CASE("1a: A700 before any match asks to retry later, after a match to narrow") {
  CHECK(to_http(search, Outcome::answered(0xA700)).retry_after);
  HttpAnswerOptions options;
  options.matches = 1;
  CHECK_FALSE(to_http(search, Outcome::answered(0xA700), options).retry_after);
}

TEST_CASE("1a: FE00 is a success only if the cancel was ours") {
  HttpAnswerOptions options;
  options.matches = 5;
  CHECK(http_of(search, 0xFE00, options) == 503);
  options.cancelled_by_us = true;
  CHECK(http_of(search, 0xFE00, options) == 200);
  CHECK(http_of(search, 0x0000, options) == 200);
  CHECK(http_of(search, 0xC001, options) == 503);
  options.results = 0;
  CHECK(http_of(search, 0xFE00, options) == 204);
}

TEST_CASE("1a: offset past the matches or limit=0 is the no-match answer") {
  HttpAnswerOptions options;
  options.matches = 5;
  options.results = 0;
  CHECK(http_of(search, 0x0000, options) == 204);
  options.no_match_status = 200;
  CHECK(http_of(search, 0x0000, options) == 200);
  CHECK(http_of(search, 0xA900, {.no_match_status = 200}) == 400);
}

TEST_CASE("1a: FF01 and unreadable matches are told in a Warning, all unreadable is 503") {
  HttpAnswerOptions options;
  options.matches = 2;
  Outcome outcome = Outcome::answered(0x0000);
  CHECK(to_http(search, outcome, options).warning.empty());

  options.optional_keys_unsupported = true;
  CHECK(to_http(search, outcome, options).warning ==
        "One or more optional keys were not supported.");
  outcome.dropped_matches = 1;
  CHECK(to_http(search, outcome, options).warning ==
        "One or more optional keys were not supported. "
        "One or more matches could not be read and were left out.");
  options.optional_keys_unsupported = false;
  CHECK(to_http(search, outcome, options).warning ==
        "One or more matches could not be read and were left out.");
  CHECK(to_http(search, outcome, options).status == 200);
  outcome.failed_worklists = 1;
  CHECK(to_http(search, outcome, options).warning ==
        "One or more matches could not be read and were left out. "
        "One or more worklists did not answer and are missing.");

  options.matches = 0;
  CHECK(to_http(search, outcome, options).status == 503);
}

TEST_CASE("1a: a query that is invalid locally is 400, as is text its peer cannot take") {
  CHECK(to_http(search, Outcome::local(0xA900, "")).status == 400);
  CHECK(to_http(search, Outcome::local(0xC004, "")).status == 400);
  CHECK(to_http(search, Outcome::answered(0xC004)).status == 503);
}

// ---- 1b -----------------------------------------------------------------------------------------

TEST_CASE("1b: an HTTP code of a Search becomes the C-FIND status of the table") {
  check_all_codes(
      search,
      {{200, 0x0000}, {204, 0x0000}, {203, 0x0000}, {206, 0xC005}, {201, 0xC003}, {202, 0xC003},
       {205, 0xC003}, {301, 0xC007}, {302, 0xC007}, {303, 0xC007}, {307, 0xC007}, {308, 0xC007},
       {304, 0xC003}, {400, 0xA900}, {414, 0xA900}, {401, 0xC006}, {403, 0xC006}, {404, 0x0122},
       {405, 0x0122}, {410, 0x0122}, {501, 0x0122}, {406, 0xC001}, {415, 0xC001}, {408, 0xA700},
       {425, 0xA700}, {429, 0xA700}, {503, 0xA700}, {413, 0xA700}, {500, 0xC002}, {502, 0xC002},
       {504, 0xC002}, {505, 0xC002}},
      [](int code) -> unsigned {
        if (code < 200) return 0xC003;
        if (code < 300) return 0x0000;
        if (code < 400) return 0xC007;
        return code < 500 ? 0xC001 : 0xC002;
      });
}

TEST_CASE("1b: a Warning about optional keys or fuzzy matching makes the matches FF01") {
  CHECK(from_warning(search, "299 https://ris: One or more optional keys were not supported.") ==
        0xFF01);
  CHECK(from_warning(search,
                     "299 https://ris: The fuzzymatching parameter is not supported. Only literal "
                     "matching has been performed.") == 0xFF01);
  CHECK(from_warning(search,
                     "299 https://ris: There are 7 additional results that can be requested") ==
        0xFF00);
}

// ---- 2 ------------------------------------------------------------------------------------------

TEST_CASE("2a: the N-CREATE status decides the Create's code") {
  check_all_words(create,
                  {{0x0000, 201}, {0x0107, 201}, {0x0116, 201}, {0x0001, 201}, {0x0111, 409},
                   {0x0105, 400}, {0x0106, 400}, {0x0120, 400}, {0x0121, 400}, {0x0117, 400},
                   {0x0118, 501}, {0x0122, 501}, {0x0211, 501}, {0x0119, 409}, {0x0124, 403},
                   {0x0213, 503}, {0x0110, 503}, {0x0210, 500}, {0x0212, 500}, {0x0115, 500}},
                  [](unsigned status) { return in(status, 0xB000, 0xBFFF) ? 201 : 503; });
  CHECK(to_http(create, Outcome::answered(0x0213)).retry_after);
  CHECK_FALSE(to_http(create, Outcome::answered(0x0110)).retry_after);
}

TEST_CASE("2a: a warning of N-CREATE is told in a Warning header") {
  CHECK(to_http(create, Outcome::answered(0x0000)).warning.empty());
  CHECK(to_http(create, Outcome::answered(0x0107)).warning ==
        "Requested optional Attributes are not supported.");
  CHECK(to_http(create, Outcome::answered(0x0116)).warning ==
        "The Modality Performed Procedure Step was created with modifications.");
  CHECK_FALSE(to_http(create, Outcome::answered(0x0001)).warning.empty());
  CHECK_FALSE(to_http(create, Outcome::answered(0xB123)).warning.empty());
}

TEST_CASE("2b: an HTTP code of a Create becomes the N-CREATE status of the table") {
  check_all_codes(
      create,
      {{201, 0x0000}, {200, 0x0000}, {204, 0x0000}, {202, 0x0000}, {400, 0x0106}, {401, 0x0124},
       {403, 0x0124}, {404, 0x0110}, {405, 0x0211}, {409, 0x0111}, {410, 0x0111}, {411, 0x0110},
       {406, 0x0110}, {415, 0x0110}, {414, 0x0110}, {413, 0x0213}, {429, 0x0213}, {503, 0x0213},
       {501, 0x0118}, {500, 0x0110}, {502, 0x0110}, {504, 0x0110}},
      [](int code) { return code / 100 == 2 ? 0x0000u : 0x0110u; });
}

TEST_CASE("2b and 3b: a Warning says 0116 or 0107, anything else is for the log") {
  for (const Transaction transaction : {create, update}) {
    CHECK(from_warning(transaction, "299 x: The Workitem was created with modifications.") ==
          0x0116);
    CHECK(from_warning(transaction, "Requested optional Attributes are not supported.") == 0x0107);
    CHECK(from_warning(transaction, "110 - \"Response is Stale\"") == 0x0000);
    // There and back.
    for (const std::uint16_t status : {std::uint16_t{0x0107}, std::uint16_t{0x0116}}) {
      CHECK(from_warning(transaction, to_http(transaction, Outcome::answered(status)).warning) ==
            status);
    }
  }
}

// ---- 3 ------------------------------------------------------------------------------------------

TEST_CASE("3a: the N-SET status decides the Update's code") {
  check_all_words(update,
                  {{0x0000, 200}, {0x0107, 200}, {0x0116, 200}, {0x0001, 200}, {0x0112, 404},
                   {0x0110, 503}, {0x0105, 409}, {0x0106, 400}, {0x0120, 400}, {0x0121, 400},
                   {0x0117, 400}, {0x0119, 409}, {0x0118, 501}, {0x0122, 501}, {0x0211, 501},
                   {0x0124, 403}, {0x0213, 503}, {0x0210, 500}, {0x0212, 500}, {0x0115, 500}},
                  [](unsigned status) { return in(status, 0xB000, 0xBFFF) ? 200 : 503; });
  CHECK(to_http(update, Outcome::answered(0x0213)).retry_after);
}

TEST_CASE("3a: 0110 is 409 with Error ID A710, or without an ID by its comment, else 503") {
  struct Row {
    const char* comment;
    std::optional<std::uint16_t> error_id;
    int expected;
    const char* why;
  };
  const Row rows[] = {
      {"Performed Procedure Step Object may no longer be updated", 0xA710, 409, "F.7.2.2.3"},
      {"", 0xA710, 409, "the ID alone is enough"},
      {"Performed Procedure Step Object may no longer be updated", {}, 409, "peers omit the ID"},
      {"Object May NO LONGER be updated", {}, 409, "peers write it their way"},
      {"database locked", {}, 503, "generic failure"},
      {"may no longer be updated", 0x0001, 503, "another ID means another cause"},
      {"no longer be update", {}, 503, "cut off"},
      {"", {}, 503, "generic failure"},
  };
  for (const Row& row : rows) {
    INFO(row.why);
    Outcome outcome = Outcome::answered(0x0110, row.comment);
    outcome.error_id = row.error_id;
    CHECK(to_http(update, outcome).status == row.expected);
    CHECK(to_http(create, outcome).status == 503);
  }
  CHECK(to_http(update, Outcome::may_no_longer_be_updated()).status == 409);
}

TEST_CASE("3b: an HTTP code of an Update becomes the N-SET status of the table") {
  check_all_codes(
      update,
      {{200, 0x0000}, {201, 0x0000}, {204, 0x0000}, {202, 0x0000}, {400, 0x0106}, {401, 0x0124},
       {403, 0x0124}, {404, 0x0112}, {405, 0x0211}, {409, 0x0110}, {410, 0x0112}, {406, 0x0110},
       {411, 0x0110}, {414, 0x0110}, {415, 0x0110}, {413, 0x0213}, {429, 0x0213}, {503, 0x0213},
       {501, 0x0118}, {500, 0x0110}, {502, 0x0110}, {504, 0x0110}},
      [](int code) { return code / 100 == 2 ? 0x0000u : 0x0110u; });
}

// ---- 4 ------------------------------------------------------------------------------------------

TEST_CASE("4a: the N-GET status decides the Retrieve's code") {
  check_all_words(retrieve,
                  {{0x0000, 200},
                   {0x0001, 200},
                   {0x0107, 200},
                   {0x0116, 200},
                   {0x0106, 400},
                   {0x0112, 404},
                   {0x0117, 400},
                   {0x0118, 501},
                   {0x0122, 501},
                   {0x0211, 501},
                   {0x0119, 404},
                   {0x0124, 403},
                   {0x0213, 503},
                   {0x0110, 503},
                   {0x0210, 500},
                   {0x0212, 500}},
                  [](unsigned status) { return in(status, 0xB000, 0xBFFF) ? 200 : 503; });
}

TEST_CASE("4a: with or without an Attribute List makes the difference") {
  const HttpAnswerOptions with{.attribute_list = true};
  const HttpAnswerOptions without{.attribute_list = false};
  CHECK(http_of(retrieve, 0x0000, without) == 503);
  CHECK(http_of(retrieve, 0x0001, without) == 503);
  CHECK(http_of(retrieve, 0x0106, with) == 200);
  CHECK(http_of(retrieve, 0x0106, without) == 400);
  CHECK(http_of(retrieve, 0x0116, with) == 200);
  CHECK(http_of(retrieve, 0x0116, without) == 400);
  CHECK(to_http(retrieve, Outcome::answered(0x0001)).warning ==
        "Requested optional Attributes are not supported.");
  CHECK(to_http(retrieve, Outcome::answered(0x0107)).warning ==
        "Requested optional Attributes are not supported.");
}

TEST_CASE("4b: an HTTP code of a Retrieve becomes the N-GET status of the table") {
  check_all_codes(
      retrieve,
      {{200, 0x0000}, {204, 0x0112}, {400, 0x0110}, {401, 0x0124}, {403, 0x0124}, {404, 0x0112},
       {410, 0x0112}, {405, 0x0211}, {501, 0x0211}, {406, 0x0110}, {415, 0x0110}, {413, 0x0213},
       {429, 0x0213}, {503, 0x0213}, {500, 0x0110}, {502, 0x0110}, {504, 0x0110}, {201, 0x0110},
       {202, 0x0110}, {205, 0x0110}, {206, 0x0110}},
      [](int code) { return code / 100 == 2 ? 0x0000u : 0x0110u; });
  CHECK(from_warning(retrieve, "Requested optional Attributes are not supported.") == 0x0001);
}

// ---- 5 ------------------------------------------------------------------------------------------

TEST_CASE("5a: network trouble is 503, or 502 and 504 where the gateway codes are switched on") {
  struct Row {
    NetworkEvent event;
    int http, gateway_http;
    bool retry_after;
  };
  const Row rows[] = {
      {NetworkEvent::connect_failed, 503, 502, true},
      {NetworkEvent::tls_failed, 503, 502, false},
      {NetworkEvent::rejected_transient, 503, 502, true},
      {NetworkEvent::rejected_permanent, 503, 502, false},
      {NetworkEvent::user_identity_refused, 403, 403, false},
      {NetworkEvent::abstract_syntax_refused, 501, 501, false},
      {NetworkEvent::transfer_syntax_refused, 503, 502, false},
      {NetworkEvent::acse_timeout, 503, 504, true},
      {NetworkEvent::busy, 503, 503, true},
      {NetworkEvent::response_timeout, 503, 504, true},
      {NetworkEvent::connection_lost, 503, 502, true},
      {NetworkEvent::protocol_error, 503, 502, false},
      {NetworkEvent::unreadable_answer, 503, 502, false},
      {NetworkEvent::shutting_down, 503, 503, true},
      {NetworkEvent::none, 503, 502, false},
  };
  for (const Row& row : rows) {
    for (const Transaction transaction : all_transactions) {
      CAPTURE(static_cast<int>(row.event), static_cast<int>(transaction));
      const Outcome outcome = Outcome::unreachable(transaction, row.event, "");
      const HttpAnswer answer = to_http(transaction, outcome);
      CHECK(answer.status == row.http);
      CHECK(answer.retry_after == row.retry_after);
      CHECK_FALSE(answer.why.empty());
      CHECK(to_http(transaction, outcome, {.gateway_status_codes = true}).status ==
            row.gateway_http);
    }
  }
  CHECK(network_event_rows().size() == std::size(rows));
}

TEST_CASE("5a: a write whose outcome is unknown does not invite a blind repeat") {
  const auto retry_after = [](Transaction t) {
    return to_http(t, Outcome::unknown(t, NetworkEvent::response_timeout, "")).retry_after;
  };
  CHECK(retry_after(search));
  CHECK(retry_after(retrieve));
  CHECK_FALSE(retry_after(create));
  CHECK_FALSE(retry_after(update));
}

// ---- Properties ---------------------------------------------------------------------------------

TEST_CASE("Success is never said unless the peer said it (global rule 2)") {
  for (const Transaction transaction : all_transactions) {
    for (const auto how : {Outcome::How::unreachable, Outcome::How::unknown}) {
      Outcome outcome = Outcome::answered(0x0000);
      outcome.how = how;
      CHECK(to_http(transaction, outcome, {.matches = 4}).status >= 400);
    }
    for (unsigned status = 0; status <= 0xFFFF; ++status) {
      const Outcome outcome = Outcome::answered(static_cast<std::uint16_t>(status));
      const int http = to_http(transaction, outcome).status;
      if (http / 100 == 2 && !outcome.good()) FAIL(status);
    }
    for (int code = -5; code <= 1100; ++code) {
      if (from_http(transaction, code).good() && code / 100 != 2) FAIL(code);
    }
  }
}

TEST_CASE("What an HTTP server refused is told with its code in the Error Comment (rule 3)") {
  CHECK(from_http(update, 409).error_comment == "HTTP 409 Conflict");
  CHECK(from_http(search, 503).error_comment == "HTTP 503 Service Unavailable");
  CHECK(from_http(create, 499).error_comment == "HTTP 499 Client Error");
  CHECK(from_http(create, 201).error_comment.empty());
  CHECK(from_http(create, 999).error_comment == "HTTP 999 Unknown");
  CHECK(from_http(create, -1).error_comment == "HTTP -1 Unknown");
  CHECK(from_http(update, 409).how == Outcome::How::answered);
}

// A client made of Supplement 246 alone understands every answer that needs no option.
TEST_CASE("Every answer is of the transaction's own table, or of PS3.18, 8.5 (B16)") {
  const std::map<Transaction, std::set<int>> tables{
      {search, {200, 204, 400, 413, 503}},       // Table 14.4.3-1
      {create, {201, 400, 409, 503}},            // Table 15.4.3-1
      {update, {200, 400, 404, 409, 410, 503}},  // Table 15.5.3-1
      {retrieve, {200, 400, 404, 410, 503}},     // Table 15.6.3-1
  };
  const std::set<int> of_all{403, 500, 501};
  for (const Transaction transaction : all_transactions) {
    for (unsigned status = 0; status <= 0xFFFF; ++status) {
      const int http = http_of(transaction, static_cast<std::uint16_t>(status));
      if (tables.at(transaction).count(http) == 1 || of_all.count(http) == 1) continue;
      CAPTURE(transaction, status, http);
      FAIL("a status that the Supplement does not have");
    }
  }
  for (const NetworkEventRow& row : network_event_rows()) {
    CAPTURE(row.why);
    CHECK((row.http == 503 || of_all.count(row.http) == 1));
  }
}

TEST_CASE("Every row has a reason and no two rows of a transaction are the same") {
  std::set<std::tuple<Transaction, unsigned, unsigned, std::string_view>> seen;
  for (const DimseToHttpRow& row : dimse_to_http_rows()) {
    CHECK_FALSE(row.why.empty());
    CHECK(row.first <= row.last);
    CHECK(seen.insert({row.transaction, row.first, row.last, row.condition}).second);
    CHECK((row.warning.empty() || row.http / 100 == 2));
  }
  std::set<std::tuple<Transaction, int, int>> codes;
  for (const HttpToDimseRow& row : http_to_dimse_rows()) {
    CHECK_FALSE(row.why.empty());
    CHECK(row.first <= row.last);
    CHECK(codes.insert({row.transaction, row.first, row.last}).second);
  }
}

TEST_CASE("A response carries the fields its status allows (status_codes.csv)") {
  // c Error Comment, i Error ID, o Offending Element, l Attribute Identifier List, C Affected SOP
  // Class UID, I Affected SOP Instance UID, d data set.
  const auto letters = [](Transaction transaction, std::uint16_t status) {
    const ResponseFields f = response_fields(transaction, status);
    std::string text;
    if (f.error_comment) text += 'c';
    if (f.error_id) text += 'i';
    if (f.offending_element) text += 'o';
    if (f.attribute_identifier_list) text += 'l';
    if (f.affected_sop_class) text += 'C';
    if (f.affected_sop_instance) text += 'I';
    if (f.data_set) text += 'd';
    return text;
  };
  struct Row {
    Transaction transaction;
    std::uint16_t status;
    const char* expected;
  };
  const Row rows[] = {
      {search, 0x0000, ""},      {search, 0xFF00, "d"},    {search, 0xFF01, "d"},
      {search, 0xFE00, ""},      {search, 0xA700, "c"},    {search, 0xA900, "co"},
      {search, 0xC000, "co"},    {search, 0xC007, "co"},   {search, 0x0122, "c"},
      {create, 0x0000, "CId"},   {update, 0x0000, "CId"},  {retrieve, 0x0000, "CId"},
      {retrieve, 0x0001, "cod"}, {create, 0x0107, "lCI"},  {retrieve, 0x0107, "lCId"},
      {create, 0x0116, "d"},     {create, 0x0105, "l"},    {update, 0x0105, "l"},
      {create, 0x0106, "d"},     {update, 0x0110, "ciCI"}, {create, 0x0111, "I"},
      {update, 0x0112, "I"},     {update, 0x0115, "CI"},   {create, 0x0117, "I"},
      {create, 0x0118, "C"},     {update, 0x0119, "CI"},   {create, 0x0120, "l"},
      {create, 0x0121, "d"},     {create, 0x0124, "c"},    {create, 0x0210, ""},
      {create, 0x0211, ""},      {create, 0x0212, ""},     {create, 0x0213, ""},
      {create, 0xB001, "co"},    {create, 0xA123, "co"},   {create, 0x0199, ""},
      {create, 0x0299, ""},      {create, 0xFFFF, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    CHECK(letters(row.transaction, row.status) == row.expected);
  }
}

TEST_CASE("A service's own failures are those that status_codes.csv lists for it") {
  struct Row {
    std::uint16_t status;
    bool search, create, update, retrieve;
  };
  const Row rows[] = {
      {0x0105, false, true, true, false},   {0x0106, false, true, true, false},
      {0x0110, false, true, true, true},    {0x0111, false, true, false, false},
      {0x0112, false, false, true, true},   {0x0115, false, false, false, false},
      {0x0117, false, true, true, true},    {0x0118, false, true, true, true},
      {0x0119, false, false, true, true},   {0x0120, false, true, false, false},
      {0x0121, false, true, true, false},   {0x0122, true, false, false, false},
      {0x0124, false, true, true, true},    {0x0210, false, true, true, true},
      {0x0213, false, true, true, true},    {0x01FF, false, false, false, false},
      {0x0000, false, false, false, false}, {0x0107, false, false, false, false},
      {0xA700, false, false, false, false}, {0xFE00, false, false, false, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    CHECK(mapping::is_listed_failure(search, row.status) == row.search);
    CHECK(mapping::is_listed_failure(create, row.status) == row.create);
    CHECK(mapping::is_listed_failure(update, row.status) == row.update);
    CHECK(mapping::is_listed_failure(retrieve, row.status) == row.retrieve);
  }
}
