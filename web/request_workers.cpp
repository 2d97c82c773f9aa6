#include "web/request_workers.h"

#include <algorithm>
#include <utility>

namespace web {

void RequestWorkers::start(std::size_t workers, std::size_t most_apart) {
  most_apart_ = most_apart;
  for (std::size_t i = 0; i < std::max<std::size_t>(workers, 1); ++i) {
    threads_.emplace_back([this] { work(line_); });
    if (most_apart_ > 0) threads_.emplace_back([this] { work(apart_); });
  }
}

bool RequestWorkers::give(const ConnectionPointer& connection, bool apart) {
  Line& line = apart ? apart_ : line_;
  {
    const std::lock_guard lock(mutex_);
    if (apart && line.queue.size() >= most_apart_) return false;
    connection->received = Connection::Clock::now();
    connection->running.store(true, std::memory_order_release);
    line.queue.push_back(connection);
  }
  line.arrived.notify_one();
  return true;
}

void RequestWorkers::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  line_.arrived.notify_all();
  apart_.arrived.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void RequestWorkers::work(Line& line) {
  while (const ConnectionPointer connection = next(line)) answer_(connection);
}

ConnectionPointer RequestWorkers::next(Line& line) {
  std::unique_lock lock(mutex_);
  line.arrived.wait(lock, [&] { return !line.queue.empty() || ending_; });
  if (line.queue.empty()) return nullptr;
  ConnectionPointer connection = std::move(line.queue.front());
  line.queue.pop_front();
  return connection;
}

}  // namespace web
