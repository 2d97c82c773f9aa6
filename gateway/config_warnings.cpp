// One function a concern.
#include "gateway/config_warnings.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "web/base_uri.h"
#include "web/tls.h"

namespace gateway {
namespace {

using std::chrono::milliseconds;

/// Why data on the file system of this directory, or of where it will be made, is not safe. Empty:
/// it may be.
std::string_view doubt_about(std::filesystem::path directory) {
  std::error_code error;
  while (!std::filesystem::exists(directory, error) && directory.has_relative_path()) {
    directory = directory.parent_path();
  }
  struct statfs system {};
  if (::statfs(directory.empty() ? "." : directory.c_str(), &system) != 0) return {};
  constexpr std::uint32_t cifs = 0xFF534D42, smb_2 = 0xFE534D42;
  switch (static_cast<std::uint32_t>(system.f_type)) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
      return "is in memory (tmpfs), so what is kept there is lost when this machine stops";
    case OVERLAYFS_SUPER_MAGIC:
      return "is in a container's own layer (overlay), so what is kept there goes with it";
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case cifs:
    case smb_2:
      return "is on a network file system, whose locks and syncs the database cannot trust";
    default:
      return {};
  }
}

/// 5 or 0.5.
std::string seconds(milliseconds time) {
  return fmt::format("{}", static_cast<double>(time.count()) / 1000);
}

class Warner {
 public:
  Warner(const Config& config, const std::vector<IniSection>& sections)
      : config_(config), sections_(sections) {}

  std::vector<ConfigFault> all() {
    if (config_.dimse) check_dimse_front();
    if (config_.web) check_web_front();
    if (config_.admin) check_admin_port();
    if (config_.audit) check_audit();
    for (const auto& [name, backend] : config_.backends) check_wire_to(name, backend);
    check_state_directory();
    check_patience();
    check_files();
    std::stable_sort(warnings_.begin(), warnings_.end(),
                     [](const auto& a, const auto& b) { return a.line < b.line; });
    return std::move(warnings_);
  }

 private:
  void warn(const std::string& section, const std::string& key, std::string what) {
    int line = 0;
    for (const IniSection& one : sections_) {
      if (one.title() != section) continue;
      line = one.line;
      for (const IniEntry& entry : one.entries) {
        if (entry.key == key) line = entry.line;
      }
    }
    warnings_.push_back({line, section, key, std::move(what)});
  }

  static bool empty(const web::AuthenticationFiles& files) {
    return files.users.empty() && files.tokens.empty();
  }

  void check_dimse_front() {
    const dimse::ScpOptions& scp = config_.dimse->options;
    if (web::is_loopback(scp.bind)) return;
    if (!scp.tls.on_for_scp()) {
      warn("dimse", "tls_certificate",
           "missing, so patients' data crosses the network in plain text: set it with "
           "tls_private_key, or keep this port to a network of its own");
    }
    if (!scp.known_modalities_only && scp.tls.trusted.empty() &&
        empty(config_.dimse->authentication)) {
      warn("dimse", "known_modalities_only",
           "no, so every calling AE title is served: set yes, and a [modality NAME] with its host "
           "for each");
    }
  }

  void check_web_front() {
    const web::OriginServerOptions& server = config_.web->options;
    const bool anybody = empty(server.authentication) && server.tls.trusted.empty();
    const auto& origins = server.cors_allowed_origins;
    if (anybody && std::find(origins.begin(), origins.end(), "*") != origins.end()) {
      warn("web", "cors_allowed_origins",
           "any page that a browser near here shows can read the worklist: name the origins");
    }
    if (web::is_loopback(server.bind)) return;
    if (server.tls.certificate.empty()) {
      warn("web", "tls_certificate",
           "missing, so patients' data and credentials cross the network in plain text: set it "
           "with tls_private_key, or bind to 127.0.0.1 behind a reverse proxy that speaks TLS");
    }
    if (anybody) {
      warn("web", "users",
           "missing, so everybody who reaches this port is served: set users, tokens or "
           "tls_trusted");
    }
  }

  void check_admin_port() {
    const Config::Admin& admin = *config_.admin;
    if (web::is_loopback(admin.bind)) return;
    warn("admin", "bind",
         "this port speaks no TLS: bind to 127.0.0.1, and let a reverse proxy with TLS show it");
    if (empty(admin.authentication)) {
      warn("admin", "users", "missing, so everybody who reaches this port is served: set it");
    }
  }

  void check_audit() {
    const SyslogTarget& collector = config_.audit->syslog.target;
    if (collector.transport == SyslogTarget::Transport::tls || web::is_loopback(collector.host)) {
      return;
    }
    warn("audit", "syslog",
         fmt::format("udp, so messages that name patients go to {} in plain text, and what is lost "
                     "on the way nobody knows: use tls:// if the collector can",
                     collector.host));
  }

  void check_wire_to(const std::string& name, const BackendConfig& backend) {
    const std::string section = "backend " + name;
    if (const auto* scu = std::get_if<dimse::ScuOptions>(&backend.options)) {
      if (web::is_loopback(scu->host) || scu->tls.on_for_scu()) return;
      warn(section, "tls_trusted",
           fmt::format("missing, so patients' data goes to {} in plain text: set it if the SCP can "
                       "speak TLS, or keep both to a network of their own",
                       scu->host));
    } else if (const auto* agent = std::get_if<web::UserAgentOptions>(&backend.options)) {
      const auto server = web::parse_base_uri(agent->base_uri);
      if (!server || server.value().tls || server.value().is_loopback()) return;
      warn(section, "base_uri",
           fmt::format("patients' data{} goes to {} in plain text: use https",
                       agent->credentials.plain_text ? " and the password or token" : "",
                       server.value().host));
    }
  }

  /// Every route, with the front that it is of.
  template <class Visit>
  void for_each_route(const Visit& visit) const {
    if (config_.web) visit(config_.web->route, false);
    if (!config_.dimse) return;
    visit(config_.dimse->route, true);
    for (const ModalityRoute& modality : config_.modalities) {
      visit(route_of(config_, modality), true);
    }
  }

  void check_state_directory() {
    bool used = config_.audit ||
                std::any_of(config_.backends.begin(), config_.backends.end(), [](const auto& one) {
                  return std::holds_alternative<StepStoreOptions>(one.second.options);
                });
    for_each_route([&used](const Route& route, bool) { used = used || needs_queue(route); });
    const std::string_view doubt = used ? doubt_about(config_.state_dir) : std::string_view();
    if (doubt.empty()) return;
    warn("gateway", "state_dir",
         fmt::format("{} {}: name a directory on a local disk", config_.state_dir.string(), doubt));
  }

  /// Who waits for a backend, and how long.
  struct Asker {
    milliseconds patience;
    std::string_view name;
    std::string_view remedy;
  };

  void check_patience() {
    std::map<std::string, Asker> shortest;
    const auto asks = [&shortest](const std::string& backend, const Asker& asker) {
      const auto [known, first] = shortest.try_emplace(backend, asker);
      if (!first && asker.patience < known->second.patience) known->second = asker;
    };
    const Asker queue{config_.delivery.attempt_timeout, "[queue]",
                      ", or attempt_timeout_seconds there longer"};
    for_each_route([&](const Route& route, bool dimse) {
      const Asker front = dimse ? Asker{config_.dimse->options.transaction_timeout, "[dimse]",
                                        ", or dimse_timeout_seconds there longer"}
                                : Asker{config_.web->options.transaction_timeout, "[web]", ""};
      for (const std::string& backend : route.worklist) asks(backend, front);
      for (std::size_t i = 0; i < route.mpps.size(); ++i) {
        asks(route.mpps[i], i > 0 || route.mpps_queued ? queue : front);
      }
    });
    for (const auto& [name, asker] : shortest) check_patience_for(name, asker);
  }

  void check_patience_for(const std::string& name, const Asker& asker) {
    milliseconds connect{0}, answer{0};
    std::string key;
    const auto& options = config_.backends.at(name).options;
    if (const auto* scu = std::get_if<dimse::ScuOptions>(&options)) {
      connect = 2 * scu->acse_timeout;  // the connection, and the association
      answer = scu->dimse_timeout;
      key = "dimse_timeout_seconds";
    } else if (const auto* agent = std::get_if<web::UserAgentOptions>(&options)) {
      connect = agent->connect_timeout;
      answer = agent->response_timeout;
      key = "response_timeout_seconds";
    }
    if (connect + answer <= asker.patience) return;
    warn("backend " + name, key,
         fmt::format("an answer may take {} s, {} of them to connect, but {} waits {} s: make it "
                     "shorter{}",
                     seconds(connect + answer), seconds(connect), asker.name,
                     seconds(asker.patience), asker.remedy));
  }

  /// Files that a section names.
  void check_files() {
    for (const IniSection& section : sections_) {
      for (const auto& [line, key, value] : section.entries) {
        if (value.empty()) continue;
        if (key == "tls_certificate") check_certificate(section.title(), value);
        const bool secret = key == "tls_private_key" || key == "password_file" ||
                            key == "bearer_token_file" || key == "oauth_client_secret_file";
        struct stat file {};
        if (secret && ::stat(value.c_str(), &file) == 0 && (file.st_mode & S_IROTH) != 0) {
          warn(section.title(), key,
               fmt::format("every user of this machine can read {0}: chmod o-rwx {0}", value));
        }
      }
    }
  }

  void check_certificate(const std::string& section, const std::string& file) {
    constexpr std::chrono::hours early{24 * 30};
    const auto end = web::certificate_end(file);
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    if (!end || end.value() - now > early) return;
    warn(section, "tls_certificate",
         fmt::format("{} {} on {:%Y-%m-%d}: renew it", file,
                     end.value() > now ? "ends" : "has ended",
                     fmt::gmtime(end.value().time_since_epoch().count())));
  }

  const Config& config_;
  const std::vector<IniSection>& sections_;
  std::vector<ConfigFault> warnings_;
};

}  // namespace

std::vector<ConfigFault> config_warnings(const Config& config,
                                         const std::vector<IniSection>& sections) {
  return Warner(config, sections).all();
}

}  // namespace gateway
