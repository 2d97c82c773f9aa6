// The recorder and the buffer stay from the first collector on; senders come and go.
#include "gateway/audit_trail.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <utility>

#include "gateway/audit_buffer.h"
#include "gateway/audit_sender.h"

namespace gateway {
namespace {

using namespace std::chrono_literals;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

AuditParticipant this_process() {
  AuditParticipant self;
  self.user_id = std::to_string(::getpid());
  self.name = "modgate";
  self.access_point = host_name();
  return self;
}

}  // namespace

class AuditTrail::Impl {
 public:
  explicit Impl(mapping::Log log) : log_(std::move(log)) {}
  ~Impl() { stop(); }

  mapping::Result<mapping::Change> prepare(std::optional<AuditOptions> options);
  bool on() const { return on_; }
  void record(AuditEvent event) noexcept {
    if (on_) recorder_->record(std::move(event));
  }
  const AuditParticipant& self() const { return self_; }
  void stop();
  std::optional<Numbers> numbers() const;

 private:
  /// What a change brings.
  struct Next {
    AuditOptions options;
    std::unique_ptr<AuditBuffer> buffer;      ///< null: there is one
    std::unique_ptr<AuditRecorder> recorder;  ///< of buffer
    std::unique_ptr<AuditSender> sender;      ///< null: the one that is there goes on
  };

  mapping::Result<std::unique_ptr<AuditSender>> sender_for(const AuditOptions& options,
                                                           AuditBuffer& buffer);
  void turn_on(Next& next);
  void turn_off();
  void begin_sending(std::unique_ptr<AuditSender> sender);
  void end_sending(std::chrono::milliseconds grace);
  void wake_sender() {
    const std::lock_guard lock(mutex_);
    if (sender_) sender_->wake();
  }

  const mapping::Log log_;
  const AuditParticipant self_ = this_process();
  AuditOptions options_;  ///< of the thread that changes; the last ones while it is off

  mutable std::mutex mutex_;
  std::unique_ptr<AuditSender> sender_;  // guarded by mutex_, as the next; null: there is none now
  std::uint64_t sent_before_ = 0;        // by those that have ended

  // Constant as soon as on_ has been true.
  std::unique_ptr<AuditBuffer> buffer_;
  std::unique_ptr<AuditRecorder> recorder_;
  std::atomic<bool> on_{false};
};

mapping::Result<std::unique_ptr<AuditSender>> AuditTrail::Impl::sender_for(
    const AuditOptions& options, AuditBuffer& buffer) {
  const auto refused = [this, host = options.syslog.target.host](const std::string& why) {
    AuditedAlert alert = own_alert(audit_code::node_authentication,
                                   "The collector of audit messages is refused: " + why, self_);
    alert.outcome = 4;
    alert.node = host;
    record(std::move(alert));
  };
  auto sender = AuditSender::make({options.syslog, options.retry_first, options.retry_max}, buffer,
                                  refused, log_);
  if (sender) return sender;
  mapping::Fault fault = sender.fault();
  fault.what = "[audit] " + fault.what;
  return fault;
}

mapping::Result<mapping::Change> AuditTrail::Impl::prepare(std::optional<AuditOptions> options) {
  if (!options) {
    return mapping::Change([this] {
      if (on_) turn_off();
    });
  }
  const auto next = std::make_shared<Next>();
  next->options = *std::move(options);
  if (next->options.rules.source.id.empty()) next->options.rules.source.id = self_.access_point;
  if (!buffer_) {
    auto opened = AuditBuffer::open(next->options.state_dir);
    if (!opened) return opened.fault();
    next->buffer = std::move(opened).value();
    next->recorder = std::make_unique<AuditRecorder>(
        *next->buffer, next->options.rules, self_, [this] { wake_sender(); }, log_);
  }
  const bool same = on_ && next->options.syslog == options_.syslog &&
                    next->options.tls_files == options_.tls_files;
  if (!same) {
    auto sender = sender_for(next->options, buffer_ ? *buffer_ : *next->buffer);
    if (!sender) return sender.fault();
    next->sender = std::move(sender).value();
  }
  return mapping::Change([this, next] { turn_on(*next); });
}

void AuditTrail::Impl::turn_on(Next& next) {
  options_ = std::move(next.options);
  if (next.buffer) {
    buffer_ = std::move(next.buffer);
    recorder_ = std::move(next.recorder);
  } else {
    recorder_->change(options_.rules);
  }
  on_ = true;
  if (!next.sender) return;
  end_sending(0ms);
  begin_sending(std::move(next.sender));
}

void AuditTrail::Impl::turn_off() {
  on_ = false;
  recorder_->settle(options_.last_words);
  end_sending(options_.last_words);
}

void AuditTrail::Impl::begin_sending(std::unique_ptr<AuditSender> sender) {
  AuditSender& next = *sender;
  {
    const std::lock_guard lock(mutex_);
    sender_ = std::move(sender);
  }
  next.start();  // whatever is written from here on wakes it
}

void AuditTrail::Impl::end_sending(std::chrono::milliseconds grace) {
  AuditSender* const sender = [this] {
    const std::lock_guard lock(mutex_);
    return sender_.get();
  }();
  if (sender == nullptr) return;
  sender->stop(grace);
  std::unique_ptr<AuditSender> ended;
  const std::lock_guard lock(mutex_);
  sent_before_ += sender->sent();
  ended = std::move(sender_);
}

void AuditTrail::Impl::stop() {
  if (!recorder_) return;
  recorder_->stop();
  end_sending(options_.last_words);
}

std::optional<AuditTrail::Numbers> AuditTrail::Impl::numbers() const {
  if (!on_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  Numbers numbers{sent_before_, buffer_->count(), recorder_->lost(), true};
  if (!sender_) return numbers;
  numbers.sent += sender_->sent();
  numbers.up = sender_->up();
  return numbers;
}

// -------------------------------------------------------------------------------------------------

AuditTrail::AuditTrail(mapping::Log log) : impl_(std::make_unique<Impl>(std::move(log))) {}
AuditTrail::~AuditTrail() = default;

mapping::Result<mapping::Change> AuditTrail::prepare(std::optional<AuditOptions> options) {
  return impl_->prepare(std::move(options));
}

bool AuditTrail::on() const { return impl_->on(); }

void AuditTrail::record(AuditEvent event) { impl_->record(std::move(event)); }

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

void AuditTrail::record_own(const AuditCode& type, std::string what) {
  impl_->record(own_alert(type, std::move(what), impl_->self()));
}

AuditParticipant AuditTrail::self(const std::string& ae_title) const {
  AuditParticipant self = impl_->self();
  self.ae_title = ae_title;
  return self;
}

void AuditTrail::stop() { impl_->stop(); }

std::optional<AuditTrail::Numbers> AuditTrail::numbers() const { return impl_->numbers(); }

}  // namespace gateway
