// The backend: each operation is a request on a pooled association and what becomes of it.
#include "dimse/scu.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>

#include "dimse/association_pool.h"
#include "dimse/exchange.h"
#include "dimse/library.h"
#include "dimse/settlement.h"
#include "mapping/tags.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using mapping::Context;
using mapping::DataSet;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using Lease = AssociationPool::Lease;
namespace status = mapping::dimse_status;
namespace uids = mapping::uids;

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
  const std::string& fault() const { return pool_.tls_fault(); }
  mapping::PoolState pool() const { return pool_.state(); }
  std::uint64_t replaced_characters() const { return replaced_characters_; }
  bool offers_retrieve() const { return offers_retrieve_; }

 private:
  using Operation = std::function<Outcome(Exchange&)>;

  Outcome perform(Transaction transaction, std::string_view sop_class, const Context& context,
                  const Operation& operation, bool fuzzy_matching = false);
  bool conclude(Lease& lease, const Exchange& exchange);

  const ScuOptions options_;
  const mapping::Log log_;
  AssociationPool pool_;
  std::atomic<bool> offers_retrieve_{true};
  std::atomic<std::uint64_t> replaced_characters_{0};
};

/// Takes an association and runs the operation on it. A pooled association that the peer had left
/// is replaced once, if nothing can have been done on it.
Outcome Scu::Impl::perform(Transaction transaction, std::string_view sop_class,
                           const Context& context, const Operation& operation,
                           bool fuzzy_matching) {
  const bool harmless = transaction == Transaction::search || transaction == Transaction::retrieve;
  auto* cancellation = harmless ? context.cancellation : nullptr;
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
    Exchange exchange(options_, log_, lease->association(), *presentation, context);
    auto outcome = operation(exchange);
    replaced_characters_ += exchange.replaced_characters();
    if (conclude(*lease, exchange)) return outcome;
    const bool lost = lease->reused() && !exchange.heard() &&
                      event_of(exchange.end()) == NetworkEvent::connection_lost;
    if (fresh || !lost) return outcome;
    if (harmless ? context.cancelled() : exchange.left()) return outcome;
  }
}

/// False: the association has ended with it.
bool Scu::Impl::conclude(Lease& lease, const Exchange& exchange) {
  if (exchange.end() == Arrival::message) {
    lease.give_back();
    return true;
  }
  if (exchange.end() == Arrival::released) lease.association().confirm_release();
  if (event_of(exchange.end()) == NetworkEvent::protocol_error) lease.accuse();
  return false;
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
      Transaction::search, uids::modality_worklist_find, context,
      [&](Exchange& exchange) {
        agreed = exchange.association().negotiated().fuzzy_matching;
        return exchange.search(request, search, on_match);
      },
      search.fuzzy_matching);
  outcome.fuzzy_matching_ignored = search.fuzzy_matching && !agreed;  // rules H9, A16
  outcome.empty_value_matching_ignored = search.empty_value_matching;
  outcome.multiple_value_matching_ignored = search.multiple_value_matching;
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
    Exchange exchange(options_, log_, lease->association(),
                      *lease->association().context_for(uids::verification), context);
    presence.outcome = exchange.ask(Transaction::retrieve, request, nullptr, nullptr);
    if (conclude(*lease, exchange) || fresh || !lease->reused()) return presence;
  }
}

Outcome Scu::Impl::ask(Transaction transaction, std::string_view sop_class, const Command& request,
                       const DataSet* data_set, const Context& context, DataSet* found) {
  return perform(transaction, sop_class, context, [&](Exchange& exchange) {
    return exchange.ask(transaction, request, data_set, found);
  });
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

namespace {

/// An SCP may return what it is asked for and no more: text without the set that it is in. rule F26
mapping::AttributeList with_character_set(mapping::AttributeList attributes) {
  const bool asked = std::find(attributes.begin(), attributes.end(),
                               mapping::tags::SpecificCharacterSet) != attributes.end();
  if (attributes.empty() || asked) return attributes;
  attributes.insert(attributes.begin(), mapping::tags::SpecificCharacterSet);
  return attributes;
}

/// Where all text is ASCII it has none, and may warn of that. asked: by the caller; found: by it.
void forget_character_set(Outcome& outcome, const mapping::AttributeList& asked,
                          mapping::DataSetView found) {
  std::erase(outcome.attributes, mapping::tags::SpecificCharacterSet);
  const bool list = outcome.status == status::attribute_list_error ||
                    outcome.status == status::requested_optional_attributes_not_supported;
  const bool all = std::all_of(asked.begin(), asked.end(), [&](mapping::Tag tag) {
    return tag == mapping::tags::SpecificCharacterSet || found.find(tag);
  });
  if (list && all) outcome = Outcome::answered(status::success);
}

}  // namespace

Outcome Scu::retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                      DataSet& found, const Context& context) {
  Command request;
  request.field = command_field::n_get_rq;
  request.requested_sop_class = uids::mpps_retrieve;  // rule F14
  request.requested_sop_instance = mpps.text();
  request.attribute_identifier_list = with_character_set(attributes);
  auto outcome =
      impl_->ask(Transaction::retrieve, uids::mpps_retrieve, request, nullptr, context, &found);
  if (outcome.good() && !attributes.empty()) forget_character_set(outcome, attributes, found);
  return outcome;
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

const std::string& Scu::fault() const { return impl_->fault(); }

mapping::PoolState Scu::pool() const { return impl_->pool(); }

std::uint64_t Scu::replaced_characters() const { return impl_->replaced_characters(); }

}  // namespace dimse
