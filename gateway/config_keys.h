// The table of keys: for each section its keys, their defaults, what they allow, and where their
// values go. One source a group of sections: config_keys_program.cpp, config_keys_fronts.cpp,
// config_keys_backends.cpp; kinds of values are config_values.h's. Read by gateway/config.cpp,
// which knows sections and what must hold between them.
#pragma once

#include <string>

#include "gateway/config.h"
#include "gateway/config_values.h"

namespace gateway {

// Of each section, bound to what they fill; targets outlive the keys.

Keys gateway_keys(Config& config);
Keys queue_keys(DeliveryOptions& delivery);
Keys admin_keys(Config::Admin& admin);
/// off: there is no collector.
Keys audit_keys(AuditOptions& audit, bool& off);

Keys dimse_keys(Config::DimseFront& front);
Keys web_keys(Config::WebFront& front);
Keys modality_keys(dimse::Modality& modality, ModalityRoute& route);

Keys scp_backend_keys(dimse::ScuOptions& scu, BackendConfig& backend, std::string& kind);
Keys origin_server_backend_keys(web::UserAgentOptions& agent, BackendConfig& backend,
                                std::string& kind);
Keys store_backend_keys(StepStoreOptions& store, BackendConfig& backend, std::string& kind);
/// The key that says what kind of backend a section is.
Key kind_key(std::string& kind);

}  // namespace gateway
