// gzip between the origin server and its clients, over its own socket: asked for and not, whole and
// damaged, small and far too large.
#include "web/content_coding.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/web/origin_server_support.h"
#include "web/gzip.h"
#include "web/media_type.h"

using web_test::ask;
using web_test::Client;
using web_test::get;
using web_test::gzip;
using web_test::post;
using web_test::Response;
using web_test::sps;

namespace {

const std::string target = "/modality-performed-procedure-steps/1.2.3";
const std::string step = R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})";
constexpr std::size_t max_body = 100'000;

/// Takes small bodies only.
struct Site : web_test::Site {
  explicit Site(int matches = 20)
      : web_test::Site([] {
          web::OriginServerOptions options;
          options.max_body_bytes = max_body;
          return options;
        }()) {
    add_steps(matches);
  }
};

std::string gunzip(std::string_view coded) {
  web::Inflater inflater(1u << 30);
  std::string plain;
  const auto state = inflater.add(coded, [&](std::string_view piece) {
    plain += piece;
    return true;
  });
  CHECK(state == web::Inflater::State::whole);
  return plain;
}

std::string posted(std::string_view body, const std::string& coding = "gzip") {
  return post(target, body, "application/dicom+json", "Content-Encoding: " + coding + "\r\n");
}

}  // namespace

TEST_CASE("An answer is in gzip where Accept-Encoding prefers that (RFC 9110, 12.5.3)") {
  struct Row {
    std::string header;
    bool gzip;
  };
  Site site;
  const std::string plain = ask(site.port, get(sps)).body;
  for (const Row& row : {
           Row{"", false},
           Row{"Accept-Encoding:\r\n", false},
           Row{"Accept-Encoding: gzip\r\n", true},
           Row{"Accept-Encoding: GZip\r\n", true},
           Row{"Accept-Encoding: x-gzip\r\n", true},
           Row{"Accept-Encoding: gzip, deflate, br\r\n", true},
           Row{"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", true},
           Row{"Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1\r\n", true},
           Row{"Accept-Encoding: gzip;q=0\r\n", false},
           Row{"Accept-Encoding: gzip;q=0, *\r\n", false},
           Row{"Accept-Encoding: *\r\n", true},
           Row{"Accept-Encoding: *;q=0\r\n", false},
           Row{"Accept-Encoding: identity\r\n", false},
           Row{"Accept-Encoding: identity, gzip;q=0.5\r\n", false},
           Row{"Accept-Encoding: identity;q=0.5, gzip\r\n", true},
           Row{"Accept-Encoding: identity;q=0, gzip;q=0.1\r\n", true},
           Row{"Accept-Encoding: br, deflate\r\n", false},
           Row{"Accept-Encoding: gzip;q=nonsense\r\n", false},
           Row{"Accept-Encoding: ,;=\r\n", false},
       }) {
    CAPTURE(row.header);
    const Response response = ask(site.port, get(sps, row.header));
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/dicom+json");
    CHECK(response.header("vary") == "Accept-Encoding");
    CHECK(response.header("content-encoding") == (row.gzip ? "gzip" : "-"));
    CHECK((row.gzip ? gunzip(response.body) : response.body) == plain);
    CHECK((response.body.size() < plain.size() / 2) == row.gzip);
  }
}

TEST_CASE("HEAD tells the length of the coded body; a small answer stays as it is") {
  Site site;
  const std::string accept = "Accept-Encoding: gzip\r\n";
  const Response got = ask(site.port, get(sps, accept));
  Client client(site.port);
  client.send("HEAD " + sps + " HTTP/1.1\r\nHost: h\r\n" + accept + "\r\n");
  const Response head = client.receive(true);
  CHECK(head.header("content-encoding") == "gzip");
  CHECK(head.header("content-length") == std::to_string(got.body.size()));
  client.send(get(sps + "?limit=1", accept));
  const Response small = client.receive();
  CHECK(small.status == 200);
  CHECK(small.header("content-encoding") == "-");
  CHECK(small.header("vary") == "-");
  client.send(get("/nowhere", accept));
  const Response problem = client.receive();
  CHECK(problem.status == 404);
  CHECK(problem.header("content-encoding") == "-");
}

TEST_CASE("Every form of result and the capabilities are compressed, with their own types") {
  Site site;
  for (const std::string type :
       {"application/dicom+json", "multipart/related; type=\"application/dicom+xml\"",
        "multipart/related; type=\"application/dicom+json\""}) {
    CAPTURE(type);
    const Response response =
        ask(site.port, get(sps, "Accept-Encoding: gzip\r\nAccept: " + type + "\r\n"));
    CHECK(response.status == 200);
    CHECK(response.header("content-encoding") == "gzip");
    CHECK(response.header("content-type").starts_with(type));
    CHECK(gunzip(response.body).find("ACC19") != std::string::npos);
  }
  const Response wadl =
      ask(site.port, "OPTIONS / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
  CHECK(wadl.header("content-encoding") == "gzip");
  CHECK(gunzip(wadl.body).find("<application") != std::string::npos);
}

TEST_CASE("curl, which nobody here wrote, unpacks an answer of many slabs") {
  Site site(30'000);
  const auto sum_of = [&](const std::string& arguments) {
    return web_test::run(fmt::format("curl -sS -m 30 {} http://127.0.0.1:{}{} | sha256sum",
                                     arguments, site.port, sps))
        .output;
  };
  const std::string plain = sum_of("");
  CHECK(plain.size() > 64);
  CHECK(plain != sum_of("-H 'Accept-Encoding: gzip'"));  // what is on the wire differs
  CHECK(plain == sum_of("--compressed"));
}

TEST_CASE("A body in gzip is read as if it were plain") {
  struct Row {
    std::string request;
    std::string why;
  };
  const std::string coded = gzip(step);
  for (const Row& row : {
           Row{posted(coded), "gzip"},
           Row{posted(coded, "GZIP"), "in any case"},
           Row{posted(coded, "x-gzip"), "by its old name (RFC 9110, 8.4.1.3)"},
           Row{posted(gzip(step.substr(0, 7)) + gzip(step.substr(7))), "two members (RFC 1952)"},
           Row{posted(step, "identity"), "no coding"},
           Row{posted(step, ""), "no coding"},
           Row{"POST " + target +
                   " HTTP/1.1\r\nHost: h\r\nContent-Type: application/dicom+json\r\n"
                   "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" +
                   fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", coded.size(), coded),
               "chunked"},
       }) {
    CAPTURE(row.why);
    Site site;
    CHECK(ask(site.port, row.request).status == 201);
    CHECK(web_test::json(site.steps.stored("1.2.3")) == step);
  }
}

TEST_CASE("Coded bodies that are damaged, bombs or in another coding are refused (B13)") {
  Site site;
  const std::string coded = gzip(step);
  std::string bad_sum = coded;
  bad_sum[coded.size() - 5] = static_cast<char>(bad_sum[coded.size() - 5] ^ 1);
  std::string bad_middle = coded;
  bad_middle[coded.size() / 2] = static_cast<char>(bad_middle[coded.size() / 2] ^ 0xFF);
  const std::string blanks(max_body - step.size(), ' ');
  const std::string bomb = gzip(std::string(50u << 20, ' '));
  REQUIRE(bomb.size() > max_body);
  const std::string small_bomb = gzip(std::string(10u << 20, ' '));
  REQUIRE(small_bomb.size() < max_body);
  struct Row {
    std::string request;
    int status;
    std::string detail;
    std::string why;
  };
  for (const Row& row : {
           Row{posted(step), 400, "not in gzip", "no gzip at all"},
           Row{posted(""), 400, "", "nothing"},
           Row{posted("\x1F\x8B\x08"), 400, "too early", "three bytes of a header"},
           Row{posted(coded.substr(0, coded.size() - 1)), 400, "too early", "cut off"},
           Row{posted(coded + "xyz"), 400, "damaged", "something behind it"},
           Row{posted(coded + coded.substr(0, 9)), 400, "too early", "half a member behind it"},
           Row{posted(bad_sum), 400, "damaged", "a wrong check sum"},
           Row{posted(bad_middle), 400, "", "a wrong byte"},
           Row{posted(gzip("")), 400, "empty", "an empty body"},
           Row{posted(gzip(gzip(step))), 400, "", "gzip in gzip, said once"},
           Row{posted(gzip(blanks + step + " ")), 413, "100000", "one byte too many"},
           Row{posted(small_bomb), 413, "100000", "a bomb"},
           Row{posted(bomb), 413, "100000", "too large as it is"},
           Row{posted(gzip(gzip(step)), "gzip, gzip"), 415, "gzip", "two codings"},
           Row{posted(coded, "gzip\r\nContent-Encoding: identity"), 415, "gzip", "two headers"},
           Row{posted(step, "deflate"), 415, "gzip", "deflate"},
           Row{posted(step, "br"), 415, "gzip", "br"},
           Row{posted(step, "zstd"), 415, "gzip", "zstd"},
           Row{posted(step, "nonsense"), 415, "gzip", "nonsense"},
       }) {
    CAPTURE(row.why);
    const Response response = ask(site.port, row.request);
    CAPTURE(response.body);
    CHECK(response.status == row.status);
    CHECK(response.header("content-type") == "application/problem+json");
    CHECK(response.body.find(row.detail) != std::string::npos);
    CHECK(response.header("accept-encoding") == (row.status == 415 ? "gzip" : "-"));
    CHECK(site.steps.stored("1.2.3").empty());
    site.steps.forget("1.2.3");
  }
  CHECK(ask(site.port, posted(gzip(blanks + step))).status == 201);
}
