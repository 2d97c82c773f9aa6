#include "gateway/mpps_courier.h"

#include "gateway/delivery_policy.h"
#include "mapping/mpps_rules.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::Outcome;
using mapping::Transaction;
namespace status = mapping::dimse_status;

/// What a receiver says of a step.
enum class Known { as_we_make_it, otherwise, unknown_there, not_told, unreachable };

/// One attempt at one receiver.
class Courier {
 public:
  Courier(mapping::MppsService& service, const Delivery& delivery, const mapping::Context& context)
      : service_(service), delivery_(delivery), message_(delivery.message), context_(context) {}

  Outcome bring() {
    if (delivery_.maybe_sent) {
      const Known known = ask();
      if (known == Known::as_we_make_it) return settled();
      if (known == Known::unreachable) return seen_;
    }
    const Outcome outcome = message_.operation == Transaction::create
                                ? service_.create(message_.mpps, message_.attributes, context_)
                                : service_.update(message_.mpps, message_.attributes, context_);
    if (!may_say_done_before(outcome)) return outcome;
    const Known known = ask();
    if (known == Known::unreachable) return seen_;
    // Where it cannot be asked, our own repetition is reason enough: nobody else has a UID of ours.
    const bool done =
        known == Known::as_we_make_it || (known == Known::not_told && delivery_.maybe_sent);
    return done ? settled() : outcome;
  }

 private:
  static Outcome settled() { return Outcome::answered(status::success); }

  Known ask() {
    DataSet found;
    seen_ = service_.retrieve(message_.mpps, {}, found, context_);
    if (seen_.good()) {
      const bool ours = message_.operation == Transaction::create
                            ? mapping::is_step_of(message_.attributes, found)
                            : mapping::holds_modifications(found, message_.attributes) ||
                                  mapping::became_final_by(message_.attributes, found);
      return ours ? Known::as_we_make_it : Known::otherwise;
    }
    if (seen_.how == Outcome::How::answered) {
      return seen_.status == status::no_such_sop_instance ? Known::unknown_there : Known::not_told;
    }
    return rule_for(seen_).verdict == Verdict::receiver_down &&
                   seen_.event != mapping::NetworkEvent::abstract_syntax_refused
               ? Known::unreachable
               : Known::not_told;
  }

  /// Whether it is a refusal of what the receiver may have already.
  bool may_say_done_before(const Outcome& outcome) const {
    if (outcome.how != Outcome::How::answered) return false;
    const bool exists = message_.operation == Transaction::create &&
                        outcome.status == status::duplicate_sop_instance;
    const bool final = outcome.error_id == status::error_id_may_no_longer_be_updated &&
                       mapping::is_final(message_.attributes);
    return exists || final;
  }

  mapping::MppsService& service_;
  const Delivery& delivery_;
  const MppsMessage& message_;
  const mapping::Context& context_;
  Outcome seen_;
};

}  // namespace

Outcome bring(const Delivery& delivery, mapping::MppsService& receiver,
              const mapping::Context& context) {
  return Courier(receiver, delivery, context).bring();
}

}  // namespace gateway
