#include "web/problem.h"

#include <catch2/catch.hpp>

using web::Problem;
using web::read_problem;
using web::to_json;

TEST_CASE("A problem report holds what is known and leaves out what is not (RFC 9457)") {
  Problem problem;
  problem.status = 409;
  CHECK(to_json(problem) == R"({"type":"about:blank","title":"Conflict","status":409})");

  mapping::Outcome outcome = mapping::Outcome::may_no_longer_be_updated();
  outcome.attributes = {mapping::Tag(0x00400252)};
  CHECK(to_json(web::to_problem(409, outcome, "a \"reason\"")) ==
        R"({"type":"about:blank","title":"Conflict","status":409,"detail":"a \"reason\"",)"
        R"("dimseStatus":"0110",)"
        R"("errorComment":"Performed Procedure Step Object may no longer be updated",)"
        R"("errorId":"A710","attributes":["00400252"]})");
}

TEST_CASE("What one gateway reports another one reads; anything else is no report") {
  const mapping::Outcome outcome =
      mapping::Outcome::local(0x0120, "comment", {mapping::Tag(0x00400252)});
  const Problem read = read_problem(to_json(web::to_problem(400, outcome, "why")));
  CHECK(read.detail == "why");
  CHECK(read.dimse_status == "0120");
  CHECK(read.error_comment == "comment");
  CHECK(read.attributes == outcome.attributes);

  const std::string endless =
      R"({"dimseStatus":"0120","more":")" + std::string(1u << 20, 'a') + "\"}";
  CHECK(read_problem(endless).dimse_status.empty());
  for (const char* text :
       {"", "[", "[]", "17", "<html>", R"({"dimseStatus":272})", R"({"attributes":"00400252"})",
        R"({"attributes":[7,null,"x","0040025"]})", "{\"dimseStatus\":\"\xFF\"}"}) {
    CAPTURE(text);
    const Problem empty = read_problem(text);
    CHECK(empty.dimse_status.empty());
    CHECK(empty.attributes.empty());
  }
}
