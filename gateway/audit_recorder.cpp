// recorded → pending (memory) → buffer (disk). What is pending is bounded, and so is the buffer.
#include "gateway/audit_recorder.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/syslog_sender.h"

namespace gateway {
namespace {

using Clock = std::chrono::steady_clock;
using mapping::LogLevel;
using mapping::Outcome;
using mapping::Transaction;
using namespace std::chrono_literals;

/// Written down at a time.
constexpr std::size_t write_batch = 256;
/// What is pending may hold this much of queries.
constexpr std::size_t max_pending_bytes = 64u << 20;
constexpr auto disk_retry = 1s;
constexpr std::chrono::hours keep_steps{24 * 30};
/// A full buffer has to empty by a tenth before anything is recorded again: not a message here and
/// a message there.
constexpr std::uint64_t resume_tenths = 9;

std::size_t size_of(const AuditEvent& event) {
  const auto* query = std::get_if<AuditedQuery>(&event);
  return query == nullptr ? 0 : query->search.identifier.bytes().size();
}

}  // namespace

AuditedAlert own_alert(const AuditCode& type, std::string what, const AuditParticipant& self) {
  AuditedAlert alert;
  alert.type = type;
  alert.outcome = 0;
  alert.description = std::move(what);
  alert.reporter = self;
  alert.node = self.access_point;
  alert.time = std::chrono::system_clock::now();
  return alert;
}

class AuditRecorder::Impl {
 public:
  Impl(AuditBuffer& buffer, AuditRules rules, AuditParticipant self,
       std::function<void()> on_written, mapping::Log log)
      : buffer_(buffer),
        self_(std::move(self)),
        on_written_(std::move(on_written)),
        log_(std::move(log)),
        rules_(std::move(rules)),
        thread_([this] { write(); }) {}
  ~Impl() { stop(); }

  void record(AuditEvent event) noexcept;
  void change(AuditRules rules) {
    const std::lock_guard lock(mutex_);
    rules_ = std::move(rules);
  }
  void settle(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    idle_.wait_for(lock, time, [this] { return pending_.empty() && !writing_; });
  }
  void stop();
  std::uint64_t lost() const { return lost_; }

 private:
  /// Whether messages are recorded, as the thread knows it.
  struct Recording {
    bool on = true;
    std::uint64_t lost = 0;  ///< since it stopped
  };
  struct Loss {
    std::uint64_t count = 0;
    AuditTime since;
  };

  void write();
  bool write_down(const std::vector<AuditEvent>& events, const Loss& loss);
  void write_down(const AuditEvent& event, Recording& recording, std::uint64_t& added);
  void append(const AuditMessage& message, std::uint64_t& added);
  std::string to_syslog(const AuditMessage& message) const;
  AuditMessage to_message(const AuditEvent& event);
  AuditMessage recording_alert(bool on, const Recording& recording, AuditTime time) const;
  void forget_old_steps();
  void tell(bool was_on, bool is_on, const Loss& loss) const;

  AuditBuffer& buffer_;
  const AuditParticipant self_;
  const std::function<void()> on_written_;
  const mapping::Log log_;

  std::mutex mutex_;
  std::condition_variable arrived_, idle_, ends_;
  AuditRules rules_;  // guarded by mutex_, as the next
  std::deque<AuditEvent> pending_;
  std::size_t pending_bytes_ = 0;  // of queries
  Loss loss_;                      // of what found no room in pending_
  bool writing_ = false;           // what was taken out of pending_
  bool ending_ = false;

  // The thread's own.
  AuditRules current_;  // for what is being written
  Recording recording_;
  bool disk_failed_ = false;
  Clock::time_point next_forgetting_ = Clock::now();

  std::atomic<std::uint64_t> lost_{0};
  std::thread thread_;  // last: it uses what stands above
};

void AuditRecorder::Impl::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  arrived_.notify_all();
  ends_.notify_all();
  thread_.join();
}

void AuditRecorder::Impl::record(AuditEvent event) noexcept try {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = size_of(event);
    if (pending_.size() >= rules_.max_pending || pending_bytes_ + bytes > max_pending_bytes) {
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

void AuditRecorder::Impl::write() {
  std::vector<AuditEvent> events;
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
    current_ = rules_;
    writing_ = true;
    lock.unlock();
    bool last_attempt = false;
    while (!write_down(events, loss)) {
      if (last_attempt) {
        lock.lock();
        lost_ += events.size() + pending_.size();
        return;  // the disk takes nothing, and we stop
      }
      lock.lock();
      last_attempt = ends_.wait_for(lock, disk_retry, [this] { return ending_; });
      lock.unlock();
    }
    lock.lock();
    writing_ = false;
    if (pending_.empty()) idle_.notify_all();
    lock.unlock();
    on_written_();
  }
}

/// False: nothing is written, and all of it is to be tried again.
bool AuditRecorder::Impl::write_down(const std::vector<AuditEvent>& events, const Loss& loss) try {
  Recording recording = recording_;
  std::uint64_t added = 0, dropped = 0;
  buffer_.transaction([&] {
    recording = recording_;
    added = 0;
    if (loss.count > 0) {
      if (recording.on) append(recording_alert(false, recording, loss.since), added);
      recording.on = false;
      recording.lost += loss.count;
    }
    for (const AuditEvent& event : events) {
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
} catch (const std::exception& failure) {  // of the buffer, or there is no memory
  if (!std::exchange(disk_failed_, true)) {
    log_(LogLevel::error,
         fmt::format("audit: messages cannot be written down: {}", failure.what()));
  }
  return false;
}

void AuditRecorder::Impl::write_down(const AuditEvent& event, Recording& recording,
                                     std::uint64_t& added) {
  // Also of an event whose message finds no room: what it says of a step is kept.
  const std::string message = to_syslog(to_message(event));
  const std::uint64_t most =
      recording.on ? current_.buffer_bytes : current_.buffer_bytes / 10 * resume_tenths;
  if (buffer_.bytes() + added + message.size() > most) {
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
  buffer_.append(message);
  added += message.size();
}

void AuditRecorder::Impl::append(const AuditMessage& message, std::uint64_t& added) {
  const std::string text = to_syslog(message);
  buffer_.append(text);
  added += text.size();
}

std::string AuditRecorder::Impl::to_syslog(const AuditMessage& message) const {
  return gateway::to_syslog({self_.access_point, "modgate", self_.user_id, to_text(message.time)},
                            to_xml(message, current_.source));
}

AuditMessage AuditRecorder::Impl::recording_alert(bool on, const Recording& recording,
                                                  AuditTime time) const {
  AuditedAlert alert =
      on ? own_alert(audit_code::recording_started,
                     fmt::format("Audit messages are recorded again; {} were lost", recording.lost),
                     self_)
         : own_alert(audit_code::recording_stopped,
                     "No room for audit messages: further ones are lost", self_);
  if (!on) alert.outcome = 12;
  alert.time = time;
  return gateway::to_message(alert);
}

/// Completes what one transaction does not know from what another one said. Inside a transaction
/// of the buffer.
AuditMessage AuditRecorder::Impl::to_message(const AuditEvent& event) {
  if (const auto* activity = std::get_if<AuditActivity>(&event)) {
    AuditParticipant self = self_;
    self.ae_title = activity->ae_title;
    return application_activity(activity->start, std::move(self), std::nullopt, activity->time);
  }
  if (const auto* query = std::get_if<AuditedQuery>(&event)) return gateway::to_message(*query);
  if (const auto* alert = std::get_if<AuditedAlert>(&event)) return gateway::to_message(*alert);
  AuditedProcedure procedure = std::get<AuditedProcedure>(event);
  const std::string& mpps = procedure.mpps.text();
  const bool failed =
      mapping::classify(procedure.outcome.status) == mapping::StatusClass::failure &&
      procedure.outcome.how != Outcome::How::unknown;
  if (!procedure.step || procedure.step->patient_id.empty()) {
    if (auto kept = buffer_.step(mpps)) procedure.step = std::move(kept);
  }
  if (procedure.transaction == Transaction::create && procedure.step && !failed) {
    buffer_.keep_step(mpps, *procedure.step, procedure.time);
  }
  return gateway::to_message(procedure);
}

void AuditRecorder::Impl::forget_old_steps() {
  if (Clock::now() < next_forgetting_) return;
  buffer_.forget_steps(std::chrono::system_clock::now() - keep_steps);
  next_forgetting_ = Clock::now() + 1h;
}

void AuditRecorder::Impl::tell(bool was_on, bool is_on, const Loss& loss) const {
  if (loss.count > 0) {
    log_(LogLevel::error,
         fmt::format("audit: {} messages are lost: they came faster than they could be written",
                     loss.count));
  }
  if (was_on && !is_on) {
    log_(LogLevel::error, fmt::format("audit: the buffer is full ({} bytes): messages are lost "
                                      "until the collector takes some",
                                      current_.buffer_bytes));
  } else if (!was_on && is_on) {
    log_(LogLevel::warn, "audit: messages are recorded again");
  }
}

// -------------------------------------------------------------------------------------------------

AuditRecorder::AuditRecorder(AuditBuffer& buffer, AuditRules rules, AuditParticipant self,
                             std::function<void()> on_written, mapping::Log log)
    : impl_(std::make_unique<Impl>(buffer, std::move(rules), std::move(self), std::move(on_written),
                                   std::move(log))) {}

AuditRecorder::~AuditRecorder() = default;

void AuditRecorder::record(AuditEvent event) noexcept { impl_->record(std::move(event)); }

void AuditRecorder::change(AuditRules rules) { impl_->change(std::move(rules)); }

void AuditRecorder::settle(std::chrono::milliseconds time) { impl_->settle(time); }

void AuditRecorder::stop() { impl_->stop(); }

std::uint64_t AuditRecorder::lost() const { return impl_->lost(); }

}  // namespace gateway
