// The transactions of an origin server: requests that found their route become calls of the two
// services, and the outcomes of these answers. PS3.18, chapters 14 and 15 (Supplement 246). How
// DIMSE and HTTP statuses relate is mapping/status'; who answers is the router's.
#pragma once

#include <string>
#include <string_view>

#include "mapping/services.h"
#include "mapping/status.h"
#include "mapping/uid.h"
#include "web/dispatcher.h"
#include "web/origin_server.h"
#include "web/search_page.h"

namespace web {

/// Constant; safe from any thread.
class Transactions {
 public:
  /// options outlives this. base: path in front of the resources, without a slash at its end.
  Transactions(const OriginServerOptions& options, std::string base, mapping::Router router);

  /// Answers a request that was routed as this transaction; an Update by query comes as Create.
  Answer handle(mapping::Transaction routed, const Call& call) const;

  /// What is offered to who sent this request.
  mapping::Services offered(const RequestContext& context) const;
  /// The base URI as the client knows it, if its Host header is one.
  std::string service(const RawRequest& request) const;

 private:
  Answer search(const Call& call) const;
  Answer search_answer(const Call& call, const mapping::Outcome& outcome, SearchPage& page) const;
  Answer post(const Call& call, mapping::Transaction by_path) const;
  Answer create_or_update(const Call& call, const mapping::Uid& mpps,
                          mapping::Transaction transaction) const;
  Answer retrieve(const Call& call) const;
  static Answer failed(mapping::Transaction transaction, const mapping::Outcome& outcome,
                       const mapping::HttpAnswer& http);
  void warn(Answer& answer, const Call& call, std::string_view text) const;
  mapping::Context context(const Call& call) const;

  const OriginServerOptions& options_;
  const std::string base_;
  const mapping::Router router_;
};

}  // namespace web
