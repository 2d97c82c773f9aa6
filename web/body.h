// The body of an answer until it is sent: one text, or slabs of memory straight from the kernel, so
// that a long one is never moved or held twice and costs the same a byte whatever its length. When
// it is sent its slabs serve the next one, or go back to the kernel when none needed them in time.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace web {

/// Two megabytes, aligned so that the kernel may back them by one huge page: page by page, faults
/// would cost more than writing JSON does.
class Slab {
 public:
  static constexpr std::size_t capacity = 2u << 20;
  /// So many at most are kept for later by the whole process (128 MiB), and none of them that
  /// nobody needed for keep_time, give or take as much.
  static constexpr std::size_t most_kept = 64;
  static constexpr std::chrono::milliseconds keep_time{1000};
  /// How many are kept at this moment.
  static std::size_t kept();

  /// Throws std::bad_alloc.
  Slab();
  ~Slab();
  Slab(Slab&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Slab& operator=(Slab&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  /// Copies what there is room for; returns how much.
  std::size_t append(std::string_view text);
  std::string_view text() const { return {data_, size_}; }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

class Body {
 public:
  Body() = default;
  Body(std::string text)  // NOLINT(google-explicit-constructor)
      : text_(std::move(text)), size_(text_.size()) {}
  ~Body() { give_back(); }
  Body(Body&& other) noexcept
      : text_(std::move(other.text_)),
        slabs_(std::move(other.slabs_)),
        size_(std::exchange(other.size_, 0)) {}
  Body& operator=(Body&& other) noexcept {
    std::swap(text_, other.text_);
    std::swap(slabs_, other.slabs_);
    std::swap(size_, other.size_);
    return *this;
  }

  void append(std::string_view text);
  std::size_t size() const { return size_; }

  /// Hands on piece after piece and frees each at once. Nothing is left.
  template <class Take>
  void drain(const Take& take) {
    take(std::string_view(text_));
    give_back();
    for (Slab& slab : slabs_) {
      take(slab.text());
      const Slab gone(std::move(slab));
    }
    slabs_.clear();
    size_ = 0;
  }

  /// What is to be sent, in order. A piece may be empty.
  std::size_t pieces() const { return 1 + slabs_.size(); }
  std::string_view piece(std::size_t index) const {
    return index == 0 ? std::string_view(text_) : slabs_[index - 1].text();
  }

 private:
  void give_back() noexcept;

  std::string text_;  ///< the beginning
  std::vector<Slab> slabs_;
  std::size_t size_ = 0;
};

}  // namespace web
