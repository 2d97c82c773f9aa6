// Servers for scripts/bench_web.sh: our origin server over services in memory, a bare cpp-httplib
// that answers the same bytes, and a client that keeps connections idle. A Search for Patient ID n
// has n matches.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "mapping/json.h"
#include "mapping/tags.h"
#include "tests/bench/worklist_item.h"
#include "web/origin_server.h"

namespace {

using mapping::DataSet;
using mapping::Outcome;

const DataSet& item() {
  static const DataSet made = mapping::read_json(bench::worklist_item_json).value();
  return made;
}

std::size_t number(std::string_view text) {
  std::size_t value = 1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

class Worklist : public mapping::WorklistService {
 public:
  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const mapping::Context&) override {
    const std::size_t count = number(search.identifier.view().text(mapping::tags::PatientID));
    for (std::size_t i = 0; i < count; ++i) {
      if (!on_match({item(), true})) return Outcome::answered(mapping::dimse_status::cancel);
    }
    return {};
  }
};

class Steps : public mapping::MppsService {
 public:
  Outcome create(const mapping::Uid&, const DataSet&, const mapping::Context&) override {
    return {};
  }
  Outcome update(const mapping::Uid&, const DataSet&, const mapping::Context&) override {
    return {};
  }
  Outcome retrieve(const mapping::Uid&, const mapping::AttributeList&, DataSet& found,
                   const mapping::Context&) override {
    found = item();
    return {};
  }
};

void wait_for_end() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  sigwait(&signals, &signal);
}

int serve_ours() {
  Worklist worklist;
  Steps steps;
  web::OriginServerOptions options;
  options.bind = "127.0.0.1";
  options.port = 0;
  options.max_connections = 2000;
  options.max_connections_per_address = 0;
  options.max_response_bytes = 1u << 30;
  options.idle_timeout = std::chrono::minutes(10);
  web::OriginServer server(
      options,
      [&](const mapping::Caller&) {
        return mapping::Services{&worklist, &steps};
      },
      [](mapping::LogLevel, std::string_view) {});
  const auto port = server.start();
  if (!port) return 1;
  fmt::print("{}\n", port.value());
  std::fflush(stdout);
  wait_for_end();
  server.stop(std::chrono::seconds(1));
  return 0;
}

/// The bytes that ours answers, made once.
const std::string& body(std::size_t count) {
  static std::mutex mutex;
  static std::map<std::size_t, std::string> made;
  const std::lock_guard lock(mutex);
  std::string& text = made[count];
  if (text.empty()) {
    text = "[";
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) text += ',';
      if (!mapping::write_json(item(), text)) std::abort();
    }
    text += "]";
  }
  return text;
}

int serve_bare() {
  httplib::Server server;
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(1u << 30);
  server.new_task_queue = [] { return new httplib::ThreadPool(80); };
  server.Get("/steps", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content(body(number(request.get_param_value("PatientID"))),
                         "application/dicom+json");
  });
  server.Post("/steps",
              [](const httplib::Request&, httplib::Response& response) { response.status = 201; });
  const int port = server.bind_to_any_port("127.0.0.1");
  fmt::print("{}\n", port);
  std::fflush(stdout);
  return server.listen_after_bind() ? 0 : 1;
}

/// Opens so many connections, says so, and keeps them until it is ended.
int hold(std::uint16_t port, std::size_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // One answered request each: kept alive, not only open.
  constexpr std::string_view request =
      "GET /modality-scheduled-procedure-steps?PatientID=0 HTTP/1.1\r\nHost: bench\r\n\r\n";
  for (std::size_t i = 0; i < count; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    char answer[1024];
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::send(socket, request.data(), request.size(), 0) < 0 ||
        ::recv(socket, answer, sizeof answer, 0) <= 0) {
      fmt::print(stderr, "connection {}: {}\n", i, std::strerror(errno));
      return 1;
    }
  }
  fmt::print("{}\n", count);
  std::fflush(stdout);
  wait_for_end();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "bare") return serve_bare();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (mode == "ours") return serve_ours();
  if (mode == "hold" && argc == 4) {
    return hold(static_cast<std::uint16_t>(number(argv[2])), number(argv[3]));
  }
  fmt::print(stderr, "usage: web_bench ours | bare | hold PORT CONNECTIONS\n");
  return 2;
}
