// Faults over and over, each followed by a good request: of an SCP that our SCU asks, and of
// modalities that ask our SCP. Nothing may grow. A short piece runs always; scripts/soak.sh runs
// thousands of cycles (MODGATE_SOAK_CYCLES).
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "dimse/listener.h"
#include "dimse/scu.h"
#include "loopback.h"

using namespace loopback;  // NOLINT: test code
namespace command_field = dimse::command_field;

namespace {

/// Of an SCP. Each ends its connection.
struct Fault {
  std::string_view name;
  std::function<void(RawPeer&)> on_connection;  ///< nothing was read yet; empty = it accepts
  /// Where on_connection is empty: instead of an answer. On an association of its own, or on one
  /// that has served before.
  std::function<void(RawPeer&, const dimse::Command&)> on_request;
  bool takes_time = false;  ///< to be met with a short timeout
};

void accept(RawPeer& peer) {
  peer.receive_pdu();
  peer.send(associate_ac(4));
}

std::string header(std::uint8_t type, std::size_t length) {
  std::string out{static_cast<char>(type), '\0'};
  put_32(out, length);
  return out;
}

/// Answers a C-FIND with these bytes and closes.
Fault answering(std::string_view name, std::function<std::string(const dimse::Command&)> bytes) {
  return {name, {}, [bytes = std::move(bytes)](RawPeer& peer, const dimse::Command& request) {
            peer.send(bytes(request));
          }};
}

/// Answers it with these bytes and says no more until the other side gives up.
Fault stalling(std::string_view name, std::function<std::string(const dimse::Command&)> bytes) {
  return {name,
          {},
          [bytes = std::move(bytes)](RawPeer& peer, const dimse::Command& request) {
            peer.send(bytes(request));
            while (!peer.closed()) {
            }
          },
          true};
}

dimse::Command pending(const dimse::Command& request) {
  return dimse::response_to(request, status::pending);
}

std::vector<Fault> faults() {
  std::vector<Fault> all = {
      {"closes at once", [](RawPeer&) {}, {}},
      {"garbage instead of an answer",
       [](RawPeer& peer) { peer.send("HTTP/1.1 400 Bad\r\n\r\n"); },
       {}},
      {"an answer of 4 GiB",
       [](RawPeer& peer) { peer.receive_pdu(), peer.send(header(2, 0xFFFFFFFF)); },
       {}},
      {"stalls instead of an answer",
       [](RawPeer& peer) {
         while (!peer.receive_pdu().empty()) {
         }
       },
       {},
       true},
      stalling("stalls without a response", [](const auto&) { return std::string(); }),
      stalling("stalls in the middle of the matches",
               [](const auto& request) {
                 return message(3, pending(request), explicit_bytes(item("A1")));
               }),
      stalling("stalls in the middle of a PDU",
               [](const auto& request) {
                 return message(3, pending(request), explicit_bytes(item("A1"))).substr(0, 100);
               }),
      answering("closes in the middle", [](const auto&) { return std::string(); }),
      answering("aborts in the middle",
                [](const auto&) { return pdu(7, std::string("\0\0\2\0", 4)); }),
      answering("a PDU of 4 GiB", [](const auto&) { return header(4, 0xFFFFFFFF); }),
      answering("an unknown PDU", [](const auto&) { return pdu(9, "xxxx"); }),
      answering("a wrong context",
                [](const auto& request) { return message(99, pending(request), "x"); }),
      answering("a wrong Message ID",
                [](auto request) {
                  request.message_id = static_cast<std::uint16_t>(*request.message_id + 1);
                  return message(3, pending(request), explicit_bytes(item("A1")));
                }),
      answering("half a data set",
                [](const auto& request) {
                  const auto whole = message(3, pending(request), explicit_bytes(item("A1")));
                  return whole.substr(0, whole.size() - 20);
                }),
      answering("releases in the middle", [](const auto&) { return pdu(5, std::string(4, '\0')); }),
  };
  for (const std::string rejection :
       {"\1\1\1", "\1\1\2", "\1\1\3", "\1\1\7", "\1\2\2", "\2\3\1", "\2\3\2"}) {
    all.push_back({"rejects",
                   [rejection](RawPeer& peer) {
                     peer.receive_pdu();
                     peer.send(pdu(3, std::string(1, '\0') + rejection));
                   },
                   {}});
  }
  return all;
}

std::size_t resident_kib() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::strtoul(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t most_growth_kib = 300u << 10;  // the sanitizer keeps what was freed
#else
constexpr std::size_t most_growth_kib = 2048;
#endif

/// What may not grow, from one moment of a test to another.
class Growth {
 public:
  /// To be called when whatever is kept for good is there.
  void begin() { kib_ = resident_kib(), descriptors_ = open_descriptors(), threads_ = threads(); }
  void check(int cycles) const {
    // Of the test's own peers some threads and descriptors may be ending.
    CHECK(eventually([&] { return open_descriptors() <= descriptors_ + 4; }));
    CHECK(eventually([&] { return threads() <= threads_ + 4; }));
    CHECK(resident_kib() <= kib_ + most_growth_kib);
    std::printf(
        "%d cycles; from the middle to the end: resident %zu -> %zu KiB, descriptors %zu -> %zu, "
        "threads %zu -> %zu\n",
        cycles, kib_, resident_kib(), descriptors_, open_descriptors(), threads_, threads());
  }

 private:
  std::size_t kib_ = 0, descriptors_ = 0, threads_ = 0;
};

int wanted_cycles() {
  const char* wanted = std::getenv("MODGATE_SOAK_CYCLES");
  return wanted != nullptr ? std::atoi(wanted) : 200;
}

/// An SCP that serves C-FIND well or has a fault, as told before each request.
class FaultyScp {
 public:
  FaultyScp() { port = listener_.start().value(); }

  std::uint16_t port = 0;
  std::atomic<const Fault*> fault{nullptr};  ///< null: serves
  std::atomic<int> connections{0};

 private:
  void serve(RawPeer peer) {
    ++connections;
    const Fault* has = fault;
    if (has != nullptr && has->on_connection) return has->on_connection(peer);
    accept(peer);
    while (auto request = peer.receive_message()) {
      has = fault;
      if (has == nullptr) {
        peer.send(message(3, pending(*request), explicit_bytes(item("A1"))) +
                  message(3, dimse::response_to(*request, status::success)));
        continue;
      }
      if (has->on_request) has->on_request(peer, *request);
      return;
    }
  }

  dimse::Listener listener_{{"127.0.0.1", 0, 64},
                            [this](const dimse::Connection& connection) {
                              serve(RawPeer{dimse::Descriptor(::dup(connection.descriptor))});
                            },
                            [](mapping::LogLevel, std::string_view) {}};
};

std::unique_ptr<dimse::Scu> scu_of(const FaultyScp& scp, bool reuse,
                                   std::chrono::milliseconds patience) {
  dimse::ScuOptions options;
  options.ae_title = "RIS";
  options.host = "127.0.0.1";
  options.port = scp.port;
  options.reuse_associations = reuse;
  options.acse_timeout = patience;
  options.dimse_timeout = patience;
  return std::make_unique<dimse::Scu>(options, mapping::Log());
}

bool search(dimse::Scu& scu) {
  std::size_t found = 0;
  Context context;
  context.deadline = std::chrono::steady_clock::now() + 20s;
  const auto outcome = scu.search(
      {identifier()}, [&](mapping::Match&&) { return ++found > 0; }, context);
  return outcome.good() && found == 1;
}

}  // namespace

TEST_CASE("Faults of an SCP without end, each followed by a good request, let nothing grow") {
  const auto all = faults();
  FaultyScp scp;
  const auto single = scu_of(scp, false, 20s), reusing = scu_of(scp, true, 20s);
  const auto hasty_single = scu_of(scp, false, 50ms), hasty_reusing = scu_of(scp, true, 50ms);
  Growth growth;
  const int cycles = wanted_cycles();
  for (int cycle = 0; cycle < cycles; ++cycle) {
    const auto& fault = all[static_cast<std::size_t>(cycle) % all.size()];
    const bool reuse = static_cast<std::size_t>(cycle) / all.size() % 2 == 1;
    INFO("cycle " << cycle << ": " << fault.name << (reuse ? ", associations are reused" : ""));
    auto& scu = reuse ? *reusing : *single;
    auto& hasty = reuse ? *hasty_reusing : *hasty_single;
    scp.fault = &fault;
    REQUIRE_FALSE(search(fault.takes_time ? hasty : scu));
    REQUIRE(eventually([&] { return hasty.pool().taken() == 0; }));
    scp.fault = nullptr;
    REQUIRE(search(scu));
    const int connections = scp.connections;
    REQUIRE(search(scu));
    REQUIRE(scp.connections == connections + (reuse ? 0 : 1));
    REQUIRE(eventually([&] { return scu.pool().taken() == (reuse ? 1 : 0); }));
    if (cycle == cycles / 2) growth.begin();
  }
  growth.check(cycles);
}

TEST_CASE("Faults of modalities without end, each followed by a good one, let nothing grow") {
  const std::string verification(uids::verification), worklist(uids::modality_worklist_find);
  const auto associate = associate_rq({{verification}, {worklist}});
  dimse::Command find;
  find.field = command_field::c_find_rq;
  find.message_id = std::uint16_t{1};
  const auto question = message(3, find, explicit_bytes(identifier()));
  const auto whole = associate + question + release_rq;
  const std::string odd[] = {
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      std::string("\x16\x03\x01\x02\x00\x01\x00", 7),
      header(1, 0xFFFFFFFF),
      associate + header(4, 0xFFFFFFFF),
      associate + header(5, 0xFFFFFFFF),
      associate + pdu(9, "xxxx"),
      associate + message(99, find),
      associate + question + abort_pdu,
      associate_rq({{verification}}, "NOBODY"),
      associate_rq({{"1.2.3"}}),
      std::string(200'000, '\xFF'),
  };
  MemoryServices services;
  dimse::ScpOptions options;
  options.bind = "127.0.0.1";
  options.port = 0;
  dimse::Scp scp(  // without the log of Front, which grows
      options,
      [&](const mapping::Caller&) {
        return mapping::Services{&services, &services};
      },
      {});
  const auto port = scp.start().value();
  Growth growth;
  const int cycles = wanted_cycles();
  for (int cycle = 0; cycle < cycles; ++cycle) {
    INFO("cycle " << cycle);
    const auto number = static_cast<std::size_t>(cycle);
    {  // hangs up behind each byte of a good association in turn, and after each odd one
      auto peer = RawPeer::connect(port);
      peer.send(cycle % 2 == 0 ? whole.substr(0, number / 2 % whole.size())
                               : odd[number / 2 % std::size(odd)]);
      if (cycle % 3 == 0) ::shutdown(peer.descriptor(), SHUT_WR);
      if (cycle % 3 == 0) peer.receive_pdu();
    }
    auto peer = RawPeer::connect(port);
    peer.send(associate + question);
    REQUIRE(peer.receive_pdu().substr(0, 1) == "\2");
    REQUIRE(peer.receive_message()->status == status::pending);
    REQUIRE(peer.receive_message()->status == status::success);
    peer.send(release_rq);
    REQUIRE(peer.receive_pdu() == release_rp);
    REQUIRE(eventually([&] { return scp.associations() == 0; }));
    if (cycle == cycles / 2) growth.begin();
  }
  growth.check(cycles);
}
