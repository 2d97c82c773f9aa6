// TLS against OpenSSL's own client, curl and our user agent: which versions, suites and
// certificates are accepted.
#include "web/tls.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <sstream>

#include "tests/web/certificates.h"
#include "tests/web/origin_server_support.h"
#include "web/user_agent.h"

using mapping::NetworkEvent;
using mapping::Outcome;
using web::TlsFiles;
using web_test::Certificates;
using web_test::certificates;
using web_test::Run;
using web_test::run;
using web_test::sps;

namespace {

struct Site : web_test::Site {
  explicit Site(TlsFiles files, web::OriginServerOptions options = {})
      : web_test::Site([&] {
          options.tls = std::move(files);
          return options;
        }()) {
    add_steps(3);
  }
  /// A request by OpenSSL's own client.
  Run s_client(const std::string& arguments) const {
    return run(
        fmt::format("printf 'GET {} HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n' | "
                    "openssl s_client -connect 127.0.0.1:{} -ign_eof -CAfile {} {}",
                    sps, port, certificates().file("ca.pem"), arguments));
  }
};

bool served(const Run& run) { return run.output.find("HTTP/1.1 200 OK") != std::string::npos; }

mapping::Context patient() {
  web_test::cross_the_wire();
  mapping::Context context;
  context.deadline = std::chrono::steady_clock::now() + web_test::patience;
  return context;
}

/// How a search through our own user agent ends, and how many matches it has.
std::pair<Outcome, int> search(std::uint16_t port, TlsFiles files, const mapping::Log& log,
                               const std::string& host = "localhost") {
  web::UserAgentOptions options;
  options.base_uri = fmt::format("https://{}:{}", host, port);
  options.tls = std::move(files);
  auto agent = web::UserAgent::make(options, log);
  REQUIRE(agent.ok());
  int matches = 0;
  const auto count = [&](mapping::Match&&) { return ++matches > 0; };
  return {agent.value()->search({}, count, patient()), matches};
}

}  // namespace

TEST_CASE("Of all versions, TLS 1.2 and 1.3 are spoken, the log says who came with another (I8)") {
  Site site(certificates().files("good"));
  const std::string old = " -cipher ALL:@SECLEVEL=0";
  for (const std::string accepted : {"-tls1_3", "-tls1_2", "-alpn http/1.1", "-alpn h2,http/1.1",
                                     "-tls1_2 -alpn http/1.1", "-servername localhost"}) {
    CAPTURE(accepted);
    CHECK(served(site.s_client(accepted)));
  }
  for (const std::string refused : {"-tls1_1", "-tls1"}) {
    CAPTURE(refused);
    const Run answer = site.s_client(refused + old);
    CHECK_FALSE(served(answer));
    CHECK(answer.output.find("alert protocol version") != std::string::npos);
    CHECK(served(site.s_client("")));
  }
  CHECK(site.lines.hold("TLS: unsupported protocol"));
  // Neither a renegotiation nor compression.
  const Run asked = site.s_client("-tls1_2");
  CHECK(asked.output.find("Compression: NONE") != std::string::npos);
}

TEST_CASE("Of all suites that OpenSSL knows, those of BCP 195 are spoken and no other (I9)") {
  const std::set<std::string> of_rsa{"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                                     "ECDHE-RSA-CHACHA20-POLY1305"};
  const std::set<std::string> of_curves{"ECDHE-ECDSA-AES128-GCM-SHA256",
                                        "ECDHE-ECDSA-AES256-GCM-SHA384",
                                        "ECDHE-ECDSA-CHACHA20-POLY1305"};
  const auto names = [](const std::string& arguments) {
    std::istringstream list(run("openssl ciphers " + arguments + " | tr : '\\n'").output);
    std::vector<std::string> result;
    for (std::string name; list >> name;) result.push_back(name);
    return result;
  };
  Site with_rsa(certificates().files("good"));
  Site with_curve(certificates().files("elliptic"));
  const auto suites = names("-s -tls1_2 ALL:COMPLEMENTOFALL:@SECLEVEL=0");
  REQUIRE(suites.size() > 40);
  std::set<std::string> spoken_with_rsa;
  std::set<std::string> spoken_with_curve;
  for (const std::string& suite : suites) {
    const std::string only = "-tls1_2 -psk 00 -cipher " + suite + ":@SECLEVEL=0";
    if (served(with_rsa.s_client(only))) spoken_with_rsa.insert(suite);
    // What needs an RSA key of the server is refused for that already.
    if (suite.find("RSA") != std::string::npos && suite.find("ECDSA") == std::string::npos)
      continue;
    if (served(with_curve.s_client(only))) spoken_with_curve.insert(suite);
  }
  CHECK(spoken_with_rsa == of_rsa);
  CHECK(spoken_with_curve == of_curves);
  CHECK(with_rsa.lines.hold("TLS: no shared cipher"));
  const std::set<std::string> of_1_3{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                     "TLS_CHACHA20_POLY1305_SHA256"};
  for (const std::string suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"}) {
    CAPTURE(suite);
    CHECK(served(with_rsa.s_client("-tls1_3 -ciphersuites " + suite)) == (of_1_3.count(suite) > 0));
  }
}

TEST_CASE("A renegotiation that a client asks for is not done") {
  Site site(certificates().files("good"));
  // R at the start of a line asks for one.
  const Run asked =
      run(fmt::format("(sleep 0.3; echo R; sleep 0.3) | openssl s_client -tls1_2 -connect "
                      "127.0.0.1:{} -CAfile {}",
                      site.port, certificates().file("ca.pem")));
  CHECK(asked.output.find("RENEGOTIATING") != std::string::npos);
  CHECK(asked.output.find("no renegotiation") != std::string::npos);
  CHECK(served(site.s_client("")));
}

TEST_CASE(
    "Over the limit of connections a TLS client is told 503 in TLS, and a silent one let go") {
  web::OriginServerOptions options;
  options.max_connections = 1;
  Site site(certificates().files("good"), options);
  const web_test::Client first(site.port);
  const Run told = site.s_client("");
  CHECK(told.output.find("HTTP/1.1 503 Service Unavailable") != std::string::npos);
  CHECK(told.output.find("Retry-After: 5") != std::string::npos);
  CHECK(told.output.find("Verification: OK") != std::string::npos);
  web_test::Client silent(site.port);
  CHECK(silent.closed());
  web_test::Client slow(site.port);
  CHECK(web_test::eventually([&] { return !slow.send("\x16"); }));
}

TEST_CASE("Nobody over the limit keeps another one from being told so, however many come") {
  web::OriginServerOptions options;
  options.max_connections = 1;
  Site site(certificates().files("good"), options);
  const web_test::Client first(site.port);
  std::vector<std::unique_ptr<web_test::Client>> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<web_test::Client>(site.port));
  CHECK(web_test::eventually(
      [&] { return site.s_client("").output.find("HTTP/1.1 503") != std::string::npos; }));
  for (const auto& client : silent) CHECK(client->closed());
}

TEST_CASE("curl, which checks the certificate, is served over TLS; plain HTTP is not") {
  Site site(certificates().files("good"));
  const std::string url = fmt::format("https://localhost:{}{}", site.port, sps);
  const std::string trusting = "curl -sS --cacert " + certificates().file("ca.pem") + " ";
  const Run found = run(trusting + "-D - " + url + "?limit=1");
  CHECK(found.output.find("200 OK") != std::string::npos);
  CHECK(found.output.find("Warning: 299 https://localhost:") != std::string::npos);
  // A body longer than a record, and a connection used twice.
  for (int i = 3; i < 3000; ++i) site.worklist.matches.push_back(web_test::scheduled_step(i));
  const Run twice = run(trusting + fmt::format("-o /dev/null -o /dev/null -w '%{{http_code}} "
                                               "%{{size_download}} %{{num_connects}}\\n' {0} {0}",
                                               url));
  std::size_t size = 2;  // brackets, commas
  for (const auto& match : site.worklist.matches) size += web_test::json(match).size() + 1;
  CHECK(twice.output == fmt::format("200 {0} 1\n200 {0} 0\n", size - 1));
  CHECK(web_test::ask(site.port, web_test::get(sps)).status == 0);
  CHECK(web_test::eventually([&] { return site.lines.hold("TLS: http request"); }));
}

TEST_CASE("A server that asks for client certificates takes those of its CA only, and says why") {
  Site site(certificates().files("good", "ca"));
  const auto with = [](const std::string& name) {
    return fmt::format("-cert {} -key {}", certificates().file(name + ".pem"),
                       certificates().file(name + ".key"));
  };
  for (const std::string version : {"-tls1_2 ", "-tls1_3 "}) {
    CHECK(served(site.s_client(version + with("good"))));
    CHECK_FALSE(served(site.s_client(version)));
    CHECK(site.lines.hold("TLS: peer did not return a certificate"));
    CHECK_FALSE(served(site.s_client(version + with("expired"))));
    CHECK(site.lines.hold("TLS: the peer's certificate is refused: certificate has expired"));
    CHECK_FALSE(served(site.s_client(version + with("stranger"))));
    CHECK(site.lines.hold("TLS: the peer's certificate is refused: unable to get local issuer"));
  }
}

TEST_CASE("The user agent is served by whom it trusts, under the name it asked for") {
  web_test::Lines lines;
  const Site good(certificates().files("good"));
  const TlsFiles trusting{"", "", certificates().file("ca.pem")};
  for (const char* host : {"localhost", "127.0.0.1"}) {
    const auto [outcome, matches] = search(good.port, trusting, lines.log(), host);
    CHECK(outcome.status == mapping::dimse_status::success);
    CHECK(matches == 3);
  }
  struct Row {
    std::string certificate;
    std::string trusted;
    std::string why;
  };
  for (const Row& row : {Row{"expired", "ca", "certificate has expired"},
                         Row{"wrong_host", "ca", "hostname mismatch"},
                         Row{"good", "other_ca", "unable to get local issuer certificate"},
                         Row{"stranger", "ca", "unable to get local issuer certificate"}}) {
    CAPTURE(row.certificate, row.trusted);
    const Site site(certificates().files(row.certificate));
    const auto [outcome, matches] =
        search(site.port, {"", "", certificates().file(row.trusted + ".pem")}, lines.log());
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::tls_failed);
    CHECK(matches == 0);
    CHECK(lines.hold("TLS with localhost: the peer's certificate is refused: " + row.why));
  }
}

TEST_CASE(
    "The user agent shows its certificate; without it nothing is found and nothing invented") {
  const Site site(certificates().files("good", "ca"));
  const auto [shown, matches] =
      search(site.port, certificates().files("good", "ca"), web_test::silent());
  CHECK(shown.status == mapping::dimse_status::success);
  CHECK(matches == 3);
  web_test::Lines lines;
  const auto [hidden, none] =
      search(site.port, {"", "", certificates().file("ca.pem")}, lines.log());
  CHECK_FALSE(hidden.good());
  CHECK(none == 0);
  CHECK(lines.hold("certificate required"));
}

TEST_CASE("A server that speaks no TLS is unreachable by https, in time") {
  web_test::ScriptedServer plain(
      {[](web_test::Peer& peer, const web_test::Request&) { peer.answer(200, "[]"); }});
  web_test::Lines lines;
  web::UserAgentOptions options;
  options.base_uri = fmt::format("https://127.0.0.1:{}", plain.port());
  options.connect_timeout = std::chrono::milliseconds(300);
  auto agent = web::UserAgent::make(options, lines.log());
  REQUIRE(agent.ok());
  const Outcome outcome = agent.value()->search(
      {}, [](mapping::Match&&) { return true; }, patient());
  CHECK(outcome.how == Outcome::How::unreachable);
  CHECK(outcome.event == NetworkEvent::tls_failed);
  CHECK(lines.hold("TLS with 127.0.0.1: the handshake ended early"));
}

TEST_CASE("Files that cannot be used are faults that name the key and the file") {
  const auto& made = certificates();
  struct Row {
    TlsFiles files;
    std::string what;
  };
  for (const Row& row : {
           Row{{"/nowhere.pem", "/nowhere.key", ""},
               "tls_certificate: cannot use /nowhere.pem: No"},
           Row{{made.file("good.key"), made.file("good.key"), ""}, "tls_certificate: cannot use "},
           Row{{made.file("good.pem"), made.file("expired.key"), ""},
               "tls_private_key: cannot use "},
           Row{{made.file("good.pem"), made.file("good.key"), "/nowhere"},
               "tls_trusted: cannot use"},
       }) {
    CAPTURE(row.what);
    const auto context = web::TlsContext::for_server(row.files);
    REQUIRE_FALSE(context.ok());
    CAPTURE(context.fault().what);
    CHECK(context.fault().what.starts_with(row.what));
  }
}

TEST_CASE("The end of a certificate file is that of the first certificate in it to end") {
  using namespace std::chrono_literals;
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto good = web::certificate_end(certificates().file("good.pem"));
  REQUIRE(good.ok());
  CHECK(good.value() > now + 24h);
  CHECK(good.value() <= now + 48h);
  const std::string chain = certificates().file("chain.pem");
  REQUIRE(run(fmt::format("cat {} {} >{}", certificates().file("good.pem"),
                          certificates().file("expired.pem"), chain))
              .code == 0);
  const auto first = web::certificate_end(chain);
  REQUIRE(first.ok());
  CHECK(first.value() < now);
  const std::string endless = certificates().file("endless.pem");  // RFC 5280, 4.1.2.5
  REQUIRE(run(fmt::format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                          "-days 2900000 -subj /CN=ct -keyout {0}.key -out {0}",
                          endless))
              .code == 0);
  const auto late = web::certificate_end(endless);
  REQUIRE(late.ok());
  CHECK(late.value() > now + 24h * 365 * 7000);
  CHECK_FALSE(web::certificate_end(certificates().file("good.key")).ok());
  CHECK_FALSE(web::certificate_end("/nowhere").ok());
}
