// OpenSSL, non-blocking.
#include "dimse/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <climits>
#include <system_error>

#include "dimse/transport.h"

namespace dimse {
namespace {

// PS3.15, B.12: what must be offered, and nothing else. Those of TLS 1.3 are OpenSSL's default.
constexpr const char* suites =
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384";

std::string last_error() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "connection lost" : reason;
}

bool is_address(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

mapping::Fault unusable(std::string_view key, const std::string& file) {
  return {mapping::Fault::Kind::invalid_value,
          fmt::format("{}: cannot use {}: {}", key, file, last_error()),
          {}};
}

}  // namespace

struct TlsSession::Library {
  SSL* ssl = nullptr;
  ~Library() { SSL_free(ssl); }
};

struct TlsContext::Library {
  SSL_CTX* context = nullptr;
  ~Library() { SSL_CTX_free(context); }

  std::optional<mapping::Fault> load(const TlsOptions& options);
};

std::optional<mapping::Fault> TlsContext::Library::load(const TlsOptions& options) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, suites);
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ERR_clear_error();
  if (!options.certificate.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1) {
      return unusable("tls_certificate", options.certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(context, options.private_key.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
      return unusable("tls_private_key", options.private_key);
    }
  }
  if (!options.trusted.empty()) {
    if (SSL_CTX_load_verify_locations(context, options.trusted.c_str(), nullptr) != 1) {
      return unusable("tls_trusted", options.trusted);
    }
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(options.trusted.c_str()));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return std::nullopt;
}

mapping::Result<std::shared_ptr<const TlsContext>> TlsContext::for_scp(const TlsOptions& options) {
  auto library = std::make_unique<Library>();
  library->context = SSL_CTX_new(TLS_server_method());
  if (auto fault = library->load(options)) return *fault;
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(library)));
}

mapping::Result<std::shared_ptr<const TlsContext>> TlsContext::for_scu(const TlsOptions& options) {
  auto library = std::make_unique<Library>();
  library->context = SSL_CTX_new(TLS_client_method());
  if (auto fault = library->load(options)) return *fault;
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(library)));
}

TlsContext::TlsContext(std::unique_ptr<Library> library) : library_(std::move(library)) {}
TlsContext::~TlsContext() = default;

std::unique_ptr<TlsSession> TlsContext::accept(int descriptor) const {
  auto session = std::make_unique<TlsSession::Library>();
  session->ssl = SSL_new(library_->context);
  SSL_set_fd(session->ssl, descriptor);
  SSL_set_accept_state(session->ssl);
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(session)));
}

std::unique_ptr<TlsSession> TlsContext::connect(int descriptor, const std::string& host) const {
  auto session = std::make_unique<TlsSession::Library>();
  session->ssl = SSL_new(library_->context);
  SSL_set_fd(session->ssl, descriptor);
  SSL_set_connect_state(session->ssl);
  if (is_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session->ssl), host.c_str());
  } else {
    SSL_ctrl(session->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(host.c_str()));  // what the macro does
    SSL_set1_host(session->ssl, host.c_str());
  }
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(session)));
}

TlsSession::TlsSession(std::unique_ptr<Library> library)
    : library_(std::move(library)), descriptor_(SSL_get_fd(library_->ssl)) {
  ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
}
TlsSession::~TlsSession() = default;

TlsSession::Status TlsSession::status_of(int result) {
  switch (SSL_get_error(library_->ssl, result)) {
    case SSL_ERROR_WANT_READ:
      return Status::wants_input;
    case SSL_ERROR_WANT_WRITE:
      return Status::wants_output;
    case SSL_ERROR_SSL: {
      const auto verified = SSL_get_verify_result(library_->ssl);
      const auto reason = ERR_GET_REASON(ERR_peek_error());
      failure_ = last_error();
      if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
        failure_ += " (the peer speaks no TLS)";
      }
      if (verified != X509_V_OK) {
        failure_ += fmt::format(" ({})", X509_verify_cert_error_string(verified));
      }
      return Status::closed;
    }
    default:
      return Status::closed;
  }
}

bool TlsSession::shake_hands(Clock::time_point deadline, int beside) {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(library_->ssl);
    if (result == 1) return true;
    const auto status = status_of(result);
    if (status == Status::closed) {
      if (failure_.empty()) failure_ = "closed in the TLS handshake";
      return false;
    }
    const short awaited = status == Status::wants_output ? POLLOUT : POLLIN;
    pollfd ready[] = {{descriptor_, awaited, 0}, {beside, POLLIN, 0}};
    if (::poll(ready, 2, poll_timeout(deadline)) == 0 && Clock::now() >= deadline) {
      failure_ = "no TLS handshake in time";
    } else if (ready[1].revents != 0) {
      failure_ = "given up";
    }
    if (!failure_.empty()) return false;
  }
}

TlsSession::Status TlsSession::receive(char* into, std::size_t most, std::size_t& got) {
  ERR_clear_error();
  const int result =
      SSL_read(library_->ssl, into, static_cast<int>(std::min<std::size_t>(most, INT_MAX)));
  if (result <= 0) return status_of(result);
  got = static_cast<std::size_t>(result);
  return Status::ok;
}

TlsSession::Status TlsSession::send(const char* from, std::size_t size, std::size_t& gone) {
  ERR_clear_error();
  const int result =
      SSL_write(library_->ssl, from, static_cast<int>(std::min<std::size_t>(size, INT_MAX)));
  if (result <= 0) return status_of(result);
  gone = static_cast<std::size_t>(result);
  return Status::ok;
}

void TlsSession::say_goodbye() {
  ERR_clear_error();
  SSL_shutdown(library_->ssl);
  ERR_clear_error();
}

bool TlsSession::has_heard() const { return BIO_number_read(SSL_get_rbio(library_->ssl)) > 0; }

bool TlsSession::has_input() const { return SSL_pending(library_->ssl) > 0; }

}  // namespace dimse
