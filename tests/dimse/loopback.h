// What the dimse tests share: services in memory, peers that speak raw PDUs, and a wait for a
// condition. Loopback only, free ports only.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dimse/command.h"
#include "dimse/descriptor.h"
#include "dimse/scp.h"
#include "mapping/data_set.h"
#include "mapping/services.h"
#include "mapping/tags.h"
#include "mapping/uids.h"
#include "mapping/wire.h"

namespace loopback {

using mapping::Context;
using mapping::DataSet;
using mapping::Outcome;
using mapping::Uid;
using mapping::Vr;
namespace status = mapping::dimse_status;
namespace tags = mapping::tags;
namespace uids = mapping::uids;
using namespace std::chrono_literals;

/// Waits until the condition holds; false after a time that is long for this machine.
inline bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

inline std::size_t count_entries(const char* directory) {
  std::size_t count = 0;
  DIR* open = ::opendir(directory);
  while (::readdir(open) != nullptr) ++count;
  ::closedir(open);
  return count;
}
inline std::size_t open_descriptors() { return count_entries("/proc/self/fd"); }
inline std::size_t threads() { return count_entries("/proc/self/task"); }

inline DataSet item(const std::string& accession, const std::string& patient = "DOE^JANE",
                    int steps = 1) {
  mapping::DataSetBuilder builder;
  builder.add(tags::AccessionNumber, Vr::SH, accession)
      .add(tags::PatientName, Vr::PN, patient)
      .add(tags::PatientID, Vr::LO, "P1")
      .begin_sequence(tags::ScheduledProcedureStepSequence);
  for (int i = 0; i < steps; ++i) {
    builder.begin_item()
        .add(tags::ScheduledStationAETitle, Vr::AE, "CT1")
        .add(tags::ScheduledProcedureStepID, Vr::SH, "S" + std::to_string(i))
        .end_item();
  }
  builder.end_sequence();
  return std::move(builder.build()).value();
}

/// Asks for accession number, patient's name and the step's ID.
inline DataSet identifier(const std::string& accession = {}) {
  mapping::DataSetBuilder builder;
  builder.add(tags::AccessionNumber, Vr::SH, accession)
      .add(tags::PatientName, Vr::PN, "")
      .begin_sequence(tags::ScheduledProcedureStepSequence)
      .begin_item()
      .add(tags::ScheduledProcedureStepID, Vr::SH, "")
      .end_item()
      .end_sequence();
  return std::move(builder.build()).value();
}

inline DataSet mpps(const std::string& state, const std::string& patient = "DOE^JANE") {
  mapping::DataSetBuilder builder;
  builder.add(tags::PatientName, Vr::PN, patient)
      .add(tags::PerformedProcedureStepID, Vr::SH, "PPS1")
      .add(tags::PerformedProcedureStepStatus, Vr::CS, state);
  return std::move(builder.build()).value();
}

/// Both services in memory; a test sets what they answer.
class MemoryServices : public mapping::WorklistService, public mapping::MppsService {
 public:
  using SearchAnswer =
      std::function<Outcome(const mapping::Search&, const mapping::OnMatch&, const Context&)>;

  SearchAnswer on_search;
  std::function<std::optional<Outcome>()> on_mpps;  ///< an outcome instead of the store's own
  std::atomic<bool> retrievable{true};

  bool offers_retrieve() const override { return retrievable; }

  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const Context& context) override {
    {
      std::lock_guard lock(mutex_);
      last_search_ = search;
      last_caller_ = context.caller;
    }
    if (on_search) return on_search(search, on_match, context);
    on_match({item("A1")});
    return Outcome::answered(status::success);
  }
  Outcome create(const Uid& uid, const DataSet& attributes, const Context&) override {
    if (on_mpps) {
      if (auto outcome = on_mpps()) return *outcome;
    }
    std::lock_guard lock(mutex_);
    if (!store_.emplace(uid.text(), attributes).second) {
      return Outcome::answered(status::duplicate_sop_instance);
    }
    last_created_ = uid.text();
    return Outcome::answered(status::success);
  }
  Outcome update(const Uid& uid, const DataSet& modifications, const Context&) override {
    if (on_mpps) {
      if (auto outcome = on_mpps()) return *outcome;
    }
    std::lock_guard lock(mutex_);
    auto found = store_.find(uid.text());
    if (found == store_.end()) return Outcome::answered(status::no_such_sop_instance);
    found->second = modifications;
    return Outcome::answered(status::success);
  }
  Outcome retrieve(const Uid& uid, const mapping::AttributeList&, DataSet& found,
                   const Context&) override {
    if (on_mpps) {
      if (auto outcome = on_mpps()) return *outcome;
    }
    std::lock_guard lock(mutex_);
    auto stored = store_.find(uid.text());
    if (stored == store_.end()) return Outcome::answered(status::no_such_sop_instance);
    found = stored->second;
    return Outcome::answered(status::success);
  }

  mapping::Search last_search() const {
    std::lock_guard lock(mutex_);
    return last_search_;
  }
  mapping::Caller last_caller() const {
    std::lock_guard lock(mutex_);
    return last_caller_;
  }
  std::string last_created() const {
    std::lock_guard lock(mutex_);
    return last_created_;
  }
  DataSet stored(const std::string& uid) const {
    std::lock_guard lock(mutex_);
    return store_.at(uid);
  }
  std::size_t stored_count() const {
    std::lock_guard lock(mutex_);
    return store_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, DataSet> store_;
  mapping::Search last_search_;
  mapping::Caller last_caller_;
  std::string last_created_;
};

/// Collects log lines.
class Lines {
 public:
  mapping::Log log() {
    return [this](mapping::LogLevel level, std::string_view line) {
      std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
      if (level <= mapping::LogLevel::warn) ++warnings_;
    };
  }
  std::size_t count() const {
    std::lock_guard lock(mutex_);
    return lines_.size();
  }
  std::size_t warnings() const {
    std::lock_guard lock(mutex_);
    return warnings_;
  }
  bool hold(std::string_view part) const {
    std::lock_guard lock(mutex_);
    for (const auto& line : lines_) {
      if (line.find(part) != std::string::npos) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  std::size_t warnings_ = 0;
};

/// The front over services in memory, on a free port of the loopback.
struct Front {
  explicit Front(dimse::ScpOptions options = {}) {
    options.bind = "127.0.0.1";
    options.port = 0;
    scp.emplace(
        std::move(options), [this](const mapping::Caller&) { return offered; }, lines.log());
    auto started = scp->start();
    REQUIRE(started);
    port = started.value();
  }
  MemoryServices services;
  mapping::Services offered{&services, &services};
  Lines lines;
  std::uint16_t port = 0;
  std::optional<dimse::Scp> scp;  // last: its threads use what stands above
};

// ---- raw PDUs

inline void put_16(std::string& out, std::size_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
inline void put_32(std::string& out, std::size_t value) {
  put_16(out, value >> 16);
  put_16(out, value & 0xFFFF);
}
inline std::string pdu(std::uint8_t type, const std::string& body) {
  std::string out{static_cast<char>(type), '\0'};
  put_32(out, body.size());
  return out + body;
}
inline std::string pdu_item(std::uint8_t type, const std::string& body) {
  std::string out{static_cast<char>(type), '\0'};
  put_16(out, body.size());
  return out + body;
}
inline std::string ae_title(std::string title) {
  title.resize(16, ' ');
  return title;
}
inline std::string user_information(std::size_t max_pdu) {
  std::string max;
  put_32(max, max_pdu);
  return pdu_item(0x50, pdu_item(0x51, max) + pdu_item(0x52, "1.2.3.4"));
}

struct RequestedContext {
  std::string abstract_syntax;
  std::vector<std::string> transfer_syntaxes{std::string(uids::explicit_vr_little_endian)};
};

inline std::string associate_rq(const std::vector<RequestedContext>& contexts,
                                const std::string& called = "MODGATE",
                                const std::string& calling = "CT1",
                                const std::string& application = "1.2.840.10008.3.1.1.1",
                                std::size_t max_pdu = 16384, int version = 1) {
  std::string body;
  put_16(body, static_cast<std::size_t>(version));
  put_16(body, 0);
  body += ae_title(called) + ae_title(calling) + std::string(32, '\0');
  body += pdu_item(0x10, application);
  int id = 1;
  for (const auto& context : contexts) {
    std::string inner{static_cast<char>(id), '\0', '\0', '\0'};
    inner += pdu_item(0x30, context.abstract_syntax);
    for (const auto& syntax : context.transfer_syntaxes) inner += pdu_item(0x40, syntax);
    body += pdu_item(0x20, inner);
    id += 2;
  }
  return pdu(1, body + user_information(max_pdu));
}

inline std::string associate_ac(int contexts, std::size_t max_pdu = 16384,
                                std::string_view syntax = uids::explicit_vr_little_endian) {
  std::string body;
  put_16(body, 1);
  put_16(body, 0);
  body += ae_title("RIS") + ae_title("MODGATE") + std::string(32, '\0');
  body += pdu_item(0x10, "1.2.840.10008.3.1.1.1");
  for (int i = 0; i < contexts; ++i) {
    std::string inner{static_cast<char>(2 * i + 1), '\0', '\0', '\0'};
    body += pdu_item(0x21, inner + pdu_item(0x40, std::string(syntax)));
  }
  return pdu(2, body + user_information(max_pdu));
}

struct ContextResult {
  int id;
  int result;
  std::string transfer_syntax;
  bool operator==(const ContextResult&) const = default;
};
/// Of the presentation contexts in an A-ASSOCIATE-AC; a refused one's transfer syntax says nothing.
inline std::vector<ContextResult> context_results(const std::string& pdu) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(pdu.at(at)); };
  const auto word = [&](std::size_t at) { return std::size_t{byte(at)} << 8 | byte(at + 1); };
  std::vector<ContextResult> results;
  for (std::size_t at = 74; at + 4 <= pdu.size(); at += 4 + word(at + 2)) {
    if (pdu[at] != 0x21) continue;
    const bool accepted = pdu[at + 6] == 0;
    results.push_back({byte(at + 4), byte(at + 6),
                       accepted ? pdu.substr(at + 12, word(at + 10)) : std::string()});
  }
  return results;
}

inline std::string pdv(std::uint8_t context, std::uint8_t control, const std::string& fragment) {
  std::string out;
  put_32(out, fragment.size() + 2);
  out.push_back(static_cast<char>(context));
  out.push_back(static_cast<char>(control));
  return out + fragment;
}

inline std::string message(std::uint8_t context, dimse::Command command,
                           const std::optional<std::string>& data_set = {}) {
  if (data_set) command.data_set_type = dimse::Command::data_set_follows;
  std::string encoded;
  dimse::encode_command(command, encoded);
  auto out = pdu(4, pdv(context, 3, encoded));
  if (data_set) out += pdu(4, pdv(context, 2, *data_set));
  return out;
}

inline std::string explicit_bytes(const DataSet& data_set) {
  return mapping::write_data_set(data_set, mapping::TransferSyntax::explicit_vr_little_endian)
      .value();
}

const std::string release_rq = pdu(5, std::string(4, '\0'));
const std::string release_rp = pdu(6, std::string(4, '\0'));
const std::string abort_pdu = pdu(7, std::string(4, '\0'));

/// A socket that speaks whatever a test wants, when it wants: without Nagle's algorithm.
class RawPeer {
 public:
  explicit RawPeer(dimse::Descriptor socket) : socket_(std::move(socket)) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  static RawPeer connect(std::uint16_t port) {
    dimse::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return RawPeer(std::move(socket));
  }

  void send(const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      auto sent = ::send(socket_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
  }
  /// That many bytes; fewer if the peer closed or is silent for long.
  std::string receive(std::size_t count) {
    std::string got;
    while (got.size() < count) {
      pollfd ready{socket_.get(), POLLIN, 0};
      if (::poll(&ready, 1, 20000) <= 0) break;
      char buffer[4096];
      auto size = ::recv(socket_.get(), buffer, std::min(sizeof buffer, count - got.size()), 0);
      if (size <= 0) break;
      got.append(buffer, static_cast<std::size_t>(size));
    }
    return got;
  }
  /// A whole PDU, header included; empty if the connection ended.
  std::string receive_pdu() {
    auto header = receive(6);
    if (header.size() < 6) return {};
    std::size_t length = 0;
    for (int i = 2; i < 6; ++i) length = length << 8 | static_cast<unsigned char>(header[i]);
    return header + receive(length);
  }
  /// The command of the next message; its data set, if any, is read too.
  std::optional<dimse::Command> receive_message(std::string* data_set = nullptr) {
    auto take = [&](std::string& into) {
      for (;;) {
        auto got = receive_pdu();
        if (got.empty() || got[0] != 4) return false;
        into += got.substr(12);
        if ((got[11] & 2) != 0) return true;
      }
    };
    std::string encoded, data;
    if (!take(encoded)) return std::nullopt;
    auto command = dimse::decode_command(encoded);
    if (!command) return std::nullopt;
    if (command.value().has_data_set() && !take(data)) return std::nullopt;
    if (data_set != nullptr) *data_set = data;
    return std::move(command).value();
  }
  bool closed() { return receive(1).empty(); }
  void close() { socket_.reset(); }
  int descriptor() const { return socket_.get(); }

 private:
  dimse::Descriptor socket_;
};

/// An SCP that follows a script: what it does with each connection is up to the test.
class RawScp {
 public:
  using Script = std::function<void(RawPeer&, int connection)>;
  explicit RawScp(Script script) {
    listening_ = dimse::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listening_.get(), generic, size) == 0);
    REQUIRE(::listen(listening_.get(), 64) == 0);
    REQUIRE(::getsockname(listening_.get(), generic, &size) == 0);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this, script = std::move(script)] {
      for (int connection = 0;; ++connection) {
        dimse::Descriptor accepted(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!accepted) return;
        serving_.emplace_back(
            [script, connection](dimse::Descriptor socket) {
              RawPeer peer(std::move(socket));
              script(peer, connection);
            },
            std::move(accepted));
      }
    });
  }
  ~RawScp() {
    ::shutdown(listening_.get(), SHUT_RDWR);
    accepting_.join();
    for (auto& thread : serving_) thread.join();
  }
  std::uint16_t port() const { return port_; }

 private:
  dimse::Descriptor listening_;
  std::uint16_t port_ = 0;
  std::thread accepting_;
  std::vector<std::thread> serving_;
};

}  // namespace loopback
