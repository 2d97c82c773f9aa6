// What a reader of foreign input returns: the value, or one fault that says what was expected and
// where. Exceptions are not used for bad input.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "mapping/tag.h"

namespace mapping {

/// Why input was refused. Holds no patient data: it names places and expectations, never values.
struct Fault {
  enum class Kind {
    malformed,      ///< the form is broken: no JSON, truncated element, unknown parameter syntax
    invalid_value,  ///< the form is right, a value is not what its VR or the rule allows
    character_set,  ///< a Specific Character Set that is unknown, or text that does not fit it
    too_large,      ///< a limit on size or depth was reached
  };
  Kind kind = Kind::malformed;
  std::string what;               ///< one sentence, in English, without a full stop
  std::vector<Tag> attributes{};  ///< the top-level attributes at fault, where known
};

/// A T or the Fault that kept it from existing. Check ok() before value().
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Fault fault) : state_(std::move(fault)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const T& value() const& { return std::get<0>(state_); }
  T& value() & { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  const Fault& fault() const { return std::get<1>(state_); }

 private:
  std::variant<T, Fault> state_;
};

}  // namespace mapping
