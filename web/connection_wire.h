// What a connection of the front receives and sends, in plain or through TLS. Never blocks; knows
// no HTTP.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "web/body.h"
#include "web/socket.h"
#include "web/tls.h"

namespace web {

/// Used by whoever owns the connection.
class ConnectionWire {
 public:
  /// tls: null = plain.
  ConnectionWire(Descriptor socket, const TlsContext* tls);

  int descriptor() const { return socket_.get(); }

  enum class Received {
    bytes,    ///< got holds some, valid until the next call
    nothing,  ///< now
    ended,    ///< by the peer, or broken
  };
  Received receive(std::span<char> buffer, std::string_view& got);

  enum class Sent { all, part, broken };
  /// Goes on with head at the byte that sent says, and counts it on; then with body, which it
  /// consumes.
  Sent send(std::string_view head, Body& body, std::size_t& sent);
  /// A few bytes into an empty buffer: they go or the connection is dead.
  bool send_now(std::string_view bytes);
  /// Nothing follows; the peer may still send.
  void end();

  /// The connection speaks HTTP by now: always in plain.
  bool ready() const { return !tls_ || tls_->established(); }
  /// Why TLS ended; empty if it did not, or properly.
  std::string tls_fault() const { return tls_ ? tls_->fault() : std::string(); }

 private:
  Sent send_plain(std::string_view head, Body& body, std::size_t& sent);
  Sent send_encrypted(std::string_view head, Body& body, std::size_t& sent);
  Sent flush();

  const Descriptor socket_;
  const std::unique_ptr<TlsSession> tls_;
  std::string decrypted_;
  std::string encrypted_;  ///< for the peer, and not yet taken
  std::size_t flushed_ = 0;
};

}  // namespace web
