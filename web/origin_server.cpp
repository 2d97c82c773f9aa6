#include "web/origin_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "mapping/log_limit.h"
#include "web/capabilities.h"
#include "web/connection_front.h"
#include "web/cors.h"
#include "web/dispatcher.h"
#include "web/resources.h"
#include "web/transactions.h"

namespace web {
namespace {

using mapping::Fault;
using mapping::LogLevel;
using mapping::Result;
using mapping::Transaction;

/// Everything that a regular expression would take for more than a character is escaped.
std::string escape(std::string_view literal) {
  std::string result;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) result += '\\';
    result += c;
  }
  return result;
}

/// A template such as /steps/{uid} as a regular expression that captures its parts.
std::string pattern(std::string_view base, std::string_view path) {
  std::string result = escape(base);
  while (!path.empty()) {
    const std::size_t brace = std::min(path.find('{'), path.size());
    result += escape(path.substr(0, brace));
    if (brace == path.size()) break;
    result += "([^/]+)";
    path.remove_prefix(path.find('}') + 1);
  }
  return result + "/?";
}

/// Without the last slash: "" for "/". Fault: not an absolute path of plain characters.
Result<std::string> normalize_base_path(std::string path) {
  while (path.ends_with('/')) path.pop_back();
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/-._~").find(c) != std::string_view::npos;
  });
  if (!plain || (!path.empty() && path.front() != '/') || path.find("//") != std::string::npos) {
    return Fault{Fault::Kind::invalid_value,
                 "base_path must begin with a slash and hold letters, digits and /-._~ only"};
  }
  return path;
}

/// What a request meets behind the connection: everything that one set of options makes of it.
/// Constant; safe from any thread.
class Site {
 public:
  /// Fault: an option that makes no sense, a file of credentials that cannot be used.
  static Result<std::shared_ptr<const Site>> make(OriginServerOptions options,
                                                  mapping::Router router, mapping::Log log);
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  RawResponse serve(const RawRequest& request, const RequestContext& context) const;
  /// As Authentication::takes_long.
  bool takes_long(const RawRequest& request) const {
    return authentication_ && authentication_->takes_long(request.header("authorization"));
  }

 private:
  Site(OriginServerOptions options, std::string base,
       std::unique_ptr<Authentication> authentication, mapping::Router router, mapping::Log log)
      : options_(std::move(options)),
        log_(std::move(log)),
        cross_origin_(options_.cors_allowed_origins),
        base_(std::move(base)),
        authentication_(std::move(authentication)),
        transactions_(options_, base_, std::move(router)),
        dispatcher_(dispatcher_options(), log_) {}
  DispatcherOptions dispatcher_options() const;
  std::optional<Answer> admit(const RawRequest& request, RequestContext& context) const;
  void alert(std::string_view code, const RequestContext& context) const;
  std::string not_found(std::string_view path) const;
  std::vector<Operation> operations_for(const RequestContext& context) const;
  std::optional<Answer> options(const RawRequest& request, const RequestContext& context,
                                std::string_view path, const std::string& allow) const;

  const OriginServerOptions options_;
  const mapping::Log log_;
  const mapping::LogLimit limited_{log_};  ///< what clients can cause without end
  const CrossOrigin cross_origin_;
  const std::string base_;                                ///< "" or "/radiology"
  const std::unique_ptr<Authentication> authentication_;  ///< null = everybody is served
  const Transactions transactions_;
  const Dispatcher dispatcher_;
};

Result<std::shared_ptr<const Site>> Site::make(OriginServerOptions options, mapping::Router router,
                                               mapping::Log log) {
  auto base = normalize_base_path(options.base_path);
  if (!base) return base.fault();
  if (options.no_match_status != 200 && options.no_match_status != 204) {
    return Fault{Fault::Kind::invalid_value, "no_match_status must be 200 or 204"};
  }
  std::unique_ptr<Authentication> authentication;
  if (options.authentication.any()) {
    auto made = Authentication::make(options.authentication);
    if (!made) return made.fault();
    authentication = std::move(made).value();
  }
  const auto origins = CrossOrigin::check(options.cors_allowed_origins);
  if (!origins) return origins.fault();
  return std::shared_ptr<const Site>(new Site(std::move(options), std::move(base).value(),
                                              std::move(authentication), std::move(router),
                                              std::move(log)));
}

DispatcherOptions Site::dispatcher_options() const {
  DispatcherOptions options;
  for (const Operation& operation : operations) {
    options.routes.push_back({std::string(operation.method), pattern(base_, operation.path),
                              [this, &operation](const Call& call) {
                                return transactions_.handle(operation.transaction, call);
                              }});
  }
  options.not_found = [this](std::string_view path) { return not_found(path); };
  options.on_options = [this](const RawRequest& request, const RequestContext& context,
                              std::string_view path, const std::string& allow) {
    return this->options(request, context, path, allow);
  };
  options.headers = [this](const RawRequest& request) { return cross_origin_.headers(request); };
  return options;
}

std::string Site::not_found(std::string_view path) const {
  if (path == base_ + std::string(performed) || path == base_ + std::string(performed) + "/") {
    return fmt::format(
        "A performed procedure step is created, updated and retrieved at {}{}/ followed by its "
        "UID",
        base_, performed);
  }
  return fmt::format("The resources of this server are {0}{1} and {0}{2}/ followed by a UID", base_,
                     scheduled, performed);
}

// --- Retrieve Capabilities, 8.9, and the preflight of browsers ----------------------------------

/// What the caller may do and a backend offers. rule C9
std::vector<Operation> Site::operations_for(const RequestContext& context) const {
  const mapping::Services offered = transactions_.offered(context);
  const auto may = [&](Transaction transaction) {
    if (transaction == Transaction::search) return offered.worklist != nullptr;
    if (offered.mpps == nullptr) return false;
    return transaction == Transaction::retrieve ? offered.mpps->offers_retrieve()
                                                : !context.read_only;
  };
  std::vector<Operation> result;
  for (const Operation& operation : operations) {
    if (!may(operation.transaction)) continue;
    result.push_back(operation);
    if (operation.transaction == Transaction::create) result.push_back(update_by_query);
  }
  return result;
}

std::optional<Answer> Site::options(const RawRequest& request, const RequestContext& context,
                                    std::string_view path, const std::string& allow) const {
  if (!options_.cors_allowed_origins.empty() && CrossOrigin::is_preflight(request)) {
    if (!cross_origin_.allows(request)) {
      return to_answer(403, "Pages of this origin may not use this server");
    }
    return Answer{204, CrossOrigin::preflight_headers(allow.empty() ? "OPTIONS" : allow), {}};
  }
  if (path == "*") path = base_;
  if (!path.starts_with(base_)) return std::nullopt;
  const std::string_view target = path.substr(base_.size());
  if (!target.empty() && target.front() != '/') return std::nullopt;
  const auto description = describe(operations_for(context), target,
                                    {.base_uri = transactions_.service(request),
                                     .search_forms = search_forms,
                                     .retrieve_forms = retrieve_forms,
                                     .asks_for_credentials = authentication_ != nullptr});
  if (!description && !allow.empty()) return to_answer(501, "This resource is not offered here");
  if (!description) return std::nullopt;
  constexpr std::array types{wadl_xml, wadl_json};
  const auto type = choose_type(request.header("accept"), types);
  if (!type)
    return to_answer(406, fmt::format("Capabilities are served as {}, {}", wadl_xml, wadl_json));
  return Answer{
      200,
      {{"Content-Type", std::string(*type)}, {"Allow", allow.empty() ? "OPTIONS" : allow}},
      Body(*type == wadl_xml ? to_wadl(*description) : to_json(*description))};
}

/// Recognises the user, or answers 401. A browser's preflight carries no credentials.
std::optional<Answer> Site::admit(const RawRequest& request, RequestContext& context) const {
  const bool preflight =
      !options_.cors_allowed_origins.empty() && CrossOrigin::is_preflight(request);
  if (!authentication_ || preflight) return std::nullopt;
  auto user = authentication_->user(request.header("authorization"));
  if (user) {
    context.read_only = authentication_->is_read_only(*user);
    context.user = *std::move(user);
    return std::nullopt;
  }
  return unauthorized(request, *authentication_);
}

/// code: of an answer that is this server's own.
void Site::alert(std::string_view code, const RequestContext& context) const {
  using Kind = mapping::SecurityAlert::Kind;
  if (!options_.on_alert || (code != "401" && code != "403")) return;
  const bool nobody = code == "401";
  options_.on_alert({nobody ? Kind::node_authentication : Kind::restricted_function,
                     {mapping::Caller::Protocol::web, context.user, context.peer_address},
                     nobody ? "HTTP 401: credentials missing or not known"
                            : "HTTP 403: what was asked for is not allowed to the one who asked"});
}

/// Neither path nor query: they may name a patient.
RawResponse Site::serve(const RawRequest& request, const RequestContext& context) const {
  RequestContext admitted = context;
  auto refused = admit(request, admitted);
  RawResponse response = dispatcher_.dispatch(request, admitted, std::move(refused));
  const std::string_view code = std::string_view(response.head).substr(sizeof "HTTP/1.1", 3);
  if (!response.service_asked) alert(code, admitted);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - context.received);
  // One line a transaction: what reached a service, the gateway logs.
  limited_(code < "400" || response.service_asked ? LogLevel::debug : LogLevel::info,
           context.peer_address,
           fmt::format("web: {} {:.7}: {} in {} ms", context.peer_address, request.method, code,
                       took.count()));
  return response;
}

}  // namespace

class OriginServer::Impl {
 public:
  Impl(OriginServerOptions options, mapping::Router router, mapping::Log log)
      : first_options_(std::move(options)), router_(std::move(router)), log_(std::move(log)) {}
  ~Impl() {
    if (front_) front_->stop(std::chrono::milliseconds(0));
  }

  Result<std::uint16_t> start();
  Result<mapping::Change> prepare(OriginServerOptions options);
  void stop(std::chrono::milliseconds grace) {
    if (front_) front_->stop(grace);
  }
  std::size_t connections() const { return front_ ? front_->connections() : 0; }
  std::uint64_t refused() const { return front_ ? front_->refused() : 0; }

 private:
  ConnectionFrontOptions front_options() const;

  const OriginServerOptions first_options_;
  const mapping::Router router_;
  const mapping::Log log_;
  mapping::Current<const Site> site_;
  std::unique_ptr<ConnectionFront> front_;  ///< constant after start
};

ConnectionFrontOptions OriginServer::Impl::front_options() const {
  ConnectionFrontOptions front;
  front.on_alert = first_options_.on_alert;
  front.bind = first_options_.bind;
  front.port = first_options_.port;
  front.max_connections = first_options_.max_connections;
  front.max_connections_per_address = first_options_.max_connections_per_address;
  front.workers = first_options_.workers;
  // Whoever guesses does not keep the others waiting.
  front.apart = [this](const RawRequest& request) { return site_.get()->takes_long(request); };
  front.limits.max_body_bytes = first_options_.max_body_bytes;
  front.head_timeout = first_options_.head_timeout;
  front.body_timeout = first_options_.body_timeout;
  front.idle_timeout = first_options_.idle_timeout;
  front.write_timeout = first_options_.write_timeout;
  return front;
}

Result<mapping::Change> OriginServer::Impl::prepare(OriginServerOptions options) {
  std::shared_ptr<const TlsContext> tls;
  if (!options.tls.certificate.empty()) {
    auto made = TlsContext::for_server(options.tls);
    if (!made) return made.fault();
    tls = std::move(made).value();
  }
  auto site = Site::make(std::move(options), router_, log_);
  if (!site) return site.fault();
  return mapping::Change([this, tls, site = std::move(site).value()] {
    front_->speak(tls);
    site_.set(site);
  });
}

Result<std::uint16_t> OriginServer::Impl::start() {
  auto begin = prepare(first_options_);
  if (!begin) return begin.fault();
  front_ = std::make_unique<ConnectionFront>(
      front_options(),
      [this](const RawRequest& request, const RequestContext& context) {
        return site_.get()->serve(request, context);
      },
      to_raw_response, log_);
  begin.value()();
  return front_->start();
}

// ------------------------------------------------------------------------------------------------

OriginServer::OriginServer(OriginServerOptions options, mapping::Router router, mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(router), std::move(log))) {}

OriginServer::~OriginServer() = default;

bool OriginServer::valid_origins(const std::vector<std::string>& origins) {
  return CrossOrigin::check(origins).ok();
}

mapping::Result<std::uint16_t> OriginServer::start() { return impl_->start(); }

mapping::Result<mapping::Change> OriginServer::prepare(OriginServerOptions options) {
  return impl_->prepare(std::move(options));
}

void OriginServer::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

std::size_t OriginServer::connections() const { return impl_->connections(); }

std::uint64_t OriginServer::refused() const { return impl_->refused(); }

}  // namespace web
