// C-FIND: identifier in, matches out while they come, C-CANCEL looked for in between.
#include "dimse/worklist_scp.h"

#include <fmt/format.h>

#include <span>

#include "mapping/return_keys.h"
#include "mapping/tags.h"
#include "mapping/uids.h"

namespace dimse {
namespace {

using mapping::DataSet;
using mapping::DataSetView;
using mapping::Outcome;
using mapping::Tag;
using mapping::Vr;
namespace status = mapping::dimse_status;
namespace tags = mapping::tags;
using namespace std::chrono_literals;

constexpr std::size_t look_every = 16;  ///< responses; each look is a system call
constexpr auto look_after = 10ms;
constexpr auto flush_after = 2ms;  ///< a modality waits no longer for a match that is there
/// The first matches leave at once, so that the modality reads them while we read on; from then on
/// twice as many each time, until they leave by a full buffer.
constexpr std::size_t first_flush = 2;

/// The sequence with more than one item, at any depth, by its top-level tag. rule F5
std::optional<Tag> find_second_item(DataSetView identifier) {
  for (const auto& element : identifier) {
    if (element.vr != Vr::SQ) continue;
    if (element.items().size() > 1) return element.tag;
    for (auto item : element.items()) {
      if (find_second_item(item)) return element.tag;
    }
  }
  return std::nullopt;
}

void add_item_with_station(mapping::DataSetBuilder& builder, DataSetView item,
                           std::string_view ae_title) {
  builder.begin_sequence(tags::ScheduledProcedureStepSequence).begin_item();
  bool sent = false;
  for (const auto& element : item) {
    const bool station = element.tag == tags::ScheduledStationAETitle;
    if (station && element.empty()) continue;
    sent = sent || station;
    builder.add(element);
  }
  if (!sent) builder.add(tags::ScheduledStationAETitle, Vr::AE, ae_title);
  builder.end_item().end_sequence();
}

/// The identifier with the modality's own AE title as Scheduled Station AE Title, where it sends
/// none. A sequence key without an item asks for everything in it, and an item with this key alone
/// would not: the default return keys are added (and pruned from the responses again).
mapping::Result<DataSet> with_station_filter(const DataSet& identifier, std::string_view ae_title) {
  mapping::DataSetBuilder builder;
  for (const auto& element : identifier.view()) {
    if (element.tag != tags::ScheduledProcedureStepSequence) builder.add(element);
  }
  const auto item = identifier.view().first_item(tags::ScheduledProcedureStepSequence);
  add_item_with_station(builder, item.value_or(DataSetView()), ae_title);
  auto filtered = builder.build();
  if (!filtered || (item && !item->empty())) return filtered;
  return mapping::with_default_return_keys(filtered.value());
}

/// The identifier with this key asked for and not matched. rest: of the path, never empty.
void add_without_value(mapping::DataSetBuilder& builder, DataSetView identifier,
                       std::span<const Tag> rest) {
  for (const auto& element : identifier) {
    if (element.tag != rest.front()) {
      builder.add(element);
    } else if (rest.size() == 1) {
      builder.add(element.tag, element.vr, {});
    } else {
      builder.begin_sequence(element.tag);
      for (auto item : element.items()) {
        builder.begin_item();
        add_without_value(builder, item, rest.subspan(1));
        builder.end_item();
      }
      builder.end_sequence();
    }
  }
}

mapping::Result<DataSet> with_return_keys_only(DataSet identifier, const Modality& modality) {
  for (const auto& path : modality.return_keys_only) {
    mapping::DataSetBuilder builder;
    add_without_value(builder, identifier, path);
    auto universal = builder.build();
    if (!universal) return universal;
    identifier = std::move(universal).value();
  }
  return identifier;
}

/// What is asked of the service where the modality has rules of its own.
mapping::Result<DataSet> adapted(DataSet identifier, const ScpPeer& peer) {
  if (peer.modality == nullptr) return identifier;
  auto universal = with_return_keys_only(std::move(identifier), *peer.modality);
  if (!universal || !peer.modality->station_filter) return universal;
  return with_station_filter(universal.value(), peer.caller.name);
}

Outcome refuse(const mapping::Fault& fault) {
  const bool set = fault.kind == mapping::Fault::Kind::character_set;
  return Outcome::local(
      set ? status::character_set_not_supported : status::data_set_does_not_match_sop_class,
      fault.what, fault.attributes);
}

/// Sends matches as they come. One search.
class Responses {
 public:
  Responses(ScpPeer& peer, const Message& request, const DataSet& identifier,
            PeerCancellation& cancellation)
      : peer_(peer),
        request_(request),
        context_(*peer.association.context(request.context_id)),
        identifier_(identifier),
        cancellation_(cancellation),
        write_options_(peer.write_options()),
        pending_(response_to(request.command, status::pending)) {
    pending_.affected_sop_class = mapping::uids::modality_worklist_find;
    pending_.data_set_type = Command::data_set_follows;
  }

  /// False ends the search.
  bool take(const mapping::Match& match);

  const std::optional<Outcome>& failure() const { return failure_; }
  bool broken() const { return broken_; }

 private:
  bool send(const DataSet& step, bool optional_keys_supported);
  bool wanted();

  ScpPeer& peer_;
  const Message& request_;
  const PresentationContext& context_;
  const DataSet& identifier_;
  PeerCancellation& cancellation_;
  const mapping::WireWriteOptions write_options_;
  Command pending_;
  std::size_t count_ = 0;
  std::size_t flush_at_ = first_flush;  ///< matches
  std::optional<Outcome> failure_;
  bool broken_ = false;
  Transport::Clock::time_point flushed_ = Transport::Clock::now(), looked_ = flushed_;
};

bool Responses::take(const mapping::Match& match) {
  const auto steps = match.data_set.view().find(tags::ScheduledProcedureStepSequence);
  if (!steps || steps->vr != Vr::SQ || steps->items().size() < 2) {  // as nearly all are
    return send(match.data_set, match.optional_keys_supported) && wanted();
  }
  for (const auto& step : mapping::split_scheduled_procedure_steps(match.data_set)) {
    if (!send(step, match.optional_keys_supported)) return false;
  }
  return wanted();
}

bool Responses::send(const DataSet& step, bool optional_keys_supported) {
  const auto pruned = mapping::prune_to_identifier(step, identifier_);  // rule F8
  auto encoded = mapping::write_data_set(pruned, context_.transfer_syntax, write_options_);
  if (!encoded) {  // never silently less: rule G11
    failure_ = refuse(encoded.fault());
    return false;
  }
  pending_.status =
      optional_keys_supported ? status::pending : status::pending_optional_keys_not_supported;
  broken_ = peer_.association.send(request_.context_id, pending_, encoded.value()) !=
            Transport::Status::ok;
  ++count_;
  return !broken_;
}

/// Flushes when it is time, and looks for a C-CANCEL now and then. rule F11
bool Responses::wanted() {
  const auto now = Transport::Clock::now();
  if (peer_.association.unflushed() == 0) {
    flushed_ = now;
  } else if (count_ >= flush_at_ || now - flushed_ >= flush_after) {
    flush_at_ = 2 * count_;
    broken_ = peer_.association.flush() != Transport::Status::ok;
    flushed_ = now;
  }
  if (!broken_ && (count_ % look_every == 0 || now - looked_ >= look_after)) {
    looked_ = now;
    return !cancellation_.requested();
  }
  return !broken_;
}

/// What the final response says. rule F10
Outcome conclude(const Outcome& outcome, const Responses& responses,
                 const PeerCancellation& cancellation) {
  if (cancellation.cancelled()) return Outcome::local(status::cancel, {});
  if (responses.failure()) return *responses.failure();
  switch (outcome.status_class()) {
    case mapping::StatusClass::cancel:  // not by this modality: what it has is not all
    case mapping::StatusClass::pending:
      return Outcome::local(status::aborted_after_partial_results, "search ended early");
    default:
      return outcome;
  }
}

Outcome search(ScpPeer& peer, const Message& request, ScpTransaction& transaction,
               PeerCancellation& cancellation, bool& broken) {
  if (!request.command.has_data_set()) {
    return Outcome::local(status::data_set_does_not_match_sop_class, "no identifier");
  }
  auto identifier = peer.read(request);
  if (!identifier) return refuse(identifier.fault());
  if (auto tag = find_second_item(identifier.value())) {
    return Outcome::local(status::data_set_does_not_match_sop_class,
                          "more than one item in a sequence key", {*tag});
  }
  auto asked = adapted(identifier.value(), peer);
  if (!asked) return refuse(asked.fault());
  mapping::Search search{std::move(asked).value()};
  search.fuzzy_matching = peer.association.negotiated().fuzzy_matching;
  Responses responses(peer, request, identifier.value(), cancellation);
  auto outcome = transaction.run(status::upstream_server_error, [&] {
    return peer.services.worklist->search(
        search, [&](mapping::Match&& match) { return responses.take(match); },
        transaction.context());
  });
  broken = responses.broken();
  return conclude(outcome, responses, cancellation);
}

}  // namespace

bool answer_c_find(ScpPeer& peer, const Message& request) {
  PeerCancellation cancellation(peer.association, *request.command.message_id);
  ScpTransaction transaction(peer, "C-FIND", &cancellation);
  bool broken = false;
  const auto outcome = search(peer, request, transaction, cancellation, broken);
  transaction.log(outcome.status);
  if (broken || cancellation.gone()) return !broken;  // receive says how it ended
  auto response = response_to(request.command, outcome.status);
  add_response_fields(response, mapping::Transaction::search, outcome,
                      mapping::uids::modality_worklist_find, {});
  return peer.respond(request, std::move(response));
}

}  // namespace dimse
