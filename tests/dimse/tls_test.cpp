// TLS in both roles: served to and by OpenSSL's and DCMTK's tools, refused to whoever has no
// business here, and never left out.
#include "dimse/tls.h"

#include "certificates.h"
#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

namespace {

const Certificates& files() { return Certificates::get(); }

dimse::ScpOptions front_options(const std::string& certificate, const std::string& trusted) {
  dimse::ScpOptions options;
  options.tls = files().options(certificate, trusted);
  return options;
}

dimse::ScuOptions scu_options(std::uint16_t port, const std::string& certificate,
                              const std::string& trusted) {
  auto options = options_for(port);
  options.tls = files().options(certificate, trusted);
  options.acse_timeout = 5s;
  return options;
}

Outcome echo(std::uint16_t port, const std::string& certificate, const std::string& trusted) {
  return dimse::Scu(scu_options(port, certificate, trusted), {}).echo(context());
}

bool run(const std::string& command) {
  INFO(command);
  return std::system(("timeout 20 " + command + " >/dev/null 2>&1 </dev/null").c_str()) == 0;
}

}  // namespace

TEST_CASE("Both roles speak TLS to each other, with certificates on both sides") {
  Front front(front_options("here", "ca"));
  constexpr std::size_t many = 5000;
  front.services.on_search = [](const auto&, const auto& on_match, const auto&) {
    for (std::size_t i = 0; i < many; ++i) on_match({item("A" + std::to_string(i))});
    return Outcome::answered(status::success);
  };
  dimse::Scu scu(scu_options(front.port, "here", "ca"), {});
  for (int round = 0; round < 2; ++round) {
    std::size_t found = 0;
    const auto outcome = scu.search(
        {identifier()},
        [&](mapping::Match&& match) {
          CHECK(match.data_set.view().text(tags::AccessionNumber) == "A" + std::to_string(found));
          ++found;
          return true;
        },
        context());
    CHECK(outcome.status == status::success);
    CHECK(found == many);
  }
  const std::string long_name(5'000'000, 'X');  // many records in one message, towards the front
  mapping::DataSetBuilder step;
  step.add(tags::PerformedProcedureStepStatus, Vr::CS, "IN PROGRESS")
      .add(mapping::Tag(0x00400280), Vr::ST, std::string(1000, 'X'))
      .add(mapping::Tag(0x7FE00010), Vr::OB, long_name);
  const auto attributes = step.build().value();
  CHECK(scu.create(Uid::parse("1.2.3").value(), attributes, context()).good());
  CHECK(front.services.stored("1.2.3") == attributes);
  CHECK(scu.pool().taken() == 1);
}

TEST_CASE("Whoever presents no certificate, or a stranger's, is not served") {
  Front front(front_options("here", "ca"));
  for (const std::string certificate : {"", "stranger"}) {
    INFO(certificate);
    const auto outcome = echo(front.port, certificate, "ca");
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::tls_failed);
  }
  CHECK(front.lines.hold("TLS refused"));
  CHECK(front.scp->associations() == 0);
  CHECK(echo(front.port, "here", "ca").good());
}

TEST_CASE("An SCP whose certificate is a stranger's, or for another host, is not asked") {
  for (const std::string certificate : {"stranger", "elsewhere"}) {
    INFO(certificate);
    Front front(front_options(certificate, ""));
    const auto outcome = echo(front.port, "", "ca");
    CHECK(outcome.how == Outcome::How::unreachable);
    CHECK(outcome.event == NetworkEvent::tls_failed);
  }
}

TEST_CASE("TLS is never left out: not for a plain SCP, not for a plain SCU, not for bad files") {
  Front plain;
  CHECK(echo(plain.port, "", "ca").event == NetworkEvent::tls_failed);
  CHECK(eventually([&] { return plain.lines.hold("a TLS client hello"); }));

  Front secured(front_options("here", ""));
  CHECK(echo(secured.port, "", "").how == Outcome::How::unreachable);
  CHECK(secured.lines.hold("TLS refused"));
  CHECK(echo(secured.port, "", "ca").good());

  const auto outcome = echo(secured.port, "", "nowhere");
  CHECK(outcome.event == NetworkEvent::tls_failed);
  dimse::Scp unusable(front_options("nowhere", ""), [](const auto&) { return mapping::Services{}; },
                      {});
  const auto started = unusable.start();
  REQUIRE_FALSE(started);
  CHECK(started.fault().what.find("tls_certificate: cannot use ") == 0);
}

TEST_CASE("Silent and half-spoken handshakes hold nobody up, nor the stopping") {
  auto options = front_options("here", "");
  options.acse_timeout = 300ms;
  Front front(options);
  auto half = RawPeer::connect(front.port);
  half.send(std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
  auto silent = RawPeer::connect(front.port);
  CHECK(echo(front.port, "", "ca").good());
  CHECK(half.closed());
  CHECK(silent.closed());

  options.acse_timeout = 60s;
  Front stopped(options);
  auto waiting = RawPeer::connect(stopped.port);
  CHECK(echo(stopped.port, "", "ca").good());
  stopped.scp->stop(60s);
  CHECK(waiting.closed());
}

TEST_CASE("What speaks no TLS to the port with it costs one line in the log, a probe no warning") {
  struct {
    std::string sent;
    std::string line;
    std::size_t warnings;
  } const cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TLS refused: http request (the peer speaks no TLS)",
       1},
      {associate_rq({{std::string(uids::verification)}}), "(the peer speaks no TLS)", 1},
      {std::string("\x16\x03\x01\xFF\xFF\x01\x00", 7), "TLS refused: ", 1},
      {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), "TLS refused: ", 1},
      {"", "TLS refused: ", 0},
  };
  for (const auto& odd : cases) {
    INFO(odd.line << " after " << odd.sent.size() << " bytes");
    Front front(front_options("here", ""));
    {
      auto peer = RawPeer::connect(front.port);
      peer.send(odd.sent);
      ::shutdown(peer.descriptor(), SHUT_WR);
      while (!peer.closed()) {
      }
    }
    CHECK(eventually([&] { return front.lines.hold(odd.line); }));
    CHECK(echo(front.port, "", "ca").good());
    front.scp->stop(20s);
    CHECK(front.lines.warnings() == odd.warnings);
  }
}

TEST_CASE("DCMTK's echoscu and findscu are served over TLS") {
  Front front(front_options("here", "ca"));
  const auto& at = files();
  const auto tls = " +tls " + at.path("here.key") + " " + at.path("here.pem") + " +cf " +
                   at.path("ca.pem") + " -aec MODGATE ";
  const auto port = std::to_string(front.port);
  CHECK(run("echoscu" + tls + "127.0.0.1 " + port));
  CHECK(run("findscu -W -k 0008,0050 -k 0010,0010" + tls + "127.0.0.1 " + port));
  CHECK(front.services.last_caller().name == "FINDSCU");
  CHECK_FALSE(run("echoscu +tla +cf " + at.path("ca.pem") + " -aec MODGATE 127.0.0.1 " + port));
}

TEST_CASE("The profile of BCP 195: TLS 1.2 and 1.3, its suites, nothing older or weaker (I8, I9)") {
  Front front(front_options("here", ""));
  struct {
    std::string_view arguments;
    bool served;
  } const cases[] = {
      {"-tls1_3", true},
      {"-tls1_2", true},
      {"-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", true},
      {"-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", true},
      {"-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", false},
      {"-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", false},
      {"-tls1_1 -cipher DEFAULT@SECLEVEL=0", false},
      {"-tls1 -cipher DEFAULT@SECLEVEL=0", false},
  };
  for (const auto& client : cases) {
    INFO(client.arguments);
    CHECK(run("openssl s_client -connect 127.0.0.1:" + std::to_string(front.port) + " -CAfile " +
              files().path("ca.pem") + " -verify_return_error " + std::string(client.arguments)) ==
          client.served);
  }
  CHECK(echo(front.port, "", "ca").good());
}

TEST_CASE("A certificate is exchanged for whoever comes; what cannot be used exchanges nothing") {
  Front front(front_options("stranger", ""));
  dimse::Scu before(scu_options(front.port, "", "strangers-ca"), {});
  CHECK(before.echo(context()).good());
  CHECK_FALSE(front.scp->prepare(front_options("nowhere", "")));
  CHECK(echo(front.port, "", "strangers-ca").good());

  auto change = front.scp->prepare(front_options("here", ""));
  REQUIRE(change);
  change.value()();
  CHECK(echo(front.port, "", "ca").good());
  CHECK(echo(front.port, "", "strangers-ca").event == NetworkEvent::tls_failed);
  CHECK(before.echo(context()).good());  // its association goes on
  CHECK(before.pool().taken() == 1);
}
