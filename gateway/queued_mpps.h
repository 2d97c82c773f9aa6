// Decorators that put MPPS messages into the durable queue: for every receiver (mpps_delivery =
// queued), or for the further ones when the first is asked at once (direct, mpps = a, b).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gateway/mirror.h"
#include "gateway/mpps_queue.h"
#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

/// Where a Retrieve is answered from.
enum class RetrieveFrom : std::uint8_t {
  backend,   ///< the first receiver
  gateway,   ///< what was accepted here
  automatic  ///< the first receiver; what was accepted here where it cannot say, or has not got it
             ///< all
};

/// What both decorators need.
struct QueuedMppsOptions {
  struct Receiver {
    std::string name;
    MirrorFilter filter;
  };
  std::vector<Receiver> receivers;  ///< queued: every one; mirrored: without the first
  RetrieveFrom retrieve_from = RetrieveFrom::automatic;
  /// Also refuse what cannot be judged for want of the step: N-SET of one that was never created
  /// here (0112), attributes that its N-CREATE did not have (0105), a final state that lacks
  /// something (0120, 0121). PS3.4, F.7.2.2.
  bool strict = true;
  std::function<void(const std::string& receiver)> wake;  ///< called after a message was accepted
};

/// What both decorators do alike: a queue that cannot write is 0213, and Retrieve. Referred objects
/// outlive it.
class MppsThroughQueue : public mapping::MppsService {
 public:
  /// first: the receiver that Retrieve asks.
  MppsThroughQueue(MppsQueue& queue, mapping::MppsService& first, QueuedMppsOptions options,
                   mapping::Log log);
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) final;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) final;
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) final;
  bool offers_retrieve() const final {
    return options_.retrieve_from != RetrieveFrom::backend || first_.offers_retrieve();
  }

 protected:
  std::vector<Destination> destinations(const MppsMessage& message,
                                        const RecordedStep* recorded) const;
  void wake() const;

  MppsQueue& queue_;
  mapping::MppsService& first_;
  const QueuedMppsOptions options_;
  const mapping::Log log_;

 private:
  /// Throws QueueFailure where the message cannot be kept; nothing has happened then.
  virtual mapping::Outcome accept(const MppsMessage& message, const mapping::Context& context) = 0;
  /// Whether it has not got yet what was accepted here.
  virtual bool first_is_behind(const mapping::Uid& mpps) = 0;
  mapping::Outcome keep(const MppsMessage& message, const mapping::Context& context);
};

/// Success means: it is on this gateway's disk. PS3.4, F.7.2; IHE RAD TF-2, 4.6 and 4.7 (Performed
/// Procedure Step Manager). A UID that was created here is 0111, a final step 0110 with A710.
class QueuedMpps : public MppsThroughQueue {
 public:
  using MppsThroughQueue::MppsThroughQueue;

 private:
  mapping::Outcome accept(const MppsMessage& message, const mapping::Context& context) override;
  bool first_is_behind(const mapping::Uid& mpps) override;
};

/// The first receiver's answer is the answer. The others get what it has accepted, or may have;
/// what they are to get is on the disk before it is asked, so that nothing is lost in between.
class MirroredMpps : public MppsThroughQueue {
 public:
  using MppsThroughQueue::MppsThroughQueue;

 private:
  mapping::Outcome accept(const MppsMessage& message, const mapping::Context& context) override;
  bool first_is_behind(const mapping::Uid& /*mpps*/) override { return false; }
};

}  // namespace gateway
