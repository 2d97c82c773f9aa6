// One loop: the next messages, an attempt, a pause if it failed.
#include "gateway/audit_sender.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "dimse/descriptor.h"
#include "gateway/ready_thread.h"

namespace gateway {
namespace {

using mapping::LogLevel;
using namespace std::chrono_literals;

/// A batch, by transport: datagrams go out in small groups, so that a collector that was away can
/// take what has piled up.
constexpr std::size_t stream_batch = 256, datagram_batch = 32;
constexpr auto disk_retry = 1s;

}  // namespace

class AuditSender::Impl {
 public:
  Impl(AuditSenderOptions options, AuditBuffer& buffer, OnRefused on_refused, mapping::Log log)
      : options_(std::move(options)),
        buffer_(buffer),
        on_refused_(std::move(on_refused)),
        log_(std::move(log)),
        cut_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Impl() { stop(0ms); }

  /// Fault: as AuditSender::make.
  std::optional<mapping::Fault> connect_by();
  void start() {
    thread_.begin([this] { run(); });
  }
  void wake() {
    const std::lock_guard lock(mutex_);
    ++written_;
    changed_.notify_all();
  }
  void stop(std::chrono::milliseconds grace);
  std::uint64_t sent() const { return sent_; }
  bool up() const { return up_; }

 private:
  void run();
  std::vector<AuditBuffer::Stored> next();
  bool deliver(const std::vector<AuditBuffer::Stored>& batch);
  void note_up();
  void note_down(const SyslogSender::Failure& failure);

  const AuditSenderOptions options_;
  AuditBuffer& buffer_;
  const OnRefused on_refused_;
  const mapping::Log log_;
  const dimse::Descriptor cut_;  ///< readable once waiting for the collector has to end

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t written_ = 0;  // batches; guarded by mutex_, as the next
  bool ending_ = false, finished_ = false;

  // The thread's own.
  std::unique_ptr<SyslogSender> syslog_;
  std::int64_t last_sent_ = 0;
  std::string down_because_;
  bool unreadable_ = false, unremovable_ = false;

  std::atomic<std::uint64_t> sent_{0};
  std::atomic<bool> up_{true}, cutting_{false};
  ReadyThread thread_;
};

std::optional<mapping::Fault> AuditSender::Impl::connect_by() {
  auto syslog = SyslogSender::make(options_.syslog, cut_.get());
  if (!syslog) return syslog.fault();
  syslog_ = std::move(syslog).value();
  return std::nullopt;
}

void AuditSender::Impl::stop(std::chrono::milliseconds grace) {
  if (!thread_.working()) return;
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, grace, [this] { return finished_; });
  }
  cutting_ = true;
  const std::uint64_t one = 1;
  if (::write(cut_.get(), &one, sizeof one) < 0) {
    // The counter is full, so it is readable already.
  }
  thread_.join();
}

void AuditSender::Impl::run() {
  std::uint64_t seen = 0;
  auto pause = options_.retry_first;
  while (!cutting_) {
    {
      const std::lock_guard lock(mutex_);
      seen = written_;
    }
    const auto batch = next();
    std::unique_lock lock(mutex_, std::defer_lock);
    if (batch.empty()) {
      lock.lock();
      if (ending_ && written_ == seen) break;
      const auto more = [&] { return written_ != seen || ending_; };
      if (unreadable_) {
        changed_.wait_for(lock, disk_retry, more);
      } else {
        changed_.wait(lock, more);
      }
      continue;
    }
    if (deliver(batch)) {
      pause = options_.retry_first;
      continue;
    }
    lock.lock();
    if (changed_.wait_for(lock, pause, [this] { return ending_; })) break;
    pause = std::min(2 * pause, options_.retry_max);
  }
  const std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

std::vector<AuditBuffer::Stored> AuditSender::Impl::next() try {
  const bool stream = options_.syslog.target.transport == SyslogTarget::Transport::tls;
  auto batch = buffer_.next(last_sent_, stream ? stream_batch : datagram_batch);
  unreadable_ = false;
  return batch;
} catch (const std::exception& failure) {  // of the buffer, or there is no memory
  if (!std::exchange(unreadable_, true)) {
    log_(LogLevel::error, fmt::format("audit: the buffer cannot be read: {}", failure.what()));
  }
  return {};
}

bool AuditSender::Impl::deliver(const std::vector<AuditBuffer::Stored>& batch) try {
  std::vector<std::string_view> messages;
  for (const auto& stored : batch) messages.push_back(stored.message);
  if (const auto failure = syslog_->send(messages)) {
    if (!cutting_) note_down(*failure);
    return false;
  }
  note_up();
  sent_ += batch.size();
  last_sent_ = batch.back().id;
  try {
    buffer_.remove_through(last_sent_);
    unremovable_ = false;
  } catch (const AuditBufferFailure& failure) {
    // They go with the next ones; nothing is sent twice as long as this sender works.
    if (!std::exchange(unremovable_, true)) {
      log_(LogLevel::warn,
           fmt::format("audit: messages that were sent stay in the buffer: {}", failure.what()));
    }
  }
  return true;
} catch (const std::exception& failure) {  // no memory
  note_down({failure.what(), false});
  return false;
}

void AuditSender::Impl::note_up() {
  up_ = true;
  if (down_because_.empty()) return;
  down_because_.clear();
  log_(LogLevel::info,
       fmt::format("audit: the collector {} takes messages again", options_.syslog.target.uri()));
}

void AuditSender::Impl::note_down(const SyslogSender::Failure& failure) {
  up_ = false;
  if (failure.why == down_because_) return;
  down_because_ = failure.why;
  log_(LogLevel::warn,
       fmt::format("audit: the collector {} takes no messages: {}; they wait in state_dir",
                   options_.syslog.target.uri(), failure.why));
  if (failure.authentication) on_refused_(failure.why);
}

// -------------------------------------------------------------------------------------------------

AuditSender::AuditSender(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AuditSender::~AuditSender() = default;

mapping::Result<std::unique_ptr<AuditSender>> AuditSender::make(AuditSenderOptions options,
                                                                AuditBuffer& buffer,
                                                                OnRefused on_refused,
                                                                mapping::Log log) {
  auto impl =
      std::make_unique<Impl>(std::move(options), buffer, std::move(on_refused), std::move(log));
  if (auto fault = impl->connect_by()) return *fault;
  return std::unique_ptr<AuditSender>(new AuditSender(std::move(impl)));
}

void AuditSender::start() { impl_->start(); }

void AuditSender::wake() { impl_->wake(); }

void AuditSender::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

std::uint64_t AuditSender::sent() const { return impl_->sent(); }

bool AuditSender::up() const { return impl_->up(); }

}  // namespace gateway
