// TLS against OpenSSL's own client, curl and our user agent: which versions, suites and
// certificates are accepted. The certificates are made by the openssl program for each run.
#include "web/tls.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/web/web_support.h"
#include "web/origin_server.h"
#include "web/user_agent.h"

using mapping::NetworkEvent;
using mapping::Outcome;
using web::TlsFiles;

namespace {

const std::string sps = "/modality-scheduled-procedure-steps";

struct Run {
  int code = -1;
  std::string output;  ///< both streams
};

Run run(const std::string& command) {
  Run result;
  std::FILE* pipe = ::popen(("{ " + command + " ; } 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, pipe)) {
    result.output.append(buffer, got);
  }
  result.code = ::pclose(pipe);
  return result;
}

/// Two CAs, and certificates of the first for localhost: a good, an expired and another host's.
class Certificates {
 public:
  Certificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "modgate-tls-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    for (const char* ca : {"ca", "other_ca"}) {
      make(fmt::format(
          "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
          "-subj /CN={0} -keyout {0}.key -out {0}.pem",
          ca));
    }
    sign("good", "ca", "-days 2", "DNS:localhost,IP:127.0.0.1");
    sign("expired", "ca", "-days -1", "DNS:localhost,IP:127.0.0.1");
    sign("wrong_host", "ca", "-days 2", "DNS:elsewhere.example");
    sign("stranger", "other_ca", "-days 2", "DNS:localhost,IP:127.0.0.1");
  }
  ~Certificates() { std::filesystem::remove_all(directory_); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  std::string file(const std::string& name) const { return directory_ + "/" + name; }
  TlsFiles files(const std::string& name, const std::string& trusted = "") const {
    return {file(name + ".pem"), file(name + ".key"),
            trusted.empty() ? "" : file(trusted + ".pem")};
  }

 private:
  void make(const std::string& command) {
    const Run made = run("cd " + directory_ + " && " + command);
    INFO(made.output);
    REQUIRE(made.code == 0);
  }
  void sign(const std::string& name, const std::string& ca, const std::string& days,
            const std::string& names) {
    make(fmt::format(
        "openssl req -new -newkey rsa:2048 -nodes -subj /CN={0} -keyout {0}.key -out {0}.csr && "
        "echo subjectAltName={3} >{0}.ext && openssl x509 -req -in {0}.csr -CA {1}.pem -CAkey "
        "{1}.key "
        "-CAcreateserial {2} -extfile {0}.ext -out {0}.pem",
        name, ca, days, names));
  }

  std::string directory_;
};

const Certificates& certificates() {
  static const Certificates made;
  return made;
}

struct Site {
  explicit Site(TlsFiles files)
      : server(
            [&] {
              web::OriginServerOptions options;
              options.bind = "127.0.0.1";
              options.port = 0;
              options.workers = 2;
              options.tls = std::move(files);
              return options;
            }(),
            [this](const mapping::Caller&) {
              return mapping::Services{&worklist, &steps};
            },
            lines.log()) {
    for (int i = 0; i < 3; ++i) worklist.matches.push_back(web_test::scheduled_step(i));
    const auto started = server.start();
    REQUIRE(started.ok());
    port = started.value();
  }
  /// A request by OpenSSL's own client.
  Run s_client(const std::string& arguments) const {
    return run(
        fmt::format("printf 'GET {} HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n' | "
                    "openssl s_client -connect 127.0.0.1:{} -ign_eof -CAfile {} {}",
                    sps, port, certificates().file("ca.pem"), arguments));
  }

  web_test::MemoryWorklist worklist;
  web_test::MemoryMpps steps;
  web_test::Lines lines;
  web::OriginServer server;
  std::uint16_t port = 0;
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

TEST_CASE("TLS 1.2 and 1.3 with the suites of BCP 195 are spoken, and nothing else") {
  const Site site(certificates().files("good"));
  for (const char* accepted :
       {"-tls1_3", "-tls1_2", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384",
        "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
        "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256",
        "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384",
        "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305", "-alpn http/1.1", "-alpn h2,http/1.1"}) {
    CAPTURE(accepted);
    CHECK(served(site.s_client(accepted)));
  }
  for (const char* refused :
       {"-tls1_1 -cipher DEFAULT@SECLEVEL=0", "-tls1 -cipher DEFAULT@SECLEVEL=0",
        "-tls1_2 -cipher AES128-GCM-SHA256", "-tls1_2 -cipher AES256-SHA",
        "-tls1_2 -cipher ECDHE-RSA-AES128-SHA", "-tls1_2 -cipher ECDHE-RSA-AES256-SHA384",
        "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", "-tls1_2 -cipher aNULL@SECLEVEL=0",
        "-tls1_2 -cipher PSK", "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256"}) {
    CAPTURE(refused);
    CHECK_FALSE(served(site.s_client(refused)));
    CHECK(served(site.s_client("")));
  }
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
  const auto [hidden, none] =
      search(site.port, {"", "", certificates().file("ca.pem")}, web_test::silent());
  CHECK_FALSE(hidden.good());
  CHECK(none == 0);
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
