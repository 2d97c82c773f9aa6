#include "web/body.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

namespace web {

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
  // A slab for a few results would be waste.
  constexpr std::size_t max_text = 256u << 10;
  size_ += text.size();
  if (slabs_.empty() && text_.size() + text.size() <= max_text) {
    text_ += text;
    return;
  }
  while (!text.empty()) {
    if (slabs_.empty() || slabs_.back().text().size() == Slab::capacity) slabs_.emplace_back();
    text.remove_prefix(slabs_.back().append(text));
  }
}

}  // namespace web
