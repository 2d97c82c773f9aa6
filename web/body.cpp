#include "web/body.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>

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

}  // namespace

Slab::Slab() {
  // Twice as much, to cut an aligned half out of it.
  void* mapped =
      ::mmap(nullptr, 2 * capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  char* const start = static_cast<char*>(mapped);
  const std::size_t before =
      (capacity - reinterpret_cast<std::uintptr_t>(start) % capacity) % capacity;
  data_ = start + before;
  if (before > 0) ::munmap(start, before);
  ::munmap(data_ + capacity, capacity - before);
  ::madvise(data_, capacity, MADV_HUGEPAGE);  // where there are none, pages do
}

Slab::~Slab() {
  if (data_ != nullptr) ::munmap(data_, capacity);
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
