// Ends what nobody needs any more on a thread of its own, since that may have to wait for a peer:
// whoever was the last to need it is answering somebody else.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace gateway {

/// Safe from any thread.
class Disposal {
 public:
  Disposal();
  ~Disposal();  ///< returns when everything that was let go has been ended
  Disposal(const Disposal&) = delete;
  Disposal& operator=(const Disposal&) = delete;

  /// Shared from now on; ended here after the last holder has let go. This outlives the holders.
  template <class T>
  std::shared_ptr<T> share(std::unique_ptr<T> thing) {
    return std::shared_ptr<T>(thing.release(), [this](T* gone) { end([gone] { delete gone; }); });
  }

 private:
  void end(std::function<void()> ending);
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> endings_;  // guarded by mutex_
  bool closing_ = false;                       // guarded by mutex_
  std::thread thread_;
};

}  // namespace gateway
