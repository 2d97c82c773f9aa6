// What the INI file says, checked and in the types of the rooms that use it. Every key, its default
// and what it allows stand in one table (config_keys.h); conf/modgate.ini follows it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dimse/scp.h"
#include "dimse/scu.h"
#include "gateway/audit_trail.h"
#include "gateway/ini_file.h"
#include "gateway/mirror.h"
#include "gateway/mpps_delivery.h"
#include "gateway/mpps_validation.h"
#include "gateway/queued_mpps.h"
#include "gateway/step_store.h"
#include "mapping/log.h"
#include "web/origin_server.h"
#include "web/user_agent.h"

namespace gateway {

enum class LogFormat { text, json };

/// Names of backends that answer; empty = not offered.
struct Route {
  std::vector<std::string> worklist;
  std::vector<std::string> mpps;  ///< the first one's answer is the answer; the others are mirrors
  bool mpps_queued = false;       ///< stored durably, answered, then delivered
  RetrieveFrom retrieve_from = RetrieveFrom::automatic;
  std::optional<Validation> validation;  ///< nothing: reject if queued, else warn
  bool worklist_partial = false;         ///< answered although one of several worklists failed
};

/// It has receivers that get messages out of the durable queue: all of them, or the mirrors.
bool needs_queue(const Route& route);

/// One [backend …].
struct BackendConfig {
  std::variant<dimse::ScuOptions, web::UserAgentOptions, StepStoreOptions> options;
  bool verify_matches = false;     ///< VerifiedWorklist
  bool combined_date_time = true;  ///< VerifiedWorklist::Options
  MirrorFilter mirror;             ///< what it gets where it is not the first
  std::string tls_files;           ///< differs when what stands in its TLS files was written anew
  bool operator==(const BackendConfig&) const = default;
};

/// One [modality …]: only what routing needs; the rest is in ScpOptions::modalities.
struct ModalityRoute {
  std::string ae_title;
  std::optional<std::vector<std::string>> worklist;  ///< nothing = as the front
  std::optional<std::vector<std::string>> mpps;
  std::optional<bool> mpps_queued;
};

/// A value; each reading makes one of its own.
struct Config {
  mapping::LogLevel log_level = mapping::LogLevel::info;
  LogFormat log_format = LogFormat::text;
  /// Of the queue, the embedded store, the audit trail and traces.
  std::filesystem::path state_dir = "/var/lib/modgate";
  DeliveryOptions delivery;

  struct DimseFront {
    dimse::ScpOptions options;
    web::AuthenticationFiles authentication;  ///< of user identities; no files = none is asked for
    Route route;
  };
  struct WebFront {
    web::OriginServerOptions options;
    Route route;
  };
  /// The port of the status page, health, readiness and metrics.
  struct Admin {
    std::string bind = "127.0.0.1";           ///< numeric IPv4 or IPv6 address
    std::uint16_t port = 8082;                ///< 0 = any free one
    web::AuthenticationFiles authentication;  ///< no files = everybody is served
    std::vector<std::string> host_names;      ///< by which it is asked, beside addresses
  };
  std::optional<DimseFront> dimse;
  std::optional<WebFront> web;
  std::optional<Admin> admin;         ///< nothing: there is no such port
  std::optional<AuditOptions> audit;  ///< nothing: no audit trail is kept
  std::vector<ModalityRoute> modalities;
  std::map<std::string, BackendConfig> backends;
};

/// What [dimse] does, and what this section changes in it. config: with a DIMSE front.
Route route_of(const Config& config, const ModalityRoute& modality);

/// What came of reading: the configuration is to be used only without faults.
struct ConfigReading {
  Config config;
  /// What needs a restart, and so is in config as it was at the start; none at the start.
  std::vector<ConfigFault> unchanged;
  std::map<std::string, std::string> at_start;  ///< values of Key::at_start, by "[dimse] port"
  std::vector<ConfigFault> faults;              ///< all of them, by line
  std::vector<ConfigFault> warnings;            ///< config_warnings; none where there are faults
  std::string effective;  ///< the whole as an INI file, defaults included, no secrets
};

/// running: what a gateway that is to be changed runs by, without faults; null: there is none yet.
ConfigReading read_config(std::string_view text, const Environment& environment,
                          const ConfigReading* running = nullptr);
/// The same of a file; that it cannot be read is a fault, too.
ConfigReading read_config_file(const std::string& path, const Environment& environment,
                               const ConfigReading* running = nullptr);

/// The variables of this process.
std::optional<std::string> process_environment(const std::string& name);

/// One row of the table of keys, for documents and their tests.
struct ConfigKey {
  std::string section;  ///< "dimse"; for backends with their kind: "backend kind=scp"
  std::string key;
  std::string default_value;
  std::string allowed;
  bool at_start = false;    ///< needs a restart; the others are taken by a reload
  bool from_front = false;  ///< where it is not there, what the front has holds, and no default
};
std::vector<ConfigKey> config_keys();

}  // namespace gateway
