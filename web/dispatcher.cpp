#include "web/dispatcher.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <optional>
#include <regex>

#include "mapping/status.h"
#include "web/content_coding.h"

namespace web {
namespace {

/// RFC 9110, 6.6.1. Made once a second and thread.
const std::string& date() {
  constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local std::time_t made = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now == made) return text;
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  made = now;
  text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     days[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                     months[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
  return text;
}

/// httplib reads the request from memory and writes the answer's head to memory.
class MemoryStream : public httplib::Stream {
 public:
  explicit MemoryStream(std::string in) : in_(std::move(in)) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override {
    const std::size_t count = std::min(size, in_.size() - read_);
    std::memcpy(to, in_.data() + read_, count);
    read_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* from, size_t size) override {
    out_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  // What httplib asks of these would only become headers of the request.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return 0; }

  std::string& out() { return out_; }

 private:
  const std::string in_;
  std::size_t read_ = 0;
  std::string out_;
};

/// The request that this thread is dispatching and its answer. httplib has no room for a value of
/// ours beside its Request.
struct Exchange {
  const RawRequest& request;
  const RequestContext& context;
  std::optional<Answer> answer;
};
thread_local Exchange* current = nullptr;

constexpr std::array<std::string_view, 9> known_methods{
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};

std::pair<std::string_view, std::string_view> split_target(std::string_view target) {
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

}  // namespace

Answer to_answer(const Problem& problem) {
  Answer answer;
  answer.status = problem.status;
  answer.headers = {{"Content-Type", std::string(problem_json)}, {"Cache-Control", "no-store"}};
  answer.body = Body(to_json(problem));
  return answer;
}

Answer to_answer(int status, std::string_view detail) {
  Problem problem;
  problem.status = status;
  problem.detail = detail;
  return to_answer(problem);
}

RawResponse to_raw_response(const Refusal& refusal) {
  Problem problem;
  problem.status = refusal.status;
  problem.detail = refusal.why;
  RawResponse response;
  response.close = true;
  response.body = Body(to_json(problem));
  response.head = fmt::format(
      "HTTP/1.1 {} {}\r\nConnection: close\r\nContent-Type: {}\r\nCache-Control: no-store\r\n"
      "{}Date: {}\r\nContent-Length: {}\r\n\r\n",
      refusal.status, mapping::reason_phrase(refusal.status), problem_json,
      refusal.status == 503 ? "Retry-After: 5\r\n" : "", date(), response.body.size());
  return response;
}

Answer unauthorized(const RawRequest& request, const Authentication& authentication) {
  Answer answer =
      to_answer(401, request.header("authorization") ? "The credentials are not known here"
                                                     : "Credentials are needed here");
  for (std::string& challenge : authentication.challenges()) {
    answer.headers.emplace_back("WWW-Authenticate", std::move(challenge));
  }
  return answer;
}

class Dispatcher::Impl : public httplib::Server {
 public:
  Impl(DispatcherOptions options, mapping::Log log);

  RawResponse dispatch(Exchange& exchange);

 private:
  void add(const Route& route);
  Answer call(const Route& route, const httplib::Request& request) const;
  Answer unrouted(const httplib::Request& request, int status) const;
  static void settle(Answer answer, httplib::Response& response);
  void finish(httplib::Response& response) const;
  std::string allowed(const std::string& path) const;

  const DispatcherOptions options_;
  std::vector<std::regex> patterns_;  ///< of the routes
  const mapping::Log log_;
};

Dispatcher::Impl::Impl(DispatcherOptions options, mapping::Log log)
    : options_(std::move(options)), log_(std::move(log)) {
  for (const Route& route : options_.routes) {
    patterns_.emplace_back(route.pattern);
    add(route);
  }
  // Without it httplib answers with the exception's text in a header named EXCEPTION_WHAT.
  set_exception_handler([this](const auto&, httplib::Response& response, std::exception_ptr) {
    log_(mapping::LogLevel::error, "web: an exception left the router");
    Problem problem;
    problem.detail = "This server failed to handle the request";
    settle(to_answer(problem), response);
  });
  set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
    if (current->answer) return;
    settle(unrouted(request, response.status), response);
  });
  set_pre_routing_handler([](const auto&, httplib::Response& response) {
    if (!current->answer) return HandlerResponse::Unhandled;
    settle(*std::move(current->answer), response);
    return HandlerResponse::Handled;
  });
  set_post_routing_handler([this](const auto&, httplib::Response& response) { finish(response); });
}

void Dispatcher::Impl::add(const Route& route) {
  const auto handler = [this, &route](const httplib::Request& request,
                                      httplib::Response& response) {
    settle(call(route, request), response);
  };
  if (route.method == "GET") Get(route.pattern, handler);
  if (route.method == "POST") Post(route.pattern, handler);
}

Answer Dispatcher::Impl::call(const Route& route, const httplib::Request& request) const {
  Call call{current->request, current->context, split_target(current->request.target).second, {}};
  for (std::size_t i = 1; i < request.matches.size(); ++i) {
    call.captures.push_back(request.matches[i].str());
  }
  try {
    return route.handler(call);
  } catch (...) {
    // The exception's text is kept out of the log: nobody knows what it holds.
    log_(mapping::LogLevel::error, "web: an exception left the handler of a request");
    Problem problem;
    problem.detail = "This server failed to handle the request";
    return to_answer(problem);
  }
}

/// The methods of a path as Allow has them; empty if it is no resource.
std::string Dispatcher::Impl::allowed(const std::string& path) const {
  std::string allow;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    if (!std::regex_match(path, patterns_[i])) continue;
    const std::string& method = options_.routes[i].method;
    allow += method == "GET" ? "GET, HEAD, " : method + ", ";
  }
  return allow.empty() ? allow : allow + "OPTIONS";
}

/// httplib found no route, which it calls 404, or 400 where it dispatches no such method at all.
Answer Dispatcher::Impl::unrouted(const httplib::Request& request, int status) const {
  Problem problem;
  problem.status = status;
  const std::string allow = allowed(request.path);
  if (request.method == "OPTIONS") {
    auto answer = options_.on_options(current->request, current->context, request.path, allow);
    if (answer) return *std::move(answer);
  }
  if (allow.empty()) {
    if (status == 400 || status == 404) problem.status = 404;
    if (problem.status == 404) problem.detail = options_.not_found(request.path);
    return to_answer(problem);
  }
  problem.status = 405;
  problem.detail = "This resource allows " + allow;
  Answer answer = to_answer(problem);
  answer.headers.emplace_back("Allow", allow);
  return answer;
}

/// httplib writes the head; the body stays with us.
void Dispatcher::Impl::settle(Answer answer, httplib::Response& response) {
  encode_body(answer, current->request);
  response.status = answer.status;
  for (const auto& [name, value] : answer.headers) response.set_header(name, value);
  response.set_header("Content-Length", std::to_string(answer.body.size()));
  current->answer = std::move(answer);
}

/// The last word on the headers.
void Dispatcher::Impl::finish(httplib::Response& response) const {
  for (const auto& [name, value] : options_.headers(current->request)) {
    response.set_header(name, value);
  }
  if (response.status == 204) response.headers.erase("Content-Length");  // rule B12
  response.headers.erase("Keep-Alive");     // httplib's limits, which are not ours
  response.headers.erase("Accept-Ranges");  // it adds this for HEAD
  response.headers.erase("Connection");
  if (current->context.close) {
    response.set_header("Connection", "close");
  } else if (current->request.http_1_0) {
    response.set_header("Connection", "keep-alive");
  }
  response.set_header("Date", date());
}

RawResponse Dispatcher::Impl::dispatch(Exchange& exchange) {
  const RawRequest& request = exchange.request;
  if (std::find(known_methods.begin(), known_methods.end(), request.method) ==
      known_methods.end()) {
    return to_raw_response({501, "This method is not known here"});
  }
  const std::string_view path = split_target(request.target).first;
  // No resource of ours is that long, and std::regex matches by recursion.
  constexpr std::size_t max_path = 1024;
  if (path.size() > max_path) return to_raw_response({414, "The path is too long"});
  MemoryStream stream(fmt::format("{} {} HTTP/1.1\r\n\r\n", request.method, path));
  bool closed = false;
  current = &exchange;
  process_request(stream, exchange.context.close, closed, nullptr);
  current = nullptr;
  if (!exchange.answer) return to_raw_response({500, "This server failed to handle the request"});
  RawResponse response;
  response.head = std::move(stream.out());
  response.service_asked = exchange.answer && exchange.answer->service_asked;
  if (request.method != "HEAD") response.body = std::move(exchange.answer->body);
  return response;
}

Dispatcher::Dispatcher(DispatcherOptions options, mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(log))) {}

Dispatcher::~Dispatcher() = default;

RawResponse Dispatcher::dispatch(const RawRequest& request, const RequestContext& context,
                                 std::optional<Answer> instead) const {
  Exchange exchange{request, context, std::move(instead)};
  return impl_->dispatch(exchange);
}

}  // namespace web
