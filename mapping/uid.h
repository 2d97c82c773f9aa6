// A valid DICOM unique identifier. PS3.5, 9.1. Registered UIDs stand in mapping/uids.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mapping {

/// 1 to 64 characters, digits and dots, no empty component, no component with a leading zero.
/// Immutable once made; only parse and generate make one.
class Uid {
 public:
  static std::optional<Uid> parse(std::string_view text);
  /// 2.25. followed by a random UUID as a decimal integer. PS3.5, B.2. Safe from any thread.
  static Uid generate();

  const std::string& text() const { return text_; }
  bool operator==(const Uid&) const = default;

 private:
  explicit Uid(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace mapping
