#include "web/authentication.h"

#include <crypt.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

namespace web {
namespace {

using mapping::Fault;
using mapping::Result;

/// bcrypt of a password that nobody has: unknown users take as long as known ones.
constexpr const char* nobody = "$2b$10$ZBPRtj55DMw.JqNqeV5e4u/m0bQg3K5HKuyaINco43FVjf.EP9ZGK";

std::string sha_256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {digest.begin(), digest.begin() + size};
}

bool same(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

bool is_bcrypt(std::string_view hash) {
  return hash.size() == 60 &&
         (hash.starts_with("$2y$") || hash.starts_with("$2b$") || hash.starts_with("$2a$"));
}

bool verify(const std::string& password, const char* hash) {
  crypt_data data{};
  const char* result = ::crypt_r(password.c_str(), hash, &data);
  const bool right = result != nullptr && same(result, hash);
  OPENSSL_cleanse(&data, sizeof data);
  return right;
}

std::string digest_of(const std::string& name, const std::string& password) {
  return sha_256(fmt::format("{}:{}", name, password));
}

/// crypt would stop there.
bool holds_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

/// Nothing if it is no base64.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > 4096) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return bytes;
}

std::optional<std::string> decode_hexadecimal(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = OPENSSL_hexchar2int(static_cast<unsigned char>(text[i]));
    const int low = OPENSSL_hexchar2int(static_cast<unsigned char>(text[i + 1]));
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

/// Hands on each line that is neither empty nor a comment; take returns what was expected of it.
Result<bool> read_lines(std::string_view key, const std::string& file,
                        const std::function<std::string(std::string_view)>& take) {
  const auto fault = [&](std::string what) {
    return Fault{Fault::Kind::invalid_value, fmt::format("{}: {}", key, what)};
  };
  std::ifstream in(file);
  if (!in) return fault(fmt::format("cannot use {}: {}", file, std::strerror(errno)));
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const std::string expected = take(line);
    if (!expected.empty()) return fault(fmt::format("{}:{}: expected {}", file, number, expected));
  }
  return true;
}

}  // namespace

/// One of the turns at bcrypt; given back however that ends.
class Authentication::Turn {
 public:
  /// With the owner's mutex_ held.
  explicit Turn(Authentication& owner) : owner_(owner) { --owner_.turns_; }
  ~Turn() {
    {
      const std::lock_guard lock(owner_.mutex_);
      ++owner_.turns_;
    }
    owner_.turn_came_.notify_all();  // those too who wait with the password that is proven now
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Authentication& owner_;
};

Authentication::Authentication() : turns_(std::max(1u, std::thread::hardware_concurrency() / 2)) {}

Result<std::unique_ptr<Authentication>> Authentication::make(const AuthenticationFiles& files) {
  std::unique_ptr<Authentication> made(new Authentication);
  if (!files.users.empty()) {
    const auto read = made->read_users(files.users);
    if (!read) return read.fault();
  }
  if (!files.tokens.empty()) {
    const auto read = made->read_tokens(files.tokens);
    if (!read) return read.fault();
  }
  const auto taken = made->take_read_only(files.read_only_users);
  if (!taken) return taken.fault();
  return made;
}

/// A misspelt name would leave its owner every right.
Result<bool> Authentication::take_read_only(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const bool owns_token = std::any_of(tokens_.begin(), tokens_.end(),
                                        [&](const auto& each) { return each.second == name; });
    if (name.empty() || (users_.count(name) == 0 && !owns_token)) {
      return Fault{Fault::Kind::invalid_value,
                   fmt::format("read_only_users: {} is not named in users or tokens",
                               name.empty() ? "an empty name" : name)};
    }
    read_only_.insert(name);
  }
  return true;
}

Result<bool> Authentication::read_users(const std::string& file) {
  auto read = read_lines("users", file, [&](std::string_view line) -> std::string {
    const std::size_t colon = line.find(':');
    const bool good =
        colon != std::string_view::npos && colon > 0 && is_bcrypt(line.substr(colon + 1));
    if (!good) return "NAME:HASH with a bcrypt hash, as htpasswd -B writes";
    const bool once = users_.emplace(line.substr(0, colon), line.substr(colon + 1)).second;
    return once ? "" : "each name once";
  });
  if (read && users_.empty()) {
    return Fault{Fault::Kind::invalid_value, fmt::format("users: {}: names nobody", file)};
  }
  return read;
}

Result<bool> Authentication::read_tokens(const std::string& file) {
  auto read = read_lines("tokens", file, [&](std::string_view line) -> std::string {
    const std::size_t blank = std::min(line.find(' '), line.size());
    const auto digest = decode_hexadecimal(line.substr(0, blank));
    if (!digest || digest->size() != 32) return "a SHA-256 in hexadecimal, and perhaps a name";
    std::string_view name = line.substr(blank);
    name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
    tokens_.emplace_back(*digest, name);
    return {};
  });
  if (read && tokens_.empty()) {
    return Fault{Fault::Kind::invalid_value, fmt::format("tokens: {}: names nobody", file)};
  }
  return read;
}

namespace {
struct HeaderParts {
  std::string scheme;  ///< in lower case
  std::string_view rest;
};

HeaderParts split(std::string_view authorization) {
  const std::size_t blank = std::min(authorization.find(' '), authorization.size());
  HeaderParts result{std::string(authorization.substr(0, blank)), authorization.substr(blank)};
  for (char& c : result.scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  result.rest.remove_prefix(std::min(result.rest.find_first_not_of(' '), result.rest.size()));
  return result;
}
}  // namespace

std::string bearer_token(const std::optional<std::string>& authorization) {
  if (!authorization) return {};
  const auto [scheme, rest] = split(*authorization);
  return scheme == "bearer" ? std::string(rest) : std::string();
}

std::optional<std::string> Authentication::user(const std::optional<std::string>& authorization) {
  if (!authorization) return std::nullopt;
  if (auto basic = this->basic(*authorization)) {
    const bool right = is_password(basic->name, basic->password);
    return right ? std::optional(std::move(basic->name)) : std::nullopt;
  }
  const std::string token = bearer_token(authorization);
  return token.empty() ? std::nullopt : owner_of_token(token);
}

bool Authentication::takes_long(const std::optional<std::string>& authorization) {
  const auto basic = authorization ? this->basic(*authorization) : std::nullopt;
  if (!basic) return false;
  const std::string digest = digest_of(basic->name, basic->password);
  const std::lock_guard lock(mutex_);
  return !is_proven(basic->name, digest);
}

/// Nothing where no password could be right.
std::optional<Authentication::Basic> Authentication::basic(std::string_view authorization) const {
  const auto [scheme, rest] = split(authorization);
  if (scheme != "basic" || users_.empty()) return std::nullopt;
  const auto pair = decode_base64(rest);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos || holds_nul(*pair)) return std::nullopt;
  return Basic{pair->substr(0, colon), pair->substr(colon + 1)};
}

bool Authentication::is_password(const std::string& name, const std::string& password) {
  if (holds_nul(name) || holds_nul(password)) return false;
  const std::string digest = digest_of(name, password);
  const auto found = users_.find(name);
  std::unique_lock lock(mutex_);
  turn_came_.wait(lock, [&] { return turns_ > 0 || is_proven(name, digest); });
  if (is_proven(name, digest)) return true;
  const Turn turn(*this);
  lock.unlock();
  const bool known = found != users_.end();
  if (!verify(password, known ? found->second.c_str() : nobody) || !known) return false;
  lock.lock();
  proven_[name] = digest;
  lock.unlock();
  return true;
}

bool Authentication::is_proven(const std::string& name, const std::string& digest) const {
  const auto proven = proven_.find(name);
  return proven != proven_.end() && same(proven->second, digest);
}

/// Every hash is looked at, whichever fits.
std::optional<std::string> Authentication::owner_of_token(std::string_view token) const {
  const std::string digest = sha_256(token);
  std::optional<std::string> name;
  for (const auto& [known, whose] : tokens_) {
    if (same(known, digest)) name = whose;
  }
  return name;
}

std::vector<std::string> Authentication::challenges() const {
  std::vector<std::string> challenges;
  if (!users_.empty()) challenges.emplace_back(R"(Basic realm="modgate", charset="UTF-8")");
  if (!tokens_.empty()) challenges.emplace_back(R"(Bearer realm="modgate")");
  return challenges;
}

}  // namespace web
