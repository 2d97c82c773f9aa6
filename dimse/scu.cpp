// The backend: each operation is a request on a pooled association and what becomes of it.
#include "dimse/scu.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>

#include "dimse/association_pool.h"
#include "dimse/library.h"
#include "dimse/settlement.h"
#include "mapping/tags.h"
#include "mapping/uids.h"
#include "mapping/wire.h"

namespace dimse {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using Clock = Transport::Clock;
using Lease = AssociationPool::Lease;
namespace status = mapping::dimse_status;
namespace uids = mapping::uids;
using namespace std::chrono_literals;

constexpr std::size_t look_every = 16;  ///< responses between two looks at the cancellation
// After a C-CANCEL the peer sends what is under way, which for a fast one is what fits into the
// buffers of two sockets (megabytes); one that goes on for ever is aborted.
constexpr std::size_t max_drained = 100'000;
constexpr auto drain_timeout = 3s;

NetworkEvent event_of(Arrival arrival) {
  switch (arrival) {
    case Arrival::timed_out:
      return NetworkEvent::response_timeout;
    case Arrival::protocol_error:
    case Arrival::too_large:
      return NetworkEvent::protocol_error;
    default:
      return NetworkEvent::connection_lost;
  }
}

Outcome answered(const Command& response) {
  auto outcome = Outcome::answered(*response.status, response.error_comment);
  outcome.error_id = response.error_id;
  outcome.attributes = response.attribute_identifier_list.empty()
                           ? response.offending_elements
                           : response.attribute_identifier_list;
  return outcome;
}

/// A request that cannot be written for this peer. mapping.md, 5b; rule G11
Outcome unwritable(Transaction transaction, const mapping::Fault& fault) {
  const bool set = fault.kind == mapping::Fault::Kind::character_set;
  auto refusal = status::processing_failure;
  if (transaction == Transaction::search) {
    refusal = set ? status::character_set_not_supported : status::upstream_client_error;
  } else if (set) {
    refusal = status::invalid_attribute_value;
  }
  return Outcome::local(refusal, fault.what, fault.attributes);
}

mapping::Result<DataSet> no_identifier() {
  return mapping::Fault{
      mapping::Fault::Kind::malformed, "a pending response without identifier", {}};
}

std::optional<UserIdentity> user_of(const ScuOptions& options) {
  if (!options.bearer_token.empty()) {
    return UserIdentity{UserIdentity::Type::jwt, options.bearer_token, {}};
  }
  if (options.username.empty()) return std::nullopt;
  const auto type =
      options.passcode.empty() ? UserIdentity::Type::user : UserIdentity::Type::passcode;
  return UserIdentity{type, options.username, options.passcode};
}

PoolOptions pool_options(const ScuOptions& options) {
  PoolOptions pool;
  pool.host = options.host;
  pool.port = options.port;
  pool.proposed = {
      options.calling_ae_title,
      options.ae_title,
      {uids::verification, uids::modality_worklist_find, uids::mpps, uids::mpps_retrieve},
      options.max_pdu_bytes,
      false,
      user_of(options)};
  pool.max_associations = options.max_associations;
  pool.reuse = options.reuse_associations;
  pool.idle_release = options.idle_release;
  pool.acse_timeout = options.acse_timeout;
  pool.limits = {options.max_data_set_bytes, options.dimse_timeout};
  pool.tls = options.tls;
  return pool;
}

/// One attempt at one operation.
struct Attempt {
  Lease& lease;
  const PresentationContext& presentation;
  const Transaction transaction;
  const Context& context;
  Command request;
  bool heard = false;              ///< a response has arrived
  bool left = false;               ///< something of the request left
  Arrival end = Arrival::message;  ///< how the association ended, if it did
};

}  // namespace

class Scu::Impl {
 public:
  Impl(ScuOptions options, mapping::Log log)
      : options_(std::move(options)),
        log_(log ? std::move(log) : [](mapping::LogLevel, std::string_view) {}),
        pool_(pool_options(options_)) {}

  Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                 const Context& context);
  /// N-CREATE, N-SET, N-GET, C-ECHO: one request, one response. data_set null: none is sent.
  Outcome ask(Transaction transaction, std::string_view sop_class, const Command& request,
              const DataSet* data_set, const Context& context, DataSet* found = nullptr);
  /// For settlement.h. Everything that it is given outlives it.
  LostRequest lost(Scu& scu, Outcome outcome, std::function<Outcome()> repeat,
                   const mapping::Uid& mpps, const Context& context) const;
  Presence probe(const Command& request, const Context& context);
  mapping::PoolState pool() const { return pool_.state(); }
  std::uint64_t replaced_characters() const { return replaced_characters_; }
  bool offers_retrieve() const { return offers_retrieve_; }

 private:
  using Operation = std::function<Outcome(Attempt&)>;

  Outcome perform(Transaction transaction, std::string_view sop_class, const Command& request,
                  const Context& context, const Operation& operation, bool fuzzy_matching = false);
  bool may_repeat(const Attempt& attempt) const;
  mapping::Result<std::string> encode(const Attempt& attempt, const DataSet& data_set) const;
  std::optional<Outcome> send(Attempt& attempt, std::string_view data_set);
  std::optional<Outcome> receive(Attempt& attempt, Message& response, Clock::time_point deadline,
                                 mapping::Cancellation* cancellation);
  Clock::time_point response_deadline(const Context& context) const {
    return std::min(Clock::now() + options_.dimse_timeout, context.deadline);
  }
  mapping::Result<DataSet> read(const Attempt& attempt, const Message& response) const;
  Outcome search_once(Attempt& attempt, const mapping::Search& search,
                      const mapping::OnMatch& on_match);
  Outcome drain(Attempt& attempt);
  Outcome conclude_search(const Command& response, std::size_t delivered,
                          std::size_t dropped) const;
  Outcome ask_once(Attempt& attempt, const DataSet* data_set, DataSet* found);
  Outcome take_found(const Attempt& attempt, const Message& response, Outcome outcome,
                     DataSet& found) const;
  void take_offending(const Attempt& attempt, const Message& response, Outcome& outcome) const;

  const ScuOptions options_;
  const mapping::Log log_;
  AssociationPool pool_;
  std::atomic<bool> offers_retrieve_{true};
  mutable std::atomic<std::uint64_t> replaced_characters_{0};
};

/// Takes an association and runs the operation on it. A pooled association that the peer had left
/// is replaced once, if nothing can have been done on it.
Outcome Scu::Impl::perform(Transaction transaction, std::string_view sop_class,
                           const Command& request, const Context& context,
                           const Operation& operation, bool fuzzy_matching) {
  auto* cancellation = transaction == Transaction::search || transaction == Transaction::retrieve
                           ? context.cancellation
                           : nullptr;
  for (bool fresh = false;; fresh = true) {
    AssociationPool::Failure failure;
    auto lease = pool_.acquire(context.deadline, cancellation, {fresh, fuzzy_matching}, failure);
    if (!lease) {
      log_(mapping::LogLevel::warn,
           fmt::format("tx={} {}: {}", context.transaction, options_.ae_title, failure.why));
      return Outcome::unreachable(transaction, failure.event, failure.why);
    }
    offers_retrieve_ = lease->association().context_for(uids::mpps_retrieve) != nullptr;
    const auto* presentation = lease->association().context_for(sop_class);
    if (presentation == nullptr) {
      const auto event = lease->refusal(sop_class);
      lease->give_back();
      return Outcome::unreachable(transaction, event, "presentation context refused");
    }
    Attempt attempt{*lease, *presentation, transaction, context, request};
    attempt.request.message_id = lease->association().next_message_id();
    auto outcome = operation(attempt);
    if (attempt.end == Arrival::message) {
      lease->give_back();
      return outcome;
    }
    if (attempt.end == Arrival::released) lease->association().confirm_release();
    if (event_of(attempt.end) == NetworkEvent::protocol_error) lease->accuse();
    if (fresh || !may_repeat(attempt)) return outcome;
  }
}

bool Scu::Impl::may_repeat(const Attempt& attempt) const {
  if (!attempt.lease.reused() || attempt.heard) return false;
  if (event_of(attempt.end) != NetworkEvent::connection_lost) return false;
  const bool harmless =
      attempt.transaction == Transaction::search || attempt.transaction == Transaction::retrieve;
  if (harmless && attempt.context.cancelled()) return false;  // nobody waits for it any more
  return harmless || !attempt.left;
}

mapping::Result<std::string> Scu::Impl::encode(const Attempt& attempt,
                                               const DataSet& data_set) const {
  mapping::WireWriteOptions write;
  write.configured = options_.character_set;
  const bool mpps =
      attempt.transaction == Transaction::create || attempt.transaction == Transaction::update;
  if (mpps) {  // the same set through N-CREATE and every N-SET: rule F25
    write.configured = write.configured.value_or(mapping::CharacterSet::utf_8());
    write.declare_always = true;
  }
  std::size_t replaced = 0;
  if (options_.replace_unencodable) write.count_replaced = &replaced;
  auto written = mapping::write_data_set(data_set, attempt.presentation.transfer_syntax, write);
  if (replaced > 0) {
    replaced_characters_ += replaced;
    log_(mapping::LogLevel::warn,
         fmt::format("tx={} {}: {} characters replaced by question marks",
                     attempt.context.transaction, options_.ae_title, replaced));
  }
  return written;
}

std::optional<Outcome> Scu::Impl::send(Attempt& attempt, std::string_view data_set) {
  auto& association = attempt.lease.association();
  const auto before = association.bytes_sent();
  auto sent = association.send(attempt.presentation.id, attempt.request, data_set);
  if (sent == Transport::Status::ok) sent = association.flush();
  attempt.left = association.bytes_sent() != before;
  if (sent == Transport::Status::ok) return std::nullopt;
  attempt.end = sent == Transport::Status::closed ? Arrival::closed : Arrival::timed_out;
  return Outcome::unknown(attempt.transaction, event_of(attempt.end), "request not sent whole");
}

/// The next response to the request, or why there is none. attempt.end is interrupted if the
/// caller has cancelled; the association is whole then.
std::optional<Outcome> Scu::Impl::receive(Attempt& attempt, Message& response,
                                          Clock::time_point deadline,
                                          mapping::Cancellation* cancellation) {
  Association::ReceiveOptions options;
  options.first_byte = options.whole = deadline;
  options.once_begun = options_.dimse_timeout;
  options.cancellation = cancellation;
  auto arrival = attempt.lease.association().receive(response, options);
  const auto& command = response.command;
  if (arrival == Arrival::message &&
      (command.field != (attempt.request.field | command_field::response) || !command.status ||
       command.message_id_being_responded_to != attempt.request.message_id ||
       response.context_id != attempt.presentation.id)) {
    arrival = Arrival::protocol_error;
  }
  attempt.end = arrival;
  attempt.heard = attempt.heard || arrival == Arrival::message;
  if (arrival == Arrival::message) return std::nullopt;
  return Outcome::unknown(attempt.transaction, event_of(arrival),
                          fmt::format("no response: {}", to_string(arrival)));
}

mapping::Result<DataSet> Scu::Impl::read(const Attempt& attempt, const Message& response) const {
  mapping::WireReadOptions read;
  read.assume_character_set = options_.assume_character_set;
  read.max_bytes = options_.max_data_set_bytes;
  auto result =
      mapping::read_data_set(response.data_set, attempt.presentation.transfer_syntax, read);
  if (!result) return result.fault();
  return std::move(result).value().data_set;
}

Outcome Scu::Impl::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const Context& context) {
  Command request;
  request.field = command_field::c_find_rq;
  request.affected_sop_class = uids::modality_worklist_find;
  request.priority = std::uint16_t{0};  // medium
  request.data_set_type = Command::data_set_follows;
  bool agreed = false;
  auto outcome = perform(
      Transaction::search, uids::modality_worklist_find, request, context,
      [&](Attempt& attempt) {
        agreed = attempt.lease.association().negotiated().fuzzy_matching;
        return search_once(attempt, search, on_match);
      },
      search.fuzzy_matching);
  outcome.fuzzy_matching_ignored = search.fuzzy_matching && !agreed;  // rules H9, A16
  outcome.empty_value_matching_ignored = search.empty_value_matching;
  outcome.multiple_value_matching_ignored = search.multiple_value_matching;
  return outcome;
}

Outcome Scu::Impl::search_once(Attempt& attempt, const mapping::Search& search,
                               const mapping::OnMatch& on_match) {
  const auto identifier = encode(attempt, search.identifier);
  if (!identifier) return unwritable(Transaction::search, identifier.fault());
  if (auto failed = send(attempt, identifier.value())) return *failed;
  const auto& context = attempt.context;
  std::size_t delivered = 0, dropped = 0;
  Message response;
  for (std::size_t received = 1;; ++received) {
    auto failed = receive(attempt, response, response_deadline(context), context.cancellation);
    if (attempt.end == Arrival::interrupted) return drain(attempt);
    if (failed) return *failed;
    if (mapping::classify(*response.command.status) != mapping::StatusClass::pending) {
      return conclude_search(response.command, delivered, dropped);
    }
    auto match = response.data_set.empty() ? no_identifier() : read(attempt, response);
    if (!match) {
      if (++dropped == 1) {  // of thousands one is told; the outcome has their number
        log_(mapping::LogLevel::warn,
             fmt::format("tx={} match left out: {}", context.transaction, match.fault().what));
      }
    } else {
      ++delivered;
      const bool all_keys = *response.command.status == status::pending;
      if (!on_match({std::move(match).value(), all_keys})) return drain(attempt);
    }
    if (received % look_every == 0 && context.cancelled()) return drain(attempt);
    if (Clock::now() >= context.deadline) {
      attempt.end = Arrival::timed_out;
      return Outcome::unknown(Transaction::search, NetworkEvent::response_timeout,
                              "search not over in time");
    }
  }
}

/// Sends one C-CANCEL and reads on to the final response, so that the association can be used
/// again; a peer that does not come to an end is aborted. rule F11
Outcome Scu::Impl::drain(Attempt& attempt) {
  Command cancel;
  cancel.field = command_field::c_cancel_rq;
  cancel.message_id_being_responded_to = attempt.request.message_id;
  auto& association = attempt.lease.association();
  const auto cancelled = Outcome::answered(status::cancel);
  auto sent = association.send(attempt.presentation.id, cancel);
  if (sent == Transport::Status::ok) sent = association.flush();
  attempt.end = Arrival::closed;
  if (sent != Transport::Status::ok) return cancelled;
  const auto deadline =
      Clock::now() + std::min<Clock::duration>(drain_timeout, options_.dimse_timeout);
  Message response;
  for (std::size_t drained = 0; drained < max_drained; ++drained) {
    if (receive(attempt, response, deadline, nullptr)) return cancelled;
    const auto kind = mapping::classify(*response.command.status);
    if (kind == mapping::StatusClass::success) return answered(response.command);
    if (kind != mapping::StatusClass::pending) return cancelled;  // what it held is not missed
  }
  attempt.end = Arrival::timed_out;
  return cancelled;
}

Outcome Scu::Impl::conclude_search(const Command& response, std::size_t delivered,
                                   std::size_t dropped) const {
  auto outcome = answered(response);
  if (outcome.good() && delivered == 0 && dropped > 0) {  // a failed search is no empty one
    outcome = Outcome::unknown(Transaction::search, NetworkEvent::unreadable_answer,
                               "no match could be read");
  }
  outcome.dropped_matches = dropped;
  return outcome;
}

/// One association request, or two where a pooled association was dead.
Scu::Presence Scu::Impl::probe(const Command& request, const Context& context) {
  Presence presence;
  for (bool fresh = false;; fresh = true) {
    AssociationPool::Failure failure;
    auto lease = pool_.acquire(context.deadline, context.cancellation,
                               {.fresh = fresh, .passing = true}, failure);
    if (!lease) {
      presence.outcome = Outcome::unreachable(Transaction::retrieve, failure.event, failure.why);
      return presence;
    }
    const auto accepted = [&](std::string_view abstract_syntax) {
      return lease->association().context_for(abstract_syntax) != nullptr;
    };
    presence = {{},
                accepted(uids::verification),
                accepted(uids::modality_worklist_find),
                accepted(uids::mpps),
                accepted(uids::mpps_retrieve)};
    if (!presence.verification) {  // it has answered the association request
      lease->give_back();
      return presence;
    }
    Attempt attempt{*lease, *lease->association().context_for(uids::verification),
                    Transaction::retrieve, context, request};
    attempt.request.message_id = lease->association().next_message_id();
    presence.outcome = ask_once(attempt, nullptr, nullptr);
    if (attempt.end == Arrival::message) {
      lease->give_back();
      return presence;
    }
    if (attempt.end == Arrival::released) lease->association().confirm_release();
    if (event_of(attempt.end) == NetworkEvent::protocol_error) lease->accuse();
    if (fresh || !lease->reused()) return presence;
  }
}

Outcome Scu::Impl::ask(Transaction transaction, std::string_view sop_class, const Command& request,
                       const DataSet* data_set, const Context& context, DataSet* found) {
  return perform(transaction, sop_class, request, context,
                 [&](Attempt& attempt) { return ask_once(attempt, data_set, found); });
}

Outcome Scu::Impl::ask_once(Attempt& attempt, const DataSet* data_set, DataSet* found) {
  std::string encoded;
  if (data_set != nullptr) {
    auto written = encode(attempt, *data_set);
    if (!written) return unwritable(attempt.transaction, written.fault());
    encoded = std::move(written).value();
  }
  if (auto failed = send(attempt, encoded)) return *failed;
  Message response;
  auto* cancellation = found != nullptr ? attempt.context.cancellation : nullptr;
  auto failed = receive(attempt, response, response_deadline(attempt.context), cancellation);
  if (failed) return *failed;
  auto outcome = answered(response.command);
  if (found != nullptr) return take_found(attempt, response, std::move(outcome), *found);
  take_offending(attempt, response, outcome);
  return outcome;
}

LostRequest Scu::Impl::lost(Scu& scu, Outcome outcome, std::function<Outcome()> repeat,
                            const mapping::Uid& mpps, const Context& context) const {
  return {std::move(outcome), std::move(repeat),
          [&](const mapping::AttributeList& attributes, DataSet& found) {
            auto uncancelled = context;  // what was begun is finished
            uncancelled.cancellation = nullptr;
            return scu.retrieve(mpps, attributes, found, uncancelled);
          },
          [&](std::string_view what) {
            log_(mapping::LogLevel::warn,
                 fmt::format("tx={} {}: {}", context.transaction, options_.ae_title, what));
          }};
}

/// The Attribute List of an N-GET. Four status words say "not all of it", and all four come with
/// data (rule F28); 0106, a failure elsewhere, is told as 0107, the warning of PS3.7 for the same.
Outcome Scu::Impl::take_found(const Attempt& attempt, const Message& response, Outcome outcome,
                              DataSet& found) const {
  const bool sent = !response.data_set.empty();
  if (outcome.status == status::invalid_attribute_value && sent) {
    outcome.status = status::attribute_list_error;
  }
  if (!outcome.good()) return outcome;
  if (!sent) {
    if (outcome.status_class() == mapping::StatusClass::warning) return outcome;
    return Outcome::unknown(Transaction::retrieve, NetworkEvent::unreadable_answer,
                            "success without an attribute list");
  }
  auto read_back = read(attempt, response);
  if (!read_back) {
    return Outcome::unknown(Transaction::retrieve, NetworkEvent::unreadable_answer,
                            read_back.fault().what);
  }
  found = std::move(read_back).value();
  return outcome;
}

/// 0106, 0116 and 0121 name the attributes at fault by a data set. PS3.7, C.4.3, C.5.11, C.5.14
void Scu::Impl::take_offending(const Attempt& attempt, const Message& response,
                               Outcome& outcome) const {
  if (outcome.status == status::success || response.data_set.empty()) return;
  if (!outcome.attributes.empty()) return;
  if (auto offending = read(attempt, response)) {
    for (const auto& element : offending.value().view()) outcome.attributes.push_back(element.tag);
  }
}

Scu::Scu(ScuOptions options, mapping::Log log) {
  set_up_library();
  impl_ = std::make_unique<Impl>(std::move(options), std::move(log));
}

Scu::~Scu() = default;

Outcome Scu::search(const mapping::Search& search, const mapping::OnMatch& on_match,
                    const Context& context) {
  return impl_->search(search, on_match, context);
}

Outcome Scu::create(const mapping::Uid& mpps, const DataSet& attributes, const Context& context) {
  Command request;
  request.field = command_field::n_create_rq;
  request.affected_sop_class = uids::mpps;
  request.affected_sop_instance = mpps.text();
  request.data_set_type = Command::data_set_follows;
  const auto send = [&] {
    return impl_->ask(Transaction::create, uids::mpps, request, &attributes, context);
  };
  auto outcome = send();
  if (outcome.how != Outcome::How::unknown) return outcome;
  return settle_create(attributes, impl_->lost(*this, std::move(outcome), send, mpps, context));
}

Outcome Scu::update(const mapping::Uid& mpps, const DataSet& modifications,
                    const Context& context) {
  Command request;
  request.field = command_field::n_set_rq;
  request.requested_sop_class = uids::mpps;  // rule F13
  request.requested_sop_instance = mpps.text();
  request.data_set_type = Command::data_set_follows;
  const auto send = [&] {
    return impl_->ask(Transaction::update, uids::mpps, request, &modifications, context);
  };
  auto outcome = send();
  if (outcome.how != Outcome::How::unknown) return outcome;
  return settle_update(modifications, impl_->lost(*this, std::move(outcome), send, mpps, context));
}

Outcome Scu::retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                      DataSet& found, const Context& context) {
  Command request;
  request.field = command_field::n_get_rq;
  request.requested_sop_class = uids::mpps_retrieve;  // rule F14
  request.requested_sop_instance = mpps.text();
  request.attribute_identifier_list = attributes;
  return impl_->ask(Transaction::retrieve, uids::mpps_retrieve, request, nullptr, context, &found);
}

namespace {

Command c_echo() {
  Command request;
  request.field = command_field::c_echo_rq;
  request.affected_sop_class = uids::verification;
  return request;
}

}  // namespace

Outcome Scu::echo(const Context& context) {
  return impl_->ask(Transaction::retrieve, uids::verification, c_echo(), nullptr, context);
}

Scu::Presence Scu::probe(const Context& context) { return impl_->probe(c_echo(), context); }

bool Scu::offers_retrieve() const { return impl_->offers_retrieve(); }

mapping::PoolState Scu::pool() const { return impl_->pool(); }

std::uint64_t Scu::replaced_characters() const { return impl_->replaced_characters(); }

}  // namespace dimse
