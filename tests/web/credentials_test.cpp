// Who the user agent says it is, and to whom: against an origin server and a token endpoint that
// play scripts.
#include "web/credentials.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/web/user_agent_support.h"

using namespace user_agent_test;

namespace {

/// A file with a secret, for as long as a test runs.
class SecretFile {
 public:
  explicit SecretFile(std::string_view content) {
    std::string pattern = (std::filesystem::temp_directory_path() / "modgate-XXXXXX").string();
    const int file = ::mkstemp(pattern.data());
    REQUIRE(file >= 0);
    ::close(file);
    name_ = pattern;
    write(content);
  }
  ~SecretFile() { std::filesystem::remove(name_); }
  SecretFile(const SecretFile&) = delete;
  SecretFile& operator=(const SecretFile&) = delete;

  const std::string& name() const { return name_; }
  /// Into the same file.
  void write(std::string_view content) { std::ofstream(name_) << content; }
  /// As careful programs do: another file under the same name.
  void replace(std::string_view content) {
    std::ofstream(name_ + ".new") << content;
    std::filesystem::rename(name_ + ".new", name_);
  }

 private:
  std::string name_;
};

}  // namespace

TEST_CASE("Basic credentials go with every request, and a 401 is not asked again (RFC 7617)") {
  Stage stage({answer(204), answer(401), answer(401)}, [](UserAgentOptions& options) {
    options.credentials.username = "modgate";
    options.credentials.password = "p\xC3\xA4ss:word";
  });
  CHECK(search(*stage.agent).outcome.good());
  CHECK(search(*stage.agent).outcome.status == status::upstream_refused_authorization);
  CHECK(stage.agent->create(uid, data_set(in_progress), patient()).status ==
        status::not_authorized);
  // printf 'modgate:päss:word' | base64
  const std::string header = "Basic bW9kZ2F0ZTpww6Rzczp3b3Jk";
  CHECK(authorizations(stage.server) == std::vector{header, header, header});
}

TEST_CASE("Without credentials none are sent") {
  Stage stage({answer(401)});
  Context context = patient();
  context.caller.bearer_token = "the.callers.own";
  CHECK(search(*stage.agent, {}, context).outcome.status == status::upstream_refused_authorization);
  CHECK(authorizations(stage.server) == std::vector<std::string>{"-"});
}

TEST_CASE("A bearer token is read again when its file changes, and once more after a 401") {
  SecretFile file("one\nsecond line\n");
  Stage stage(
      {answer(204), answer(204), answer(204), answer(401), answer(204), answer(401)},
      [&](UserAgentOptions& options) { options.credentials.bearer_token_file = file.name(); });
  CHECK(search(*stage.agent).outcome.good());
  file.replace("  two-22 \r\n");
  CHECK(search(*stage.agent).outcome.good());
  file.write("three");
  CHECK(search(*stage.agent).outcome.good());
  // A change that cannot be seen: same inode, size and times.
  const auto time = std::filesystem::last_write_time(file.name());
  file.write("THREE");
  std::filesystem::last_write_time(file.name(), time);
  CHECK(search(*stage.agent).outcome.good());
  CHECK(search(*stage.agent).outcome.status == status::upstream_refused_authorization);
  CHECK(authorizations(stage.server) == std::vector<std::string>{"Bearer one", "Bearer two-22",
                                                                 "Bearer three", "Bearer three",
                                                                 "Bearer THREE", "Bearer THREE"});
}

TEST_CASE("A token file that is gone or holds no token leaves the last one, and says so once") {
  for (const std::string broken : {"", "\n", "two words", "\x01", "t\xC3\xB6ken"}) {
    CAPTURE(broken);
    SecretFile file("secret-one");
    web_test::Lines lines;
    ScriptedServer server({answer(204), answer(204), answer(204)});
    UserAgentOptions options = quick(server.base_uri());
    options.credentials.bearer_token_file = file.name();
    auto agent = UserAgent::make(options, lines.log());
    REQUIRE(agent.ok());
    CHECK(search(*agent.value()).outcome.good());
    file.replace(broken);
    CHECK(search(*agent.value()).outcome.good());
    std::filesystem::remove(file.name());
    CHECK(search(*agent.value()).outcome.good());
    const std::string header = "Bearer secret-one";
    CHECK(authorizations(server) == std::vector{header, header, header});
    CHECK(lines.hold("bearer_token_file: cannot use " + file.name() + ": its first line is no"));
    CHECK(lines.hold("bearer_token_file: cannot use " + file.name() + ": No such file"));
    CHECK_FALSE(lines.hold("secret-one"));
    if (!broken.empty() && broken != "\n") CHECK_FALSE(lines.hold(broken));
  }
}

TEST_CASE("The caller's own token is handed on where that is wanted; who has none is announced") {
  Stage stage({answer(204), answer(204), answer(401)}, [](UserAgentOptions& options) {
    options.credentials.username = "a";
    options.credentials.password = "b";
    options.credentials.forward_bearer_token = true;
  });
  Context context = patient();
  context.caller.bearer_token = "eyJ.a-b_c~d+/=.x";
  CHECK(search(*stage.agent, {}, context).outcome.good());
  CHECK(search(*stage.agent).outcome.good());
  CHECK(search(*stage.agent, {}, context).outcome.status == status::upstream_refused_authorization);
  for (const std::string bad : {"a b", "a\r\nX: y", "t\xC3\xB6ken"}) {
    context.caller.bearer_token = bad;
    CHECK(search(*stage.agent, {}, context).outcome.status ==
          status::upstream_refused_authorization);
  }
  const std::string own = "Bearer eyJ.a-b_c~d+/=.x";
  CHECK(authorizations(stage.server) == std::vector<std::string>{own, "Basic YTpi", own});
}

TEST_CASE("After a redirect to another server no credentials are sent there, and back home again") {
  ScriptedServer other(
      {answer(200, list(0, 1)), [&](Peer& peer, const Request& request) {
         const std::size_t at = request.target.find('=') + 1;
         peer.answer(302, "",
                     {{"Location", "http://127.0.0.1:" + request.target.substr(at) + "/back"}});
       }});
  const std::string there = fmt::format("http://127.0.0.1:{}", other.port());
  Stage stage({answer(307, "", {{"Location", there + "/x"}}),
               [&](Peer& peer, const Request& request) {
                 const std::size_t colon = request.head.find("127.0.0.1:") + 10;
                 const std::string port =
                     request.head.substr(colon, request.head.find("\r\n", colon) - colon);
                 peer.answer(302, "", {{"Location", there + "/y?port=" + port}});
               },
               answer(200, list(0, 2))},
              [&](UserAgentOptions& options) {
                options.credentials.username = "a";
                options.credentials.password = "b";
                options.redirect_origins = {there + "/"};
              });
  CHECK(search(*stage.agent).matches.size() == 1);
  CHECK(search(*stage.agent).matches.size() == 2);
  CHECK(authorizations(other) == std::vector<std::string>{"-", "-"});
  CHECK(authorizations(stage.server) ==
        std::vector<std::string>{"Basic YTpi", "Basic YTpi", "Basic YTpi"});
}

TEST_CASE("Credentials that contradict each other or would be overheard are faults by their key") {
  struct Row {
    std::string base;
    std::function<void(web::CredentialsOptions&)> change;
    std::string fault;  ///< its beginning; empty = none
  };
  const SecretFile file("token");
  const auto basic = [](web::CredentialsOptions& options) {
    options.username = "a";
    options.password = "b";
  };
  const auto by_oauth = [](web::CredentialsOptions& options) {
    options.oauth.token_uri = "https://login.example/token";
    options.oauth.client_id = "a";
    options.oauth.client_secret = "b";
  };
  const std::string tls = "https://ris.example";
  for (const Row& row : {
           Row{tls, [](auto&) {}, ""},
           Row{tls, basic, ""},
           Row{tls, by_oauth, ""},
           Row{tls, [&](auto& options) { options.bearer_token_file = file.name(); }, ""},
           Row{tls, [](auto& options) { options.username = "a"; },
               "password_file: missing, expected together with username"},
           Row{tls, [](auto& options) { options.password = "a"; },
               "username: missing, expected together with password_file"},
           Row{tls,
               [](auto& options) {
                 options.username = "a:b";
                 options.password = "c";
               },
               "username: expected a name without a colon"},
           Row{tls,
               [&](auto& options) {
                 basic(options);
                 options.bearer_token_file = file.name();
               },
               "bearer_token_file: stands beside username, expected one kind of credentials"},
           Row{tls,
               [&](auto& options) {
                 by_oauth(options);
                 basic(options);
               },
               "oauth_token_uri: stands beside username, expected one kind of credentials"},
           Row{tls, [](auto& options) { options.oauth.client_id = "a"; },
               "oauth_token_uri: missing, expected together with oauth_client_id"},
           Row{tls, [](auto& options) { options.oauth.scope = "a"; },
               "oauth_token_uri: missing, expected together with oauth_scope"},
           Row{tls,
               [&](auto& options) {
                 by_oauth(options);
                 options.oauth.client_secret.clear();
               },
               "oauth_client_secret_file: missing, expected together with oauth_token_uri"},
           Row{tls,
               [&](auto& options) {
                 by_oauth(options);
                 options.oauth.token_uri = "login.example/token";
               },
               "oauth_token_uri: the URI must begin with http:// or https://"},
           Row{tls,
               [&](auto& options) {
                 by_oauth(options);
                 options.oauth.tls_trusted = "/nowhere.pem";
               },
               "oauth_tls_trusted: cannot use /nowhere.pem: "},
           Row{tls,
               [&](auto& options) {
                 by_oauth(options);
                 options.oauth.token_uri = "http://login.example/token";
               },
               "oauth_token_uri: would cross the network in plain text"},
           Row{tls, [](auto& options) { options.bearer_token_file = "/nowhere"; },
               "bearer_token_file: cannot use /nowhere: No such file"},
           Row{"http://ris.example", basic, "username: would cross the network in plain text"},
           Row{"http://127.evil.example", basic, "username: would cross the network"},
           Row{"http://ris.example", [](auto& options) { options.forward_bearer_token = true; },
               "forward_bearer_token: would cross the network in plain text"},
           Row{"http://ris.example",
               [&](auto& options) {
                 basic(options);
                 options.plain_text = true;
               },
               ""},
           Row{"http://localhost", basic, ""},
           Row{"http://127.0.0.2:8080", basic, ""},
           Row{"http://[::1]", basic, ""},
       }) {
    CAPTURE(row.base, row.fault);
    UserAgentOptions options;
    options.base_uri = row.base;
    row.change(options.credentials);
    const auto checked = UserAgent::check(options);
    CHECK(checked.ok() == row.fault.empty());
    if (!checked.ok()) {
      CAPTURE(checked.fault().what);
      CHECK(checked.fault().what.starts_with(row.fault));
    }
    CHECK(UserAgent::make(options, web_test::silent()).ok() == row.fault.empty());
  }
}

TEST_CASE("Credentials that go in plain text because they may are noted in the log") {
  web_test::Lines lines;
  UserAgentOptions options;
  options.base_uri = "http://ris.example";
  options.credentials.username = "a";
  options.credentials.password = "b";
  options.credentials.plain_text = true;
  REQUIRE(UserAgent::make(options, lines.log()).ok());
  CHECK(lines.hold("credentials for ris.example cross the network in plain text"));
}

TEST_CASE("Servers for redirects are given without a path") {
  for (const std::string origin : {"https://ris.example/a", "ris.example", "", "ftp://a"}) {
    CAPTURE(origin);
    UserAgentOptions options;
    options.base_uri = "https://ris.example";
    options.redirect_origins = {"https://good.example", origin};
    const auto checked = UserAgent::check(options);
    REQUIRE_FALSE(checked.ok());
    CHECK(checked.fault().what.starts_with("redirect_origins: "));
  }
}
