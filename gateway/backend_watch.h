// Asks every backend again and again whether it is there, in the background, so that whoever wants
// to know (readiness, metrics) never waits for a peer. One log line when one goes, one when the
// cause becomes another, one when it is back.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

/// A backend that can be asked whether it is there.
struct WatchedBackend {
  std::string name;
  /// answered: it is there; else error_comment says why not. Blocks at most until the deadline.
  std::function<mapping::Outcome(const mapping::Context&)> probe;
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

struct BackendWatchOptions {
  std::chrono::milliseconds interval{1'500};  ///< from the end of one question to the next
  std::chrono::milliseconds patience{3'000};  ///< for one answer
};

/// Safe from any thread. Asks from threads of its own, one for each backend, so that one that is
/// silent keeps no other waiting.
class BackendWatch {
 public:
  /// What probe uses outlives this.
  BackendWatch(std::vector<WatchedBackend> backends, BackendWatchOptions options, mapping::Log log);
  ~BackendWatch();  ///< waits for a question that is under way
  BackendWatch(const BackendWatch&) = delete;
  BackendWatch& operator=(const BackendWatch&) = delete;

  /// By name.
  std::map<std::string, BackendState> states() const;

 private:
  void watch(const WatchedBackend& backend);
  void note(const std::string& name, const mapping::Outcome& outcome);

  const std::vector<WatchedBackend> backends_;
  const BackendWatchOptions options_;
  const mapping::Log log_;
  mutable std::mutex mutex_;
  std::condition_variable ends_;
  bool ending_ = false;                         // guarded by mutex_
  std::map<std::string, BackendState> states_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace gateway
