// A thread a backend: ask, note, wait.
#include "gateway/backend_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace gateway {

using Is = BackendState::Is;

BackendWatch::BackendWatch(std::vector<WatchedBackend> backends, BackendWatchOptions options,
                           mapping::Log log)
    : options_(options), log_(std::move(log)) {
  prepare(std::move(backends))();
}

BackendWatch::~BackendWatch() {
  prepare({})();
  leaving_.clear();
}

mapping::Change BackendWatch::prepare(std::vector<WatchedBackend> backends) {
  join_done();
  auto next = std::make_shared<Next>();
  for (WatchedBackend& backend : backends) {
    next->names.push_back(backend.name);
    const auto same = std::find_if(watches_.begin(), watches_.end(), [&](const Watch& watch) {
      return watch.backend.name == backend.name && watch.backend.owner == backend.owner;
    });
    if (same != watches_.end()) {
      next->staying.push_back(&*same);
    } else {
      next->coming.emplace_back(std::move(backend));
    }
  }
  return [this, next] { change(*next); };
}

void BackendWatch::change(Next& next) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, BackendState> states;
  for (const std::string& name : next.names) states[name] = states_[name];
  states_ = std::move(states);
  for (auto watch = watches_.begin(); watch != watches_.end();) {
    const auto one = watch++;
    const auto& staying = next.staying;
    if (std::find(staying.begin(), staying.end(), &*one) != staying.end()) continue;
    one->ending = true;
    leaving_.splice(leaving_.end(), watches_, one);
  }
  for (Watch& added : next.coming) {
    added.thread.begin([this, &added] { watch(added); });
  }
  watches_.splice(watches_.end(), next.coming);
  ends_.notify_all();
}

void BackendWatch::join_done() {
  std::list<Watch> gone;
  {
    const std::lock_guard lock(mutex_);
    for (auto watch = leaving_.begin(); watch != leaving_.end();) {
      const auto next = std::next(watch);
      if (watch->done) gone.splice(gone.end(), leaving_, watch);
      watch = next;
    }
  }
}  // the threads of those that are gone are joined

std::map<std::string, BackendState> BackendWatch::states() const {
  const std::lock_guard lock(mutex_);
  return states_;
}

void BackendWatch::watch(Watch& watch) {
  std::unique_lock lock(mutex_);
  while (!watch.ending) {
    lock.unlock();
    mapping::Context context;
    context.transaction = "watch";
    context.deadline = std::chrono::steady_clock::now() + options_.patience;
    note(watch, watch.backend.probe(context));
    lock.lock();
    ends_.wait_for(lock, options_.interval, [&] { return watch.ending; });
  }
  watch.done = true;
  WatchedBackend gone;
  std::swap(gone, watch.backend);  // its owner goes now, and not under the lock
  lock.unlock();
}

void BackendWatch::note(const Watch& watch, const mapping::Outcome& outcome) {
  const std::string& name = watch.backend.name;
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const Is is = outcome.how == mapping::Outcome::How::answered ? Is::up : Is::down;
  const std::string why = outcome.error_comment.empty() ? "no answer" : outcome.error_comment;
  Is before = Is::unknown;
  bool news = false;  // down for a reason that was not told yet
  {
    const std::lock_guard lock(mutex_);
    if (watch.ending) return;
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
