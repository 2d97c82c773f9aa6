#include "web/base_uri.h"

#include <catch2/catch.hpp>

#include "web/user_agent.h"
#include "web/warning_header.h"

using web::parse_base_uri;
using web::resolve_redirect;

TEST_CASE("A base URI is taken apart") {
  struct Row {
    std::string text, host;
    int port;
    std::string path;
  };
  for (const Row& row : {
           Row{"http://ris.example", "ris.example", 80, ""},
           Row{"HTTP://RIS.Example:8080/", "ris.example", 8080, ""},
           Row{"http://127.0.0.1:1/a/b//", "127.0.0.1", 1, "/a/b"},
           Row{"http://[::1]:8080/a", "::1", 8080, "/a"},
           Row{"http://ris.example:/a%20b", "ris.example", 80, "/a%20b"},
       }) {
    CAPTURE(row.text);
    const auto uri = parse_base_uri(row.text);
    REQUIRE(uri.ok());
    CHECK(uri.value().host == row.host);
    CHECK(uri.value().port == row.port);
    CHECK(uri.value().path == row.path);
  }
}

TEST_CASE("A base URI that cannot be used is a fault that says why (rule J29)") {
  struct Row {
    std::string text, words;
  };
  for (const Row& row : {
           Row{"https://", "host"},
           Row{"ftp://ris.example", "http://"},
           Row{"ris.example", "http://"},
           Row{"", "http://"},
           Row{"http://", "host"},
           Row{"http://:80/", "host"},
           Row{"http://user:secret@ris.example/", "user names"},
           Row{"http://ris.example:0/", "port"},
           Row{"http://ris.example:65536/", "port"},
           Row{"http://ris.example:80x/", "port"},
           Row{"http://[::1/", "bracket"},
           Row{"http://ris.example/a?b", "query"},
           Row{"http://ris.example/a#b", "query"},
           Row{"http://ris.example/a b", "blank"},
           Row{"http://ris.example/modality-scheduled-procedure-steps", "must end before"},
       }) {
    CAPTURE(row.text);
    const auto uri = parse_base_uri(row.text);
    REQUIRE_FALSE(uri.ok());
    CHECK(uri.fault().what.find(row.words) != std::string::npos);
    CHECK(uri.fault().what.find("secret") == std::string::npos);
    web::UserAgentOptions options;
    options.base_uri = row.text;
    CHECK_FALSE(web::UserAgent::check(options).ok());
    CHECK_FALSE(web::UserAgent::make(options, [](mapping::LogLevel, std::string_view) {}).ok());
  }
}

TEST_CASE("A redirect is followed on the same host and port only") {
  const web::BaseUri base = parse_base_uri("http://ris.example:8080/a").value();
  CHECK(resolve_redirect(base, "/b?c").value() == "/b?c");
  CHECK(resolve_redirect(base, "http://RIS.example:8080/b?c#d").value() == "/b?c");
  CHECK(resolve_redirect(base, "http://ris.example:8080").value() == "/");
  CHECK(resolve_redirect(base, "http://ris.example:8080?c").value() == "/?c");
  for (const char* elsewhere :
       {"http://ris.example/b", "http://other:8080/b", "https://ris.example:8080/b", "//other/b",
        "", "b", "/a b", "/a\r\nInjected: header"}) {
    CAPTURE(elsewhere);
    CHECK_FALSE(resolve_redirect(base, elsewhere).ok());
  }
}

TEST_CASE("Warnings are read in the form of PS3.18 and in that of RFC 7234 (rule A16)") {
  const std::string text = "There are 17 additional results that can be requested";
  CHECK(web::warning_text("299 http://ris.example:8080/a: " + text) == text);
  CHECK(web::warning_text("299 ris \"" + text + "\"") == text);
  CHECK(web::warning_text("299 - \"a \\\"b\\\"\" \"date\"") == "a \"b\"");
  CHECK(web::warning_text(text) == text);
  CHECK(web::remaining_results(text) == 17u);
  for (const char* other :
       {"", "There are additional results", "There are -1 additional results",
        "There are 99999999999999999999 additional results", "There are 17 results"}) {
    CAPTURE(other);
    CHECK_FALSE(web::remaining_results(other).has_value());
  }
}
