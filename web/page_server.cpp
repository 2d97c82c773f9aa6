// Paths to functions, behind the dispatcher that the origin server uses and the guard of pages.
#include "web/page_server.h"

#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <utility>

#include "mapping/log_limit.h"
#include "web/connection_front.h"
#include "web/dispatcher.h"
#include "web/page_guard.h"

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

bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1";
}

constexpr std::string_view form_type = "application/x-www-form-urlencoded";

Answer to_answer(Page page) {
  Answer answer;
  answer.status = page.status;
  answer.headers = std::move(page.headers);
  answer.headers.emplace_back("Content-Type", std::move(page.content_type));
  answer.headers.emplace_back("Cache-Control", "no-store");
  answer.body = Body(std::move(page.body));
  return answer;
}

}  // namespace

class PageServer::Impl {
 public:
  Impl(PageServerOptions options, Pages pages, PageActions actions, mapping::Log log)
      : options_(std::move(options)),
        pages_(std::move(pages)),
        actions_(std::move(actions)),
        log_(std::move(log)) {}
  ~Impl() { stop(std::chrono::milliseconds(0)); }

  mapping::Result<std::uint16_t> start();
  mapping::Result<mapping::Change> prepare(const AuthenticationFiles& files,
                                           std::vector<std::string> host_names);
  void stop(std::chrono::milliseconds grace) {
    if (front_) front_->stop(grace);
  }
  const std::string& token() const { return token_.text(); }
  bool allows_actions() const {
    return authentication_.get() != nullptr || is_loopback(options_.bind);
  }

 private:
  DispatcherOptions dispatcher_options();
  std::optional<Answer> refusal(const RawRequest& request) const;
  Answer act(const Call& call, const std::function<Page(const PageAction&)>& action);
  RawResponse serve(const RawRequest& request, const RequestContext& context) const;
  void alert(mapping::SecurityAlert::Kind kind, const RequestContext& context,
             std::string what) const;

  const PageServerOptions options_;
  const Pages pages_;
  const PageActions actions_;
  const mapping::Log log_;
  const mapping::LogLimit limited_{log_};  ///< what clients can cause without end
  const PageToken token_;
  std::mutex acting_;  ///< held while an action runs

  mapping::Current<Authentication> authentication_;  ///< null = everybody is served
  mapping::Current<const std::vector<std::string>> host_names_;

  // Constant after start.
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<ConnectionFront> front_;
};

/// Why an action is not to be done.
std::optional<Answer> PageServer::Impl::refusal(const RawRequest& request) const {
  if (!allows_actions()) {
    return web::to_answer(403, "This port is open to other machines: actions need [admin] users");
  }
  if (!is_from_own_page(request)) {
    return web::to_answer(403, "Actions are taken from the page of this port only");
  }
  const auto type = request.header("content-type");
  if (!type || type->substr(0, type->find(';')) != form_type) {
    return web::to_answer(415, "Expected application/x-www-form-urlencoded");
  }
  if (!token_.is(request.header("x-page-token").value_or(std::string()))) {
    return web::to_answer(403, "Expected the token of this page: load it again");
  }
  return std::nullopt;
}

/// One worker is always left for those that only look.
Answer PageServer::Impl::act(const Call& call,
                             const std::function<Page(const PageAction&)>& action) {
  if (auto refused = refusal(call.request)) {
    limited_(mapping::LogLevel::warn, call.context.peer_address,
             fmt::format("web: {} action refused: {}", call.context.peer_address, refused->status));
    if (refused->status == 403) {
      alert(mapping::SecurityAlert::Kind::restricted_function, call.context,
            "HTTP 403 on the admin port: an action that its page did not ask for");
    }
    return *std::move(refused);
  }
  const std::unique_lock lock(acting_, std::try_to_lock);
  if (!lock) return web::to_answer(503, "Another action is under way: try again");
  return to_answer(action({call.request.body, call.context.user, call.context.peer_address}));
}

DispatcherOptions PageServer::Impl::dispatcher_options() {
  DispatcherOptions options;
  std::string paths;
  for (const auto& [path, make] : pages_) {
    options.routes.push_back(
        {"GET", pattern(path), [&make = make](const Call&) { return to_answer(make()); }});
    paths += (paths.empty() ? "" : ", ") + path;
  }
  for (const auto& [path, action] : actions_) {
    options.routes.push_back({"POST", pattern(path), [this, &action = action](const Call& call) {
                                return act(call, action);
                              }});
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

mapping::Result<mapping::Change> PageServer::Impl::prepare(const AuthenticationFiles& files,
                                                           std::vector<std::string> host_names) {
  std::shared_ptr<Authentication> authentication;
  if (files.any()) {
    auto made = Authentication::make(files);
    if (!made) return made.fault();
    authentication = std::move(made).value();
  }
  auto names = std::make_shared<const std::vector<std::string>>(std::move(host_names));
  return mapping::Change([this, authentication, names] {
    authentication_.set(authentication);
    host_names_.set(names);
  });
}

mapping::Result<std::uint16_t> PageServer::Impl::start() {
  auto begin = prepare(options_.authentication, options_.host_names);
  if (!begin) return begin.fault();
  begin.value()();
  dispatcher_ = std::make_unique<Dispatcher>(dispatcher_options(), log_);
  ConnectionFrontOptions front;
  front.bind = options_.bind;
  front.port = options_.port;
  front.max_connections = max_connections;
  front.max_connections_per_address = max_connections_per_address;
  front.makes_room = true;  // a probe is never kept out by who only holds connections
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
  if (!is_own_host(request, *host_names_.get())) {
    return dispatcher_->dispatch(
        request, context,
        web::to_answer(421,
                       "This port is not asked by that name: use its address, or add the "
                       "name to [admin] host_names"));
  }
  const auto authentication = authentication_.get();
  if (!authentication) return dispatcher_->dispatch(request, context);
  auto user = authentication->user(request.header("authorization"));
  if (!user) {
    alert(mapping::SecurityAlert::Kind::node_authentication, context,
          "HTTP 401 on the admin port: credentials missing or not known");
    return dispatcher_->dispatch(request, context, unauthorized(request, *authentication));
  }
  RequestContext recognised = context;
  recognised.user = *std::move(user);
  return dispatcher_->dispatch(request, recognised);
}

void PageServer::Impl::alert(mapping::SecurityAlert::Kind kind, const RequestContext& context,
                             std::string what) const {
  if (!options_.on_alert) return;
  options_.on_alert({kind,
                     {mapping::Caller::Protocol::web, context.user, context.peer_address},
                     std::move(what)});
}

PageServer::PageServer(PageServerOptions options, Pages pages, PageActions actions,
                       mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(pages), std::move(actions),
                                   std::move(log))) {}

PageServer::~PageServer() = default;

mapping::Result<std::uint16_t> PageServer::start() { return impl_->start(); }

mapping::Result<mapping::Change> PageServer::prepare(const AuthenticationFiles& files,
                                                     std::vector<std::string> host_names) {
  return impl_->prepare(files, std::move(host_names));
}

const std::string& PageServer::token() const { return impl_->token(); }

bool PageServer::allows_actions() const { return impl_->allows_actions(); }

void PageServer::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace web
