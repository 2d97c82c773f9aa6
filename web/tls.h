// TLS of both roles over memory: bytes in, bytes out, no socket. TLS 1.2 and 1.3 with the suites of
// BCP 195 (RFC 9325). PS3.15, B.9 and B.10; PS3.18, 8.3.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mapping/result.h"

namespace web {

/// Names of PEM files.
struct TlsFiles {
  std::string certificate;  ///< with its chain; empty = none
  std::string private_key;
  std::string trusted;  ///< CAs. Server: clients must show a certificate of theirs; empty = none
                        ///< asked for. Client: empty = the system's
  bool operator==(const TlsFiles&) const = default;
};

/// When the first certificate in a PEM file ends. In seconds, since one without an end has the year
/// 9999. Fault: it holds none.
mapping::Result<std::chrono::sys_seconds> certificate_end(const std::string& file);

/// Certificates and rules of one port or one backend. Constant after construction.
class TlsContext {
 public:
  /// Fault: which file cannot be used, and why.
  static mapping::Result<std::shared_ptr<const TlsContext>> for_server(const TlsFiles& files);
  static mapping::Result<std::shared_ptr<const TlsContext>> for_client(const TlsFiles& files);
  ~TlsContext();

  void* get() const { return context_; }  ///< SSL_CTX

 private:
  explicit TlsContext(void* context) : context_(context) {}
  static mapping::Result<std::shared_ptr<const TlsContext>> make(const TlsFiles& files,
                                                                 bool server);
  void* const context_;
};

/// One connection. One thread at a time.
class TlsSession {
 public:
  explicit TlsSession(const TlsContext& server);
  /// host: name or numeric address that the server's certificate must be for.
  TlsSession(const TlsContext& client, const std::string& host);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// Takes bytes from the peer and appends what they decrypt to. False: the connection is to be
  /// closed, after take_output was sent; fault() says why, empty if the peer ended it properly.
  bool receive(std::string_view encrypted, std::string& plain);
  /// Client: makes the first message. Harmless at any other time.
  void begin();
  bool established() const;
  /// Encrypts. False: see receive. Only when established.
  bool send(std::string_view plain);
  /// Says that nothing follows.
  void close();
  /// Bytes for the peer.
  std::string take_output();

  const std::string& fault() const { return fault_; }

 private:
  bool waits(int result);

  struct Ssl;
  std::unique_ptr<Ssl> ssl_;
  std::string fault_;
};

}  // namespace web
