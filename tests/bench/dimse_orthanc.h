// Orthanc as a gateway from HTTP to C-FIND: what the benchmark of dimse/ sets modgate beside. A
// child process with a worklist SCP as its only modality, on free ports of the loopback.
#pragma once

#include <filesystem>
#include <string>

#include "mapping/dictionary.h"
#include "tests/bench/dimse_peers.h"

namespace bench {

/// The identifier as POST /modalities/{id}/find-worklist takes it: values by keyword.
inline std::string to_orthanc(mapping::DataSetView identifier) {
  std::string json = "{";
  for (const auto& element : identifier) {
    const auto* entry = mapping::find_attribute(element.tag);
    need(entry != nullptr, "a key without keyword");
    if (json.size() > 1) json += ',';
    json += fmt::format("\"{}\":", entry->keyword);
    if (element.vr != mapping::Vr::SQ) {
      json += fmt::format("\"{}\"", element.text());
      continue;
    }
    std::string items;
    for (const auto item : element.items()) items += (items.empty() ? "" : ",") + to_orthanc(item);
    json += "[" + items + "]";
  }
  return json + "}";
}

class Orthanc {
 public:
  static constexpr const char* program = "/usr/sbin/Orthanc";

  explicit Orthanc(std::uint16_t scp)
      : folder_(fmt::format("/tmp/modgate-bench-orthanc-{}", ::getpid())), port_(free_port()) {
    need(std::filesystem::exists(program), "Orthanc is not installed (Debian package orthanc)");
    std::filesystem::create_directory(folder_);
    const auto configuration = folder_ + "/orthanc.json";
    std::ofstream(configuration) << fmt::format(
        R"({{"StorageDirectory":"{0}","IndexDirectory":"{0}","HttpPort":{1},)"
        R"("DicomServerEnabled":false,"RemoteAccessAllowed":false,"AuthenticationEnabled":false,)"
        R"("KeepAlive":true,"TcpNoDelay":true,"Plugins":[],)"
        R"("DicomModalities":{{"scp":["SCP","127.0.0.1",{2}]}}}})",
        folder_, port_, scp);
    child_ = start_child([&] {
      ::setenv("TCP_NODELAY", "1", 1);
      const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
      ::dup2(nowhere, 1);
      ::dup2(nowhere, 2);
      ::execl(program, program, configuration.c_str(), nullptr);
    });
    for (int tries = 0; !accepts(port_); ++tries) {
      need(tries < 300 && ::waitpid(child_, nullptr, WNOHANG) == 0, "Orthanc does not start");
      ::poll(nullptr, 0, 100);
    }
    client_ = std::make_unique<HttpClient>(port_);
  }
  ~Orthanc() {
    client_.reset();
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }
  Orthanc(const Orthanc&) = delete;
  Orthanc& operator=(const Orthanc&) = delete;

  /// Returns the bytes of its answer.
  std::size_t find(mapping::DataSetView identifier) {
    return client_->post("/modalities/scp/find-worklist", to_orthanc(identifier));
  }

 private:
  const std::string folder_;
  const std::uint16_t port_;
  pid_t child_ = -1;
  std::unique_ptr<HttpClient> client_;
};

}  // namespace bench
