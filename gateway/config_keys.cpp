// Kinds of values, and the table.
#include "gateway/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <set>

#include "mapping/character_set.h"

namespace gateway {
namespace {

// --- Kinds of values. Each makes a Key that writes into target.

Key text(std::string name, std::string default_value, std::string& target) {
  return {std::move(name), std::move(default_value), "text", [&target](const std::string& value) {
            target = value;
            return std::string();
          }};
}

Key directory(std::string name, std::string default_value, std::filesystem::path& target) {
  return {std::move(name), std::move(default_value), "a directory",
          [&target](const std::string& value) {
            target = value;
            return std::string();
          }};
}

Key required(Key key) {
  key.required = true;
  return key;
}

Key at_start(Key key) {
  key.at_start = true;
  return key;
}

Key ae_title(std::string name, std::string default_value, std::string& target) {
  static constexpr const char* allowed =
      "an AE title of 1 to 16 printable ASCII characters, no backslash";
  return {std::move(name), std::move(default_value), allowed, [&target](const std::string& value) {
            const bool printable = std::all_of(value.begin(), value.end(), [](char c) {
              return c >= 0x20 && c < 0x7F && c != '\\';
            });
            if (value.empty() || value.size() > 16 || !printable) {
              return fmt::format("expected {}", allowed);
            }
            target = value;
            return std::string();
          }};
}

template <class Integer>
Key integer(std::string name, std::string default_value, std::uint64_t low, std::uint64_t high,
            std::function<void(Integer)> set) {
  std::string allowed = fmt::format("a whole number from {} to {}", low, high);
  return {std::move(name), std::move(default_value), allowed, [=](const std::string& value) {
            std::uint64_t number = 0;
            const auto [end, error] =
                std::from_chars(value.data(), value.data() + value.size(), number);
            if (error != std::errc() || end != value.data() + value.size() || number < low ||
                number > high) {
              return fmt::format("expected {}", allowed);
            }
            set(static_cast<Integer>(number));
            return std::string();
          }};
}

template <class Integer>
Key integer(std::string name, std::string default_value, std::uint64_t low, std::uint64_t high,
            Integer& target) {
  return integer<Integer>(std::move(name), std::move(default_value), low, high,
                          [&target](Integer number) { target = number; });
}

Key port(std::string name, std::string default_value, std::uint16_t& target, bool any_allowed) {
  Key key = integer(std::move(name), std::move(default_value), any_allowed ? 0 : 1, 65535, target);
  if (any_allowed) key.allowed += "; 0 = any free port";
  return key;
}

template <class... Targets>
Key seconds(std::string name, std::string default_value, Targets&... targets) {
  return integer<std::uint64_t>(
      std::move(name), std::move(default_value), 1, 86400,
      [&targets...](std::uint64_t number) { ((targets = std::chrono::seconds(number)), ...); });
}

/// Words and what they stand for.
template <class T>
struct Choice {
  std::string_view word;
  T meaning;
};
template <class T>
Key choice(std::string name, std::string default_value, std::vector<Choice<T>> choices,
           std::function<void(T)> set) {
  std::string allowed;
  for (const auto& one : choices) {
    allowed += fmt::format("{}{}", allowed.empty() ? "" : " | ", one.word);
  }
  return {std::move(name), std::move(default_value), allowed,
          [=](const std::string& value) -> std::string {
            for (const auto& one : choices) {
              if (one.word != value) continue;
              set(one.meaning);
              return {};
            }
            return fmt::format("expected {}", allowed);
          }};
}

Key yes_no(std::string name, std::string default_value, bool& target) {
  return choice<bool>(std::move(name), std::move(default_value), {{"yes", true}, {"no", false}},
                      [&target](bool meaning) { target = meaning; });
}

Key character_set(std::string name, std::optional<mapping::CharacterSet>& target) {
  static constexpr const char* allowed =
      "empty, or a Specific Character Set: ISO_IR 100 …, ISO_IR 192, GB18030, GBK, or several as "
      "ISO 2022 IR … joined by backslashes";
  return {std::move(name), "", allowed, [&target](const std::string& value) {
            target.reset();
            if (value.empty()) return std::string();
            const auto parsed = mapping::CharacterSet::parse(value);
            if (!parsed) return fmt::format("expected {}", allowed);
            target = parsed.value();
            return std::string();
          }};
}

Key unencodable_text(bool& replace) {
  return choice<bool>("unencodable_text", "refuse", {{"refuse", false}, {"replace", true}},
                      [&replace](bool meaning) { replace = meaning; });
}

}  // namespace

std::vector<std::string> split_names(std::string_view value) {
  std::vector<std::string> names;
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    std::string_view name = value.substr(0, comma);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    names.emplace_back(name);
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return names;
}

namespace {

Key attribute_paths(std::string name, std::vector<mapping::AttributePath>& target) {
  static constexpr const char* allowed =
      "empty, or attributes by keyword or tag, sequences with dots, separated by commas";
  return {std::move(name), "", allowed, [&target](const std::string& value) {
            target.clear();
            for (const std::string& one : split_names(value)) {
              const auto path = mapping::parse_attribute_path(one);
              if (!path) return fmt::format("expected {}", allowed);
              target.push_back(path.value());
            }
            return std::string();
          }};
}

/// The first line of a file, so that no secret stands in the configuration.
Key secret_file(std::string name, std::string& target) {
  return {std::move(name), "", "empty, or a file whose first line is the secret",
          [&target](const std::string& value) {
            target.clear();
            if (value.empty()) return std::string();
            std::ifstream file(value);
            std::getline(file, target);
            if (target.ends_with('\r')) target.pop_back();
            return target.empty() ? fmt::format("cannot read a secret from {}", value)
                                  : std::string();
          }};
}

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
  return choice<bool>("mpps_delivery", "direct", {{"direct", false}, {"queued", true}},
                      [&queued](bool meaning) { queued = meaning; });
}

Key retrieve_from(RetrieveFrom& target) {
  return choice<RetrieveFrom>("retrieve_from", "auto",
                              {{"auto", RetrieveFrom::automatic},
                               {"backend", RetrieveFrom::backend},
                               {"gateway", RetrieveFrom::gateway}},
                              [&target](RetrieveFrom meaning) { target = meaning; });
}

Key validation(std::optional<Validation>& target) {
  return choice<std::optional<Validation>>(
      "validate", "auto",
      {{"auto", std::optional<Validation>()},
       {"off", std::optional(Validation::off)},
       {"warn", std::optional(Validation::warn)},
       {"reject", std::optional(Validation::reject)}},
      [&target](std::optional<Validation> meaning) { target = meaning; });
}

Key words(std::string name, std::string allowed, std::set<std::string>& target,
          std::set<std::string> known = {}) {
  return {std::move(name), "", allowed, [=, &target](const std::string& value) {
            const auto names = split_names(value);
            target = {names.begin(), names.end()};
            const bool good = std::all_of(target.begin(), target.end(), [&](const auto& word) {
              return !word.empty() && (known.empty() || known.contains(word));
            });
            return good ? std::string() : fmt::format("expected {}", allowed);
          }};
}

Key mirror_states(MirrorFilter& mirror) {
  return words("mirror_states",
               "some of IN PROGRESS, COMPLETED, DISCONTINUED, joined by commas; empty = all",
               mirror.states, {"IN PROGRESS", "COMPLETED", "DISCONTINUED"});
}

Key mirror_modalities(MirrorFilter& mirror) {
  return words("mirror_modalities", "values of Modality, joined by commas; empty = all",
               mirror.modalities);
}

/// Read now, to say what is wrong with it, and again by the front.
Key credentials_file(std::string name, std::string allowed,
                     std::string web::AuthenticationFiles::*which,
                     web::AuthenticationFiles& target) {
  return {std::move(name), "", std::move(allowed), [which, &target](const std::string& value) {
            target.*which = value;
            if (value.empty()) return std::string();
            web::AuthenticationFiles alone;
            alone.*which = value;
            const auto made = web::Authentication::make(alone);
            if (made) return std::string();
            const std::string& what = made.fault().what;
            return what.substr(what.find(": ") + 2);
          }};
}

Key users_file(web::AuthenticationFiles& target) {
  return credentials_file("users",
                          "empty, or a file of NAME:HASH lines with bcrypt, as htpasswd -B writes",
                          &web::AuthenticationFiles::users, target);
}

Key tokens_file(web::AuthenticationFiles& target) {
  return credentials_file("tokens",
                          "empty, or a file of lines with the SHA-256 of a token and a name",
                          &web::AuthenticationFiles::tokens, target);
}

/// Whether the names are known, no key can say alone.
Key read_only_users(web::AuthenticationFiles& target) {
  return {"read_only_users", "", "empty, or names of users or tokens, joined by commas",
          [&target](const std::string& value) {
            target.read_only_users = split_names(value);
            return std::string();
          }};
}

Key host_names(std::vector<std::string>& target) {
  return {"host_names", "", "empty, or names of hosts without port, joined by commas",
          [&target](const std::string& value) {
            target = split_names(value);
            return std::string();
          }};
}

// --- The table.

}  // namespace

Keys gateway_keys(Config& config) {
  using mapping::LogLevel;
  return {
      at_start(choice<LogLevel>("log_level", "info",
                                {{"error", LogLevel::error},
                                 {"warn", LogLevel::warn},
                                 {"info", LogLevel::info},
                                 {"debug", LogLevel::debug}},
                                [&config](LogLevel level) { config.log_level = level; })),
      at_start(choice<LogFormat>("log_format", "text",
                                 {{"text", LogFormat::text}, {"json", LogFormat::json}},
                                 [&config](LogFormat format) { config.log_format = format; })),
      at_start(directory("state_dir", "/var/lib/modgate", config.state_dir)),
  };
}

Keys queue_keys(DeliveryOptions& delivery) {
  return {
      integer("workers_per_receiver", "8", 1, 1000, delivery.workers),
      integer<std::uint64_t>("retry_first_milliseconds", "1000", 1, 3600000,
                             [&delivery](std::uint64_t number) {
                               delivery.retry_first = std::chrono::milliseconds(number);
                             }),
      seconds("retry_max_seconds", "300", delivery.retry_max),
      seconds("probe_max_seconds", "15", delivery.probe_max),
      seconds("attempt_timeout_seconds", "60", delivery.attempt_timeout),
      integer<std::uint64_t>("keep_delivered_days", "30", 1, 3650,
                             [&delivery](std::uint64_t number) {
                               delivery.keep_delivered = std::chrono::hours(24 * number);
                             }),
  };
}

namespace {

// --- Keys that several sections have.

Keys joined(std::initializer_list<Keys> parts) {
  Keys all;
  for (const Keys& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
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

template <class TlsFiles>
Keys tls_keys(TlsFiles& files) {
  return {
      text("tls_certificate", "", files.certificate),
      text("tls_private_key", "", files.private_key),
      text("tls_trusted", "", files.trusted),
  };
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

namespace {

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
            target = split_names(value);
            return web::OriginServer::valid_origins(target) ? std::string()
                                                            : fmt::format("expected {}", allowed);
          }};
}

}  // namespace

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
          integer<std::uint64_t>("count_cap_milliseconds", "500", 0, 60000,
                                 [&server](std::uint64_t number) {
                                   server.count_cap_milliseconds =
                                       std::chrono::milliseconds(number);
                                 }),
          choice<int>("no_match_status", "204", {{"204", 204}, {"200", 200}},
                      [&server](int status) { server.no_match_status = status; }),
          yes_no("gateway_status_codes", "no", server.gateway_status_codes),
          cross_origins(server.cors_allowed_origins),
          users_file(server.authentication),
          tokens_file(server.authentication),
          read_only_users(server.authentication),
      },
      tls_keys(server.tls),
  });
}

Key kind_key(std::string& kind) {
  return required(choice<std::string>(
      "kind", "", {{"scp", "scp"}, {"origin-server", "origin-server"}, {"store", "store"}},
      [&kind](const std::string& word) { kind = word; }));
}

Keys admin_keys(Config::Admin& admin) {
  return {
      at_start(text("bind", "127.0.0.1", admin.bind)),
      at_start(port("port", "8082", admin.port, true)),
      users_file(admin.authentication),
      at_start(host_names(admin.host_names)),
  };
}

namespace {

Key collector(SyslogTarget& target, bool& off) {
  static constexpr const char* allowed =
      "udp://HOST[:514] or tls://HOST[:6514]; empty = no audit trail";
  return {"syslog", "", allowed, [&target, &off](const std::string& value) {
            off = value.empty();
            if (off) return std::string();
            auto parsed = SyslogTarget::parse(value);
            if (!parsed) return fmt::format("expected {}", allowed);
            target = std::move(parsed).value();
            return std::string();
          }};
}

}  // namespace

Keys audit_keys(AuditOptions& audit, bool& off) {
  return {
      at_start(collector(audit.syslog.target, off)),
      at_start(text("source_id", "", audit.source.id)),
      at_start(text("enterprise_site_id", "", audit.source.site)),
      at_start(integer<std::uint64_t>(
          "buffer_megabytes", "256", 1, 1000000,
          [&audit](std::uint64_t number) { audit.buffer_bytes = number << 20; })),
      at_start(text("tls_trusted", "", audit.syslog.tls.trusted)),
      at_start(text("tls_certificate", "", audit.syslog.tls.certificate)),
      at_start(text("tls_private_key", "", audit.syslog.tls.private_key)),
  };
}

Keys scp_backend_keys(dimse::ScuOptions& scu, BackendConfig& backend, std::string& kind) {
  return joined({
      {
          kind_key(kind),
          yes_no("verify_matches", "no", backend.verify_matches),
          yes_no("combined_date_time", "yes", backend.combined_date_time),
          mirror_states(backend.mirror),
          mirror_modalities(backend.mirror),
          required(ae_title("ae_title", "", scu.ae_title)),
          required(text("host", "", scu.host)),
          port("port", "104", scu.port, false),
          ae_title("calling_ae_title", "MODGATE", scu.calling_ae_title),
          integer("max_associations", "8", 1, 1000, scu.max_associations),
          yes_no("reuse_associations", "yes", scu.reuse_associations),
          seconds("idle_release_seconds", "30", scu.idle_release),
          character_set("character_set", scu.character_set),
          unencodable_text(scu.replace_unencodable),
          character_set("assume_character_set", scu.assume_character_set),
          seconds("acse_timeout_seconds", "5", scu.acse_timeout),
          seconds("dimse_timeout_seconds", "30", scu.dimse_timeout),
          text("username", "", scu.username),
          secret_file("password_file", scu.passcode),
          secret_file("bearer_token_file", scu.bearer_token),
      },
      tls_keys(scu.tls),
  });
}

namespace {

Key base_uri(std::string& target) {
  return {"base_uri", "", "http[s]://host[:port][/path]", [&target](const std::string& value) {
            web::UserAgentOptions options;
            options.base_uri = value;
            const auto checked = web::UserAgent::check(options);
            if (!checked) return checked.fault().what.substr(std::string("base_uri: ").size());
            target = value;
            return std::string();
          }};
}

Key redirect_origins(std::vector<std::string>& target) {
  return {"redirect_origins", "", "servers such as https://ris.example:8443, joined by commas",
          [&target](const std::string& value) {
            target = split_names(value);
            return std::string();
          }};
}

}  // namespace

Keys origin_server_backend_keys(web::UserAgentOptions& agent, BackendConfig& backend,
                                std::string& kind) {
  web::CredentialsOptions& who = agent.credentials;
  return {
      kind_key(kind),
      yes_no("verify_matches", "no", backend.verify_matches),
      yes_no("combined_date_time", "yes", backend.combined_date_time),
      mirror_states(backend.mirror),
      mirror_modalities(backend.mirror),
      required(base_uri(agent.base_uri)),
      choice<bool>("media_type", "json", {{"json", false}, {"xml", true}},
                   [&agent](bool xml) { agent.xml = xml; }),
      choice<web::UpdateUri>("update_uri", "query",
                             {{"query", web::UpdateUri::query},
                              {"path", web::UpdateUri::path},
                              {"query-then-path", web::UpdateUri::query_then_path}},
                             [&agent](web::UpdateUri uri) { agent.update_uri = uri; }),
      integer("max_connections", "8", 1, 1000, agent.max_connections),
      seconds("connect_timeout_seconds", "5", agent.connect_timeout),
      seconds("response_timeout_seconds", "30", agent.response_timeout),
      integer("page_size", "1000", 1, 1000000, agent.page_size),
      redirect_origins(agent.redirect_origins),
      text("username", "", who.username),
      secret_file("password_file", who.password),
      text("bearer_token_file", "", who.bearer_token_file),
      text("oauth_token_uri", "", who.oauth.token_uri),
      text("oauth_client_id", "", who.oauth.client_id),
      secret_file("oauth_client_secret_file", who.oauth.client_secret),
      text("oauth_scope", "", who.oauth.scope),
      text("oauth_tls_trusted", "", who.oauth.tls_trusted),
      yes_no("forward_bearer_token", "no", who.forward_bearer_token),
      yes_no("plain_text_credentials", "no", who.plain_text),
      text("tls_trusted", "", agent.tls.trusted),
      text("tls_certificate", "", agent.tls.certificate),
      text("tls_private_key", "", agent.tls.private_key),
  };
}

namespace {

Key worklist_directory(std::filesystem::path& target) {
  static constexpr const char* allowed = "empty, or a directory that is there";
  return {"worklist_dir", "", allowed, [&target](const std::string& value) {
            std::error_code error;
            if (!value.empty() && !std::filesystem::is_directory(value, error)) {
              return fmt::format("expected {}", allowed);
            }
            target = value;
            return std::string();
          }};
}

}  // namespace

Keys store_backend_keys(StepStoreOptions& store, BackendConfig& backend, std::string& kind) {
  return {
      kind_key(kind),
      worklist_directory(store.worklist_dir),
      yes_no("hide_started", "no", store.hide_started),
      mirror_states(backend.mirror),
      mirror_modalities(backend.mirror),
  };
}

Keys modality_keys(dimse::Modality& modality, ModalityRoute& route) {
  return {
      required(ae_title("ae_title", "", modality.ae_title)),
      text("host", "", modality.host),
      backends("worklist", "without this key as in [dimse]", route.worklist),
      backends("mpps", "without this key as in [dimse]", route.mpps),
      delivery(route.mpps_queued),
      character_set("character_set", modality.character_set),
      unencodable_text(modality.replace_unencodable),
      character_set("assume_character_set", modality.assume_character_set),
      yes_no("station_filter", "no", modality.station_filter),
      attribute_paths("return_keys_only", modality.return_keys_only),
  };
}

}  // namespace gateway
