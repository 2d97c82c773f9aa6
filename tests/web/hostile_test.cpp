// Raw requests that mean harm, or were made by something broken: after each of them a good client
// is served, and what is sent is never the answer to something that was smuggled.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/web/origin_server_support.h"

using web_test::ask;
using web_test::Client;
using web_test::get;
using web_test::gzip;
using web_test::post;
using web_test::Response;
using web_test::sps;

namespace {

const std::string step = "/modality-performed-procedure-steps/1.2.3";
const std::string good_body = R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})";

struct Attack {
  std::string bytes;
  std::vector<int> statuses;  ///< one of these; 0 = closed without an answer
};

std::string head(const std::string& request_line, const std::string& headers = "Host: h\r\n") {
  return request_line + "\r\n" + headers + "\r\n";
}

std::string posted(const std::string& headers, const std::string& body) {
  return "POST " + step + " HTTP/1.1\r\nHost: h\r\nContent-Type: application/dicom+json\r\n" +
         headers + "\r\n" + body;
}

std::string repeated(std::string_view text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

/// Two readers of one message: framing that another server in the way might read differently.
std::vector<Attack> smuggling() {
  const std::string inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  return {
      {posted("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"), {400}},
      {posted("Content-Length: 5\r\nContent-Length: 6\r\n", "123456"), {400}},
      {posted("Content-Length: 5, 5\r\n", "12345"), {400}},
      {posted("Content-Length: 4\r\n" + chunked, "0\r\n\r\n" + inner), {400}},
      {posted(chunked + "Content-Length: 4\r\n", "0\r\n\r\n" + inner), {400}},
      {posted(chunked + chunked, "0\r\n\r\n"), {400}},
      {posted("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), {501}},
      {posted("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), {501}},
      {posted("Transfer-Encoding: identity\r\n", "0\r\n\r\n"), {501}},
      {posted("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), {400}},
      {posted("Transfer-Encoding:\x0B"
              "chunked\r\n",
              "0\r\n\r\n"),
       {400}},
      {posted(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), {400}},
      {posted("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), {400}},
      {posted("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), {400}},
      {posted("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), {400}},
      {posted("Content-Length: +5\r\n", "12345"), {400}},
      {posted("Content-Length: -5\r\n", "12345"), {400}},
      {posted("Content-Length: 0x5\r\n", "12345"), {400}},
      {posted("Content-Length: 5 5\r\n", "12345"), {400}},
      {posted("Content-Length:\r\n", ""), {400}},
      {posted("Content-Length: 99999999999999999999999\r\n", ""), {413}},
      {posted("Content-Length: 18446744073709551615\r\n", ""), {413}},
      {posted("Content-Length: 999999999\r\n", ""), {413}},
      {posted(chunked, "-1\r\n\r\n"), {400}},
      {posted(chunked, "0x5\r\n12345\r\n0\r\n\r\n"), {400}},
      {posted(chunked, "ffffffffffffffff\r\n"), {413}},
      {posted(chunked, "fffffffffffffffff\r\n"), {400, 413}},
      {posted(chunked, "5\r\n123456\r\n0\r\n\r\n"), {400}},
      {posted(chunked, "5\n12345\n0\n\n"), {400}},
      {posted(chunked, "5;" + std::string(5000, 'x')), {400}},
      {posted(chunked, "zz\r\n"), {400}},
      {posted(chunked, "\r\n"), {400}},
      {posted(chunked, "0\r\n" + repeated("X: y\r\n", 10000)), {431}},
      {head("POST " + step + " HTTP/1.0", "Transfer-Encoding: chunked\r\n"), {400}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nHost: h\r\n"), {400}},
      {head("GET " + sps + " HTTP/1.1", "X: y\r\n"), {400}},
  };
}

std::vector<Attack> oversized() {
  return {
      {head("GET /" + std::string(20000, 'a') + " HTTP/1.1"), {414}},
      {"GET /" + std::string(200000, 'a'), {414}},
      {head("GET " + sps + "?x=" + std::string(9000, 'a') + " HTTP/1.1"), {414}},
      {head("GET /" + std::string(2000, 'a') + " HTTP/1.1"), {414}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\n" + repeated("X: y\r\n", 10000)), {431}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nX: " + std::string(100000, 'y') + "\r\n"),
       {431}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\n" + std::string(100000, 'X') + ": y\r\n"),
       {431}},
      {std::string(100000, 'G'), {400, 414}},
      {head("GET " + sps + "?limit=99999999999999999999 HTTP/1.1"), {400}},
      {head("GET " + sps + "?" + repeated("a&", 3000) + " HTTP/1.1"), {200}},
      {head("GET " + sps + "?" + repeated("00400100.", 500) + "00080060=x HTTP/1.1"), {400}},
      {post(step, repeated("[", 100000)), {400}},
      {post(step, repeated("{\"00400340\":{\"vr\":\"SQ\",\"Value\":[", 1000)), {400, 413}},
      {post(step, repeated("<a>", 100000), "application/dicom+xml"), {400}},
  };
}

/// What ends before it is whole: nobody is there to be answered.
std::vector<Attack> cut_off() {
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  return {
      {"", {0}},
      {"\r\n", {0}},
      {"G", {0}},
      {"GET " + sps + " HTTP/1.1\r\nHost: h\r\n", {0}},
      {"GET " + sps + " HTTP/1.1\r\nHost: h\r\n\r", {0}},
      {posted("Content-Length: 100\r\n", ""), {0}},
      {posted("Content-Length: 100\r\n", good_body), {0}},
      {posted(fmt::format("Content-Length: {}\r\n", good_body.size() + 1), good_body), {0}},
      {posted(chunked, ""), {0}},
      {posted(chunked, "5"), {0}},
      {posted(chunked, "5\r\n123"), {0}},
      {posted(chunked, "5\r\n12345\r\n0\r\n"), {0}},
      {posted("Content-Length: 5\r\nExpect: 100-continue\r\n", ""), {100}},
  };
}

/// Bodies that are larger, or other, than they look.
std::vector<Attack> disguised() {
  const auto coded = [](std::string_view body, const std::string& coding = "gzip") {
    return post(step, body, "application/dicom+json", "Content-Encoding: " + coding + "\r\n");
  };
  const std::string bomb = gzip(std::string(100u << 20, ' '));
  const std::string brackets = gzip(std::string(4u << 20, '['));
  return {
      {coded(bomb), {413}},
      {coded(bomb + bomb + bomb), {413}},
      {coded(gzip(bomb)), {400}},
      {coded(gzip(bomb), "gzip, gzip"), {415}},
      {coded(bomb.substr(0, bomb.size() / 2)), {413}},
      {coded(gzip(std::string((4u << 20) + 1, ' '))), {413}},
      {coded(brackets), {400}},
      {coded("\x1F\x8B\x08"), {400}},
      {coded(gzip(good_body).substr(10)), {400}},
      {coded(std::string(1000, '\0')), {400}},
      {coded(good_body), {400}},
      {coded(good_body, "br"), {415}},
      {coded(good_body, "gzip;q=1"), {415}},
      {post(step, gzip(good_body)), {400}},
      {post(step, good_body, "application/dicom+json; charset=utf-7"), {415}},
      {post(step, good_body, "application/dicom+json, text/plain"), {415}},
      {post(step, good_body, "application/dicom+json; boundary"), {415}},
      {post(step, "--b\r\n\r\n" + good_body + "\r\n--c--", "multipart/related; boundary=b"), {415}},
      {post(step, "--\r\n\r\n" + good_body + "\r\n----", "multipart/related; boundary="), {415}},
      {post(step, good_body, "multipart/related; boundary=" + std::string(1000, 'b')), {415}},
      {post(step, good_body, "multipart/form-data"), {415}},
      {post(step, "\xFE\xFF\0{\0}", "application/dicom+json"), {400}},
      {post(step, "{\"00400252\":{\"vr\":\"CS\",\"Value\":[1e999999]}}"), {400}},
      {post(step, "{\"00400252\":{\"vr\":\"CS\"},\"00400252\":{\"vr\":\"CS\"}}"), {400}},
  };
}

/// What comes back in headers of the answer: a Warning, a Location, CORS.
std::vector<Attack> injected() {
  const std::string evil = "%0d%0aSet-Cookie:%20a=b";
  return {
      {head("GET " + sps + "?limit=0 HTTP/1.1", "Host: h\tSet-Cookie: a\r\n"), {204}},
      {head("GET " + sps + "?limit=0 HTTP/1.1", "Host: \"h\"\r\n"), {204}},
      {head("GET " + sps + "?accept=" + evil + " HTTP/1.1"), {200, 400}},
      {head("GET " + sps + "?charset=" + evil + " HTTP/1.1"), {200, 400}},
      {head("GET " + sps + "?" + evil + "=1 HTTP/1.1"), {200, 400}},
      {head("GET " + sps + "?includefield=" + evil + " HTTP/1.1"), {400}},
      {head("GET " + sps + "?limit=1" + evil + " HTTP/1.1"), {400}},
      {head("GET /" + evil + " HTTP/1.1"), {404}},
      {head("GET " + sps + evil + " HTTP/1.1"), {404}},
      {post(step + evil, good_body), {400, 404}},
      {post(step + "9?update" + evil, good_body), {201}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nOrigin: https://a\r\n b\r\n"), {400}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nAccept: a\x0D\x0A\x0D\x0A"), {406, 200}},
  };
}

/// Requests that are none, and targets that lead elsewhere.
std::vector<Attack> malformed() {
  return {
      {"\r\n\r\n\r\n\r\nGET\r\n\r\n", {400}},
      {std::string("\0\0\0\0\r\n\r\n", 8), {400}},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}},
      {"SSH-2.0-OpenSSH_9.2\r\n\r\n", {400}},
      {"GET\r\n\r\n", {400}},
      {"GET /\r\n\r\n", {400}},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", {400}},
      {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", {400}},
      {"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", {400}},
      {"GET / http/1.1\r\nHost: h\r\n\r\n", {400}},
      {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", {505}},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", {505}},
      {"GET / HTTP/11\r\nHost: h\r\n\r\n", {400}},
      {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", {400}},
      {head("BREW / HTTP/1.1"), {501}},
      {head("TRACE / HTTP/1.1"), {404, 405}},
      {head("CONNECT evil.example:443 HTTP/1.1"), {400}},
      {head("GET evil HTTP/1.1"), {400}},
      {head("GET * HTTP/1.1"), {400}},
      {head("GET /a#b HTTP/1.1"), {400}},
      {head("GET /\xC3\xA4 HTTP/1.1"), {400}},
      {head("GET /../../etc/passwd HTTP/1.1"), {404}},
      {head("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1"), {404}},
      {head("GET /..%2f..%2fetc%2fpasswd HTTP/1.1"), {404}},
      {head("GET " + sps + "/../../etc/passwd HTTP/1.1"), {404}},
      {head("GET " + step + "%00 HTTP/1.1"), {400, 404}},
      {head("GET " + step + "%0d%0aX:%20y HTTP/1.1"), {400, 404}},
      {head("GET " + sps + "?PatientID=%0d%0aSet-Cookie:%20a HTTP/1.1"), {200, 400}},
      {head("GET " + sps + "?PatientID=%00 HTTP/1.1"), {400}},
      {head("GET " + sps + "?PatientID=%ff%fe HTTP/1.1"), {400}},
      {head("GET " + sps + "?PatientID=%c0%ae HTTP/1.1"), {400}},
      {head("GET " + sps + "?PatientID=% HTTP/1.1"), {400}},
      {head("GET " + sps + "?PatientID=%zz HTTP/1.1"), {400}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nX\r\n"), {400}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\n: y\r\n"), {400}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nX: \x01\r\n"), {400}},
      {head("GET " + sps + " HTTP/1.1", "Host: h\r\nExpect: 200-maybe\r\n"), {417}},
      {post(step, "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
            "application/dicom+xml"),
       {400}},
      {post(step, "{\"00400252\":{\"vr\":\"CS\",\"Value\":[\"\\ud800\"]}}"), {400}},
      {post(step, "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"9.9\"]}}"), {400}},
  };
}

}  // namespace

TEST_CASE("After each of more than a hundred hostile requests a good one is served") {
  web::OriginServerOptions options;
  options.workers = 2;
  web_test::Site site(options);
  site.add_steps(1);
  const std::uint16_t port = site.port;
  std::size_t count = 0;
  for (const auto& attacks :
       {smuggling(), oversized(), malformed(), cut_off(), disguised(), injected()}) {
    for (const Attack& attack : attacks) {
      CAPTURE(attack.bytes.substr(0, 200));
      ++count;
      Client client(port);
      client.send(attack.bytes);
      // Who waits for the result of a search may not end his side: that means he went away.
      const bool refused = attack.statuses.front() / 100 != 2;
      if (refused) client.half_close();
      const Response response = client.receive();
      CAPTURE(response.status);
      CHECK(std::find(attack.statuses.begin(), attack.statuses.end(), response.status) !=
            attack.statuses.end());
      CHECK(response.header("set-cookie") == "-");
      if (refused) {
        CHECK(client.receive().status == 0);  // nothing smuggled is answered
      }
      CHECK(ask(port, get(sps)).status == 200);
    }
  }
  CHECK(count >= 140);
  CHECK(ask(port, post(step, good_body)).status == 201);
}
