#include "web/authentication.h"

#include <crypt.h>
#include <fmt/format.h>
#include <poll.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "tests/web/origin_server_support.h"

using web::Authentication;
using web_test::ask;
using web_test::File;
using web_test::get;
using web_test::Response;
using web_test::Site;
using web_test::sps;

namespace {

std::string bcrypt(const std::string& password, unsigned long cost = 4) {
  crypt_data data{};
  const std::string salt = ::crypt_gensalt("$2y$", cost, nullptr, 0);
  return ::crypt_r(password.c_str(), salt.c_str(), &data);
}

// base64 of NAME:PASSWORD, by the base64 program.
const std::string anna = "YW5uYTpzZWNyZXQgw6Q6eA==";          // anna:secret ä:x
const std::string anna_wrong = "YW5uYTpzZWNyZXQ=";            // anna:secret
const std::string bert_as_anna = "YmVydDpzZWNyZXQgw6Q6eA==";  // bert:secret ä:x
const std::string anna_nul = "YW5uYTpzZWNyZXQgw6Q6eAA=";      // anna:secret ä:x\0

}  // namespace

TEST_CASE("Basic credentials are right or nobody's (RFC 7617)") {
  const File users("# those who may\nanna:" + bcrypt("secret \xC3\xA4:x") +
                   "\r\n\nbert:" + bcrypt("other") + "\n");
  auto made = Authentication::make({users.path, ""});
  REQUIRE(made.ok());
  Authentication& authentication = *made.value();
  for (int i = 0; i < 2; ++i) {  // the second time without bcrypt
    CHECK(authentication.user("Basic " + anna) == "anna");
    CHECK(authentication.user("bAsIc   " + anna) == "anna");
    for (const std::string& wrong : std::vector<std::string>{
             "Basic " + anna_wrong, "Basic " + bert_as_anna, "Basic " + anna_nul, "Bearer " + anna,
             "Basic", std::string("Basic "), std::string(""), "Basic " + anna + "=", "Basic !!!!",
             std::string("Basic bm9jb2xvbg=="), anna, "Basic " + std::string(10000, 'A'),
             std::string("Digest username=anna")}) {
      CAPTURE(wrong);
      CHECK_FALSE(authentication.user(wrong));
    }
  }
  CHECK_FALSE(authentication.user(std::nullopt));
  CHECK(authentication.challenges() ==
        std::vector<std::string>{R"(Basic realm="modgate", charset="UTF-8")"});
}

TEST_CASE("Many callers at a time, most of them guessing, each get their answer") {
  const File users("anna:" + bcrypt("right") + "\nbert:" + bcrypt("other") + "\n");
  auto made = Authentication::make({users.path, ""});
  REQUIRE(made.ok());
  std::vector<std::future<int>> callers;
  for (int i = 0; i < 32; ++i) {
    callers.push_back(std::async(std::launch::async, [&, i] {
      const auto guess = std::to_string(i);
      return made.value()->is_password("anna", "right") + made.value()->is_password("bert", guess) +
             made.value()->is_password(guess, "right") + made.value()->is_password("bert", "other");
    }));
  }
  for (auto& caller : callers) CHECK(caller.get() == 2);
}

TEST_CASE("It takes long over passwords that were not right before, and over nothing else") {
  const File users("anna:" + bcrypt("secret \xC3\xA4:x") + "\n");
  auto made = Authentication::make({users.path, ""});
  REQUIRE(made.ok());
  Authentication& authentication = *made.value();
  CHECK(authentication.takes_long("Basic " + anna));
  CHECK(authentication.user("Basic " + anna) == "anna");
  CHECK_FALSE(authentication.takes_long("basic  " + anna));
  for (const std::string& guess : {anna_wrong, bert_as_anna}) {
    CHECK_FALSE(authentication.user("Basic " + guess));
    CHECK(authentication.takes_long("Basic " + guess));
  }
  CHECK_FALSE(authentication.takes_long(std::nullopt));
  for (const std::string& nothing :
       {std::string(), "Basic " + anna_nul, "Bearer " + anna, std::string("Basic !!!!"),
        std::string("Basic bm9jb2xvbg==")}) {
    CHECK_FALSE(authentication.takes_long(nothing));
  }
}

TEST_CASE("A user who was right before is not kept waiting by others who guess") {
  const File users("anna:" + bcrypt("secret \xC3\xA4:x") + "\nbert:" + bcrypt("other", 13) + "\n");
  web::OriginServerOptions options;
  options.authentication = {users.path, ""};
  options.workers = 1;
  Site site(options);
  const std::string good = get(sps, "Authorization: Basic " + anna + "\r\n");
  REQUIRE(ask(site.port, good).status == 204);
  std::vector<std::unique_ptr<web_test::Client>> guessing;
  for (int i = 0; i < 4; ++i) {
    guessing.push_back(std::make_unique<web_test::Client>(site.port));
    guessing.back()->send(get(sps, "Authorization: Basic " + bert_as_anna + "\r\n"));
  }
  CHECK(ask(site.port, good).status == 204);
  pollfd answered{guessing.back()->descriptor(), POLLIN, 0};
  CHECK(::poll(&answered, 1, 0) == 0);
  for (auto& client : guessing) CHECK(client->receive().status == 401);
}

TEST_CASE("A bearer token is known by its SHA-256 (RFC 6750)") {
  const File tokens(
      "# ours\n"
      "d6fe7bb4be4ea10c1c5d6cfcf5c5a0c3b7b4d1d4f4d8e8b9a2a1b0c9d8e7f601 other\n"
      "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B   ct one\n");
  auto made = Authentication::make({"", tokens.path});
  REQUIRE(made.ok());
  CHECK(made.value()->user("Bearer secret") == "ct one");
  CHECK(made.value()->user("bearer  secret") == "ct one");
  for (const char* wrong :
       {"Bearer secret ", "Bearer Secret", "Bearer", "Bearer ", "secret", "Basic secret",
        "Bearer 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}) {
    CAPTURE(wrong);
    CHECK_FALSE(made.value()->user(wrong));
  }
  CHECK(made.value()->challenges() == std::vector<std::string>{R"(Bearer realm="modgate")"});
}

TEST_CASE("Files that hold something else are faults with file and line, and nothing of it") {
  struct Row {
    std::string text;
    bool users;
    std::string what;
  };
  const std::string hash = bcrypt("x");
  for (const Row& row : {
           Row{"anna:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", true, ":1: expected NAME:HASH"},
           Row{"anna:plain\n", true, ":1: expected NAME:HASH"},
           Row{"\n:" + hash + "\n", true, ":2: expected NAME:HASH"},
           Row{"a:" + hash + "\na:" + hash + "\n", true, ":2: expected each name once"},
           Row{"# nobody\n", true, ": names nobody"},
           Row{"secret\n", false, ":1: expected a SHA-256"},
           Row{"2bb80d\n", false, ":1: expected a SHA-256"},
           Row{"", false, ": names nobody"},
       }) {
    CAPTURE(row.text);
    const File file(row.text);
    const auto made =
        row.users ? Authentication::make({file.path, ""}) : Authentication::make({"", file.path});
    REQUIRE_FALSE(made.ok());
    const std::string start = (row.users ? "users: " : "tokens: ") + file.path;
    CHECK(made.fault().what.starts_with(start + row.what));
    CHECK(made.fault().what.find("plain") == std::string::npos);
  }
  CHECK(Authentication::make({"/nowhere", ""}).fault().what ==
        "users: cannot use /nowhere: No such file or directory");
}

TEST_CASE("Without credentials there is 401 with a challenge, and no service is asked") {
  const File users("anna:" + bcrypt("secret \xC3\xA4:x") + "\n");
  const File tokens("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ct1\n");
  web::OriginServerOptions options;
  options.authentication = {users.path, tokens.path};
  options.cors_allowed_origins = {"https://app.example"};
  Site site(options);
  site.add_steps(1);
  const std::string with = "Authorization: ";
  for (const std::string& headers :
       {std::string(), with + "Basic " + anna_wrong + "\r\n", with + "Bearer x\r\n",
        with + "Basic " + anna + "\r\n" + with + "Bearer secret\r\n"}) {
    CAPTURE(headers);
    const Response refused = ask(site.port, get(sps, headers + "Origin: https://app.example\r\n"));
    CHECK(refused.status == 401);
    CHECK(refused.header("content-type") == "application/problem+json");
    CHECK(refused.all("www-authenticate").size() == 2);
    CHECK(refused.header("access-control-allow-origin") == "https://app.example");
    CHECK(site.worklist.handed_on() == 0);
  }
  CHECK(ask(site.port, get("/elsewhere")).status == 401);
  CHECK(ask(site.port, "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n").status == 401);
  CHECK(ask(site.port, "OPTIONS " + sps +
                           " HTTP/1.1\r\nHost: h\r\nOrigin: https://app.example\r\n"
                           "Access-Control-Request-Method: GET\r\n\r\n")
            .status == 204);
  CHECK(ask(site.port, get(sps, with + "Basic " + anna + "\r\n")).status == 200);
  CHECK(site.worklist.last_context().caller.name == "anna");
  CHECK(ask(site.port, get(sps, with + "Bearer secret\r\n")).status == 200);
  CHECK(site.worklist.last_context().caller.name == "ct1");
  CHECK_FALSE(site.lines.hold("secret"));
}

TEST_CASE("A user who may only read is 403 for Create and Update, whatever he sends") {
  const File users("anna:" + bcrypt("secret \xC3\xA4:x") + "\n");
  const File tokens("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ct1\n");
  web::OriginServerOptions options;
  options.authentication = {users.path, tokens.path, {"anna"}};
  Site site(options);
  site.add_steps(1);
  site.steps.store("1.2.3",
                   web_test::data_set(R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})"));
  const std::string target = web_test::mpps + "/1.2.3";
  const std::string body = R"({"00400254":{"vr":"LO","Value":["Head"]}})";
  const std::string reader = "Authorization: Basic " + anna + "\r\n";
  const std::string writer = "Authorization: Bearer secret\r\n";
  const std::string json = "application/dicom+json";
  for (const std::string& request :
       {web_test::post(target, body, json, reader),
        web_test::post(target + "?update", body, json, reader),
        web_test::post(target + "/update", body, json, reader),
        web_test::post(target + "9", body, json, reader), web_test::post(target, "{", json, reader),
        web_test::post(target, body, "text/plain", reader)}) {
    CAPTURE(request);
    const Response refused = ask(site.port, request);
    CHECK(refused.status == 403);
    CHECK(refused.header("content-type") == "application/problem+json");
    CHECK(refused.body.find("search and retrieve") != std::string::npos);
    CHECK(refused.header("www-authenticate") == "-");
  }
  CHECK(ask(site.port, get(sps, reader)).status == 200);
  CHECK(ask(site.port, get(target, reader)).status == 200);
  CHECK(ask(site.port, get(target, reader)).body.find("Head") == std::string::npos);
  const std::string describe = "OPTIONS / HTTP/1.1\r\nHost: h\r\n";
  const std::string for_reader = ask(site.port, describe + reader + "\r\n").body;
  CHECK(for_reader.find("status=\"400 401 403 ") != std::string::npos);
  CHECK(for_reader.find("\"GET\"") != std::string::npos);
  CHECK(for_reader.find("\"POST\"") == std::string::npos);
  CHECK(ask(site.port, describe + writer + "\r\n").body.find("\"POST\"") != std::string::npos);
  CHECK(ask(site.port, web_test::post(target + "?update", body, json, writer)).status == 200);
  CHECK(ask(site.port, web_test::post(target + "9", body, json, writer)).status == 201);
}

TEST_CASE("A name that nobody has cannot be that of a user who may only read") {
  const File users("anna:" + bcrypt("x") + "\n");
  const File tokens("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ct1\n");
  CHECK(Authentication::make({users.path, tokens.path, {"anna", "ct1"}}).ok());
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"Anna"}, {"anna", "ct2"}, {""}}) {
    const auto made = Authentication::make({users.path, tokens.path, names});
    REQUIRE_FALSE(made.ok());
    CHECK(made.fault().what.starts_with("read_only_users: "));
    CHECK(made.fault().what.ends_with(" is not named in users or tokens"));
  }
  CHECK_FALSE(Authentication::make({"", "", {"anna"}}).ok());
}

TEST_CASE("The services get the bearer token that came with a request, to hand it on") {
  Site site;
  struct Row {
    std::string header;
    std::string token;
  };
  for (const Row& row :
       {Row{"Authorization: Bearer a.b.c\r\n", "a.b.c"}, Row{"Authorization: bearer  x\r\n", "x"},
        Row{"Authorization: Basic " + anna + "\r\n", ""}, Row{"", ""}}) {
    CAPTURE(row.header);
    CHECK(ask(site.port, get(sps, row.header)).status == 204);
    CHECK(site.worklist.last_context().caller.bearer_token == row.token);
  }
}
