// [dimse] and [web], and [modality …], which says what differs from [dimse] for one caller.
#include <algorithm>
#include <cctype>
#include <set>

#include "gateway/config_keys.h"

namespace gateway {
namespace {

using namespace value;

template <class Names>
Key backends(std::string name, std::string otherwise, Names& target) {
  return {std::move(name), "",
          "the names of one or more [backend …], joined by commas; " + std::move(otherwise),
          [&target](const std::string& value) {
            std::vector<std::string> names = split_names(value);
            const std::set<std::string> different(names.begin(), names.end());
            if (different.count("") != 0 || different.size() != names.size()) {
              return std::string(
                  "expected the name of a [backend …] section between commas, each once");
            }
            target = std::move(names);
            return std::string();
          }};
}

template <class Flag>
Key delivery(Flag& queued) {
  return choice<bool>("mpps_delivery", "direct", {{"direct", false}, {"queued", true}}, queued);
}

Key retrieve_from(RetrieveFrom& target) {
  return choice<RetrieveFrom>("retrieve_from", "auto",
                              {{"auto", RetrieveFrom::automatic},
                               {"backend", RetrieveFrom::backend},
                               {"gateway", RetrieveFrom::gateway}},
                              target);
}

Key validation(std::optional<Validation>& target) {
  return choice<std::optional<Validation>>("validate", "auto",
                                           {{"auto", std::nullopt},
                                            {"off", Validation::off},
                                            {"warn", Validation::warn},
                                            {"reject", Validation::reject}},
                                           target);
}

Keys route_keys(Route& route) {
  return {
      backends("worklist", "empty = not offered", route.worklist),
      yes_no("worklist_partial", "no", route.worklist_partial),
      backends("mpps", "the first answers, the others are mirrors; empty = not offered",
               route.mpps),
      delivery(route.mpps_queued),
      retrieve_from(route.retrieve_from),
      validation(route.validation),
  };
}

Key attribute_paths(std::string name, std::vector<mapping::AttributePath>& target) {
  static constexpr const char* allowed =
      "empty, or attributes by keyword or tag, sequences with dots, separated by commas";
  return {std::move(name), "", allowed, [&target](const std::string& value) {
            std::vector<mapping::AttributePath> paths;
            for (const std::string& one : split_names(value)) {
              const auto path = mapping::parse_attribute_path(one);
              if (!path) return fmt::format("expected {}", allowed);
              paths.push_back(path.value());
            }
            target = std::move(paths);
            return std::string();
          }};
}

Key base_path(std::string& target) {
  static constexpr const char* allowed =
      "a path that starts with / and holds letters, digits, / . _ ~ -";
  return {"base_path", "/", allowed, [&target](const std::string& value) {
            const bool plain = std::all_of(value.begin(), value.end(), [](unsigned char c) {
              return std::isalnum(c) != 0 ||
                     std::string_view("/._~-").find(static_cast<char>(c)) != std::string_view::npos;
            });
            if (!value.starts_with('/') || !plain || value.find("//") != std::string::npos ||
                value.find("/.") != std::string::npos) {
              return fmt::format("expected {}", allowed);
            }
            target = value;
            return std::string();
          }};
}

Key cross_origins(std::vector<std::string>& target) {
  static constexpr const char* allowed =
      "origins such as https://app.example:8443, joined by commas; * = any; empty = none";
  return {"cors_allowed_origins", "", allowed, [&target](const std::string& value) {
            auto origins = split_names(value);
            if (!web::OriginServer::valid_origins(origins)) {
              return fmt::format("expected {}", allowed);
            }
            target = std::move(origins);
            return std::string();
          }};
}

}  // namespace

Keys dimse_keys(Config::DimseFront& front) {
  dimse::ScpOptions& scp = front.options;
  return joined({
      {
          ae_title("ae_title", "MODGATE", scp.ae_title),
          at_start(text("bind", "0.0.0.0", scp.bind)),
          at_start(port("port", "11112", scp.port, true)),
      },
      route_keys(front.route),
      {
          at_start(integer("max_associations", "200", 1, 10000, scp.max_associations)),
          at_start(integer("max_associations_per_ae", "0", 0, 10000, scp.max_associations_per_ae)),
          yes_no("known_modalities_only", "no", scp.known_modalities_only),
          yes_no("any_called_ae_title", "no", scp.any_called_ae_title),
          yes_no("fuzzy_matching", "no", scp.fuzzy_matching),
          seconds("acse_timeout_seconds", "30", scp.acse_timeout),
          // The modality waits for its response as long as for anything else.
          seconds("dimse_timeout_seconds", "60", scp.dimse_timeout, scp.transaction_timeout),
          seconds("idle_timeout_seconds", "300", scp.idle_timeout),
          integer("max_pdu_bytes", "131072", 4096, 131072, scp.max_pdu_bytes),
          users_file(front.authentication),
          tokens_file(front.authentication),
      },
      tls_keys(scp.tls),
  });
}

Keys web_keys(Config::WebFront& front) {
  web::OriginServerOptions& server = front.options;
  return joined({
      {
          at_start(text("bind", "0.0.0.0", server.bind)),
          at_start(port("port", "8081", server.port, true)),
          base_path(server.base_path),
      },
      route_keys(front.route),
      {
          at_start(integer("max_connections", "256", 1, 100000, server.max_connections)),
          at_start(integer("max_connections_per_address", "128", 0, 100000,
                           server.max_connections_per_address)),
          at_start(integer("max_body_bytes", "4194304", 1024, 1u << 30, server.max_body_bytes)),
          integer("max_response_bytes", "67108864", 1024, 1u << 30, server.max_response_bytes),
          integer("count_cap", "1000", 0, 1000000, server.count_cap),
          milliseconds("count_cap_milliseconds", "500", 0, 60000, server.count_cap_milliseconds),
          choice<int>("no_match_status", "204", {{"204", 204}, {"200", 200}},
                      server.no_match_status),
          yes_no("gateway_status_codes", "no", server.gateway_status_codes),
          cross_origins(server.cors_allowed_origins),
          users_file(server.authentication),
          tokens_file(server.authentication),
          names("read_only_users", "empty, or names of users or tokens, joined by commas",
                server.authentication.read_only_users),
      },
      tls_keys(server.tls),
  });
}

Keys modality_keys(dimse::Modality& modality, ModalityRoute& route) {
  return {
      required(ae_title("ae_title", "", modality.ae_title)),
      text("host", "", modality.host),
      from_front(backends("worklist", "empty = not offered", route.worklist)),
      from_front(backends("mpps", "empty = not offered", route.mpps)),
      from_front(delivery(route.mpps_queued)),
      character_set("character_set", modality.character_set),
      unencodable_text(modality.replace_unencodable),
      character_set("assume_character_set", modality.assume_character_set),
      yes_no("station_filter", "no", modality.station_filter),
      attribute_paths("return_keys_only", modality.return_keys_only),
  };
}

}  // namespace gateway
