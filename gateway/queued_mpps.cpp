#include "gateway/queued_mpps.h"

#include <fmt/format.h>

#include <algorithm>

#include "mapping/mpps_rules.h"
#include "mapping/tags.h"

namespace gateway {
namespace {

using mapping::AttributeList;
using mapping::Context;
using mapping::DataSet;
using mapping::DataSetBuilder;
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

std::vector<Destination> destinations(const QueuedMppsOptions& options, const MppsMessage& message,
                                      const RecordedStep* recorded) {
  std::vector<Destination> all;
  for (const auto& receiver : options.receivers) {
    if (auto to = destination(receiver.name, receiver.filter, message, recorded)) {
      all.push_back(std::move(*to));
    }
  }
  return all;
}

/// What the step as it stands has to say against a message. PS3.4, F.7.2.1 and F.7.2.2.
std::optional<Outcome> refusal(const MppsMessage& message, const RecordedStep* recorded,
                               bool strict) {
  if (message.operation == Transaction::create) {
    if (recorded == nullptr) return std::nullopt;
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

Outcome cannot_keep(const mapping::Log& log, const Context& context, const QueueFailure& failure) {
  log(LogLevel::error, fmt::format("tx={} refused, the MPPS queue cannot keep it: {}",
                                   context.transaction, failure.what()));
  return Outcome::local(status::resource_limitation, "The step cannot be stored now");
}

/// A Retrieve answered from the record. rule F28
Outcome retrieve_record(const RecordedStep& step, const AttributeList& asked, DataSet& found) {
  if (asked.empty()) {
    found = step.attributes;
    return Outcome::answered(status::success);
  }
  DataSetBuilder builder;
  Outcome outcome = Outcome::answered(status::success);
  for (const mapping::Tag tag : asked) {
    if (tag == mapping::tags::SpecificCharacterSet) continue;  // rule A30
    if (const auto element = step.attributes.view().find(tag)) {
      builder.add(*element);
    } else {
      outcome.status = status::requested_optional_attributes_not_supported;
      outcome.attributes.push_back(tag);
    }
  }
  auto built = builder.build();
  if (!built) return Outcome::local(status::processing_failure, "An attribute is asked for twice");
  found = std::move(built).value();
  return outcome;
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

Outcome retrieve_step(MppsQueue& queue, mapping::MppsService& first, RetrieveFrom from,
                      const Uid& mpps, const AttributeList& attributes, DataSet& found,
                      const Context& context, const mapping::Log& log) {
  Outcome outcome = Outcome::answered(status::no_such_sop_instance);
  if (from != RetrieveFrom::gateway) outcome = first.retrieve(mpps, attributes, found, context);
  if (from == RetrieveFrom::backend || !cannot_say(outcome)) return outcome;
  try {
    const auto step = queue.step(mpps);
    return step ? retrieve_record(*step, attributes, found) : outcome;
  } catch (const QueueFailure& failure) {
    log(LogLevel::error, fmt::format("tx={} the MPPS queue cannot be read: {}", context.transaction,
                                     failure.what()));
    return from == RetrieveFrom::automatic
               ? outcome
               : Outcome::local(status::resource_limitation, "The step cannot be read now");
  }
}

void wake(const QueuedMppsOptions& options) {
  for (const auto& receiver : options.receivers) options.wake(receiver.name);
}

}  // namespace

QueuedMpps::QueuedMpps(MppsQueue& queue, mapping::MppsService& first, QueuedMppsOptions options,
                       mapping::Log log)
    : queue_(queue), first_(first), options_(std::move(options)), log_(std::move(log)) {}

Outcome QueuedMpps::accept(const MppsMessage& message) {
  const auto accepted = queue_.accept(message, [&](const RecordedStep* recorded) -> Acceptance {
    if (auto refused = refusal(message, recorded, options_.strict)) return {.refusal = refused};
    return {.destinations = destinations(options_, message, recorded)};
  });
  if (accepted.id != 0) wake(options_);
  return accepted.outcome;
}

Outcome QueuedMpps::create(const Uid& mpps, const DataSet& attributes, const Context& context) {
  try {
    return accept(message_of(Transaction::create, mpps, attributes, context));
  } catch (const QueueFailure& failure) {
    return cannot_keep(log_, context, failure);
  }
}

Outcome QueuedMpps::update(const Uid& mpps, const DataSet& modifications, const Context& context) {
  try {
    return accept(message_of(Transaction::update, mpps, modifications, context));
  } catch (const QueueFailure& failure) {
    return cannot_keep(log_, context, failure);
  }
}

Outcome QueuedMpps::retrieve(const Uid& mpps, const AttributeList& attributes, DataSet& found,
                             const Context& context) {
  return retrieve_step(queue_, first_, options_.retrieve_from, mpps, attributes, found, context,
                       log_);
}

MirroredMpps::MirroredMpps(MppsQueue& queue, mapping::MppsService& first, QueuedMppsOptions options,
                           mapping::Log log)
    : queue_(queue), first_(first), options_(std::move(options)), log_(std::move(log)) {}

Outcome MirroredMpps::carry_out(const MppsMessage& message,
                                const std::function<Outcome()>& ask_first) {
  const auto kept = queue_.accept(message, [&](const RecordedStep* recorded) -> Acceptance {
    return {.destinations = destinations(options_, message, recorded), .undecided = true};
  });
  Outcome outcome = ask_first();
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
  if (happened) wake(options_);
  return outcome;
}

Outcome MirroredMpps::create(const Uid& mpps, const DataSet& attributes, const Context& context) {
  try {
    return carry_out(message_of(Transaction::create, mpps, attributes, context),
                     [&] { return first_.create(mpps, attributes, context); });
  } catch (const QueueFailure& failure) {
    return cannot_keep(log_, context, failure);
  }
}

Outcome MirroredMpps::update(const Uid& mpps, const DataSet& modifications,
                             const Context& context) {
  try {
    return carry_out(message_of(Transaction::update, mpps, modifications, context),
                     [&] { return first_.update(mpps, modifications, context); });
  } catch (const QueueFailure& failure) {
    return cannot_keep(log_, context, failure);
  }
}

Outcome MirroredMpps::retrieve(const Uid& mpps, const AttributeList& attributes, DataSet& found,
                               const Context& context) {
  return retrieve_step(queue_, first_, options_.retrieve_from, mpps, attributes, found, context,
                       log_);
}

}  // namespace gateway
