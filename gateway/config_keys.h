// The table of keys: for each section its keys, their defaults, what they allow, and where their
// values go. Read by gateway/config.cpp, which knows sections and what must hold between them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config.h"

namespace gateway {

/// One key of a section, bound to where its value goes.
struct Key {
  std::string name;
  std::string default_value;
  std::string allowed;
  /// Takes the value over; returns what is wrong with it, empty if nothing.
  std::function<std::string(const std::string&)> apply;
  bool required = false;
  bool at_start = false;  ///< holds until the next start, whatever a reload reads
};
using Keys = std::vector<Key>;

/// Of each section, bound to what they fill; targets outlive the keys.
Keys gateway_keys(Config& config);
Keys queue_keys(DeliveryOptions& delivery);
Keys dimse_keys(Config::DimseFront& front);
Keys web_keys(Config::WebFront& front);
Keys admin_keys(Config::Admin& admin);
/// off: there is no collector.
Keys audit_keys(AuditOptions& audit, bool& off);
Keys scp_backend_keys(dimse::ScuOptions& scu, BackendConfig& backend, std::string& kind);
Keys origin_server_backend_keys(web::UserAgentOptions& agent, BackendConfig& backend,
                                std::string& kind);
Keys store_backend_keys(StepStoreOptions& store, BackendConfig& backend, std::string& kind);
Keys modality_keys(dimse::Modality& modality, ModalityRoute& route);

/// The key that says what kind of backend a section is.
Key kind_key(std::string& kind);

/// Names separated by commas, blanks around them taken away.
std::vector<std::string> split_names(std::string_view value);

}  // namespace gateway
