// Who may use an origin server: Basic (RFC 7617) against an htpasswd file, Bearer (RFC 6750)
// against hashes of tokens. Knows no route: whoever is known may do everything.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mapping/result.h"

namespace web {

/// Both files are read once, at start.
struct AuthenticationFiles {
  /// Lines NAME:HASH as htpasswd -B writes them; only bcrypt is taken. Empty = no Basic.
  std::string users;
  /// Lines SHA256 [NAME]: the SHA-256 of a token in hexadecimal, and whose it is. Empty = no
  /// Bearer.
  std::string tokens;
};

/// Safe from any thread.
class Authentication {
 public:
  /// Fault: key, file, line and what is expected there; never what stands there.
  static mapping::Result<std::unique_ptr<Authentication>> make(const AuthenticationFiles& files);

  /// The name of the user, or nothing: 401. authorization: the header's value.
  /// A password that was right before is not put through bcrypt again, which takes long by design.
  std::optional<std::string> user(const std::optional<std::string>& authorization);

  /// What WWW-Authenticate asks for, one header each.
  std::vector<std::string> challenges() const;

 private:
  Authentication() = default;
  std::optional<std::string> basic(std::string_view credentials);
  std::optional<std::string> bearer(std::string_view token) const;
  mapping::Result<bool> read_users(const std::string& file);
  mapping::Result<bool> read_tokens(const std::string& file);

  // Constant after make.
  std::map<std::string, std::string> users_;                 ///< hashes by name
  std::vector<std::pair<std::string, std::string>> tokens_;  ///< digests with names

  std::mutex mutex_;
  std::map<std::string, std::string> proven_;  ///< digests of right credentials; guarded by mutex_
};

}  // namespace web
