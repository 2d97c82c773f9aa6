// The front: who may associate and for what, and which command goes to which answering function.
#include "dimse/scp.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <exception>

#include "dimse/association.h"
#include "dimse/library.h"
#include "dimse/listener.h"
#include "dimse/mpps_scp.h"
#include "dimse/negotiation.h"
#include "dimse/places.h"
#include "dimse/scp_peer.h"
#include "dimse/worklist_scp.h"
#include "mapping/log_limit.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using mapping::LogLevel;
namespace uids = mapping::uids;
namespace status = mapping::dimse_status;
using namespace std::chrono_literals;

/// Connections beside the associations: those that are refused, and those that say nothing.
constexpr std::size_t spare_connections = 32;
constexpr auto lingering = 1s;
constexpr auto lingering_at_stop = 100ms;

/// host: as configured, a numeric address or a name. Names are resolved when they are needed, on
/// the thread of the association that needs them.
bool is_address_of(const std::string& host, const std::string& address) {
  if (host == address) return true;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  for (const auto* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST] = "";
    if (::getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) == 0 &&
        address == text) {
      return true;
    }
  }
  return false;
}

/// What a request must be answered with where no service is asked. PS3.7, Annex C.
bool refuse(ScpPeer& peer, const Message& request, std::uint16_t refusal) {
  return peer.respond(request, response_to(request.command, refusal));
}

bool answer_c_echo(ScpPeer& peer, const Message& request) {
  auto response = response_to(request.command, status::success);
  response.affected_sop_class = uids::verification;
  return peer.respond(request, std::move(response));
}

/// C-FIND names its SOP class too; 0122 where it is not the context's. mapping.md, 5b
bool answer_search(ScpPeer& peer, const Message& request) {
  const auto& sop_class = request.command.affected_sop_class;
  const bool of_context = sop_class.empty() || sop_class == uids::modality_worklist_find;
  if (!of_context || peer.services.worklist == nullptr) {
    const auto outcome = mapping::Outcome::local(
        status::sop_class_not_supported,
        of_context ? "no longer offered" : "SOP class is not the context's");
    auto response = response_to(request.command, outcome.status);
    add_response_fields(response, mapping::Transaction::search, outcome, sop_class, {});
    return peer.respond(request, std::move(response));
  }
  return answer_c_find(peer, request);
}

struct Operation {
  std::uint16_t field;
  std::string_view sop_class;  ///< of the context that it may come on (rule F14)
  bool (*answer)(ScpPeer&, const Message&);
};
constexpr Operation operations[] = {
    {command_field::c_echo_rq, uids::verification, answer_c_echo},
    {command_field::c_find_rq, uids::modality_worklist_find, answer_search},
    {command_field::n_create_rq, uids::mpps, answer_n_create},
    {command_field::n_set_rq, uids::mpps, answer_n_set},
    {command_field::n_get_rq, uids::mpps_retrieve, answer_n_get},
};

/// False: the connection is broken.
bool answer(ScpPeer& peer, const Message& request) {
  const auto field = request.command.field;
  if (field == command_field::c_cancel_rq) return true;  // too late: rule F11
  if (request.command.is_response()) return true;        // we asked nothing
  const auto& sop_class = peer.association.context(request.context_id)->abstract_syntax;
  for (const auto& operation : operations) {
    if (operation.field == field && operation.sop_class == sop_class) {
      return operation.answer(peer, request);
    }
  }
  return refuse(peer, request, status::unrecognized_operation);
}

/// What is known of a calling AE title. Null: it has no section of its own.
const Modality* modality_of(const ScpOptions& options, const std::string& ae_title) {
  for (const auto& modality : options.modalities) {
    if (modality.ae_title == ae_title) return &modality;
  }
  return nullptr;
}

}  // namespace

class Scp::Impl {
 public:
  Impl(ScpOptions options, mapping::Router router, mapping::Log log)
      : first_options_(std::move(options)),
        router_(std::move(router)),
        log_(log ? std::move(log) : [](LogLevel, std::string_view) {}),
        places_(first_options_.max_associations, first_options_.max_associations_per_ae),
        listener_(
            {first_options_.bind, first_options_.port,
             first_options_.max_associations + spare_connections},
            [this](const Connection& connection) { serve(connection); }, log_) {}

  mapping::Result<std::uint16_t> start() {
    auto begin = prepare(first_options_);
    if (!begin) return begin.fault();
    begin.value()();
    return listener_.start();
  }
  mapping::Result<mapping::Change> prepare(ScpOptions options) {
    auto next = std::make_shared<Serving>();
    if (options.tls.on_for_scp()) {
      auto tls = TlsContext::for_scp(options.tls);
      if (!tls) return tls.fault();
      next->tls = std::move(tls).value();
    }
    next->options = std::move(options);
    return mapping::Change([this, next] { serving_.set(next); });
  }
  void stop(std::chrono::milliseconds grace) {
    stopping_ = true;
    listener_.stop(grace);
  }
  std::size_t associations() const { return places_.taken(); }
  std::uint64_t refused() const { return refused_; }
  std::uint64_t replaced_characters() const { return replaced_characters_; }

 private:
  /// Constant; each association and each request begins with the current one.
  struct Serving {
    ScpOptions options;
    std::shared_ptr<const TlsContext> tls;  ///< null: plain
  };
  /// What is known of a caller once its request was judged.
  struct Admission {
    mapping::Caller caller;
    Place place;
  };

  void serve(const Connection& connection);
  std::chrono::milliseconds patience() const {
    return stopping_ ? std::chrono::milliseconds(lingering_at_stop) : lingering;
  }
  Decision decide(const ScpOptions& options, const AssociationRequest& request,
                  Admission& admission) const;
  static std::optional<Decision> check_caller(const ScpOptions& options,
                                              const AssociationRequest& request,
                                              const mapping::Caller& caller);
  std::shared_ptr<const ScpOptions> options() const {
    auto serving = serving_.get();
    return {serving, &serving->options};
  }
  void log_refusal(const AcceptResult& result, const mapping::Caller& caller) const;
  static void alert(const ScpOptions& options, const mapping::Caller& caller, std::string what);
  Arrival serve(ScpPeer& peer, int stop_descriptor) const;
  void end(const ScpPeer& peer, Arrival how) const;

  const ScpOptions first_options_;
  const mapping::Router router_;
  const mapping::Log log_;
  const mapping::LogLimit limited_{log_};  ///< what callers can cause without end
  mapping::Current<const Serving> serving_;
  Places places_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> replaced_characters_{0};
  Listener listener_;  // last: its threads use what stands above
};

std::optional<Decision> Scp::Impl::check_caller(const ScpOptions& options,
                                                const AssociationRequest& request,
                                                const mapping::Caller& caller) {
  if (!options.any_called_ae_title && request.called_ae_title != options.ae_title) {
    return Decision{rejection::called_ae_title, "called AE title not recognized", {}};
  }
  const Modality* const modality = modality_of(options, request.calling_ae_title);
  if (modality == nullptr && options.known_modalities_only) {
    return Decision{rejection::calling_ae_title, "calling AE title not recognized", {}};
  }
  if (modality == nullptr || modality->host.empty() ||
      is_address_of(modality->host, caller.address)) {
    return std::nullopt;
  }
  return Decision{rejection::calling_ae_title, "not from this AE title's host", {}};
}

/// Rules H2, H3, H10, H13.
Decision Scp::Impl::decide(const ScpOptions& options, const AssociationRequest& request,
                           Admission& admission) const {
  admission.caller.name = request.calling_ae_title;
  auto refusal = check_caller(options, request, admission.caller);
  if (!refusal && options.admits && !(request.user && options.admits(*request.user))) {
    refusal = Decision{rejection::user_identity, "user identity missing or refused", {}};
  }
  if (refusal) {
    alert(options, admission.caller, "Association rejected: " + refusal->why);
    return *refusal;
  }
  if (request.user && request.user->type == UserIdentity::Type::jwt) {
    admission.caller.bearer_token = request.user->primary;
  }
  if (stopping_ || !admission.place.take(request.calling_ae_title)) {
    return {rejection::local_limit_exceeded, "too many associations", {}};
  }
  const auto services = router_(admission.caller);
  Decision decision;
  decision.fuzzy_matching = options.fuzzy_matching;
  decision.abstract_syntaxes.push_back(uids::verification);
  if (services.worklist != nullptr) {
    decision.abstract_syntaxes.push_back(uids::modality_worklist_find);
  }
  if (services.mpps != nullptr) {
    decision.abstract_syntaxes.push_back(uids::mpps);
    if (services.mpps->offers_retrieve()) {
      decision.abstract_syntaxes.push_back(uids::mpps_retrieve);
    }
  }
  return decision;
}

void Scp::Impl::log_refusal(const AcceptResult& result, const mapping::Caller& caller) const {
  const auto level = result.kind == AcceptResult::Kind::vanished ? LogLevel::debug : LogLevel::warn;
  const std::string_view what =
      result.kind == AcceptResult::Kind::rejected ? "association rejected" : "connection refused";
  limited_(level, caller.address,
           fmt::format("dimse: {}: {}: {}", to_string(caller), what, result.why));
}

void Scp::Impl::alert(const ScpOptions& options, const mapping::Caller& caller, std::string what) {
  if (!options.on_alert) return;
  options.on_alert({mapping::SecurityAlert::Kind::node_authentication, caller, std::move(what)});
}

void Scp::Impl::serve(const Connection& connection) {
  const auto serving = serving_.get();
  const ScpOptions& options = serving->options;
  const auto deadline = Transport::Clock::now() + options.acse_timeout;
  auto tls = serving->tls ? serving->tls->accept(connection.descriptor) : nullptr;
  if (tls && !tls->shake_hands(deadline, connection.stop_descriptor)) {
    // As with plain connections: a load balancer's probe is nothing to warn of.
    if (tls->has_heard()) {
      ++refused_;
      alert(options, {mapping::Caller::Protocol::dimse, {}, connection.address},
            "TLS refused: " + tls->failure());
    }
    limited_(tls->has_heard() ? LogLevel::warn : LogLevel::debug, connection.address,
             fmt::format("dimse: {}: TLS refused: {}", connection.address, tls->failure()));
    tls.reset();  // what it had to say is sent; it must not be lost in a reset
    return Transport(connection.descriptor).close_gracefully(patience());
  }
  Transport transport(connection.descriptor, std::move(tls));
  transport.set_write_timeout(options.dimse_timeout);
  if (transport.wait(deadline, connection.stop_descriptor) == Transport::Wait::beside) return;
  Admission admission{{mapping::Caller::Protocol::dimse, {}, connection.address}, Place(places_)};
  auto accepted = accept_association(transport, options.max_pdu_bytes, deadline,
                                     [&](const AssociationRequest& request) {
                                       auto decision = decide(*this->options(), request, admission);
                                       if (!decision.rejection) connection.settle();
                                       return decision;
                                     });
  if (accepted.kind != AcceptResult::Kind::accepted) {
    if (accepted.kind != AcceptResult::Kind::vanished) ++refused_;
    log_refusal(accepted, admission.caller);
    admission.place.leave();
    return transport.close_gracefully(lingering);
  }
  Association association(transport, std::move(accepted.negotiated),
                          {options.max_data_set_bytes, options.dimse_timeout});
  ScpPeer peer{association, admission.caller, log_, this->options(), replaced_characters_};
  end(peer, serve(peer, connection.stop_descriptor));
  admission.place.leave();
  transport.close_gracefully(patience());
}

/// Answers one request after the other, as they come, until the association ends.
Arrival Scp::Impl::serve(ScpPeer& peer, int stop_descriptor) const {
  Message request;
  Association::ReceiveOptions receive;
  receive.beside = stop_descriptor;
  while (!stopping_) {
    receive.once_begun = peer.options->dimse_timeout;
    receive.first_byte = Transport::Clock::now() + peer.options->idle_timeout;
    const auto arrival = peer.association.receive(request, receive);
    if (arrival != Arrival::message) return arrival;
    if (request.command.is_request() && request.command.field != command_field::c_cancel_rq &&
        !request.command.message_id) {
      return Arrival::protocol_error;  // nothing to answer to
    }
    peer.options = options();
    peer.modality = modality_of(*peer.options, peer.caller.name);
    peer.services = router_(peer.caller);
    const bool answered = answer(peer, request);
    peer.services = {};
    if (peer.repeated_search) return Arrival::protocol_error;
    if (!answered || peer.association.flush() != Transport::Status::ok) return Arrival::closed;
  }
  return Arrival::interrupted;
}

void Scp::Impl::end(const ScpPeer& peer, Arrival how) const {
  using Source = Association::AbortSource;
  using Reason = Association::AbortReason;
  auto& association = peer.association;
  auto log = [&](LogLevel level, std::string_view what) {
    limited_(level, peer.caller.address,
             fmt::format("dimse: {}: {}: {}", to_string(peer.caller), what, to_string(how)));
  };
  switch (how) {
    case Arrival::released:
      return association.confirm_release();
    case Arrival::aborted:
    case Arrival::closed:
      return log(LogLevel::info, "association ended");
    case Arrival::interrupted:  // we stop
      return association.abort(Source::service_provider);
    case Arrival::timed_out:
      log(LogLevel::info, "association aborted");
      return association.abort(Source::service_provider);
    default:
      log(LogLevel::warn, "association aborted");
      return association.abort(Source::service_provider, Reason::unexpected_pdu);
  }
}

Scp::Scp(ScpOptions options, mapping::Router router, mapping::Log log) {
  set_up_library();
  impl_ = std::make_unique<Impl>(std::move(options), std::move(router), std::move(log));
}

Scp::~Scp() { stop(0ms); }

mapping::Result<std::uint16_t> Scp::start() { return impl_->start(); }

mapping::Result<mapping::Change> Scp::prepare(ScpOptions options) {
  return impl_->prepare(std::move(options));
}

void Scp::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

std::size_t Scp::associations() const { return impl_->associations(); }

std::uint64_t Scp::refused() const { return impl_->refused(); }

std::uint64_t Scp::replaced_characters() const { return impl_->replaced_characters(); }

}  // namespace dimse
