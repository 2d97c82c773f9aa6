// Paths to functions, behind the dispatcher that the origin server uses.
#include "web/page_server.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "web/connection_front.h"
#include "web/dispatcher.h"

namespace web {
namespace {

constexpr std::size_t max_connections = 64;
constexpr std::size_t max_connections_per_address = 32;
constexpr std::size_t workers = 2;
constexpr RequestLimits limits{.max_head_bytes = 16u << 10,
                               .max_headers = 100,
                               .max_target_bytes = 2u << 10,
                               .max_body_bytes = 1u << 10};

/// A path as a regular expression.
std::string pattern(const std::string& path) {
  std::string result;
  for (const char c : path) {
    if (c == '.') result += '\\';
    result += c;
  }
  return result;
}

}  // namespace

class PageServer::Impl {
 public:
  Impl(PageServerOptions options, Pages pages, mapping::Log log)
      : options_(std::move(options)), pages_(std::move(pages)), log_(std::move(log)) {}
  ~Impl() { stop(std::chrono::milliseconds(0)); }

  mapping::Result<std::uint16_t> start();
  mapping::Result<mapping::Change> prepare(const AuthenticationFiles& files);
  void stop(std::chrono::milliseconds grace) {
    if (front_) front_->stop(grace);
  }

 private:
  DispatcherOptions dispatcher_options() const;
  RawResponse serve(const RawRequest& request, const RequestContext& context) const;

  const PageServerOptions options_;
  const Pages pages_;
  const mapping::Log log_;

  mapping::Current<Authentication> authentication_;  ///< null = everybody is served

  // Constant after start.
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<ConnectionFront> front_;
};

DispatcherOptions PageServer::Impl::dispatcher_options() const {
  DispatcherOptions options;
  std::string paths;
  for (const auto& [path, make] : pages_) {
    options.routes.push_back({"GET", pattern(path), [&make = make](const Call&) {
                                Page page = make();
                                Answer answer;
                                answer.status = page.status;
                                answer.headers = {{"Content-Type", std::move(page.content_type)},
                                                  {"Cache-Control", "no-store"}};
                                answer.body = Body(std::move(page.body));
                                return answer;
                              }});
    paths += (paths.empty() ? "" : ", ") + path;
  }
  options.not_found = [paths](std::string_view) { return "This port serves " + paths; };
  options.on_options = [](const RawRequest&, const RequestContext&, std::string_view,
                          const std::string& allow) {
    return allow.empty() ? std::nullopt : std::optional(Answer{204, {{"Allow", allow}}, {}});
  };
  options.headers = [](const RawRequest&) {
    return std::vector<std::pair<std::string, std::string>>{{"X-Content-Type-Options", "nosniff"}};
  };
  return options;
}

mapping::Result<mapping::Change> PageServer::Impl::prepare(const AuthenticationFiles& files) {
  std::shared_ptr<Authentication> authentication;
  if (files.any()) {
    auto made = Authentication::make(files);
    if (!made) return made.fault();
    authentication = std::move(made).value();
  }
  return mapping::Change([this, authentication] { authentication_.set(authentication); });
}

mapping::Result<std::uint16_t> PageServer::Impl::start() {
  auto begin = prepare(options_.authentication);
  if (!begin) return begin.fault();
  begin.value()();
  dispatcher_ = std::make_unique<Dispatcher>(dispatcher_options(), log_);
  ConnectionFrontOptions front;
  front.bind = options_.bind;
  front.port = options_.port;
  front.max_connections = max_connections;
  front.max_connections_per_address = max_connections_per_address;
  front.workers = workers;
  front.apart = [this](const RawRequest& request) {  // whoever guesses keeps no others waiting
    const auto authentication = authentication_.get();
    return authentication && authentication->takes_long(request.header("authorization"));
  };
  front.limits = limits;
  front_ = std::make_unique<ConnectionFront>(
      std::move(front),
      [this](const RawRequest& request, const RequestContext& context) {
        return serve(request, context);
      },
      to_raw_response, log_);
  return front_->start();
}

RawResponse PageServer::Impl::serve(const RawRequest& request,
                                    const RequestContext& context) const {
  const auto authentication = authentication_.get();
  if (authentication && !authentication->user(request.header("authorization"))) {
    return dispatcher_->dispatch(request, context, unauthorized(request, *authentication));
  }
  return dispatcher_->dispatch(request, context);
}

PageServer::PageServer(PageServerOptions options, Pages pages, mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(pages), std::move(log))) {}

PageServer::~PageServer() = default;

mapping::Result<std::uint16_t> PageServer::start() { return impl_->start(); }

mapping::Result<mapping::Change> PageServer::prepare(const AuthenticationFiles& files) {
  return impl_->prepare(files);
}

void PageServer::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace web
