// What the benchmark of dimse/ puts around modgate: an SCP and an origin server in memory that
// answer from bytes made beforehand, an SCU made of DCMTK's calls, a bare HTTP client, and modgate
// itself as a child process. All on the loopback. They die loudly: this is no test of faults.
#pragma once

#include <arpa/inet.h>
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/dimse.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dimse/association.h"
#include "dimse/listener.h"
#include "dimse/negotiation.h"
#include "mapping/json.h"
#include "mapping/tags.h"
#include "mapping/uids.h"
#include "mapping/wire.h"
#include "tests/bench/worklist_item.h"

namespace bench {

using namespace std::chrono_literals;
namespace tags = mapping::tags;
namespace uids = mapping::uids;

[[noreturn]] inline void die(std::string_view what) {
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}
inline void need(bool good, std::string_view what) {
  if (!good) die(what);
}

/// The worklist that is asked for by this Accession Number: that many items, which all have it.
inline mapping::DataSet item_of(std::size_t matches) {
  const auto item = mapping::read_json(worklist_item_json).value();
  mapping::DataSetBuilder builder;
  for (const auto& element : item.view()) {
    if (element.tag != tags::AccessionNumber) builder.add(element);
  }
  builder.add(tags::AccessionNumber, mapping::Vr::SH, std::to_string(matches));
  return builder.build().value();
}

inline std::size_t matches_asked_for(std::string_view number) {
  std::size_t matches = 0;
  std::from_chars(number.data(), number.data() + number.size(), matches);
  return matches;
}

/// Answers C-FIND with as many matches as the Accession Number says, and N-CREATE and N-SET with
/// success.
class MemoryScp {
 public:
  /// port: 0 = any.
  explicit MemoryScp(std::uint16_t port = 0)
      : listener_(
            {"127.0.0.1", port, 512},
            [this](const dimse::Connection& connection) { serve(connection); },
            [](mapping::LogLevel, std::string_view) {}) {
    for (std::size_t matches : {1, 10, 100, 1000}) {
      items_[matches] = mapping::write_data_set(item_of(matches),
                                                mapping::TransferSyntax::explicit_vr_little_endian)
                            .value();
    }
    port_ = listener_.start().value();
  }
  std::uint16_t port() const { return port_; }
  /// Requests of N-CREATE and N-SET so far.
  std::size_t performed() const { return performed_; }

 private:
  void serve(const dimse::Connection& connection) {
    dimse::Transport transport(connection.descriptor);
    auto accepted = dimse::accept_association(
        transport, 131072, dimse::Transport::Clock::now() + 10s,
        [](const dimse::AssociationRequest&) {
          dimse::Decision decision;
          decision.abstract_syntaxes = {uids::verification, uids::modality_worklist_find,
                                        uids::mpps, uids::mpps_retrieve};
          return decision;
        });
    if (accepted.kind != dimse::AcceptResult::Kind::accepted) return;
    dimse::Association association(transport, std::move(accepted.negotiated), {});
    dimse::Message request;
    dimse::Association::ReceiveOptions receive;
    receive.beside = connection.stop_descriptor;
    receive.first_byte = dimse::Transport::Clock::time_point::max();
    while (association.receive(request, receive) == dimse::Arrival::message) {
      answer(association, request);
    }
    association.confirm_release();
  }

  void answer(dimse::Association& association, const dimse::Message& request) {
    if (request.command.field == dimse::command_field::c_find_rq) find(association, request);
    if (request.command.field == dimse::command_field::n_create_rq ||
        request.command.field == dimse::command_field::n_set_rq) {
      ++performed_;
    }
    auto response = dimse::response_to(request.command, mapping::dimse_status::success);
    response.affected_sop_class = request.command.affected_sop_class.empty()
                                      ? request.command.requested_sop_class
                                      : request.command.affected_sop_class;
    association.send(request.context_id, response);
    association.flush();
  }

  void find(dimse::Association& association, const dimse::Message& request) {
    const auto syntax = association.context(request.context_id)->transfer_syntax;
    const auto identifier = mapping::read_data_set(request.data_set, syntax).value().data_set;
    const auto matches = matches_asked_for(identifier.view().text(tags::AccessionNumber));
    const auto& item = items_.at(matches);
    auto pending = dimse::response_to(request.command, mapping::dimse_status::pending);
    pending.affected_sop_class = uids::modality_worklist_find;
    pending.data_set_type = dimse::Command::data_set_follows;
    for (std::size_t i = 0; i < matches; ++i) association.send(request.context_id, pending, item);
  }

  std::map<std::size_t, std::string> items_;
  std::uint16_t port_ = 0;
  std::atomic<std::size_t> performed_ = 0;
  dimse::Listener listener_;
};

inline int connect_loopback(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  need(::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
       "cannot connect");
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

/// Of the loopback, at this moment.
inline std::uint16_t free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  need(::bind(descriptor, generic, size) == 0 && ::getsockname(descriptor, generic, &size) == 0,
       "no free port");
  ::close(descriptor);
  return ntohs(address.sin_port);
}

inline bool accepts(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int connected =
      ::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::close(descriptor);
  return connected == 0;
}

/// A child process that ends with this one, however that ends. run: calls exec.
template <class Run>
pid_t start_child(const Run& run) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  run();
  ::_exit(127);
}

/// One kept connection; asks on it and counts the bytes of the body.
class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port) : descriptor_(connect_loopback(port)) {}
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient() { ::close(descriptor_); }

  std::size_t get(const std::string& target) {
    return ask(fmt::format(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n\r\n", target));
  }
  std::size_t post(const std::string& target, const std::string& body) {
    return ask(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                           target, body.size(), body));
  }

 private:
  std::size_t ask(const std::string& request) {
    need(::send(descriptor_, request.data(), request.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(request.size()),
         "cannot send");
    input_.clear();
    std::size_t head = std::string::npos;
    while ((head = input_.find("\r\n\r\n")) == std::string::npos) receive();
    need(input_.starts_with("HTTP/1.1 200"), input_.substr(0, 200));
    const auto length = matches_asked_for(header(input_.substr(0, head), "content-length: "));
    while (input_.size() < head + 4 + length) receive();
    return length;
  }
  static std::string header(std::string head, std::string_view name) {
    for (auto& c : head) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const auto at = head.find(name);
    need(at != std::string::npos, "no Content-Length");
    return head.substr(at + name.size());
  }
  void receive() {
    char buffer[256 << 10];
    const auto got = ::recv(descriptor_, buffer, sizeof buffer, 0);
    need(got > 0, "connection lost");
    input_.append(buffer, static_cast<std::size_t>(got));
  }

  const int descriptor_;
  std::string input_;
};

/// An origin server that answers every Search with the items that its accession number asks for.
class MemoryOriginServer {
 public:
  MemoryOriginServer() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    for (std::size_t matches : {1, 10, 100, 1000}) {
      std::string one, body = "[";
      need(bool(mapping::write_json(item_of(matches), one)), "no JSON");
      for (std::size_t i = 0; i < matches; ++i) body += (i > 0 ? "," : "") + one;
      body += "]";
      answers_[matches] = fmt::format(
          "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: {}\r\n\r\n{}",
          body.size(), body);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    need(::bind(listening_, generic, size) == 0 && ::listen(listening_, 64) == 0 &&
             ::getsockname(listening_, generic, &size) == 0,
         "cannot listen");
    port_ = ntohs(address.sin_port);
    std::thread([this] {
      for (;;)
        std::thread([this, peer = ::accept(listening_, nullptr, nullptr)] {
          serve(peer);
        }).detach();
    }).detach();
  }
  std::uint16_t port() const { return port_; }

 private:
  void serve(int peer) {
    const int on = 1;
    ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::string input;
    char buffer[16 << 10];
    for (;;) {
      const auto got = ::recv(peer, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      input.append(buffer, static_cast<std::size_t>(got));
      if (!input.ends_with("\r\n\r\n")) continue;
      const auto at = input.find("=") + 1;  // the first parameter is the Accession Number
      const auto& answer = answers_.at(matches_asked_for(std::string_view(input).substr(at)));
      for (std::size_t sent = 0; sent < answer.size();) {
        const auto gone = ::send(peer, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        if (gone <= 0) break;
        sent += static_cast<std::size_t>(gone);
      }
      input.clear();
    }
    ::close(peer);
  }

  const int listening_;
  std::uint16_t port_ = 0;
  std::map<std::size_t, std::string> answers_;
};

/// DCMTK's SCU on one association, every match as a DcmDataset.
class LibraryScu {
 public:
  LibraryScu(std::uint16_t port, const char* called) {
    need(ASC_initializeNetwork(NET_REQUESTOR, 0, 20, &network_).good(), "no network");
    T_ASC_Parameters* parameters = nullptr;
    ASC_createAssociationParameters(&parameters, ASC_DEFAULTMAXPDU);
    ASC_setAPTitles(parameters, "BENCH", called, nullptr);
    const auto address = fmt::format("127.0.0.1:{}", port);
    ASC_setPresentationAddresses(parameters, "localhost", address.c_str());
    const char* syntaxes[] = {UID_LittleEndianExplicitTransferSyntax,
                              UID_LittleEndianImplicitTransferSyntax};
    ASC_addPresentationContext(parameters, 1, UID_FINDModalityWorklistInformationModel, syntaxes,
                               2);
    need(ASC_requestAssociation(network_, parameters, &association_).good(), "no association");
  }
  LibraryScu(const LibraryScu&) = delete;
  LibraryScu& operator=(const LibraryScu&) = delete;
  ~LibraryScu() {
    ASC_releaseAssociation(association_);
    ASC_destroyAssociation(&association_);
    ASC_dropNetwork(&network_);
  }

  std::size_t find(DcmDataset& identifier) {
    T_DIMSE_C_FindRQ request{};
    request.MessageID = association_->nextMsgID++;
    std::strcpy(request.AffectedSOPClassUID, UID_FINDModalityWorklistInformationModel);
    request.DataSetType = DIMSE_DATASET_PRESENT;
    T_DIMSE_C_FindRSP response{};
    DcmDataset* detail = nullptr;
    int count = 0;
    std::size_t matches = 0;
    const auto condition = DIMSE_findUser(
        association_, 1, &request, &identifier, count,
        [](void* data, T_DIMSE_C_FindRQ*, int, T_DIMSE_C_FindRSP*, DcmDataset*) {
          ++*static_cast<std::size_t*>(data);
        },
        &matches, DIMSE_BLOCKING, 0, &response, &detail);
    delete detail;
    need(condition.good() && response.DimseStatus == 0, "C-FIND failed");
    return matches;
  }

 private:
  T_ASC_Network* network_ = nullptr;
  T_ASC_Association* association_ = nullptr;
};

inline DcmDataset to_library(const mapping::DataSet& data_set) {
  const auto bytes =
      mapping::write_data_set(data_set, mapping::TransferSyntax::explicit_vr_little_endian).value();
  DcmInputBufferStream stream;
  stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
  stream.setEos();
  DcmDataset out;
  out.transferInit();
  need(out.read(stream, EXS_LittleEndianExplicit).good(), "DCMTK cannot read the identifier");
  out.transferEnd();
  return out;
}

/// modgate with a configuration, until destroyed.
class Modgate {
 public:
  Modgate(const std::string& binary, const std::string& configuration) {
    path_ = fmt::format("/tmp/modgate-bench-{}-{}.ini", ::getpid(), ++count());
    std::ofstream(path_) << configuration;
    const auto log = path_ + ".log";
    child_ = start_child([&] {
      ::dup2(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
      ::execl(binary.c_str(), binary.c_str(), "--config", path_.c_str(), nullptr);
    });
    await_ready(log);
  }
  Modgate(const Modgate&) = delete;
  Modgate& operator=(const Modgate&) = delete;
  ~Modgate() {
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
    ::unlink(path_.c_str());
    ::unlink((path_ + ".log").c_str());
  }

  std::uint16_t dimse_port() const { return port_of("dimse="); }
  std::uint16_t web_port() const { return port_of("web="); }
  pid_t pid() const { return child_; }
  /// VmRSS.
  std::size_t resident_kib() const {
    std::ifstream file(fmt::format("/proc/{}/status", child_));
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("VmRSS:")) return std::strtoul(line.c_str() + 6, nullptr, 10);
    }
    return 0;
  }

 private:
  static int& count() {
    static int made = 0;
    return made;
  }
  /// Its log goes to a file: nobody has to read it while something is measured.
  void await_ready(const std::string& log) {
    for (int tries = 0; tries < 100 && ::waitpid(child_, nullptr, WNOHANG) == 0; ++tries) {
      std::ifstream file(log);
      while (std::getline(file, ready_)) {
        if (ready_.starts_with("ready") && !file.eof()) return;
      }
      ::poll(nullptr, 0, 100);
    }
    std::ifstream file(log);
    while (std::getline(file, ready_)) fmt::print(stderr, "{}\n", ready_);
    die("modgate did not start");
  }
  std::uint16_t port_of(std::string_view front) const {
    const auto at = ready_.find(':', ready_.find(front));
    return static_cast<std::uint16_t>(std::strtoul(ready_.c_str() + at + 1, nullptr, 10));
  }

  std::string path_, ready_;
  pid_t child_ = -1;
};

}  // namespace bench
