// Framing is the ground that everything else stands on: each fault is refused with its code, and
// what is whole comes out the same however it was cut into pieces.
#include "web/request_reader.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using web::RawRequest;
using web::RequestLimits;
using web::RequestReader;
using Progress = web::RequestReader::Progress;

namespace {

constexpr RequestLimits limits{
    .max_head_bytes = 1000, .max_headers = 5, .max_target_bytes = 100, .max_body_bytes = 50};

std::string with_host(const std::string& rest) { return "GET /a HTTP/1.1\r\nHost: h\r\n" + rest; }
std::string chunked(const std::string& body) {
  return "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}

}  // namespace

TEST_CASE("Requests with doubtful framing are refused and never guessed at") {
  struct Row {
    std::string bytes;
    int status;
    std::string why;
  };
  const std::vector<Row> rows{
      {"GET /a HTTP/1.1\n", 400, "bare LF after the request line"},
      {"\r\n\r\n\r\n\r\n\r\n", 400, "empty lines and no request"},
      {with_host("A: b\n\r\n"), 400, "bare LF after a header"},
      {with_host("A: b\rc\r\n\r\n"), 400, "CR within a header"},
      {with_host(std::string("A: b\0c\r\n\r\n", 10)), 400, "NUL in the head"},
      {with_host("A: b\r\n c\r\n\r\n"), 400, "obs-fold"},
      {with_host("A : b\r\n\r\n"), 400, "blank before the colon"},
      {with_host(": b\r\n\r\n"), 400, "no header name"},
      {with_host("A\r\n\r\n"), 400, "no colon"},
      {with_host("A(b): c\r\n\r\n"), 400, "no token before the colon"},
      {with_host("A: \x01\r\n\r\n"), 400, "control character in a value"},
      {with_host("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 400, "Content-Length twice"},
      {with_host("Content-Length: 3, 3\r\n\r\nabc"), 400, "a list of lengths"},
      {with_host("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, "both framings"},
      {with_host("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400,
       "Transfer-Encoding twice"},
      {with_host("Transfer-Encoding: gzip, chunked\r\n\r\n"), 501, "another transfer coding"},
      {with_host("Transfer-Encoding: identity\r\n\r\n"), 501, "a coding of old"},
      {"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0 with chunks"},
      {with_host("Content-Length: -1\r\n\r\n"), 400, "negative length"},
      {with_host("Content-Length: +1\r\n\r\n"), 400, "signed length"},
      {with_host("Content-Length: 0x10\r\n\r\n"), 400, "hexadecimal length"},
      {with_host("Content-Length: \r\n\r\n"), 400, "empty length"},
      {with_host("Content-Length: 51\r\n\r\n"), 413, "over max_body_bytes, before any byte of it"},
      {with_host("Content-Length: 99999999999999999999999\r\n\r\n"), 413, "over any number"},
      {"GET /a HTTP/1.1\r\n\r\n", 400, "no Host in HTTP/1.1"},
      {with_host("Host: h\r\n\r\n"), 400, "two Hosts"},
      {with_host("Expect: a miracle\r\n\r\n"), 417, "an unknown expectation"},
      {"GET  /a HTTP/1.1\r\n\r\n", 400, "two blanks"},
      {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "a blank in the target"},
      {"GET /\xC3\xA4 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "a target beyond ASCII"},
      {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "a fragment"},
      {"GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "a target without a slash"},
      {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "* is for OPTIONS"},
      {"GET /a\r\n\r\n", 400, "HTTP/0.9"},
      {"GET /a HTTP/1.2\r\nHost: h\r\n\r\n", 505, "a version unknown"},
      {"GET /a HTTP/2.0\r\nHost: h\r\n\r\n", 505, "a version unknown"},
      {"GET /a FTP/1.1\r\nHost: h\r\n\r\n", 400, "no HTTP at all"},
      {"G@T /a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "a method that is no token"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "the preface of HTTP/2"},
      {"\x16\x03\x01\x02", 400, "a TLS handshake"},
      {"GET /" + std::string(200, 'a'), 414, "a target over the limit, though not whole yet"},
      {"GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414, "and whole"},
      {with_host("A: " + std::string(1000, 'a')), 431, "a head over the limit"},
      {with_host("A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n"), 431, "too many headers"},
      {chunked("g\r\n"), 400, "a chunk size that is no number"},
      {chunked("-1\r\n"), 400, "a negative chunk size"},
      {chunked("\r\n"), 400, "no chunk size"},
      {chunked("3 \r\nabc\r\n0\r\n\r\n"), 400, "a blank after a chunk size"},
      {chunked("0x3\r\nabc\r\n"), 400, "a prefix"},
      {chunked("3\nabc\r\n"), 400, "bare LF after a chunk size"},
      {chunked("3\r\nabcd\r\n"), 400, "a chunk longer than it says"},
      {chunked("33\r\n"), 413, "a chunk over max_body_bytes"},
      {chunked("30\r\n" + std::string(48, 'a') + "\r\n3\r\n"), 413, "together over it"},
      {chunked("ffffffffffffffffff\r\n"), 413, "a size over any number"},
      {chunked("3;" + std::string(2000, 'a')), 400, "an endless chunk extension"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    RequestReader whole(limits);
    REQUIRE(whole.feed(row.bytes) == Progress::refused);
    CHECK(whole.refusal().status == row.status);
    RequestReader bytewise(limits);
    for (const char c : row.bytes) bytewise.feed(std::string_view(&c, 1));
    REQUIRE(bytewise.progress() == Progress::refused);
    CHECK(bytewise.refusal().status == row.status);
  }
}

TEST_CASE("A request comes out the same however it is cut into pieces") {
  struct Row {
    std::string bytes;
    std::string target;
    std::string body;
  };
  const std::vector<Row> rows{
      {with_host("\r\n"), "/a", ""},
      {"\r\n\r\n" + with_host("\r\n"), "/a", ""},
      {"GET http://other/a?b=c?d HTTP/1.1\r\nHost: h\r\n\r\n", "/a?b=c?d", ""},
      {"GET http://other HTTP/1.1\r\nHost: h\r\n\r\n", "/", ""},
      {"GET http://other?b HTTP/1.1\r\nHost: h\r\n\r\n", "/?b", ""},
      {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*", ""},
      {"GET /a HTTP/1.0\r\n\r\n", "/a", ""},
      {with_host("Content-Length: 0\r\n\r\n"), "/a", ""},
      {with_host("Content-Length: 50\r\n\r\n" + std::string(50, 'x')), "/a", std::string(50, 'x')},
      {with_host("Content-Length: 4\r\n\r\n\r\n\r\n"), "/a", "\r\n\r\n"},
      {chunked("3\r\nabc\r\n00A;ext=\"1\"\r\n0123456789\r\n0\r\n\r\n"), "/a", "abc0123456789"},
      {chunked("0\r\nTrailer: read past\r\n\r\n"), "/a", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.bytes);
    RequestReader whole(limits);
    REQUIRE(whole.feed(row.bytes) == Progress::whole);
    RequestReader bytewise(limits);
    for (std::size_t i = 0; i < row.bytes.size(); ++i) {
      REQUIRE(bytewise.progress() != Progress::whole);
      bytewise.feed(row.bytes.substr(i, 1));
    }
    REQUIRE(bytewise.progress() == Progress::whole);
    for (RequestReader* reader : {&whole, &bytewise}) {
      const RawRequest request = reader->take();
      CHECK(request.target == row.target);
      CHECK(request.body == row.body);
      CHECK_FALSE(reader->begun());
    }
  }
}

TEST_CASE("Pipelined requests come one after the other, bodies and all") {
  RequestReader reader(limits);
  const std::string bytes = with_host("Content-Length: 2\r\n\r\nab") +
                            chunked("1\r\nc\r\n0\r\n\r\n") + "\r\n" +
                            "GET /last HTTP/1.1\r\nHost: h\r\n\r\n" + "GET /torso";
  REQUIRE(reader.feed(bytes) == Progress::whole);
  CHECK(reader.take().body == "ab");
  REQUIRE(reader.next() == Progress::whole);
  CHECK(reader.take().body == "c");
  REQUIRE(reader.next() == Progress::whole);
  CHECK(reader.take().target == "/last");
  CHECK(reader.next() == Progress::head);
  CHECK(reader.begun());
}

TEST_CASE("Expect is met once, and only while the body is not here") {
  RequestReader reader(limits);
  CHECK(reader.feed(with_host("Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")) ==
        Progress::body);
  CHECK(reader.take_expectation());
  CHECK_FALSE(reader.take_expectation());

  RequestReader eager(limits);
  CHECK(eager.feed(with_host("Expect: 100-continue\r\nContent-Length: 2\r\n\r\na")) ==
        Progress::body);
  CHECK_FALSE(eager.take_expectation());

  RequestReader old(limits);
  old.feed("POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK_FALSE(old.take_expectation());
}

TEST_CASE("The version and the Connection header say whether the connection stays open") {
  struct Row {
    std::string bytes;
    bool closes;
  };
  const std::vector<Row> rows{
      {"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", false},
      {"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", true},
      {"GET /a HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n", true},
      {"GET /a HTTP/1.0\r\n\r\n", true},
      {"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.bytes);
    RequestReader reader(limits);
    REQUIRE(reader.feed(row.bytes) == Progress::whole);
    CHECK(reader.take().wants_close() == row.closes);
  }
}
