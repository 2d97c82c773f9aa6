// Who may use a front: names with passwords against an htpasswd file, tokens against their hashes.
// An origin server asks with the Authorization header (Basic, RFC 7617; Bearer, RFC 6750). Knows no
// route.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapping/result.h"

namespace web {

/// Both files are read when an Authentication is made of them.
struct AuthenticationFiles {
  /// Lines NAME:HASH as htpasswd -B writes them; only bcrypt is taken. Empty = no Basic.
  std::string users;
  /// Lines SHA256 [NAME]: the SHA-256 of a token in hexadecimal, and whose it is. Empty = no
  /// Bearer.
  std::string tokens;
  /// Users, or owners of tokens, who may search and retrieve but change nothing.
  std::vector<std::string> read_only_users{};

  /// Whether anybody is asked who he is.
  bool any() const { return !users.empty() || !tokens.empty(); }
};

/// The bearer token of an Authorization header; empty if it holds none.
std::string bearer_token(const std::optional<std::string>& authorization);

/// Safe from any thread.
class Authentication {
 public:
  /// Fault: key, file, line and what is expected there; never what stands there.
  static mapping::Result<std::unique_ptr<Authentication>> make(const AuthenticationFiles& files);

  /// The name of the user, or nothing: 401. authorization: the header's value.
  std::optional<std::string> user(const std::optional<std::string>& authorization);

  /// Whether user() would take its time over this header: it holds a password that was not right
  /// before. Never blocks.
  bool takes_long(const std::optional<std::string>& authorization);

  /// Whether it is this user's password. One that was right before is not put through bcrypt again,
  /// which takes long by design; others wait for a turn, so that callers who guess, however many,
  /// have half of the processors and not all.
  bool is_password(const std::string& name, const std::string& password);

  /// Whose token it is: perhaps an empty name. Nothing: nobody's.
  std::optional<std::string> owner_of_token(std::string_view token) const;

  /// Whether this user may change nothing.
  bool is_read_only(const std::string& name) const { return read_only_.count(name) > 0; }

  /// What WWW-Authenticate asks for, one header each.
  std::vector<std::string> challenges() const;

 private:
  struct Basic {
    std::string name;
    std::string password;
  };
  class Turn;

  Authentication();
  std::optional<Basic> basic(std::string_view authorization) const;
  bool is_proven(const std::string& name, const std::string& digest) const;  // with mutex_ held
  mapping::Result<bool> read_users(const std::string& file);
  mapping::Result<bool> read_tokens(const std::string& file);
  mapping::Result<bool> take_read_only(const std::vector<std::string>& names);

  // Constant after make.
  std::map<std::string, std::string> users_;                 ///< hashes by name
  std::vector<std::pair<std::string, std::string>> tokens_;  ///< digests with names

  std::set<std::string> read_only_;

  std::mutex mutex_;
  std::condition_variable turn_came_;
  unsigned turns_;                             ///< at bcrypt, that are free; guarded by mutex_
  std::map<std::string, std::string> proven_;  ///< digests of right credentials; guarded by mutex_
};

}  // namespace web
