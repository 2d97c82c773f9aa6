// Faults of an SCP over and over, each followed by a good request: nothing may grow. A short piece
// runs always; MODGATE_SOAK_CYCLES=10000 runs the whole.
#include <cstdlib>
#include <fstream>

#include "dimse/listener.h"
#include "dimse/scu.h"
#include "loopback.h"

using namespace loopback;  // NOLINT: test code
namespace command_field = dimse::command_field;

namespace {

struct Fault {
  std::string_view name;
  std::function<void(RawPeer&)> act;  ///< with a connection whose first PDU was not read yet
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

/// Accepts, takes the C-FIND, answers it with these bytes and closes.
Fault answering(std::string_view name, std::function<std::string(const dimse::Command&)> bytes) {
  return {name, [bytes = std::move(bytes)](RawPeer& peer) {
            accept(peer);
            const auto request = peer.receive_message();
            if (request) peer.send(bytes(*request));
          }};
}

dimse::Command pending(const dimse::Command& request) {
  return dimse::response_to(request, status::pending);
}

std::vector<Fault> faults() {
  std::vector<Fault> all = {
      {"closes at once", [](RawPeer&) {}},
      {"garbage instead of an answer",
       [](RawPeer& peer) { peer.send("HTTP/1.1 400 Bad\r\n\r\n"); }},
      {"an answer of 4 GiB",
       [](RawPeer& peer) { peer.receive_pdu(), peer.send(header(2, 0xFFFFFFFF)); }},
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
    all.push_back({"rejects", [rejection](RawPeer& peer) {
                     peer.receive_pdu();
                     peer.send(pdu(3, std::string(1, '\0') + rejection));
                   }});
  }
  return all;
}

/// Serves C-FIND well until the association ends.
void serve(RawPeer& peer) {
  accept(peer);
  while (auto request = peer.receive_message()) {
    peer.send(message(3, pending(*request), explicit_bytes(item("A1"))) +
              message(3, dimse::response_to(*request, status::success)));
  }
}

std::size_t resident_kib() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::strtoul(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

}  // namespace

TEST_CASE("Faults without end, each followed by a good request, let nothing grow") {
  const char* wanted = std::getenv("MODGATE_SOAK_CYCLES");
  const int cycles = wanted != nullptr ? std::atoi(wanted) : 200;
  const auto all = faults();
  std::atomic<std::size_t> fault{0};
  std::atomic<bool> good{false};
  dimse::Listener listener(
      {"127.0.0.1", 0, 64},
      [&](const dimse::Connection& connection) {
        RawPeer peer{dimse::Descriptor(::dup(connection.descriptor))};
        good ? serve(peer) : all[fault].act(peer);
      },
      [](mapping::LogLevel, std::string_view) {});
  dimse::ScuOptions options;
  options.ae_title = "RIS";
  options.host = "127.0.0.1";
  options.port = listener.start().value();
  options.reuse_associations = false;
  dimse::Scu scu(options, {});
  const auto search = [&] {
    std::size_t found = 0;
    Context context;
    context.deadline = std::chrono::steady_clock::now() + 20s;
    const auto outcome = scu.search(
        {identifier()}, [&](mapping::Match&&) { return ++found > 0; }, context);
    return outcome.good() && found == 1;
  };
  std::size_t kib = 0, descriptors = 0, tasks = 0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    fault = static_cast<std::size_t>(cycle) % all.size();
    INFO("cycle " << cycle << ": " << all[fault].name);
    good = false;
    REQUIRE_FALSE(search());
    good = true;
    REQUIRE(search());
    REQUIRE(eventually([&] { return scu.associations() == 0; }));
    if (cycle != cycles / 2) continue;
    kib = resident_kib();  // by now whatever is kept is there
    descriptors = open_descriptors();
    tasks = threads();
  }
  CHECK(eventually([&] { return open_descriptors() <= descriptors + 4; }));
  CHECK(eventually([&] { return threads() <= tasks + 4; }));  // two of the peer may be ending
  CHECK(resident_kib() <= kib + 2048);
}
