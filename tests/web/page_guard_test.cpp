#include "web/page_guard.h"

#include <catch2/catch.hpp>
#include <set>

using namespace web;

namespace {

RawRequest with(std::vector<std::pair<std::string, std::string>> headers) {
  RawRequest request;
  request.method = "POST";
  request.target = "/";
  request.headers = std::move(headers);
  return request;
}

}  // namespace

TEST_CASE("a Host that is an address, this machine's name or a named one is ours, no other is") {
  const std::vector<std::string> names{"Gateway.Example"};
  struct Case {
    std::string host;
    bool own;
    std::string why;
  };
  for (const auto& [host, own, why] : {
           Case{"127.0.0.1:8082", true, "an address cannot be turned to another"},
           Case{"10.1.2.3", true, "an address"},
           Case{"[::1]:8082", true, "an address"},
           Case{"localhost:9", true, "browsers never ask a name server for it"},
           Case{"LOCALHOST.", true, "case and root do not matter"},
           Case{"gateway.example:8082", true, "named in the configuration"},
           Case{"evil.example:8082", false, "a name that anybody may turn to our address"},
           Case{"gateway.example.evil.example", false, "begins like ours"},
           Case{"evil.localhost.example", false, "not localhost"},
           Case{"127.0.0.1.evil.example", false, "begins like an address"},
           Case{"0x7f000001", false, "no address as browsers write it"},
           Case{"[::1", false, "broken"},
           Case{":8082", false, "no host"},
           Case{"", false, "no host"},
           Case{"evil\"><script>", false, "garbage"},
       }) {
    CAPTURE(host, why);
    CHECK(is_own_host(with({{"host", host}}), names) == own);
  }
  CHECK(is_own_host(with({}), {}));
  CHECK_FALSE(is_own_host(with({{"host", "gateway.example"}}), {}));
}

TEST_CASE("only our own page, or no browser at all, is told from other sites' pages") {
  const std::pair<std::string, std::string> host{"host", "127.0.0.1:8082"};
  struct Case {
    std::vector<std::pair<std::string, std::string>> headers;
    bool own;
    std::string why;
  };
  for (const auto& [headers, own, why] : {
           Case{{host}, true, "curl says nothing"},
           Case{{host, {"origin", "http://127.0.0.1:8082"}}, true, "our page"},
           Case{{host, {"origin", "https://127.0.0.1:8082"}}, true, "our page behind a TLS proxy"},
           Case{{host, {"origin", "http://127.0.0.1:8083"}}, false, "another port is another site"},
           Case{{host, {"origin", "http://127.0.0.1:8082.evil.example"}}, false, "begins like us"},
           Case{{host, {"origin", "null"}}, false, "a sandbox, a file, a redirect"},
           Case{{host, {"origin", ""}}, false, "none"},
           Case{{host, {"origin", "http://localhost:8082"}}, false, "not the name it was asked by"},
           Case{{{"origin", "http://127.0.0.1:8082"}}, false, "no Host to compare with"},
           Case{{host, {"sec-fetch-site", "same-origin"}}, true, "our page"},
           Case{{host, {"sec-fetch-site", "same-site"}}, false, "another port"},
           Case{{host, {"sec-fetch-site", "cross-site"}}, false, "another site"},
           Case{{host, {"sec-fetch-site", "none"}}, false, "typed into the address bar"},
           Case{{host, {"origin", "http://127.0.0.1:8082"}, {"sec-fetch-site", "cross-site"}},
                false,
                "both must hold"},
       }) {
    CAPTURE(why);
    CHECK(is_from_own_page(with(headers)) == own);
  }
}

TEST_CASE("a token is 64 digits, another in each place, and equal to nothing but itself") {
  std::set<std::string> all;
  for (int i = 0; i < 100; ++i) all.insert(PageToken().text());
  CHECK(all.size() == 100);
  const PageToken token;
  CHECK(token.text().size() == 64);
  CHECK(token.text().find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(token.is(token.text()));
  CHECK_FALSE(token.is(""));
  CHECK_FALSE(token.is(token.text().substr(1)));
  CHECK_FALSE(token.is(token.text() + "0"));
  CHECK_FALSE(token.is(PageToken().text()));
}

TEST_CASE("a page's policy names the hashes of its own style and script and lets nobody frame it") {
  // echo -n 'a{}' | openssl sha256 -binary | base64, and likewise 'b()'
  CHECK(content_security_policy("<style>a{}</style><script>b()</script>") ==
        "default-src 'none'; style-src 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='; "
        "script-src 'sha256-cf242PFc/kb7xD0Qzhsmd9vvRkc+cWFmbi+k+YvtdKc="
        "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  CHECK(content_security_policy("<p>text</p>").empty());
}
