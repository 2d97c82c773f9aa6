#include "web/client_credentials.h"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "mapping/base64.h"
#include "mapping/query.h"
#include "web/base_uri.h"
#include "web/origin_connections.h"
#include "web/tls.h"

namespace web {
namespace {

using mapping::Context;
using mapping::LogLevel;
using mapping::NetworkEvent;
using Clock = std::chrono::steady_clock;
using How = AccessToken::How;

/// What an answer of a token endpoint says. RFC 6749, 5.1 and 5.2.
struct TokenAnswer {
  std::string access_token;
  std::string token_type;
  std::optional<std::chrono::seconds> expires_in;
  std::string error;
};

std::string text_member(const rapidjson::Document& object, const char* name) {
  const auto member = object.FindMember(name);
  if (member == object.MemberEnd() || !member->value.IsString()) return {};
  return {member->value.GetString(), member->value.GetStringLength()};
}

/// A number, which some servers send as text.
std::optional<std::chrono::seconds> seconds_member(const rapidjson::Document& object,
                                                   const char* name) {
  constexpr double year = 365.0 * 24 * 3600;
  const auto member = object.FindMember(name);
  if (member == object.MemberEnd()) return std::nullopt;
  double number = 0;
  if (member->value.IsNumber()) {
    number = member->value.GetDouble();
  } else {
    const std::string text = text_member(object, name);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (!whole || !std::isfinite(number)) return std::nullopt;  // it reads "nan", too
  }
  return std::chrono::seconds(static_cast<std::int64_t>(std::clamp(number, 0.0, year)));
}

TokenAnswer read_answer(std::string_view json) {
  TokenAnswer answer;
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return answer;
  const rapidjson::Document& object = document;
  answer.access_token = text_member(object, "access_token");
  answer.token_type = text_member(object, "token_type");
  answer.expires_in = seconds_member(object, "expires_in");
  answer.error = text_member(object, "error");
  return answer;
}

bool is_bearer(std::string_view type) {
  constexpr std::string_view name = "bearer";
  return std::equal(type.begin(), type.end(), name.begin(), name.end(),
                    [](char c, char d) { return (c | 0x20) == d; });
}

/// What may be repeated of an error code: the registered ones are such words.
std::string shown(const std::string& error) {
  const bool word = error.size() <= 40 && std::all_of(error.begin(), error.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || c == '_';
                    });
  return word && !error.empty() ? " " + error : "";
}

/// RFC 6749, 2.3.1: HTTP Basic, of the two in their form-encoding.
std::string client_authorization(const ClientCredentialsOptions& options) {
  std::string header = "Basic ";
  mapping::append_base64(mapping::percent_encode(options.client_id) + ":" +
                             mapping::percent_encode(options.client_secret),
                         header);
  return header;
}

}  // namespace

class ClientCredentials::Endpoint {
 public:
  struct Fetched {
    AccessToken token;
    std::optional<std::chrono::seconds> lifetime{};
  };

  Endpoint(const ClientCredentialsOptions& options, AbsoluteUri uri,
           std::shared_ptr<const TlsContext> tls, mapping::Log log)
      : host_(uri.server.host),
        log_(std::move(log)),
        connections_({.base = std::move(uri.server),
                      .tls = std::move(tls),
                      .max_connections = 1,
                      .connect_timeout = options.connect_timeout,
                      .response_timeout = options.response_timeout,
                      .max_response_bytes = 256u << 10}) {
    request_.method = "POST";
    request_.target = std::move(uri.target);
    request_.accept = "application/json";
    request_.authorization = client_authorization(options);
    request_.content_type = "application/x-www-form-urlencoded";
    request_.body = "grant_type=client_credentials";
    if (!options.scope.empty()) {
      request_.body += "&scope=" + mapping::percent_encode(options.scope);
    }
  }

  Fetched ask(const Context& context, bool cancellable) {
    OriginReply reply = connections_.exchange(request_, context, cancellable);
    // A token that was given out and got lost harms nobody.
    if (reply.lost_before_answer) reply = connections_.exchange(request_, context, cancellable);
    if (reply.how != OriginReply::How::answered) {
      warn("no answer" + (reply.tls_fault.empty() ? "" : ": " + reply.tls_fault));
      return {{How::unavailable, "", reply.event}};
    }
    TokenAnswer answer = read_answer(reply.body);
    if (reply.status == 200 && is_token(answer.access_token) && is_bearer(answer.token_type)) {
      return {{How::ready, std::move(answer.access_token)}, answer.expires_in};
    }
    if (reply.status == 200) {
      warn("the answer holds no bearer token");
      return {{How::unavailable, "", NetworkEvent::unreadable_answer}};
    }
    warn(fmt::format("HTTP {}{}", reply.status, shown(answer.error)));
    const bool refused = reply.status == 400 || reply.status == 401 || reply.status == 403;
    if (refused) return {{How::refused, ""}};
    const bool busy = reply.status == 429 || reply.status == 503;
    return {{How::unavailable, "", busy ? NetworkEvent::busy : NetworkEvent::unreadable_answer}};
  }

 private:
  void warn(const std::string& what) const {
    log_(LogLevel::warn, "web: token endpoint at " + host_ + ": " + what);
  }

  const std::string host_;
  const mapping::Log log_;
  OriginRequest request_;  ///< constant after construction
  OriginConnections connections_;
};

mapping::Result<std::unique_ptr<ClientCredentials>> ClientCredentials::make(
    ClientCredentialsOptions options, mapping::Log log) {
  auto uri = parse_absolute_uri(options.token_uri);
  if (!uri) return mapping::Fault{uri.fault().kind, "oauth_token_uri: " + uri.fault().what};
  std::shared_ptr<const TlsContext> tls;
  if (uri.value().server.tls) {
    auto made = TlsContext::for_client({"", "", options.tls_trusted});
    if (!made) return mapping::Fault{made.fault().kind, "oauth_" + made.fault().what};
    tls = std::move(made).value();
  }
  auto endpoint =
      std::make_unique<Endpoint>(options, std::move(uri).value(), std::move(tls), std::move(log));
  return std::unique_ptr<ClientCredentials>(new ClientCredentials(std::move(endpoint)));
}

ClientCredentials::ClientCredentials(std::unique_ptr<Endpoint> endpoint)
    : endpoint_(std::move(endpoint)) {}

ClientCredentials::~ClientCredentials() = default;

AccessToken ClientCredentials::token(const Context& context, bool cancellable,
                                     std::string_view refused) {
  std::unique_lock lock(mutex_);
  while (true) {
    const Time now = Clock::now();
    const bool have_one = !token_.empty() && token_ != refused && now < expiry_;
    if (have_one && (fetching_ || now < renewal_)) return {How::ready, token_};
    if (!fetching_) return fetch(lock, context, cancellable, have_one);
    for (const std::uint64_t before = fetches_; fetches_ == before;) {
      const Time time = Clock::now();
      if (time >= context.deadline || (cancellable && context.cancelled())) {
        return {How::unavailable, "", NetworkEvent::busy};
      }
      fetched_.wait_until(lock, std::min(context.deadline, time + std::chrono::milliseconds(100)));
    }
    if (last_.how != How::ready) return last_;
  }
}

/// lock holds mutex_, but not while the endpoint is asked.
AccessToken ClientCredentials::fetch(std::unique_lock<std::mutex>& lock, const Context& context,
                                     bool cancellable, bool have_one) {
  constexpr std::chrono::seconds early{60};
  constexpr std::chrono::seconds pause{10};
  fetching_ = true;
  lock.unlock();
  const Time asked = Clock::now();
  Endpoint::Fetched fetched = endpoint_->ask(context, cancellable);
  // Then it says nothing to others, who may have more time.
  const bool cut_short = Clock::now() >= context.deadline || (cancellable && context.cancelled());
  lock.lock();
  fetching_ = false;
  ++fetches_;
  fetched_.notify_all();
  const bool ready = fetched.token.how == How::ready;
  last_ = cut_short ? AccessToken{} : fetched.token;
  last_.value.clear();
  if (ready) {
    token_ = fetched.token.value;
    expiry_ = renewal_ = Time::max();  // where nothing is said: until it is refused
    if (fetched.lifetime) {
      const Clock::duration lifetime = *fetched.lifetime;
      expiry_ = asked + lifetime;
      renewal_ = expiry_ - std::min<Clock::duration>(early, lifetime / 5);
    }
    return fetched.token;
  }
  if (!have_one) return fetched.token;
  renewal_ = Clock::now() + pause;  // not with every request
  return {How::ready, token_};
}

}  // namespace web
