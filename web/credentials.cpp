#include "web/credentials.h"

#include <fmt/format.h>

#include <utility>

#include "mapping/base64.h"

namespace web {
namespace {

using mapping::Fault;
using How = AccessToken::How;
constexpr std::string_view bearer = "Bearer ";

Fault fault(std::string_view key, std::string_view what) {
  return {Fault::Kind::invalid_value, fmt::format("{}: {}", key, what)};
}

/// The two of which one says nothing without the other; the key of the one that is missing.
struct Pair {
  std::string_view key;
  bool there;
  std::string_view other_key;
  bool other_there;
};

/// The first key of credentials that is set; empty if there is none.
std::string_view key_of(const CredentialsOptions& options) {
  if (!options.username.empty()) return "username";
  if (!options.bearer_token_file.empty()) return "bearer_token_file";
  if (!options.oauth.token_uri.empty()) return "oauth_token_uri";
  return options.forward_bearer_token ? "forward_bearer_token" : "";
}

bool crosses_network_in_plain(const BaseUri& server) {
  return !server.tls && !server.is_loopback();
}

}  // namespace

mapping::Result<bool> Credentials::check(const CredentialsOptions& options, const BaseUri& base) {
  const ClientCredentialsOptions& oauth = options.oauth;
  const bool basic = !options.username.empty();
  const bool file = !options.bearer_token_file.empty();
  const bool by_oauth = !oauth.token_uri.empty();
  for (const Pair& pair : {
           Pair{"username", basic, "password_file", !options.password.empty()},
           Pair{"oauth_token_uri", by_oauth, "oauth_client_id", !oauth.client_id.empty()},
           Pair{"oauth_token_uri", by_oauth, "oauth_client_secret_file",
                !oauth.client_secret.empty()},
           Pair{"oauth_token_uri", by_oauth, "oauth_scope", by_oauth || !oauth.scope.empty()},
           Pair{"oauth_token_uri", by_oauth, "oauth_tls_trusted",
                by_oauth || !oauth.tls_trusted.empty()},
       }) {
    if (pair.there == pair.other_there) continue;
    return fault(
        pair.there ? pair.other_key : pair.key,
        fmt::format("missing, expected together with {}", pair.there ? pair.key : pair.other_key));
  }
  if (basic + file + by_oauth > 1) {
    return fault(
        file ? "bearer_token_file" : "oauth_token_uri",
        fmt::format("stands beside {}, expected one kind of credentials", key_of(options)));
  }
  if (options.username.find(':') != std::string::npos) {
    return fault("username", "expected a name without a colon (RFC 7617)");
  }
  if (file) {
    const auto token = TokenFile::read(options.bearer_token_file);
    if (!token) {
      return fault("bearer_token_file",
                   fmt::format("cannot use {}: {}", options.bearer_token_file, token.fault().what));
    }
  }
  const auto in_plain = [&](std::string_view key, std::string_view expected) {
    return fault(key, fmt::format("would cross the network in plain text, expected {} with https, "
                                  "or plain_text_credentials = yes",
                                  expected));
  };
  if (by_oauth) {
    const auto made = ClientCredentials::make(oauth, [](mapping::LogLevel, std::string_view) {});
    if (!made) return made.fault();
    if (!options.plain_text &&
        crosses_network_in_plain(parse_absolute_uri(oauth.token_uri).value().server)) {
      return in_plain("oauth_token_uri", "a URI");
    }
  }
  const std::string_view key = key_of(options);
  if (!key.empty() && !options.plain_text && crosses_network_in_plain(base)) {
    return in_plain(key, "a base_uri");
  }
  return true;
}

mapping::Result<std::unique_ptr<Credentials>> Credentials::make(CredentialsOptions options,
                                                                const BaseUri& base,
                                                                const mapping::Log& log) {
  if (const auto checked = check(options, base); !checked) return checked.fault();
  std::unique_ptr<Credentials> made(new Credentials);
  made->forward_bearer_token_ = options.forward_bearer_token;
  if (!options.username.empty()) {
    made->basic_ = "Basic ";
    mapping::append_base64(options.username + ":" + options.password, made->basic_);
  }
  if (!options.bearer_token_file.empty()) {
    made->token_file_ = std::make_unique<TokenFile>(options.bearer_token_file, log);
  }
  if (!options.oauth.token_uri.empty()) {
    made->client_ = ClientCredentials::make(std::move(options.oauth), log).value();
  }
  if (!key_of(options).empty() && crosses_network_in_plain(base)) {
    log(mapping::LogLevel::warn,
        "web: credentials for " + base.host + " cross the network in plain text");
  }
  return made;
}

Authorization Credentials::authorization(const mapping::Context& context, bool cancellable,
                                         std::string_view refused) {
  const auto with = [](const std::string& token) {
    return Authorization{How::ready, std::string(bearer) + token};
  };
  if (forward_bearer_token_ && !context.caller.bearer_token.empty()) {
    const std::string& token = context.caller.bearer_token;
    return is_token(token) ? with(token) : Authorization{How::refused, ""};
  }
  if (token_file_) {
    const std::string token = token_file_->token(!refused.empty());
    return token.empty() ? Authorization{How::unavailable, "", mapping::NetworkEvent::busy}
                         : with(token);
  }
  if (!client_) return {How::ready, basic_};
  if (refused.starts_with(bearer)) refused.remove_prefix(bearer.size());
  const AccessToken token = client_->token(context, cancellable, refused);
  return token.how == How::ready ? with(token.value) : Authorization{token.how, "", token.event};
}

}  // namespace web
