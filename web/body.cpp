#include "web/body.h"

#include <sys/mman.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace web {
namespace {

/// Small slabs, kept from one body to the next: malloc would give them back to the kernel, and
/// getting them again, page by page, costs more than what is written into them.
class KeptSmallSlabs {
 public:
  KeptSmallSlabs() { slabs_.reserve(most); }
  ~KeptSmallSlabs() {
    for (char* data : slabs_) delete[] data;
  }
  KeptSmallSlabs(const KeptSmallSlabs&) = delete;
  KeptSmallSlabs& operator=(const KeptSmallSlabs&) = delete;

  char* take() {
    {
      const std::lock_guard lock(mutex_);
      if (!slabs_.empty()) {
        char* const data = slabs_.back();
        slabs_.pop_back();
        return data;
      }
    }
    return new char[Slab::small_capacity];
  }
  void give(char* data) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (slabs_.size() < most) {
        slabs_.push_back(data);
        return;
      }
    }
    delete[] data;
  }

 private:
  static constexpr std::size_t most = 16;  // 4 MiB
  std::mutex mutex_;
  std::vector<char*> slabs_;  // guarded by mutex_
};

KeptSmallSlabs& kept_small_slabs() {
  static KeptSmallSlabs instance;
  return instance;
}

/// Throws std::bad_alloc.
char* map_slab() {
  // Twice as much, to cut an aligned half out of it.
  void* mapped = ::mmap(nullptr, 2 * Slab::capacity, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  char* const start = static_cast<char*>(mapped);
  const std::size_t before =
      (Slab::capacity - reinterpret_cast<std::uintptr_t>(start) % Slab::capacity) % Slab::capacity;
  char* const data = start + before;
  if (before > 0) ::munmap(start, before);
  ::munmap(data + Slab::capacity, Slab::capacity - before);
  ::madvise(data, Slab::capacity, MADV_HUGEPAGE);  // where there are none, pages do
  return data;
}

void unmap_slab(char* data) noexcept { ::munmap(data, Slab::capacity); }

/// Slabs from one body to the next: the kernel clears every page it gives, which for many long
/// bodies at once takes longer than writing them. What nobody needed from one look of a thread of
/// its own to the next goes back.
class KeptSlabs {
 public:
  KeptSlabs() { slabs_.reserve(Slab::most_kept); }
  ~KeptSlabs() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    kept_or_ending_.notify_one();
    if (trimmer_.joinable()) trimmer_.join();
    for (char* data : slabs_) unmap_slab(data);
  }
  KeptSlabs(const KeptSlabs&) = delete;
  KeptSlabs& operator=(const KeptSlabs&) = delete;

  /// The one given last: the likeliest to be in the processor's cache.
  char* take() {
    {
      const std::lock_guard lock(mutex_);
      if (!slabs_.empty()) {
        char* const data = slabs_.back();
        slabs_.pop_back();
        unneeded_ = std::min(unneeded_, slabs_.size());
        return data;
      }
    }
    return map_slab();
  }
  void give(char* data) noexcept {
    const std::lock_guard lock(mutex_);
    if (slabs_.size() == Slab::most_kept || !trims()) {
      unmap_slab(data);
      return;
    }
    slabs_.push_back(data);
    if (resting_) kept_or_ending_.notify_one();
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return slabs_.size();
  }

 private:
  /// Starts the thread, with the lock held. False: there is none.
  bool trims() noexcept {
    if (trimmer_.joinable()) return true;
    try {
      trimmer_ = std::thread([this] { trim(); });
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }
  void trim() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      resting_ = slabs_.empty();
      if (resting_) {
        kept_or_ending_.wait(lock, [this] { return ending_ || !slabs_.empty(); });
        resting_ = false;
      }
      unneeded_ = slabs_.size();
      kept_or_ending_.wait_for(lock, Slab::keep_time, [this] { return ending_; });
      while (unneeded_ > 0 && !slabs_.empty()) {
        --unneeded_;
        char* const data = slabs_.front();
        slabs_.erase(slabs_.begin());
        lock.unlock();  // takes its time, and an answer is not to wait for it
        unmap_slab(data);
        lock.lock();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable kept_or_ending_;
  std::vector<char*> slabs_;  // guarded by mutex_, as what follows
  std::size_t unneeded_ = 0;  ///< the fewest that were left since the last look
  bool resting_ = false;      ///< the thread waits for the first one to be kept
  bool ending_ = false;
  std::thread trimmer_;
};

KeptSlabs& kept_slabs() {
  static KeptSlabs instance;
  return instance;
}

}  // namespace

std::size_t Slab::kept() { return kept_slabs().size(); }

Slab::Slab(Size size)
    : data_(size == Size::large ? kept_slabs().take() : kept_small_slabs().take()),
      capacity_(size == Size::large ? capacity : small_capacity) {}

Slab::~Slab() {
  if (data_ == nullptr) return;
  if (capacity_ == capacity) {
    kept_slabs().give(data_);
  } else {
    kept_small_slabs().give(data_);
  }
}

void Body::append(std::string_view text) {
  while (!text.empty()) {
    const std::span<char> to = room();
    const std::size_t count = std::min(text.size(), to.size());
    std::memcpy(to.data(), text.data(), count);
    commit(count);
    text.remove_prefix(count);
  }
}

std::span<char> Body::room() {
  if (slabs_.empty()) {
    slabs_.emplace_back(Slab::Size::small);
  } else if (slabs_.back().room().empty()) {
    slabs_.emplace_back(Slab::Size::large);
  }
  return slabs_.back().room();
}

void Body::commit(std::size_t count) {
  slabs_.back().commit(count);
  size_ += count;
}

std::string_view Body::piece(std::size_t index) const {
  const std::string_view text = index == 0 ? std::string_view(text_) : slabs_[index - 1].text();
  return index == (text_.empty() ? 1 : 0) ? text.substr(consumed_) : text;
}

void Body::consume(std::size_t count) {
  size_ -= count;
  consumed_ += count;
  if (consumed_ < text_.size()) return;
  consumed_ -= text_.size();
  text_ = std::string();
  while (!slabs_.empty() && consumed_ >= slabs_.front().text().size()) {
    consumed_ -= slabs_.front().text().size();
    slabs_.erase(slabs_.begin());
  }
}

}  // namespace web
