// A thread that is there before it has anything to do, so that a change that needs one cannot fail
// for want of it any more.
#pragma once

#include <functional>
#include <future>
#include <thread>
#include <utility>

namespace gateway {

/// Used from one thread.
class ReadyThread {
 public:
  /// Throws std::system_error where no thread can be had.
  ReadyThread()
      : thread_([begun = work_.get_future()]() mutable {
          if (const auto work = begun.get()) work();
        }) {}
  /// Joins; without work there is nothing to wait for.
  ~ReadyThread() {
    if (!begun_) begin({});
    join();
  }
  ReadyThread(const ReadyThread&) = delete;
  ReadyThread& operator=(const ReadyThread&) = delete;

  /// Once, before join.
  void begin(std::function<void()> work) {
    begun_ = true;
    work_.set_value(std::move(work));
  }
  /// Whether there is work that nobody has waited for yet.
  bool working() const { return begun_ && thread_.joinable(); }
  /// Returns when the work is done.
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  bool begun_ = false;
  std::promise<std::function<void()>> work_;
  std::thread thread_;
};

}  // namespace gateway
