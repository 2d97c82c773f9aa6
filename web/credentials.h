// Who this gateway is toward an origin server: Basic, a token from a file, a token by OAuth 2, or
// the caller's own token handed on. RFC 7617, RFC 6750, RFC 6749.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/services.h"
#include "web/access_token.h"
#include "web/base_uri.h"
#include "web/client_credentials.h"
#include "web/token_file.h"

namespace web {

/// At most one of username, bearer_token_file and oauth.
struct CredentialsOptions {
  std::string username;  ///< Basic, with password
  std::string password;
  std::string bearer_token_file;   ///< read again when it changes
  ClientCredentialsOptions oauth;  ///< with a token_uri
  /// Callers that bring a bearer token are announced by it, the others by the above.
  bool forward_bearer_token = false;
  /// They may cross a network without TLS. Toward a loopback address they always may.
  bool plain_text = false;
  bool operator==(const CredentialsOptions&) const = default;
};

/// What goes into a request's Authorization header.
struct Authorization {
  AccessToken::How how = AccessToken::How::ready;
  std::string header;  ///< empty = none is sent
  mapping::NetworkEvent event = mapping::NetworkEvent::none;
};

/// Safe from any thread.
class Credentials {
 public:
  /// Whether make would succeed. base: of the origin server. Fault: "key: what is wrong".
  static mapping::Result<bool> check(const CredentialsOptions& options, const BaseUri& base);
  /// Asks nobody for a token yet.
  static mapping::Result<std::unique_ptr<Credentials>> make(CredentialsOptions options,
                                                            const BaseUri& base,
                                                            const mapping::Log& log);

  /// refused: the header that the server answered with 401; the header is the same again where
  /// there is no other. Blocks and looks at the cancellation as ClientCredentials::token does.
  Authorization authorization(const mapping::Context& context, bool cancellable,
                              std::string_view refused = {});

 private:
  Credentials() = default;

  // Constant after make.
  bool forward_bearer_token_ = false;
  std::string basic_;                          ///< the header; empty = none
  std::unique_ptr<TokenFile> token_file_;      ///< null = none
  std::unique_ptr<ClientCredentials> client_;  ///< null = none
};

}  // namespace web
