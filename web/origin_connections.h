// Connections to one origin server, kept alive and pooled, and one HTTP exchange over them.
// httplib's client speaks HTTP; the socket, its deadlines and what has really been sent are ours,
// since everything a gateway may promise after a failure hangs on that.
// Follows no redirect and repeats nothing: that is the user agent's to decide.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/outcome.h"
#include "mapping/pool_state.h"
#include "mapping/services.h"
#include "web/base_uri.h"
#include "web/tls.h"

namespace web {

struct OriginConnectionsOptions {
  BaseUri base;
  std::shared_ptr<const TlsContext> tls;  ///< for https
  std::size_t max_connections = 8;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds response_timeout{30'000};  ///< longest silence of the server
  std::size_t max_response_bytes = 64u << 20;
};

struct OriginReply {
  enum class How {
    answered,   ///< the whole answer is here
    not_sent,   ///< no byte of the request left: repeating is safe
    no_answer,  ///< sent, perhaps in part, and no whole answer came
    cancelled,  ///< the caller no longer wants it
    too_large,  ///< the answer is longer than max_response_bytes
    stopped,    ///< what takes the body wants no more of it
    no_token,   ///< there is no access token to be had at the moment: nothing was sent
  };
  How how = How::no_answer;
  mapping::NetworkEvent event = mapping::NetworkEvent::none;  ///< for those without an answer
  std::string tls_fault;      ///< what was wrong with the handshake, for the log
  std::string connect_fault;  ///< why there is no connection, where TLS has no part in it
  /// The connection broke before the first byte of an answer: for a GET, worth another try.
  bool lost_before_answer = false;
  /// An earlier try of the same request was answered 429 or 503.
  bool repeated = false;
  int status = 0;
  std::string body;  ///< decompressed
  std::string content_type;
  std::string location;
  std::vector<std::string> warnings;  ///< values of Warning headers
  std::string retry_after;
};

/// Takes a body as it comes, in pieces that are not kept; false: no more is wanted.
using TakeBody = std::function<bool(std::string_view piece)>;

struct OriginRequest {
  std::string method;
  std::string target;
  std::string accept;
  std::string content_type;  ///< empty = no body
  std::string body;
  std::string authorization{};  ///< empty = no such header. Never logged
  /// Asked when the head of an answer is there, which the reply holds as far as it goes. What it
  /// returns gets the body instead of the reply; null leaves it to the reply.
  std::function<TakeBody(const OriginReply& head)> on_head{};
};

/// Safe from any thread.
class OriginConnections {
 public:
  explicit OriginConnections(OriginConnectionsOptions options);
  ~OriginConnections();

  /// Blocks at most until context.deadline. Looks at context.cancellation only if cancellable.
  OriginReply exchange(const OriginRequest& request, const mapping::Context& context,
                       bool cancellable);

  mapping::PoolState state() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
