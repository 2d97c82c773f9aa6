// A thread a backend: ask, note, wait.
#include "gateway/backend_watch.h"

#include <fmt/format.h>

#include <utility>

namespace gateway {

using Is = BackendState::Is;

BackendWatch::BackendWatch(std::vector<WatchedBackend> backends, BackendWatchOptions options,
                           mapping::Log log)
    : backends_(std::move(backends)), options_(options), log_(std::move(log)) {
  for (const WatchedBackend& backend : backends_) states_[backend.name];
  for (const WatchedBackend& backend : backends_) {
    threads_.emplace_back([this, &backend] { watch(backend); });
  }
}

BackendWatch::~BackendWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::map<std::string, BackendState> BackendWatch::states() const {
  const std::lock_guard lock(mutex_);
  return states_;
}

void BackendWatch::watch(const WatchedBackend& backend) {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    lock.unlock();
    mapping::Context context;
    context.transaction = "watch";
    context.deadline = std::chrono::steady_clock::now() + options_.patience;
    note(backend.name, backend.probe(context));
    lock.lock();
    ends_.wait_for(lock, options_.interval, [this] { return ending_; });
  }
}

void BackendWatch::note(const std::string& name, const mapping::Outcome& outcome) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const Is is = outcome.how == mapping::Outcome::How::answered ? Is::up : Is::down;
  const std::string why = outcome.error_comment.empty() ? "no answer" : outcome.error_comment;
  Is before = Is::unknown;
  bool news = false;  // down for a reason that was not told yet
  {
    const std::lock_guard lock(mutex_);
    BackendState& state = states_[name];
    // All that it or we allow are in use: others ask it now, so it is as it was.
    const bool busy = outcome.event == mapping::NetworkEvent::busy ||
                      outcome.event == mapping::NetworkEvent::rejected_transient;
    if (busy && state.is == Is::up) return;
    before = std::exchange(state.is, is);
    if (before != is) state.since = now;
    news = is == Is::down && (before != is || state.last_fault->why != why);
    state.why = is == Is::down ? why : std::string();
    if (news) state.last_fault = BackendState::Fault{why, outcome.event, now};
  }
  if (news) {
    log_(mapping::LogLevel::warn, fmt::format("backend {} does not answer: {}", name, why));
  } else if (is == Is::up && before == Is::down) {
    log_(mapping::LogLevel::info, fmt::format("backend {} answers again", name));
  }
}

}  // namespace gateway
