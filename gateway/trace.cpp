#include "gateway/trace.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

namespace gateway {
namespace {

std::string utc(std::chrono::system_clock::time_point time, bool for_file) {
  const auto parts = fmt::gmtime(std::chrono::system_clock::to_time_t(time));
  return for_file ? fmt::format("{:%Y%m%dT%H%M%SZ}", parts)
                  : fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

/// Letters and digits stay; an AE title may hold what a path must not.
std::string for_path(std::string_view name) {
  std::string text;
  for (const char c : name) {
    text += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' ? c : '-';
  }
  return text;
}

std::string system_text(int error) { return std::generic_category().message(error); }

}  // namespace

mapping::Result<std::unique_ptr<Trace>> Trace::start(const std::filesystem::path& directory,
                                                     TraceOptions options, mapping::Log log) {
  const auto now = std::chrono::system_clock::now();
  const auto file =
      directory / fmt::format("trace-{}-{}.jsonl", for_path(options.name), utc(now, true));
  const int descriptor =
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) {
    return mapping::Fault{
        mapping::Fault::Kind::invalid_value,
        fmt::format("--trace cannot write {}: {}", file.string(), system_text(errno))};
  }
  ::fchmod(descriptor, 0600);  // whatever the umask is
  log(mapping::LogLevel::warn,
      fmt::format("trace of \"{}\" until {}: patient data are written to {}", options.name,
                  utc(now + options.duration, false), file.string()));
  return std::unique_ptr<Trace>(new Trace(file, descriptor, std::move(options), std::move(log)));
}

Trace::Trace(std::filesystem::path file, int descriptor, TraceOptions options, mapping::Log log)
    : file_(std::move(file)),
      descriptor_(descriptor),
      options_(std::move(options)),
      log_(std::move(log)),
      thread_([this] { work(); }) {}

Trace::~Trace() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
  ::close(descriptor_);
}

bool Trace::follows(const mapping::Caller& caller) const {
  return on_.load(std::memory_order_relaxed) &&
         (caller.name == options_.name || caller.address == options_.name);
}

void Trace::write(std::string line) {
  if (!on_.load(std::memory_order_relaxed)) return;
  line += '\n';
  {
    const std::lock_guard lock(mutex_);
    if (overrun_) return;
    overrun_ = waiting_bytes_ + line.size() > options_.most_waiting_bytes;
    if (!overrun_) {
      waiting_bytes_ += line.size();
      waiting_.push_back(std::move(line));
    }
  }
  changed_.notify_one();
}

void Trace::end(std::string_view why, mapping::LogLevel level) {
  on_.store(false, std::memory_order_relaxed);
  log_(level, fmt::format("trace of \"{}\" ended, {}: {} lines in {}", options_.name, why, lines_,
                          file_.string()));
}

void Trace::work() {
  // A file that may not grow is an error of the write, not the end of the process.
  sigset_t too_large;
  sigemptyset(&too_large);
  sigaddset(&too_large, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &too_large, nullptr);
  const auto deadline = std::chrono::steady_clock::now() + options_.duration;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto awake = [this] { return ending_ || overrun_ || !waiting_.empty(); };
    const bool in_time = changed_.wait_until(lock, deadline, awake);
    if (std::chrono::steady_clock::now() >= deadline) on_ = false;  // what waits is still written
    if (!waiting_.empty()) {
      const std::string line = std::move(waiting_.front());
      waiting_.pop_front();
      waiting_bytes_ -= line.size();
      lock.unlock();
      const std::string fault = write_out(line);
      if (!fault.empty()) return end(fault, mapping::LogLevel::error);
      lock.lock();
    } else if (overrun_) {
      return end("more comes than the disk takes", mapping::LogLevel::error);
    } else if (ending_) {
      return end("the gateway stops", mapping::LogLevel::info);
    } else if (!in_time) {
      return end("its time is over", mapping::LogLevel::info);
    }
  }
}

/// Why the line is not in the file; empty if it is. No half a line is left.
std::string Trace::write_out(const std::string& line) {
  struct statvfs disk {};
  if (::fstatvfs(descriptor_, &disk) == 0 &&
      disk.f_bavail * disk.f_frsize < options_.leave_free_bytes + line.size()) {
    return fmt::format("less than {} MiB of the disk are free", options_.leave_free_bytes >> 20);
  }
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const std::string why = system_text(errno);
      if (::ftruncate(descriptor_, static_cast<off_t>(bytes_)) != 0) return why + ", in mid line";
      return why;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  ++lines_;
  bytes_ += line.size();
  return {};
}

}  // namespace gateway
