#include "web/page_guard.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace web {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

/// The host of host[:port], lower case, without brackets and a dot at its end.
std::string host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    return end == authority.npos ? std::string() : lower(authority.substr(1, end - 1));
  }
  std::string host = lower(authority.substr(0, authority.find(':')));
  if (host.ends_with('.')) host.pop_back();
  return host;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

std::string machine_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? lower(name.data()) : std::string();
}

/// What stands between the first such tags.
std::string_view between(std::string_view html, std::string_view open, std::string_view close) {
  const std::size_t begin = html.find(open);
  const std::size_t end = begin == html.npos ? html.npos : html.find(close, begin);
  if (end == html.npos) return {};
  return html.substr(begin + open.size(), end - begin - open.size());
}

/// As CSP names inline content. Content Security Policy Level 3, 2.3.1.
std::string hash_source(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> base64{};
  const int length = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(size));
  return fmt::format("'sha256-{}'", std::string(base64.begin(), base64.begin() + length));
}

}  // namespace

bool is_own_host(const RawRequest& request, const std::vector<std::string>& names) {
  const auto header = request.header("host");
  if (!header) return true;
  const std::string host = host_of(*header);
  if (host.empty()) return false;
  const auto is_host = [&](const std::string& name) { return lower(name) == host; };
  return is_address(host) || host == "localhost" || host == machine_name() ||
         std::any_of(names.begin(), names.end(), is_host);
}

bool is_from_own_page(const RawRequest& request) {
  const auto site = request.header("sec-fetch-site");
  if (site && *site != "same-origin") return false;
  const auto origin = request.header("origin");
  if (!origin) return true;
  const auto host = request.header("host");
  if (!host) return false;
  const std::string own = lower(*host), from = lower(*origin);
  return from == "http://" + own || from == "https://" + own;
}

PageToken::PageToken() {
  std::array<unsigned char, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("the system gives no random numbers");
  }
  for (const unsigned char byte : bytes) text_ += fmt::format("{:02x}", byte);
}

bool PageToken::is(std::string_view candidate) const {
  return candidate.size() == text_.size() &&
         CRYPTO_memcmp(candidate.data(), text_.data(), text_.size()) == 0;
}

std::string content_security_policy(std::string_view html) {
  const auto style = between(html, "<style>", "</style>");
  const auto script = between(html, "<script>", "</script>");
  if (style.empty() || script.empty()) return {};
  return fmt::format(
      "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'",
      hash_source(style), hash_source(script));
}

}  // namespace web
