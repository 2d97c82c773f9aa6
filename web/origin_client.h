// What the user agent's transactions share: requests to one origin server, redirected and repeated
// where that is safe, and what their replies mean. mapping.md, 1b to 5b.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/log.h"
#include "mapping/outcome.h"
#include "mapping/services.h"
#include "web/base_uri.h"
#include "web/credentials.h"
#include "web/media_type.h"
#include "web/origin_connections.h"
#include "web/tls.h"

namespace web {

struct OriginClientOptions {
  OriginConnectionsOptions connections;  ///< to the origin server, with its base
  Model model = Model::json;             ///< what bodies are sent in and answers are asked for in
  /// Servers beside it that a redirect may lead to. They see no credentials: no header, and no
  /// certificate either.
  std::vector<BaseUri> redirect_servers;
  std::shared_ptr<const TlsContext> redirect_tls;
};

/// Safe from any thread. Targets are percent-encoded already.
class OriginClient {
 public:
  OriginClient(OriginClientOptions options, std::unique_ptr<Credentials> credentials,
               mapping::Log log);

  const BaseUri& base() const { return options_.connections.base; }
  std::size_t max_response_bytes() const { return options_.connections.max_response_bytes; }

  /// on_head: as in OriginRequest; asked for every answer on the way, redirects included.
  OriginReply get(std::string target, const mapping::Context& context, bool cancellable,
                  std::function<TakeBody(const OriginReply& head)> on_head = {});
  /// OPTIONS on the base URI. PS3.18, 8.9. Logs no failure: it is asked again and again.
  OriginReply options(const mapping::Context& context);
  /// Never cancelled. A 415 is answered by sending the data set in the other model, once.
  /// Fault: the data set has a value that the model cannot hold; nothing was sent.
  mapping::Result<OriginReply> post(std::string target, const mapping::DataSet& data_set,
                                    const mapping::Context& context);

  /// Of the connections to the origin server itself.
  mapping::PoolState pool() const { return connections_[0]->state(); }

 private:
  /// One request on its way through the tries below, each of which goes through the next.
  struct Try {
    OriginRequest request;
    const mapping::Context& context;
    bool cancellable;
    bool quiet = false;      ///< TLS faults are not logged
    bool repeated = false;   ///< after a 429 or 503
    std::size_t server = 0;  ///< number: 0 = the origin server, n = the n-th of redirect_servers
  };
  OriginReply follow(Try now);
  OriginReply accept_anything(Try& now);
  OriginReply wait_while_busy(Try& now);
  OriginReply authorized(Try& now);
  static OriginReply without_token(const Try& now, const Authorization& authorization);
  OriginReply exchange(Try& now);
  std::optional<std::size_t> number_of(const BaseUri& server) const;
  const BaseUri& server(std::size_t number) const {
    return number == 0 ? base() : options_.redirect_servers[number - 1];
  }

  const OriginClientOptions options_;
  const std::unique_ptr<Credentials> credentials_;
  const mapping::Log log_;
  std::vector<std::unique_ptr<OriginConnections>> connections_;  ///< by number of server
};

/// What an exchange without a usable answer means. mapping.md, 5b.
mapping::Outcome without_answer(mapping::Transaction transaction, const OriginReply& reply);

/// The answer came, and it cannot be read.
mapping::Outcome unreadable(mapping::Transaction transaction, std::string_view comment);

/// The outcome of an answered Create, Update or Retrieve. Content errors and conflicts, which HTTP
/// has one code for, are told apart where the problem report does.
mapping::Outcome outcome_of(mapping::Transaction transaction, const OriginReply& reply);

bool is_blank(std::string_view body);

}  // namespace web
