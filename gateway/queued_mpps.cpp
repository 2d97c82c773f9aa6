#include "gateway/queued_mpps.h"

#include <fmt/format.h>

#include <algorithm>

#include "gateway/recorded_step.h"
#include "mapping/mpps_rules.h"

namespace gateway {
namespace {

using mapping::AttributeList;
using mapping::Context;
using mapping::DataSet;
using mapping::LogLevel;
using mapping::Outcome;
using mapping::Transaction;
using mapping::Uid;
namespace status = mapping::dimse_status;

MppsMessage message_of(Transaction operation, const Uid& mpps, const DataSet& attributes,
                       const Context& context) {
  return {.operation = operation,
          .mpps = mpps,
          .attributes = attributes,
          .caller = context.caller.name,
          .transaction = context.transaction};
}

/// What the step as it stands has to say against a message. PS3.4, F.7.2.1 and F.7.2.2.
std::optional<Outcome> refusal(const MppsMessage& message, const RecordedStep* recorded,
                               bool strict) {
  if (message.operation == Transaction::create) {
    if (recorded == nullptr || !recorded->created) return std::nullopt;
    return Outcome::local(status::duplicate_sop_instance, "The step was created before");
  }
  if (recorded != nullptr && mapping::is_final(recorded->attributes)) {
    return Outcome::may_no_longer_be_updated();
  }
  if (!strict) return std::nullopt;
  if (recorded == nullptr || !recorded->created) {
    return Outcome::local(status::no_such_sop_instance, "The step was never created");
  }
  return mapping::check_update(recorded->attributes, message.attributes);
}

/// The receiver cannot say what the step is, or has not got it yet.
bool cannot_say(const Outcome& outcome) {
  if (outcome.good()) return false;
  if (outcome.how != Outcome::How::answered) return true;
  static constexpr std::uint16_t those[] = {status::no_such_sop_instance, status::no_such_sop_class,
                                            status::sop_class_not_supported,
                                            status::unrecognized_operation};
  return std::find(std::begin(those), std::end(those), outcome.status) != std::end(those);
}

}  // namespace

MppsThroughQueue::MppsThroughQueue(MppsQueue& queue, mapping::MppsService& first,
                                   QueuedMppsOptions options, mapping::Log log)
    : queue_(queue), first_(first), options_(std::move(options)), log_(std::move(log)) {}

std::vector<Destination> MppsThroughQueue::destinations(const MppsMessage& message,
                                                        const RecordedStep* recorded) const {
  std::vector<Destination> all;
  for (const auto& receiver : options_.receivers) {
    if (auto to = destination(receiver.name, receiver.filter, message, recorded)) {
      all.push_back(std::move(*to));
    }
  }
  return all;
}

void MppsThroughQueue::wake() const {
  for (const auto& receiver : options_.receivers) options_.wake(receiver.name);
}

Outcome MppsThroughQueue::keep(const MppsMessage& message, const Context& context) {
  try {
    return accept(message, context);
  } catch (const QueueFailure& failure) {
    log_(LogLevel::error, fmt::format("tx={} refused, the MPPS queue cannot keep it: {}",
                                      context.transaction, failure.what()));
    return Outcome::local(status::resource_limitation, "The step cannot be stored now");
  }
}

Outcome MppsThroughQueue::create(const Uid& mpps, const DataSet& attributes,
                                 const Context& context) {
  return keep(message_of(Transaction::create, mpps, attributes, context), context);
}

Outcome MppsThroughQueue::update(const Uid& mpps, const DataSet& modifications,
                                 const Context& context) {
  return keep(message_of(Transaction::update, mpps, modifications, context), context);
}

Outcome MppsThroughQueue::retrieve(const Uid& mpps, const AttributeList& attributes, DataSet& found,
                                   const Context& context) {
  const RetrieveFrom from = options_.retrieve_from;
  Outcome outcome = Outcome::answered(status::no_such_sop_instance);
  if (from != RetrieveFrom::gateway) outcome = first_.retrieve(mpps, attributes, found, context);
  if (from == RetrieveFrom::backend) return outcome;
  try {
    const bool said = !cannot_say(outcome);
    if (said && !(outcome.good() && first_is_behind(mpps))) return outcome;
    const auto step = queue_.step(mpps);
    if (!step || (said && !step->created)) return outcome;  // of some changes nobody makes a step
    return retrieve_recorded(step->attributes, attributes, found);
  } catch (const QueueFailure& failure) {
    log_(LogLevel::error, fmt::format("tx={} the MPPS queue cannot be read: {}",
                                      context.transaction, failure.what()));
    return from == RetrieveFrom::automatic
               ? outcome
               : Outcome::local(status::resource_limitation, "The step cannot be read now");
  }
}

Outcome QueuedMpps::accept(const MppsMessage& message, const Context& /*context*/) {
  const auto accepted = queue_.accept(message, [&](const RecordedStep* recorded) -> Acceptance {
    if (auto refused = refusal(message, recorded, options_.strict)) return {.refusal = refused};
    return {.destinations = destinations(message, recorded)};
  });
  if (accepted.id != 0) wake();
  return accepted.outcome;
}

bool QueuedMpps::first_is_behind(const Uid& mpps) {
  return queue_.is_open(mpps, options_.receivers.front().name);
}

Outcome MirroredMpps::accept(const MppsMessage& message, const Context& context) {
  const auto kept = queue_.accept(message, [&](const RecordedStep* recorded) -> Acceptance {
    return {.destinations = destinations(message, recorded), .undecided = true};
  });
  Outcome outcome = message.operation == Transaction::create
                        ? first_.create(message.mpps, message.attributes, context)
                        : first_.update(message.mpps, message.attributes, context);
  // Where nobody knows, the others get it: a modality that repeats it is told by the first that it
  // is there already, and never sends it again.
  const bool happened = outcome.good() || outcome.how == Outcome::How::unknown;
  try {
    queue_.decide(kept.id, happened);
  } catch (const QueueFailure& failure) {
    // The next start finds it undecided, and holds it.
    log_(
        LogLevel::error,
        fmt::format("tx={} message={} the MPPS queue cannot be written, further receivers wait: {}",
                    message.transaction, kept.id, failure.what()));
    return outcome;
  }
  if (happened) wake();
  return outcome;
}

}  // namespace gateway
