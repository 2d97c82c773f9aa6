#include "web/base_uri.h"

#include <fmt/format.h>

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

TEST_CASE("An absolute URI is a server and a target") {
  struct Row {
    std::string text, host;
    int port;
    bool tls;
    std::string target;
  };
  for (const Row& row : {
           Row{"https://Login.example/realms/a/token/", "login.example", 443, true,
               "/realms/a/token/"},
           Row{"http://[::1]:8080?tenant=a#top", "::1", 8080, false, "/?tenant=a"},
           Row{"http://ris.example", "ris.example", 80, false, "/"},
       }) {
    CAPTURE(row.text);
    const auto uri = web::parse_absolute_uri(row.text);
    REQUIRE(uri.ok());
    CHECK(uri.value().server.host == row.host);
    CHECK(uri.value().server.port == row.port);
    CHECK(uri.value().server.tls == row.tls);
    CHECK(uri.value().server.path.empty());
    CHECK(uri.value().target == row.target);
  }
  for (const char* text : {"", "/token", "ftp://a/b", "https://", "https://user:secret@a/b",
                           "https://a/b c", "https://a/b\r\nInjected: header", "https://a:0/b"}) {
    CAPTURE(text);
    CHECK_FALSE(web::parse_absolute_uri(text).ok());
  }
}

TEST_CASE("A redirect may be any reference of RFC 3986, and leads to http and https only") {
  const web::AbsoluteUri from =
      web::parse_absolute_uri("http://ris.example:8080/a/b/c?d=e").value();
  const std::pair<const char*, const char*> rows[] = {
      {"/b?c", "http://ris.example:8080/b?c"},
      {"http://RIS.example:8080/b?c#d", "http://ris.example:8080/b?c"},
      {"http://ris.example:8080", "http://ris.example:8080/"},
      {"http://ris.example:8080?c", "http://ris.example:8080/?c"},
      {"https://other.example/x", "https://other.example:443/x"},
      {"//other.example/x", "http://other.example:80/x"},
      {"g", "http://ris.example:8080/a/b/g"},
      {"g?x=/../y", "http://ris.example:8080/a/b/g?x=/../y"},
      {"./g:h", "http://ris.example:8080/a/b/g:h"},
      {"?x", "http://ris.example:8080/a/b/c?x"},
      {"..", "http://ris.example:8080/a/"},
      {"../g", "http://ris.example:8080/a/g"},
      {"../../../g", "http://ris.example:8080/g"},
      {"/x/./y/../z/.", "http://ris.example:8080/x/z/"},
  };
  for (const auto& [location, expected] : rows) {
    CAPTURE(location);
    const auto uri = resolve_redirect(from, location);
    REQUIRE(uri.ok());
    const web::BaseUri& server = uri.value().server;
    CHECK(fmt::format("{}://{}:{}{}", server.tls ? "https" : "http", server.host, server.port,
                      uri.value().target) == expected);
  }
  for (const char* nowhere : {"", "#top", "/a b", "/a\r\nInjected: header", "ftp://ris.example/b",
                              "javascript:alert(1)", "http://", "//"}) {
    CAPTURE(nowhere);
    CHECK_FALSE(resolve_redirect(from, nowhere).ok());
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
