// recorded → pending (memory) → buffer (disk) → collector. What is pending is bounded, and so is
// the buffer.
#include "gateway/audit_trail.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "dimse/descriptor.h"
#include "gateway/audit_buffer.h"

namespace gateway {
namespace {

using Clock = std::chrono::steady_clock;
using mapping::LogLevel;
using mapping::Outcome;
using mapping::Transaction;
using namespace std::chrono_literals;

/// Written down at a time. A batch for the collector, by transport: datagrams go out in small
/// groups, so that a collector that was away can take what has piled up.
constexpr std::size_t write_batch = 256, stream_batch = 256, datagram_batch = 32;
/// What is pending may hold this much of queries.
constexpr std::size_t max_pending_bytes = 64u << 20;
constexpr auto disk_retry = 1s;
constexpr std::chrono::hours keep_steps{24 * 30};
/// A full buffer has to empty by a tenth before anything is recorded again: not a message here and
/// a message there.
constexpr std::uint64_t resume_tenths = 9;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::size_t size_of(const AuditTrail::Event& event) {
  const auto* query = std::get_if<AuditedQuery>(&event);
  return query == nullptr ? 0 : query->search.identifier.bytes().size();
}

}  // namespace

class AuditTrail::Impl {
 public:
  Impl(AuditOptions options, std::unique_ptr<AuditBuffer> buffer, mapping::Log log)
      : options_(std::move(options)),
        log_(std::move(log)),
        host_(host_name()),
        process_(std::to_string(::getpid())),
        buffer_(std::move(buffer)),
        cut_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (options_.source.id.empty()) options_.source.id = host_;
  }
  ~Impl() { stop(); }

  /// Fault: as open.
  std::optional<mapping::Fault> start();
  void record(Event event) noexcept;
  void stop();
  AuditParticipant self(const std::string& ae_title) const;
  Numbers numbers() const { return {sent_.load(), buffer_->count(), lost_.load(), up_.load()}; }

 private:
  /// Whether messages are recorded, as the writer knows it.
  struct Recording {
    bool on = true;
    std::uint64_t lost = 0;  ///< since it stopped
  };
  struct Loss {
    std::uint64_t count = 0;
    AuditTime since;
  };

  // The writer.
  void write();
  bool write_down(const std::vector<Event>& events, const Loss& loss);
  void write_down(const Event& event, Recording& recording, std::uint64_t& added);
  void append(const AuditMessage& message, std::uint64_t& added);
  std::string to_syslog(const AuditMessage& message) const;
  AuditMessage to_message(const Event& event);
  AuditMessage recording_alert(bool on, const Recording& recording, AuditTime time) const;
  void forget_old_steps();
  void tell(bool was_on, bool is_on, const Loss& loss) const;

  // The sender.
  void send();
  std::vector<AuditBuffer::Stored> next();
  bool deliver(const std::vector<AuditBuffer::Stored>& batch);
  void note_up();
  void note_down(const SyslogSender::Failure& failure);

  AuditOptions options_;
  const mapping::Log log_;
  const std::string host_, process_;
  const std::unique_ptr<AuditBuffer> buffer_;
  const dimse::Descriptor cut_;  ///< readable once the sender has to end

  std::mutex mutex_;
  std::condition_variable arrived_, stored_, ends_;
  std::deque<Event> pending_;      // guarded by mutex_, as the next
  std::size_t pending_bytes_ = 0;  // of queries
  Loss loss_;                      // of what found no room in pending_
  std::uint64_t written_ = 0;      // batches
  bool ending_ = false, all_written_ = false, all_sent_ = false;

  // The writer's own.
  Recording recording_;
  bool disk_failed_ = false;
  Clock::time_point next_forgetting_ = Clock::now();

  // The sender's own.
  std::unique_ptr<SyslogSender> sender_;
  std::int64_t last_sent_ = 0;
  std::string down_because_;
  bool unreadable_ = false;

  std::atomic<std::uint64_t> sent_{0}, lost_{0};
  std::atomic<bool> up_{true};
  std::thread writer_, sending_;
};

std::optional<mapping::Fault> AuditTrail::Impl::start() {
  auto sender = SyslogSender::make(options_.syslog, cut_.get());
  if (!sender) {
    mapping::Fault fault = sender.fault();
    fault.what = "[audit] " + fault.what;
    return fault;
  }
  sender_ = std::move(sender).value();
  writer_ = std::thread([this] { write(); });
  sending_ = std::thread([this] { send(); });
  return std::nullopt;
}

void AuditTrail::Impl::stop() {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  arrived_.notify_all();
  ends_.notify_all();
  writer_.join();
  {
    std::unique_lock lock(mutex_);
    all_written_ = true;
    stored_.notify_all();
    ends_.wait_for(lock, options_.last_words, [this] { return all_sent_; });
  }
  const std::uint64_t one = 1;
  if (::write(cut_.get(), &one, sizeof one) < 0) {
    // The counter is full, so it is readable already.
  }
  sending_.join();
}

void AuditTrail::Impl::record(Event event) noexcept try {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = size_of(event);
    if (pending_.size() >= options_.max_pending || pending_bytes_ + bytes > max_pending_bytes) {
      ++lost_;
      if (loss_.count++ == 0) loss_.since = std::chrono::system_clock::now();
      return;
    }
    pending_.push_back(std::move(event));
    pending_bytes_ += bytes;
  }
  arrived_.notify_one();
} catch (...) {  // no memory left
  ++lost_;
}

AuditParticipant AuditTrail::Impl::self(const std::string& ae_title) const {
  AuditParticipant self;
  self.user_id = process_;
  self.ae_title = ae_title;
  self.name = "modgate";
  self.access_point = host_;
  return self;
}

// --- The writer ----------------------------------------------------------------------------------

void AuditTrail::Impl::write() {
  std::vector<Event> events;
  for (;;) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !pending_.empty() || ending_; });
    if (pending_.empty()) return;
    events.clear();
    while (!pending_.empty() && events.size() < write_batch) {
      events.push_back(std::move(pending_.front()));
      pending_.pop_front();
      pending_bytes_ -= size_of(events.back());
    }
    const Loss loss = std::exchange(loss_, Loss());
    lock.unlock();
    bool last_attempt = false;
    while (!write_down(events, loss)) {
      if (last_attempt) {
        lost_ += events.size();
        return;  // the disk takes nothing, and we stop
      }
      lock.lock();
      last_attempt = ends_.wait_for(lock, disk_retry, [this] { return ending_; });
      lock.unlock();
    }
    lock.lock();
    ++written_;
    stored_.notify_one();
  }
}

/// False: nothing is written, and all of it is to be tried again.
bool AuditTrail::Impl::write_down(const std::vector<Event>& events, const Loss& loss) try {
  Recording recording = recording_;
  std::uint64_t added = 0, dropped = 0;
  buffer_->transaction([&] {
    recording = recording_;
    added = 0;
    if (loss.count > 0) {
      if (recording.on) append(recording_alert(false, recording, loss.since), added);
      recording.on = false;
      recording.lost += loss.count;
    }
    for (const Event& event : events) {
      const std::uint64_t before = recording.lost;
      write_down(event, recording, added);
      if (recording.lost > before) ++dropped;
    }
    forget_old_steps();
  });
  lost_ += dropped;
  const bool was_on = std::exchange(recording_, recording).on;
  tell(was_on, recording.on, loss);
  if (std::exchange(disk_failed_, false)) log_(LogLevel::info, "audit: the buffer works again");
  return true;
} catch (const AuditBufferFailure& failure) {
  if (!std::exchange(disk_failed_, true)) {
    log_(LogLevel::error,
         fmt::format("audit: messages cannot be written down: {}", failure.what()));
  }
  return false;
}

void AuditTrail::Impl::write_down(const Event& event, Recording& recording, std::uint64_t& added) {
  // Also of an event whose message finds no room: what it says of a step is kept.
  const std::string message = to_syslog(to_message(event));
  const std::uint64_t most =
      recording.on ? options_.buffer_bytes : options_.buffer_bytes / 10 * resume_tenths;
  if (buffer_->bytes() + added + message.size() > most) {
    if (recording.on) {
      append(recording_alert(false, recording, std::chrono::system_clock::now()), added);
    }
    recording.on = false;
    ++recording.lost;
    return;
  }
  if (!recording.on) {
    append(recording_alert(true, recording, std::chrono::system_clock::now()), added);
    recording = Recording();
  }
  buffer_->append(message);
  added += message.size();
}

void AuditTrail::Impl::append(const AuditMessage& message, std::uint64_t& added) {
  const std::string text = to_syslog(message);
  buffer_->append(text);
  added += text.size();
}

std::string AuditTrail::Impl::to_syslog(const AuditMessage& message) const {
  return gateway::to_syslog({host_, "modgate", process_, to_text(message.time)},
                            to_xml(message, options_.source));
}

AuditMessage AuditTrail::Impl::recording_alert(bool on, const Recording& recording,
                                               AuditTime time) const {
  AuditedAlert alert;
  alert.type = on ? audit_code::recording_started : audit_code::recording_stopped;
  alert.outcome = on ? 0 : 12;
  alert.description =
      on ? fmt::format("Audit messages are recorded again; {} were lost", recording.lost)
         : "No room for audit messages: further ones are lost";
  alert.reporter = self({});
  alert.node = host_;
  alert.time = time;
  return gateway::to_message(alert);
}

/// Completes what one transaction does not know from what another one said. Inside a transaction
/// of the buffer.
AuditMessage AuditTrail::Impl::to_message(const Event& event) {
  if (const auto* activity = std::get_if<Activity>(&event)) {
    return application_activity(activity->start, self(activity->ae_title), std::nullopt,
                                activity->time);
  }
  if (const auto* query = std::get_if<AuditedQuery>(&event)) return gateway::to_message(*query);
  if (const auto* alert = std::get_if<AuditedAlert>(&event)) return gateway::to_message(*alert);
  AuditedProcedure procedure = std::get<AuditedProcedure>(event);
  const std::string& mpps = procedure.mpps.text();
  const bool failed =
      mapping::classify(procedure.outcome.status) == mapping::StatusClass::failure &&
      procedure.outcome.how != Outcome::How::unknown;
  if (!procedure.step || procedure.step->patient_id.empty()) {
    if (auto kept = buffer_->step(mpps)) procedure.step = std::move(kept);
  }
  if (procedure.transaction == Transaction::create && procedure.step && !failed) {
    buffer_->keep_step(mpps, *procedure.step, procedure.time);
  }
  return gateway::to_message(procedure);
}

void AuditTrail::Impl::forget_old_steps() {
  if (Clock::now() < next_forgetting_) return;
  buffer_->forget_steps(std::chrono::system_clock::now() - keep_steps);
  next_forgetting_ = Clock::now() + 1h;
}

void AuditTrail::Impl::tell(bool was_on, bool is_on, const Loss& loss) const {
  if (loss.count > 0) {
    log_(LogLevel::error,
         fmt::format("audit: {} messages are lost: they came faster than they could be written",
                     loss.count));
  }
  if (was_on && !is_on) {
    log_(LogLevel::error, fmt::format("audit: the buffer is full ({} bytes): messages are lost "
                                      "until the collector takes some",
                                      options_.buffer_bytes));
  } else if (!was_on && is_on) {
    log_(LogLevel::warn, "audit: messages are recorded again");
  }
}

// --- The sender ----------------------------------------------------------------------------------

void AuditTrail::Impl::send() {
  std::uint64_t seen = 0;
  auto pause = options_.retry_first;
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      seen = written_;
    }
    const auto batch = next();
    std::unique_lock lock(mutex_, std::defer_lock);
    if (batch.empty()) {
      lock.lock();
      if (all_written_ && written_ == seen) break;
      const auto more = [&] { return written_ != seen || all_written_; };
      if (unreadable_) {
        stored_.wait_for(lock, disk_retry, more);
      } else {
        stored_.wait(lock, more);
      }
      continue;
    }
    if (deliver(batch)) {
      pause = options_.retry_first;
      continue;
    }
    lock.lock();
    if (ends_.wait_for(lock, pause, [this] { return ending_; })) break;
    pause = std::min(2 * pause, options_.retry_max);
  }
  const std::lock_guard lock(mutex_);
  all_sent_ = true;
  ends_.notify_all();
}

std::vector<AuditBuffer::Stored> AuditTrail::Impl::next() try {
  const bool stream = options_.syslog.target.transport == SyslogTarget::Transport::tls;
  auto batch = buffer_->next(last_sent_, stream ? stream_batch : datagram_batch);
  unreadable_ = false;
  return batch;
} catch (const AuditBufferFailure& failure) {
  if (!std::exchange(unreadable_, true)) {
    log_(LogLevel::error, fmt::format("audit: the buffer cannot be read: {}", failure.what()));
  }
  return {};
}

bool AuditTrail::Impl::deliver(const std::vector<AuditBuffer::Stored>& batch) {
  std::vector<std::string_view> messages;
  for (const auto& stored : batch) messages.push_back(stored.message);
  if (const auto failure = sender_->send(messages)) {
    note_down(*failure);
    return false;
  }
  note_up();
  sent_ += batch.size();
  last_sent_ = batch.back().id;
  try {
    buffer_->remove_through(last_sent_);
  } catch (const AuditBufferFailure& failure) {
    // They go with the next ones; nothing is sent twice as long as this process lives.
    log_(LogLevel::warn,
         fmt::format("audit: messages that were sent stay in the buffer: {}", failure.what()));
  }
  return true;
}

void AuditTrail::Impl::note_up() {
  up_ = true;
  if (down_because_.empty()) return;
  down_because_.clear();
  log_(LogLevel::info,
       fmt::format("audit: the collector {} takes messages again", options_.syslog.target.uri()));
}

void AuditTrail::Impl::note_down(const SyslogSender::Failure& failure) {
  up_ = false;
  if (failure.why == down_because_) return;
  down_because_ = failure.why;
  log_(LogLevel::warn,
       fmt::format("audit: the collector {} takes no messages: {}; they wait in state_dir",
                   options_.syslog.target.uri(), failure.why));
  if (!failure.authentication) return;
  AuditedAlert alert;
  alert.type = audit_code::node_authentication;
  alert.description = "The collector of audit messages is refused: " + failure.why;
  alert.reporter = self({});
  alert.node = options_.syslog.target.host;
  alert.time = std::chrono::system_clock::now();
  record(std::move(alert));
}

// -------------------------------------------------------------------------------------------------

AuditTrail::AuditTrail(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AuditTrail::~AuditTrail() = default;

mapping::Result<std::unique_ptr<AuditTrail>> AuditTrail::open(AuditOptions options,
                                                              mapping::Log log) {
  auto buffer = AuditBuffer::open(options.state_dir);
  if (!buffer) return buffer.fault();
  auto impl = std::make_unique<Impl>(std::move(options), std::move(buffer).value(), std::move(log));
  if (auto fault = impl->start()) return *fault;
  return std::unique_ptr<AuditTrail>(new AuditTrail(std::move(impl)));
}

void AuditTrail::record(Event event) { impl_->record(std::move(event)); }

void AuditTrail::record(const mapping::SecurityAlert& alert) {
  using Kind = mapping::SecurityAlert::Kind;
  AuditedAlert audited;
  audited.type = alert.kind == Kind::node_authentication ? audit_code::node_authentication
                                                         : audit_code::restricted_function;
  audited.description = alert.what;
  audited.reporter = self();
  const bool dimse = alert.caller.protocol == mapping::Caller::Protocol::dimse;
  AuditParticipant performer;
  performer.user_id = alert.caller.name.empty() ? alert.caller.address : alert.caller.name;
  if (dimse) performer.ae_title = alert.caller.name;
  performer.access_point = alert.caller.address;
  audited.performer = std::move(performer);
  audited.node = alert.caller.address;
  audited.time = std::chrono::system_clock::now();
  impl_->record(std::move(audited));
}

AuditParticipant AuditTrail::self(const std::string& ae_title) const {
  return impl_->self(ae_title);
}

void AuditTrail::stop() { impl_->stop(); }

AuditTrail::Numbers AuditTrail::numbers() const { return impl_->numbers(); }

}  // namespace gateway
