// Many threads, one transaction: whoever comes first carries out and commits what has gathered
// meanwhile. With one caller there is no second thread and no waiting for others.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

namespace gateway {

/// Safe from any thread. Work runs one after the other, never two at a time.
class GroupCommit {
 public:
  using Work = std::function<void()>;
  /// transaction(run_all): begins, calls run_all, commits; throws, and undoes all, if anything
  /// fails.
  explicit GroupCommit(std::function<void(const Work& run_all)> transaction)
      : transaction_(std::move(transaction)) {}

  /// Returns when work was done and committed. Throws what its transaction threw: then none of the
  /// work that was gathered for it has happened. Work may run in another caller's thread.
  void run(const Work& work);

 private:
  struct Waiting {
    const Work* work = nullptr;
    std::condition_variable changed{};
    bool done = false;
    bool leads = false;
    std::exception_ptr failure{};
  };

  const std::function<void(const Work&)> transaction_;
  std::mutex mutex_;
  bool led_ = false;  ///< somebody carries out a group
  std::vector<Waiting*> gathered_;
};

}  // namespace gateway
