// [backend …], of each kind.
#include "gateway/config_keys.h"

namespace gateway {
namespace {

using namespace value;

Key mirror_states(MirrorFilter& mirror) {
  return words("mirror_states",
               "some of IN PROGRESS, COMPLETED, DISCONTINUED, joined by commas; empty = all",
               mirror.states, {"IN PROGRESS", "COMPLETED", "DISCONTINUED"});
}

Key mirror_modalities(MirrorFilter& mirror) {
  return words("mirror_modalities", "values of Modality, joined by commas; empty = all",
               mirror.modalities);
}

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

Key kind_key(std::string& kind) {
  return required(choice<std::string_view>(
      "kind", "", {{"scp", "scp"}, {"origin-server", "origin-server"}, {"store", "store"}}, kind));
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
      choice<bool>("media_type", "json", {{"json", false}, {"xml", true}}, agent.xml),
      choice<web::UpdateUri>("update_uri", "query",
                             {{"query", web::UpdateUri::query},
                              {"path", web::UpdateUri::path},
                              {"query-then-path", web::UpdateUri::query_then_path}},
                             agent.update_uri),
      integer("max_connections", "8", 1, 1000, agent.max_connections),
      seconds("connect_timeout_seconds", "5", agent.connect_timeout),
      seconds("response_timeout_seconds", "30", agent.response_timeout),
      integer("page_size", "1000", 1, 1000000, agent.page_size),
      names("redirect_origins", "servers such as https://ris.example:8443, joined by commas",
            agent.redirect_origins),
      text("username", "", who.username),
      secret_file("password_file", who.password),
      file(text("bearer_token_file", "", who.bearer_token_file)),
      text("oauth_token_uri", "", who.oauth.token_uri),
      text("oauth_client_id", "", who.oauth.client_id),
      secret_file("oauth_client_secret_file", who.oauth.client_secret),
      text("oauth_scope", "", who.oauth.scope),
      file(text("oauth_tls_trusted", "", who.oauth.tls_trusted)),
      yes_no("forward_bearer_token", "no", who.forward_bearer_token),
      yes_no("plain_text_credentials", "no", who.plain_text),
      file(text("tls_trusted", "", agent.tls.trusted)),
      file(text("tls_certificate", "", agent.tls.certificate)),
      file(text("tls_private_key", "", agent.tls.private_key)),
  };
}

Keys store_backend_keys(StepStoreOptions& store, BackendConfig& backend, std::string& kind) {
  return {
      kind_key(kind),
      worklist_directory(store.worklist_dir),
      yes_no("hide_started", "no", store.hide_started),
      mirror_states(backend.mirror),
      mirror_modalities(backend.mirror),
  };
}

}  // namespace gateway
