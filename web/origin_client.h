// What the user agent's transactions share: requests to one origin server, redirected and repeated
// where that is safe, and what their replies mean. mapping.md, 1b to 5b.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "mapping/log.h"
#include "mapping/outcome.h"
#include "mapping/services.h"
#include "web/media_type.h"
#include "web/origin_connections.h"

namespace web {

/// Safe from any thread. Targets are percent-encoded already.
class OriginClient {
 public:
  /// model: what bodies are sent in and answers are asked for in.
  OriginClient(OriginConnectionsOptions options, Model model, mapping::Log log)
      : options_(options), model_(model), log_(std::move(log)), connections_(std::move(options)) {}

  const BaseUri& base() const { return options_.base; }
  std::size_t max_response_bytes() const { return options_.max_response_bytes; }

  OriginReply get(std::string target, const mapping::Context& context, bool cancellable);
  /// Never cancelled. A 415 is answered by sending the data set in the other model, once.
  /// Fault: the data set has a value that the model cannot hold; nothing was sent.
  mapping::Result<OriginReply> post(std::string target, const mapping::DataSet& data_set,
                                    const mapping::Context& context);

 private:
  OriginReply follow(OriginRequest request, const mapping::Context& context, bool cancellable);
  OriginReply exchange(OriginRequest& request, const mapping::Context& context, bool cancellable);

  const OriginConnectionsOptions options_;
  const Model model_;
  const mapping::Log log_;
  OriginConnections connections_;
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
