// Asks every backend again and again whether it is there, in the background, so that whoever wants
// to know (readiness, metrics) never waits for a peer. One log line when one goes, one when the
// cause becomes another, one when it is back.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ready_thread.h"
#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

/// A backend that can be asked whether it is there.
struct WatchedBackend {
  std::string name;
  /// answered: it is there; else error_comment says why not. Blocks at most until the deadline.
  std::function<mapping::Outcome(const mapping::Context&)> probe;
  /// What probe uses, held as long as it is asked. Null: that outlives the watch.
  std::shared_ptr<const void> owner{};
};

/// What is known of one.
struct BackendState {
  enum class Is : std::uint8_t { unknown, up, down };
  using Time = std::chrono::sys_time<std::chrono::milliseconds>;
  /// Why it did not answer.
  struct Fault {
    std::string why;  ///< for a person
    mapping::NetworkEvent event = mapping::NetworkEvent::none;
    Time at{};  ///< when it was first seen so
  };
  Is is = Is::unknown;
  std::string why;                  ///< for a person; only when down
  Time since{};                     ///< it is as it is
  std::optional<Fault> last_fault;  ///< of now, when down; or the last before
};

/// With the second in which the status page looks, a backend that says nothing is seen in five.
struct BackendWatchOptions {
  std::chrono::milliseconds interval{1'000};  ///< from the end of one question to the next
  std::chrono::milliseconds patience{2'500};  ///< for one answer
};

/// states is safe from any thread, the rest from one. Asks from threads of its own, one for each
/// backend, so that one that is silent keeps no other waiting.
class BackendWatch {
 public:
  BackendWatch(std::vector<WatchedBackend> backends, BackendWatchOptions options, mapping::Log log);
  ~BackendWatch();  ///< waits for a question that is under way
  BackendWatch(const BackendWatch&) = delete;
  BackendWatch& operator=(const BackendWatch&) = delete;

  /// Asks these from the change on. One with the owner that it had goes on as before; another one
  /// of the same name is as the last one was until it has been asked. Waits for nobody. Throws
  /// std::system_error where there are no threads for them.
  mapping::Change prepare(std::vector<WatchedBackend> backends);

  /// By name.
  std::map<std::string, BackendState> states() const;

 private:
  /// One backend and the thread that asks it.
  struct Watch {
    explicit Watch(WatchedBackend of) : backend(std::move(of)) {}
    WatchedBackend backend;  ///< constant until done
    bool ending = false;     // guarded by mutex_
    bool done = false;       // guarded by mutex_
    ReadyThread thread{};
  };
  /// What a change brings.
  struct Next {
    std::vector<std::string> names;
    std::vector<const Watch*> staying;
    std::list<Watch> coming;
  };

  void change(Next& next);
  void watch(Watch& watch);
  void note(const Watch& watch, const mapping::Outcome& outcome);
  void join_done();

  const BackendWatchOptions options_;
  const mapping::Log log_;
  mutable std::mutex mutex_;
  std::condition_variable ends_;
  std::map<std::string, BackendState> states_;  // guarded by mutex_
  std::list<Watch> watches_;
  std::list<Watch> leaving_;  ///< may have a question under way
};

}  // namespace gateway
