// The threads that answer whole requests, and the lines in which requests wait for them. What takes
// long before it is known whether it is anybody's waits in a line apart, for threads of its own, so
// that it holds nobody else up. Knows no HTTP.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "web/connection.h"

namespace web {

/// Started and stopped by one thread; give from any.
class RequestWorkers {
 public:
  /// Runs on a worker; throws nothing.
  using Answer = std::function<void(const ConnectionPointer&)>;

  explicit RequestWorkers(Answer answer) : answer_(std::move(answer)) {}
  ~RequestWorkers() { stop(); }
  RequestWorkers(const RequestWorkers&) = delete;
  RequestWorkers& operator=(const RequestWorkers&) = delete;

  /// workers: for each line, at least one. most_apart: may wait in the line apart; 0 = there is no
  /// such line.
  void start(std::size_t workers, std::size_t most_apart);
  /// Gives a connection whose request is whole to a worker, who owns it from now on: it is running.
  /// False: too many wait apart, and it is still the caller's.
  bool give(const ConnectionPointer& connection, bool apart);
  /// Returns when all that waits is answered.
  void stop();

 private:
  struct Line {
    std::condition_variable arrived;
    std::deque<ConnectionPointer> queue;  // guarded by mutex_
  };
  void work(Line& line);
  ConnectionPointer next(Line& line);

  const Answer answer_;
  std::size_t most_apart_ = 0;  // constant after start
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  Line line_;
  Line apart_;
  bool ending_ = false;  // guarded by mutex_
};

}  // namespace web
