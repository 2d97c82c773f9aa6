// The body of an answer until it is sent: one text, or slabs of memory straight from the kernel, so
// that a long one is never moved or held twice and costs the same a byte whatever its length. A
// slab that is sent serves the next answer, or goes back to the kernel when none needed it in time.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace web {

/// Two megabytes, aligned so that the kernel may back them by one huge page: page by page, faults
/// would cost more than writing JSON does. Or a small one: for a few results that would be waste.
class Slab {
 public:
  static constexpr std::size_t capacity = 2u << 20;
  static constexpr std::size_t small_capacity = 256u << 10;
  /// So many at most are kept for later by the whole process (128 MiB), and none of them that
  /// nobody needed for keep_time, give or take as much.
  static constexpr std::size_t most_kept = 64;
  static constexpr std::chrono::milliseconds keep_time{1000};
  /// How many are kept at this moment, small ones aside.
  static std::size_t kept();

  enum class Size : bool { small, large };
  /// Throws std::bad_alloc.
  explicit Slab(Size size);
  ~Slab();
  Slab(Slab&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        capacity_(other.capacity_),
        used_(std::exchange(other.used_, 0)) {}
  Slab& operator=(Slab&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(used_, other.used_);
    return *this;
  }

  std::string_view text() const { return {data_, used_}; }
  /// Where more of it goes, and that so much was put there.
  std::span<char> room() const { return {data_ + used_, capacity_ - used_}; }
  void commit(std::size_t count) { used_ += count; }

 private:
  char* data_;
  std::size_t capacity_;
  std::size_t used_ = 0;
};

class Body {
 public:
  Body() = default;
  Body(std::string text)  // NOLINT(google-explicit-constructor)
      : text_(std::move(text)), size_(text_.size()) {}
  Body(Body&& other) noexcept
      : text_(std::move(other.text_)),
        slabs_(std::move(other.slabs_)),
        consumed_(std::exchange(other.consumed_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  Body& operator=(Body&& other) noexcept {
    std::swap(text_, other.text_);
    std::swap(slabs_, other.slabs_);
    std::swap(consumed_, other.consumed_);
    std::swap(size_, other.size_);
    return *this;
  }

  void append(std::string_view text);
  /// Where something may be put instead of appending it, at least one byte; and that so much was.
  std::span<char> room();
  void commit(std::size_t count);

  std::size_t size() const { return size_; }

  /// What is to be sent, in order. A piece may be empty.
  std::size_t pieces() const { return 1 + slabs_.size(); }
  std::string_view piece(std::size_t index) const;
  /// The first piece that is not empty; only of a body that is not.
  std::string_view front() const { return piece(text_.empty() ? 1 : 0); }
  /// Takes so many bytes away from the front, and gives back each piece of which none is left.
  void consume(std::size_t count);

 private:
  std::string text_;  ///< the beginning
  std::vector<Slab> slabs_;
  std::size_t consumed_ = 0;  ///< of the first piece that is not empty
  std::size_t size_ = 0;
};

}  // namespace web
