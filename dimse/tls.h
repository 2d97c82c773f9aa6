// TLS below the associations, both roles: the profile of PS3.15, B.12 (BCP 195, RFC 8996 and 9325),
// so TLS 1.2 with four suites, and 1.3. OpenSSL is met in tls.cpp only.
//
// Why not dcmtls: it reads and writes blocking sockets, so that nothing could keep a deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "mapping/result.h"

namespace dimse {

/// Files in PEM form.
struct TlsOptions {
  std::string certificate{};  ///< chain, our own first
  std::string private_key{};
  /// CAs. SCP: peers must present a certificate that one of them signed. SCU: theirs must be.
  std::string trusted{};
  /// SCP: with a certificate. SCU: with CAs, since an unchecked certificate is worth nothing.
  bool on_for_scp() const { return !certificate.empty(); }
  bool on_for_scu() const { return !trusted.empty(); }
  bool operator==(const TlsOptions&) const = default;
};

/// TLS on one connection. One thread at a time. Made by TlsContext.
class TlsSession {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Status {
    ok,
    wants_input,   ///< when the socket is readable
    wants_output,  ///< when the socket is writable
    closed         ///< by the peer, or broken
  };

  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// False: no handshake before the deadline, or before the descriptor beside (-1 = none) became
  /// readable; failure() says why.
  bool shake_hands(Clock::time_point deadline, int beside = -1);
  Status receive(char* into, std::size_t most, std::size_t& got);
  Status send(const char* from, std::size_t size, std::size_t& gone);
  /// Tells the peer that no more will come, if that can be sent without waiting.
  void say_goodbye();
  /// The peer has sent a byte at least.
  bool has_heard() const;
  /// Decrypted input is waiting, which poll cannot see.
  bool has_input() const;
  /// What TLS itself complained about; empty if it did not. For the log.
  const std::string& failure() const { return failure_; }

 private:
  friend class TlsContext;
  struct Library;
  explicit TlsSession(std::unique_ptr<Library> library);
  Status status_of(int result);

  std::unique_ptr<Library> library_;
  int descriptor_ = -1;
  std::string failure_;
};

/// What connections of one front or one backend have in common. Constant; safe from any thread.
class TlsContext {
 public:
  /// Fault: a file that cannot be read or does not hold what it should, named by its key.
  static mapping::Result<std::shared_ptr<const TlsContext>> for_scp(const TlsOptions& options);
  static mapping::Result<std::shared_ptr<const TlsContext>> for_scu(const TlsOptions& options);
  ~TlsContext();

  /// Makes the socket non-blocking; it is not owned.
  std::unique_ptr<TlsSession> accept(int descriptor) const;
  /// host: the name or address that the peer's certificate must be for.
  std::unique_ptr<TlsSession> connect(int descriptor, const std::string& host) const;

 private:
  struct Library;
  explicit TlsContext(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

}  // namespace dimse
