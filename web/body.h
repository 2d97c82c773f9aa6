// The body of an answer while it grows and until it is sent: pieces, so that a long one is never
// moved or held twice as one growing string would be.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace web {

class Body {
 public:
  Body() = default;
  Body(std::string text) { push(std::move(text)); }  // NOLINT(google-explicit-constructor)

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// In order; none is empty.
  const std::vector<std::string>& pieces() const { return pieces_; }

  void push(std::string piece) {
    if (piece.empty()) return;
    size_ += piece.size();
    pieces_.push_back(std::move(piece));
  }

 private:
  std::vector<std::string> pieces_;
  std::size_t size_ = 0;
};

}  // namespace web
