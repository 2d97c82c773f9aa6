// What the page must keep to; what it does is tests/end_to_end/status_page.test.js.
#include "gateway/admin_page.h"

#include <catch2/catch.hpp>
#include <string>

#include "web/page_guard.h"

namespace {

std::size_t count(std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = gateway::admin_page.find(part); at != std::string_view::npos;
       at = gateway::admin_page.find(part, at + 1)) {
    ++found;
  }
  return found;
}

}  // namespace

TEST_CASE("one style and one script, which its policy lets run, and nothing else") {
  CHECK(gateway::admin_page.starts_with("<!doctype html>"));
  CHECK(count("<style>") == 1);
  CHECK(count("<script>") == 1);
  CHECK(web::content_security_policy(gateway::admin_page).find("sha256-") != std::string::npos);
  for (const std::string_view part : {"<script ", "<link", "<img", "<style ",
                                      " style=", " onclick=", "src=", "@import", "url("}) {
    CAPTURE(part);
    CHECK(count(part) == 0);
  }
}

TEST_CASE("asks no other server, and sets text from outside as text only") {
  CHECK(count("https://") == 0);
  CHECK(count("http://") == 1);
  CHECK(count("http://www.w3.org/2000/svg") == 1);
  for (const std::string_view part : {"innerHTML", "outerHTML", "insertAdjacentHTML",
                                      "document.write", "eval(", "new Function"}) {
    CAPTURE(part);
    CHECK(count(part) == 0);
  }
}
