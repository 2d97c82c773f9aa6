// "modgate probe" against peers that refuse in ways that those of the end-to-end tests cannot.
#include "gateway/probe_command.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <sstream>
#include <string>

#include "dimse/scp.h"

using namespace gateway;

namespace {

void no_log(mapping::LogLevel, std::string_view) {}

/// Both services, of which nothing is asked here.
struct Idle : mapping::WorklistService, mapping::MppsService {
  mapping::Outcome search(const mapping::Search&, const mapping::OnMatch&,
                          const mapping::Context&) override {
    FAIL("probe must not search at an SCP");
    return {};
  }
  mapping::Outcome create(const mapping::Uid&, const mapping::DataSet&,
                          const mapping::Context&) override {
    FAIL("probe must not create");
    return {};
  }
  mapping::Outcome update(const mapping::Uid&, const mapping::DataSet&,
                          const mapping::Context&) override {
    FAIL("probe must not update");
    return {};
  }
  mapping::Outcome retrieve(const mapping::Uid&, const mapping::AttributeList&, mapping::DataSet&,
                            const mapping::Context&) override {
    FAIL("probe must not retrieve");
    return {};
  }
};

/// An SCP that offers what services says, and its port.
struct Ris {
  Idle idle;
  mapping::Services services{&idle, &idle};
  dimse::ScpOptions options;
  std::unique_ptr<dimse::Scp> scp;
  Ris() {
    options.ae_title = "RIS";
    options.bind = "127.0.0.1";
    options.port = 0;
  }
  std::string start() {
    scp = std::make_unique<dimse::Scp>(
        options, [this](const mapping::Caller&) { return services; }, no_log);
    const auto port = scp->start();
    REQUIRE(port.ok());
    return std::to_string(port.value());
  }
};

struct Probed {
  int status = 0;
  std::string text;
  bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

Probed probe(const std::string& text) {
  const auto reading =
      read_config(text, [](const std::string&) { return std::optional<std::string>(); });
  for (const ConfigFault& fault : reading.faults) FAIL(to_string(fault, "test"));
  std::ostringstream out;
  const int status = run_probe_command(reading.config, out);
  return {status, out.str()};
}

std::string scp_at(const std::string& port, const std::string& more = "") {
  return "[backend ris]\nkind = scp\nae_title = RIS\nhost = 127.0.0.1\nport = " + port + "\n" +
         "acse_timeout_seconds = 1\n" + more;
}

}  // namespace

TEST_CASE("an SCP that does all: each step is told, nothing is asked of its services") {
  Ris ris;
  const auto probed = probe("[dimse]\nworklist = ris\nmpps = ris\n" + scp_at(ris.start()));
  INFO(probed.text);
  CHECK(probed.status == 0);
  CHECK(probed.says("  name         ok      127.0.0.1\n"));
  CHECK(probed.says("  association  ok      accepted by RIS\n"));
  CHECK(probed.says("  C-ECHO       ok      answered\n"));
  CHECK(probed.says("  worklist     ok      accepted\n"));
  CHECK(probed.says("  MPPS         ok      accepted\n"));
  CHECK(probed.says("  MPPS N-GET   ok      accepted\n"));
  CHECK(probed.says("\nall 1 backends are as they should be\n"));
}

TEST_CASE("a service that the SCP refuses is a fault only where a front or a modality uses it") {
  Ris ris;
  ris.services.mpps = nullptr;
  const std::string backend = scp_at(ris.start());
  const auto unused = probe("[dimse]\nworklist = ris\n" + backend);
  CHECK(unused.status == 0);
  CHECK(unused.says("  MPPS         -       refused by the SCP, not used here\n"));
  const auto used =
      probe("[dimse]\nworklist = ris\n" + backend + "[modality one]\nae_title = CT1\nmpps = ris\n");
  CHECK(used.status == 1);
  CHECK(used.says("  MPPS         FAILED  refused by the SCP\n               -> there: "));
  CHECK(used.says("\n1 of 1 backends failed\n"));
}

TEST_CASE("an association that is rejected says by what it can be mended") {
  Ris ris;
  std::string more, advice;
  SECTION("an AE title that it does not know") {
    ris.options.known_modalities_only = true;
    advice = "the SCP must know the AE title MODGATE and this machine's address";
  }
  SECTION("a user that it does not know") {
    ris.options.admits = [](const dimse::UserIdentity&) { return false; };
    more = "username = somebody\n";
    advice = "there: the SCP must know this user";
  }
  const auto probed = probe("[dimse]\nworklist = ris\n" + scp_at(ris.start(), more));
  INFO(probed.text);
  CHECK(probed.status == 1);
  CHECK(probed.says("  connection   ok"));
  CHECK(probed.says("  association  FAILED  "));
  CHECK(probed.says(advice));
  CHECK(probed.says("(called RIS, calling MODGATE)"));
}

TEST_CASE("a port that takes connections and says nothing is no DICOM SCP, and ends the wait") {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener, 8) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const auto probed =
      probe("[dimse]\nworklist = ris\n" + scp_at(std::to_string(ntohs(address.sin_port))));
  ::close(listener);
  INFO(probed.text);
  CHECK(probed.status == 1);
  CHECK(probed.says("  connection   ok"));
  CHECK(probed.says("there: see that a DICOM SCP listens on this port; here: if it speaks TLS"));
}

TEST_CASE("the hosts of base_uri are resolved as they are asked, with brackets and paths or not") {
  for (const auto& [uri, host] :
       {std::pair{"http://[::1]:1/radiology", "::1"}, std::pair{"http://127.0.0.1:1", "127.0.0.1"},
        std::pair{"HTTPS://127.0.0.1:1/", "127.0.0.1"}}) {
    const auto probed = probe(
        std::string("[web]\nworklist = ris\n[backend ris]\nkind = origin-server\nbase_uri = ") +
        uri + "\n");
    INFO(probed.text);
    CHECK(probed.status == 1);
    CHECK(probed.says(std::string("  name         ok      ") + host + "\n"));
    CHECK(probed.says(std::string("  connection   FAILED  ") + uri + ": "));
  }
}

TEST_CASE("the embedded store is part of this gateway: nothing of it is opened") {
  const auto probed = probe(
      "[gateway]\nstate_dir = /nowhere\n[web]\nmpps = local\n[backend local]\nkind = store\n");
  CHECK(probed.status == 0);
  CHECK(probed.says("backend local: embedded store\n"));
}
