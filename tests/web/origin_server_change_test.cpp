// What happens to the origin server's connections when its options, or its services, change
// meanwhile.
#include <atomic>
#include <fstream>
#include <future>

#include "tests/web/certificates.h"
#include "tests/web/origin_server_support.h"
#include "web/page_server.h"

using namespace web_test;  // NOLINT: test code

namespace {

/// A token file, with the hash of "one" or of "two", by sha256sum.
const std::string hash_of_one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const std::string hash_of_two = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";

struct TokenFile {
  explicit TokenFile(const std::string& text) { write(text); }
  ~TokenFile() { std::filesystem::remove(path); }
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  void write(const std::string& text) const { std::ofstream(path) << text << '\n'; }
  std::string path =
      (std::filesystem::temp_directory_path() / ("modgate-tokens-" + std::to_string(::getpid())))
          .string();
};

void change(Site& site, web::OriginServerOptions options) {
  auto prepared = site.server.prepare(std::move(options));
  REQUIRE(prepared.ok());
  prepared.value()();
}

std::string with_token(const std::string& token) {
  return get(sps, "Authorization: Bearer " + token + "\r\n");
}

}  // namespace

TEST_CASE("Requests of an open connection meet the options as they are when they arrive") {
  Site site;
  Client client(site.port);
  client.send(get(sps));
  CHECK(client.receive().status == 204);
  web::OriginServerOptions options;
  options.base_path = "/radiology";
  options.no_match_status = 200;
  change(site, options);
  client.send(get(sps));
  CHECK(client.receive().status == 404);
  client.send(get("/radiology" + sps));
  CHECK(client.receive().status == 200);
  CHECK(site.server.connections() == 1);
}

TEST_CASE("Tokens come and go with their file's content, on open connections too") {
  const TokenFile file(hash_of_one);
  web::OriginServerOptions options;
  options.authentication.tokens = file.path;
  Site site(options);
  Client client(site.port);
  client.send(with_token("one"));
  CHECK(client.receive().status == 204);
  file.write(hash_of_two);
  client.send(with_token("two"));
  CHECK(client.receive().status == 401);
  change(site, options);
  client.send(with_token("two"));
  CHECK(client.receive().status == 204);
  client.send(with_token("one"));
  CHECK(client.receive().status == 401);

  file.write("no hash");
  const auto refused = site.server.prepare(options);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.fault().what.find("tokens: ") == 0);
  client.send(with_token("two"));
  CHECK(client.receive().status == 204);
}

TEST_CASE("A certificate is exchanged for new connections; those that are open go on") {
  web::OriginServerOptions options;
  options.tls = certificates().files("stranger");
  Site site(options);
  const auto served = [&](const char* ca) {
    const Run asked =
        run(fmt::format("printf 'GET {} HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n' "
                        "| openssl s_client "
                        "-connect 127.0.0.1:{} -ign_eof -verify_return_error -CAfile {}",
                        sps, site.port, certificates().file(ca)));
    return asked.output.find("HTTP/1.1 204") != std::string::npos;
  };
  CHECK(served("other_ca.pem"));
  options.tls = certificates().files("nowhere");
  CHECK_FALSE(site.server.prepare(options).ok());
  CHECK(served("other_ca.pem"));
  options.tls = certificates().files("good");
  change(site, options);
  CHECK(served("ca.pem"));
  CHECK_FALSE(served("other_ca.pem"));
}

TEST_CASE("A request keeps the options and services that it began with, and no longer") {
  std::promise<void> searching, go_on;
  struct Slow : mapping::WorklistService {
    std::promise<void>* searching = nullptr;
    std::promise<void>* go_on = nullptr;
    mapping::Outcome search(const mapping::Search&, const mapping::OnMatch&,
                            const mapping::Context&) override {
      searching->set_value();
      go_on->get_future().wait();
      return mapping::Outcome::answered(0);
    }
  };
  auto slow = std::make_shared<Slow>();
  slow->searching = &searching;
  slow->go_on = &go_on;
  const std::weak_ptr<Slow> first = slow;
  std::mutex mutex;
  web::OriginServerOptions options = on_loopback({});
  options.no_match_status = 200;
  web::OriginServer server(
      options,
      [&](const auto&) {
        const std::lock_guard lock(mutex);
        return mapping::Services{slow.get(), nullptr, slow};
      },
      silent());
  const auto port = server.start();
  REQUIRE(port.ok());
  Client client(port.value());
  client.send(get(sps));
  searching.get_future().wait();
  {
    const std::lock_guard lock(mutex);
    slow.reset();
  }
  auto prepared = server.prepare(on_loopback({}));
  REQUIRE(prepared.ok());
  prepared.value()();
  CHECK_FALSE(first.expired());
  go_on.set_value();
  CHECK(client.receive().status == 200);
  client.send(get(sps));
  CHECK(client.receive().status == 501);
  CHECK(first.expired());
}

TEST_CASE("Who may see a page port's pages changes, too, and the names it is asked by") {
  const TokenFile file(hash_of_one);
  web::PageServerOptions options;
  options.host_names = {"gateway.example"};
  web::PageServer server(options,
                         {{"/page",
                           [] {
                             return web::Page{200, "text/plain", "here"};
                           }}},
                         {}, silent());
  const auto port = server.start();
  REQUIRE(port.ok());
  Client client(port.value());
  client.send(get("/page"));
  CHECK(client.receive().status == 200);
  web::AuthenticationFiles files;
  files.tokens = file.path;
  auto prepared = server.prepare(files, {"renamed.example"});
  REQUIRE(prepared.ok());
  const auto by_name = [](const std::string& name, const std::string& header = {}) {
    return "GET /page HTTP/1.1\r\nHost: " + name + "\r\n" + header + "\r\n";
  };
  client.send(by_name("gateway.example"));
  CHECK(client.receive().status == 200);  // prepared only
  client.send(by_name("renamed.example"));
  CHECK(client.receive().status == 421);
  prepared.value()();
  client.send(by_name("gateway.example"));
  CHECK(client.receive().status == 421);
  client.send(by_name("renamed.example"));
  CHECK(client.receive().status == 401);
  client.send(by_name("renamed.example", "Authorization: Bearer one\r\n"));
  CHECK(client.receive().status == 200);
}
