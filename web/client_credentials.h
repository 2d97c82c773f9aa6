// Access tokens by the client credentials grant of OAuth 2: this gateway asks the token endpoint in
// its own name. RFC 6749, 4.4.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/services.h"
#include "web/access_token.h"

namespace web {

struct ClientCredentialsOptions {
  std::string token_uri;  ///< of the token endpoint
  std::string client_id;
  std::string client_secret;
  std::string scope;        ///< empty = what the authorization server has for this client
  std::string tls_trusted;  ///< CA file; empty = the system's
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds response_timeout{30'000};
  bool operator==(const ClientCredentialsOptions&) const = default;
};

/// Keeps the token until shortly before it expires, and asks for one at a time. Safe from any
/// thread.
class ClientCredentials {
 public:
  /// Asks nothing yet. Fault: "key: what is wrong".
  static mapping::Result<std::unique_ptr<ClientCredentials>> make(ClientCredentialsOptions options,
                                                                  mapping::Log log);
  ~ClientCredentials();

  /// A token other than the refused one. Blocks at most until context.deadline, and looks at
  /// context.cancellation only if cancellable; while another thread asks for a token that is
  /// still good, the old one is handed out.
  AccessToken token(const mapping::Context& context, bool cancellable,
                    std::string_view refused = {});

 private:
  class Endpoint;
  explicit ClientCredentials(std::unique_ptr<Endpoint> endpoint);
  AccessToken fetch(std::unique_lock<std::mutex>& lock, const mapping::Context& context,
                    bool cancellable, bool have_one);

  using Time = std::chrono::steady_clock::time_point;
  const std::unique_ptr<Endpoint> endpoint_;

  std::mutex mutex_;
  std::condition_variable fetched_;  ///< fetches_ has grown
  std::string token_;                // guarded by mutex_
  Time renewal_ = Time::min();       // guarded by mutex_; from then on a new one is asked for
  Time expiry_ = Time::min();        // guarded by mutex_
  bool fetching_ = false;            // guarded by mutex_
  std::uint64_t fetches_ = 0;        // guarded by mutex_
  AccessToken last_;                 // guarded by mutex_; what the last fetch came to, for those
                                     // who waited for it
};

}  // namespace web
