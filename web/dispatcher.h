// Routes a whole request to its handler and writes the answer's head, by means of cpp-httplib's
// process_request over memory. Knows paths and methods, nothing of DICOM.
// httplib sees the path only: it drops, sorts and misreads query parameters and would decode,
// range and compress bodies by itself.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapping/log.h"
#include "web/authentication.h"
#include "web/connection_front.h"
#include "web/problem.h"
#include "web/request_reader.h"

namespace web {

/// What a handler answers. Date, Connection and Content-Length are added to it.
struct Answer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  Body body;
  bool service_asked = false;  ///< the gateway writes a log line of the transaction
};

/// Not to be stored by any cache: answers hold patient data, problems are of the moment.
Answer to_answer(const Problem& problem);
/// A problem report of one sentence.
Answer to_answer(int status, std::string_view detail);
/// The same as bytes, for requests that never became one. Says Connection: close.
RawResponse to_raw_response(const Refusal& refusal);
/// 401: who it is has to be said, or said right.
Answer unauthorized(const RawRequest& request, const Authentication& authentication);

/// A request that found its route. Lives as long as the call of its handler.
struct Call {
  const RawRequest& request;
  const RequestContext& context;
  std::string_view query;             ///< raw, without "?"
  std::vector<std::string> captures;  ///< of the route's pattern, percent-decoded
};

struct Route {
  std::string method;   ///< GET also answers HEAD
  std::string pattern;  ///< regular expression for the whole percent-decoded path
  std::function<Answer(const Call&)> handler;
};

struct DispatcherOptions {
  std::vector<Route> routes;
  /// The detail of a 404, given the percent-decoded path.
  std::function<std::string(std::string_view path)> not_found;
  /// Answers OPTIONS, or nothing for 404. allow: the path's methods, empty if it is no resource.
  std::function<std::optional<Answer>(const RawRequest&, const RequestContext&,
                                      std::string_view path, const std::string& allow)>
      on_options;
  /// What every answer says.
  std::function<std::vector<std::pair<std::string, std::string>>(const RawRequest&)> headers;
};

/// Constant after construction; safe from any thread.
class Dispatcher {
 public:
  Dispatcher(DispatcherOptions options, mapping::Log log);
  ~Dispatcher();

  /// A known path with another method is 405 with Allow; an unknown method is 501; an exception of
  /// a handler is 500.
  /// instead: this answer, without asking a route.
  RawResponse dispatch(const RawRequest& request, const RequestContext& context,
                       std::optional<Answer> instead = std::nullopt) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
