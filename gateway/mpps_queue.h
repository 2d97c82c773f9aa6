// The durable queue of MPPS messages: what was accepted and which receivers still have to get it.
// An interface, so that several gateways may share one queue in another database later; its
// contract holds the two promises, order and single delivery. Knows no wire and no policy: which
// receivers a message is for, and whether the step's state allows it, is the caller's to say.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/data_set.h"
#include "mapping/outcome.h"
#include "mapping/uid.h"

namespace gateway {

/// Wall clock: what is due must still be due after a restart.
using QueueTime = std::chrono::sys_time<std::chrono::milliseconds>;
QueueTime queue_now();

/// An N-CREATE or N-SET as it was accepted. A value.
struct MppsMessage {
  mapping::Transaction operation = mapping::Transaction::create;  ///< create or update
  mapping::Uid mpps;
  mapping::DataSet attributes;
  std::string caller;       ///< AE title or user
  std::string transaction;  ///< this gateway's id of the transaction, for logs
};

/// Ascending in the order of acceptance.
using MessageId = std::int64_t;

/// What is to happen to a message for one receiver.
struct Destination {
  enum class How : std::uint8_t {
    deliver,       ///< after all earlier messages of this MPPS, withheld ones included
    withhold,      ///< kept until a later message of this MPPS is to be delivered or dropped
    drop_withheld  ///< neither this one nor what was withheld before it is wanted after all
  };
  std::string receiver;
  How how = How::deliver;
};

/// What the caller decides about a message, given the step as it stands.
struct Acceptance {
  std::optional<mapping::Outcome> refusal{};  ///< then nothing is kept
  std::vector<Destination> destinations{};
  /// Not to be delivered before decide() says so: another receiver is asked first.
  bool undecided = false;
};
/// The step as all accepted messages have made it, undecided ones left out.
struct RecordedStep {
  mapping::DataSet attributes;
  bool created = false;  ///< false: only messages that change it were accepted here
};
/// recorded: null if nothing was accepted. Called while no other message is being accepted; must
/// not call the queue.
using Judge = std::function<Acceptance(const RecordedStep* recorded)>;

/// A message in one receiver's turn.
struct Delivery {
  MessageId id = 0;
  std::string receiver;
  MppsMessage message;
  std::uint32_t attempts = 0;  ///< before this one
  bool maybe_sent = false;     ///< an earlier attempt may have reached the receiver
  QueueTime accepted{};
};

/// How an attempt ended.
struct Attempt {
  enum class Result : std::uint8_t {
    delivered,
    retry,
    held,
    returned  ///< not tried at all: as it was before it was handed out
  };
  Result result = Result::retry;
  QueueTime due{};          ///< retry: not before
  bool maybe_sent = false;  ///< retry: the receiver may have it
  std::uint16_t status = 0;
  std::string reason{};  ///< for people; no patient data
};

/// What was handed out, and how that ended.
struct Ended {
  Delivery delivery;
  Attempt attempt;
};

/// waiting: for its turn or its time; withheld: mirrors get it with a later message or not at all;
/// undecided: see Acceptance.
enum class DeliveryState : std::uint8_t {
  waiting,
  delivering,
  held,
  withheld,
  undecided,
  delivered,
  discarded
};
std::string_view to_string(DeliveryState state);

/// One message and one receiver, for people. No attributes.
struct QueueEntry {
  MessageId id = 0;
  std::string receiver;
  mapping::Transaction operation = mapping::Transaction::create;
  std::string mpps;
  std::string caller;
  std::string transaction;
  DeliveryState state = DeliveryState::waiting;
  std::uint32_t attempts = 0;
  QueueTime accepted, due, changed;
  std::uint16_t status = 0;
  std::string reason;
};

struct QueueFilter {
  std::string receiver{};                ///< empty = all
  std::optional<DeliveryState> state{};  ///< none = every open one
  QueueTime accepted_before = QueueTime::max();
  std::size_t limit = 1000;
};

/// Numbers for one receiver.
struct QueueDepth {
  std::string receiver;
  std::size_t open = 0;  ///< everything not delivered and not discarded
  std::size_t held = 0;
  std::optional<QueueTime> oldest;  ///< acceptance of the oldest open one
};

/// Thrown by every function below when the database cannot do its work (disk full, not writable,
/// corrupted). Then nothing of the call is promised; it has not happened either, unless the disk
/// failed in the very last step, after which nothing more is accepted or handed out until a
/// restart.
class QueueFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Safe from any thread. Functions block for the disk.
///
/// * Durable: what accept, decide, retry and discard report as done survives the death of the
///   process and of the machine. What finish has recorded survives the process; the machine may
///   forget it as long as no later message of that MPPS may go because of it.
/// * Order: of one MPPS and one receiver, a message is handed out only after all that were accepted
///   before it are delivered or discarded. A held one holds back those behind it.
/// * Single delivery: a message that was handed out is handed out to nobody else until it is
///   finished, or until the process that had it is gone. What is due after that has maybe_sent.
///   Undecided ones of a process that is gone are held: nobody knows what the one asked first has
///   made of them.
class MppsQueue {
 public:
  virtual ~MppsQueue() = default;

  /// Keeps the message and what has become of the step, both or nothing. Success, or the refusal.
  struct Accepted {
    mapping::Outcome outcome;
    MessageId id = 0;  ///< 0 if refused
  };
  virtual Accepted accept(const MppsMessage& message, const Judge& judge) = 0;
  /// An undecided message may go (true), or never happened (false) and is forgotten.
  virtual void decide(MessageId id, bool happened) = 0;

  /// Messages for this receiver that are due, each of another MPPS.
  struct Taken {
    std::vector<Delivery> deliveries;   ///< the longest due first
    std::optional<QueueTime> next_due;  ///< of the next one; nothing if none waits
  };
  /// Says how some of this receiver's ended, none perhaps, and takes the next, at the price of one.
  /// A now that lies before an earlier one says that the clock was set back: nothing waits for the
  /// time that was.
  virtual Taken finish(const std::string& receiver, const std::vector<Ended>& ended, QueueTime now,
                       std::size_t take_at_most) = 0;
  /// Makes what waits for its time due now: the receiver is back.
  virtual void make_due(const std::string& receiver, QueueTime now) = 0;
  /// Returns if something could be kept now: writes as acceptance does, but nothing new.
  virtual void check_writable() = 0;
  /// Whether somebody else has changed the queue since this was last asked.
  virtual bool changed_elsewhere() = 0;

  /// Nothing if no message about it is remembered.
  virtual std::optional<RecordedStep> step(const mapping::Uid& mpps) = 0;
  /// Whether a message about it, for this receiver, is neither delivered nor discarded.
  virtual bool is_open(const mapping::Uid& mpps, const std::string& receiver) = 0;

  virtual std::vector<QueueEntry> list(const QueueFilter& filter) = 0;
  /// One message at each receiver, or at this one, in whatever state.
  virtual std::vector<QueueEntry> entries(MessageId id, const std::string& receiver) = 0;
  virtual std::optional<MppsMessage> message(MessageId id) = 0;
  virtual std::vector<QueueDepth> depths() = 0;
  /// A held or waiting one is tried again at once. False if there is no such open one.
  virtual bool retry(MessageId id, const std::string& receiver) = 0;
  /// Will not be delivered; those behind it go on. False if there is none, or it is on its way.
  virtual bool discard(MessageId id, const std::string& receiver) = 0;
  /// Forgets steps of which every message was accepted before then and is delivered or discarded.
  /// Returns how many messages went; looks at about a thousand a call and goes on there at the
  /// next.
  virtual std::size_t forget(QueueTime accepted_before) = 0;
};

}  // namespace gateway
