// Three hundred clients that send as slowly as they can (a head, a body, a TLS handshake, byte by
// byte), and good ones among them.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "tests/web/certificates.h"
#include "tests/web/origin_server_support.h"
#include "web/user_agent.h"

using namespace std::chrono_literals;
using web_test::ask;
using web_test::certificates;
using web_test::Client;
using web_test::get;
using web_test::sps;

namespace {

constexpr int of_each_kind = 100;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::size_t most_kilobytes = 1u << 20;  // their own memory comes on top
#else
constexpr std::size_t most_kilobytes = 32u << 10;
#endif
/// Long beside what the good requests take, short beside the patience of the test.
constexpr auto deadline = 4s;

struct Site : web_test::Site {
  explicit Site(web::TlsFiles files)
      : web_test::Site([&] {
          web::OriginServerOptions options;
          options.workers = 2;
          options.max_connections_per_address = 0;
          options.head_timeout = options.body_timeout = deadline;
          options.tls = std::move(files);
          return options;
        }()) {
    add_steps(1);
  }
};

/// Sends its bytes one by one, the last of them over and over.
struct Slow {
  Slow(std::uint16_t port, std::string_view at_once, std::string slowly)
      : client(port), bytes(std::move(slowly)) {
    client.send(at_once);
  }
  void drip() {
    client.send(std::string_view(bytes).substr(next, 1));
    next = std::min(next + 1, bytes.size() - 1);
  }
  Client client;
  const std::string bytes;
  std::size_t next = 0;
};

/// What a TLS client says first.
std::string client_hello() {
  const auto context = web::TlsContext::for_client({"", "", certificates().file("ca.pem")});
  REQUIRE(context.ok());
  web::TlsSession session(*context.value(), "localhost");
  session.begin();
  return session.take_output();
}

std::size_t threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

std::size_t resident_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  return 0;
}

/// A good client of the TLS port, on a connection of its own.
bool served_by_tls(std::uint16_t port) {
  web::UserAgentOptions options;
  options.base_uri = fmt::format("https://localhost:{}", port);
  options.tls.trusted = certificates().file("ca.pem");
  auto agent = web::UserAgent::make(options, web_test::silent());
  REQUIRE(agent.ok());
  mapping::Context context;
  context.deadline = std::chrono::steady_clock::now() + web_test::patience;
  int matches = 0;
  const auto outcome = agent.value()->search(
      {}, [&](mapping::Match&&) { return ++matches > 0; }, context);
  return outcome.good() && matches == 1;
}

}  // namespace

TEST_CASE("Good clients are served among 300 slow ones, which all end at their deadline") {
  Site plain({});
  Site tls(certificates().files("good"));
  CHECK(ask(plain.port, get(sps)).status == 200);
  CHECK(served_by_tls(tls.port));
  const std::size_t threads_before = threads();
  const std::size_t memory_before = resident_kilobytes();

  std::vector<std::unique_ptr<Slow>> heads;
  std::vector<std::unique_ptr<Slow>> bodies;
  std::vector<std::unique_ptr<Slow>> handshakes;
  const std::string hello = client_hello();
  for (int i = 0; i < of_each_kind; ++i) {
    heads.push_back(
        std::make_unique<Slow>(plain.port, "", "GET " + sps + " HTTP/1.1\r\nHost: h\r\nX: a"));
    bodies.push_back(std::make_unique<Slow>(
        plain.port,
        "POST /modality-performed-procedure-steps/1.2.3 HTTP/1.1\r\nHost: h\r\n"
        "Content-Type: application/dicom+json\r\nContent-Length: 100000\r\n\r\n",
        "{\"00400252\": "));
    handshakes.push_back(std::make_unique<Slow>(tls.port, "", hello.substr(0, hello.size() - 1)));
  }
  CHECK(threads() == threads_before);

  std::jthread dripping([&](const std::stop_token& over) {
    while (!over.stop_requested()) {
      for (const auto* kind : {&heads, &bodies, &handshakes}) {
        for (const auto& each : *kind) each->drip();
      }
      std::this_thread::sleep_for(20ms);  // the pace of who is slow
    }
  });
  for (int i = 0; i < 20; ++i) {
    REQUIRE(ask(plain.port, get(sps)).status == 200);
    REQUIRE(
        ask(plain.port, web_test::post(fmt::format("/modality-performed-procedure-steps/1.{}", i),
                                       R"({"00400252":{"vr":"CS","Value":["IN PROGRESS"]}})"))
            .status == 201);
    if (i % 5 == 0) REQUIRE(served_by_tls(tls.port));
  }
  // All that, before the first slow one had to go.
  CHECK_FALSE(plain.lines.hold("408"));
  CHECK(threads() == threads_before + 1);
  CHECK(resident_kilobytes() < memory_before + most_kilobytes);

  for (const auto* kind : {&heads, &bodies}) {
    for (const auto& each : *kind) {
      CHECK(each->client.receive().status == 408);
      CHECK(each->client.closed());
    }
  }
  for (const auto& each : handshakes) CHECK(each->client.closed());
  dripping.request_stop();
  dripping.join();
  CHECK(plain.lines.hold("408"));
  CHECK(ask(plain.port, get(sps)).status == 200);
  CHECK(served_by_tls(tls.port));
  CHECK(plain.steps.stored("1.2.3").empty());
}
