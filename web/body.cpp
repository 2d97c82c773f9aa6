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

// A slab for a few results would be waste.
constexpr std::size_t max_text = 256u << 10;

/// Memory for the beginnings of bodies, kept from one to the next: malloc would give it back to the
/// kernel, and getting it again, page by page, costs more than what is written into it.
class Texts {
 public:
  Texts() { texts_.reserve(most); }
  std::string take() {
    std::string text;
    {
      const std::lock_guard lock(mutex_);
      if (!texts_.empty()) {
        text = std::move(texts_.back());
        texts_.pop_back();
      }
    }
    text.reserve(max_text);
    return text;
  }
  void give(std::string&& text) noexcept {
    text.clear();
    const std::lock_guard lock(mutex_);
    if (texts_.size() < most) texts_.push_back(std::move(text));
  }

 private:
  static constexpr std::size_t most = 16;  // 4 MiB
  std::mutex mutex_;
  std::vector<std::string> texts_;  // guarded by mutex_
};

Texts& texts() {
  static Texts instance;
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

  /// The one given last: the likeliest to be in the processor's cache. Null: there is none.
  char* take() {
    const std::lock_guard lock(mutex_);
    if (slabs_.empty()) return nullptr;
    char* const data = slabs_.back();
    slabs_.pop_back();
    unneeded_ = std::min(unneeded_, slabs_.size());
    return data;
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

Slab::Slab() : data_(kept_slabs().take()) {
  if (data_ == nullptr) data_ = map_slab();
}

Slab::~Slab() {
  if (data_ != nullptr) kept_slabs().give(data_);
}

std::size_t Slab::append(std::string_view text) {
  const std::size_t count = std::min(text.size(), capacity - size_);
  std::memcpy(data_ + size_, text.data(), count);
  size_ += count;
  return count;
}

void Body::append(std::string_view text) {
  size_ += text.size();
  if (slabs_.empty() && text_.size() + text.size() <= max_text) {
    if (text_.capacity() < max_text) {
      std::string room = texts().take();
      room += text_;
      text_ = std::move(room);
    }
    text_ += text;
    return;
  }
  while (!text.empty()) {
    if (slabs_.empty() || slabs_.back().text().size() == Slab::capacity) slabs_.emplace_back();
    text.remove_prefix(slabs_.back().append(text));
  }
}

void Body::give_back() noexcept {
  if (text_.capacity() == max_text) texts().give(std::move(text_));
  text_ = std::string();
}

}  // namespace web
