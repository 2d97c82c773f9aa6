#include "web/tls.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <new>
#include <optional>

namespace web {
namespace {

using mapping::Fault;
using ContextResult = mapping::Result<std::shared_ptr<const TlsContext>>;

// RFC 9325, 4.2, and its ChaCha20 siblings, which are as good.
constexpr const char* suites_1_2 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* suites_1_3 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/// The first error of this thread's queue, which is left empty.
std::string library_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "the file cannot be read" : reason;
}

Fault bad_file(std::string_view key, const std::string& file) {
  return {Fault::Kind::invalid_value,
          fmt::format("{}: cannot use {}: {}", key, file, library_error())};
}

/// A passphrase is never asked for: nobody sits at a server's terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

int choose_http_1_1(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned int in_size, void*) {
  static constexpr unsigned char ours[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/// Versions, suites and what else holds for both roles.
bool set_rules(SSL_CTX* context) {
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(
      context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, suites_1_2) == 1 &&
         SSL_CTX_set_ciphersuites(context, suites_1_3) == 1;
}

bool is_numeric(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

}  // namespace

mapping::Result<std::chrono::sys_seconds> certificate_end(const std::string& file) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(BIO_new_file(file.c_str(), "r"), &BIO_free);
  std::optional<std::chrono::sys_seconds> first;
  while (in) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr), &X509_free);
    std::tm time{};
    if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &time) != 1) break;
    const std::chrono::sys_seconds end(std::chrono::seconds(::timegm(&time)));
    first = std::min(first.value_or(end), end);
  }
  ERR_clear_error();
  if (first) return *first;
  return Fault{Fault::Kind::invalid_value, file + " holds no certificate"};
}

TlsContext::~TlsContext() { SSL_CTX_free(static_cast<SSL_CTX*>(context_)); }

ContextResult TlsContext::for_server(const TlsFiles& files) { return make(files, true); }
ContextResult TlsContext::for_client(const TlsFiles& files) { return make(files, false); }

ContextResult TlsContext::make(const TlsFiles& files, bool server) {
  ERR_clear_error();
  SSL_CTX* const context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  if (context == nullptr) throw std::bad_alloc();
  const std::shared_ptr<const TlsContext> made(new TlsContext(context));
  if (!set_rules(context)) {
    return Fault{Fault::Kind::invalid_value, "TLS: " + library_error()};
  }
  if (!files.certificate.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
      return bad_file("tls_certificate", files.certificate);
    }
    // Checks that it belongs to the certificate, too.
    if (SSL_CTX_use_PrivateKey_file(context, files.private_key.c_str(), SSL_FILETYPE_PEM) != 1) {
      return bad_file("tls_private_key", files.private_key);
    }
  }
  if (!files.trusted.empty() &&
      SSL_CTX_load_verify_locations(context, files.trusted.c_str(), nullptr) != 1) {
    return bad_file("tls_trusted", files.trusted);
  }
  if (!server && files.trusted.empty()) SSL_CTX_set_default_verify_paths(context);
  if (!server || !files.trusted.empty()) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (server) {
    static constexpr unsigned char id[] = "modgate";
    SSL_CTX_set_session_id_context(context, id, sizeof id - 1);
    SSL_CTX_set_alpn_select_cb(context, choose_http_1_1, nullptr);
    if (!files.trusted.empty()) {
      SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(files.trusted.c_str()));
    }
  }
  ERR_clear_error();
  return made;
}

/// The library's object, with its two ends in memory.
struct TlsSession::Ssl {
  explicit Ssl(const TlsContext& context) : ssl(SSL_new(static_cast<SSL_CTX*>(context.get()))) {
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    if (ssl == nullptr || in == nullptr || out == nullptr) throw std::bad_alloc();
    SSL_set_bio(ssl, in, out);
  }
  ~Ssl() { SSL_free(ssl); }
  Ssl(const Ssl&) = delete;
  Ssl& operator=(const Ssl&) = delete;

  SSL* ssl;
  BIO* in = nullptr;   ///< from the peer
  BIO* out = nullptr;  ///< for the peer
};

TlsSession::TlsSession(const TlsContext& server) : ssl_(std::make_unique<Ssl>(server)) {
  SSL_set_accept_state(ssl_->ssl);
}

TlsSession::TlsSession(const TlsContext& client, const std::string& host)
    : ssl_(std::make_unique<Ssl>(client)) {
  SSL_set_connect_state(ssl_->ssl);
  if (is_numeric(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_->ssl), host.c_str());
  } else {
    SSL_set1_host(ssl_->ssl, host.c_str());
    SSL_set_hostflags(ssl_->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // The server's name, SSL_set_tlsext_host_name without its old-style cast.
    SSL_ctrl(ssl_->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(host.c_str()));
  }
}

TlsSession::~TlsSession() = default;

bool TlsSession::established() const { return SSL_is_init_finished(ssl_->ssl) == 1; }

void TlsSession::begin() {
  ERR_clear_error();
  SSL_do_handshake(ssl_->ssl);
  ERR_clear_error();
}

/// True if it only waits for more bytes.
bool TlsSession::waits(int result) {
  const int error = SSL_get_error(ssl_->ssl, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return true;
  if (error == SSL_ERROR_ZERO_RETURN) return false;
  const long verified = SSL_get_verify_result(ssl_->ssl);
  if (verified != X509_V_OK) {
    fault_ = fmt::format("the peer's certificate is refused: {}",
                         X509_verify_cert_error_string(verified));
    ERR_clear_error();
  } else {
    fault_ = library_error();
  }
  return false;
}

bool TlsSession::receive(std::string_view encrypted, std::string& plain) {
  ERR_clear_error();
  BIO_write(ssl_->in, encrypted.data(), static_cast<int>(encrypted.size()));
  std::array<char, 16u << 10> buffer;
  while (true) {
    const int got = SSL_read(ssl_->ssl, buffer.data(), static_cast<int>(buffer.size()));
    if (got <= 0) return waits(got);
    plain.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

bool TlsSession::send(std::string_view plain) {
  ERR_clear_error();
  if (plain.empty()) return true;
  const int sent = SSL_write(ssl_->ssl, plain.data(), static_cast<int>(plain.size()));
  if (sent <= 0) waits(sent);
  return sent > 0;
}

void TlsSession::close() {
  ERR_clear_error();
  if (established()) SSL_shutdown(ssl_->ssl);
  ERR_clear_error();
}

std::string TlsSession::take_output() {
  std::string bytes(BIO_ctrl_pending(ssl_->out), '\0');
  if (!bytes.empty()) BIO_read(ssl_->out, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

}  // namespace web
