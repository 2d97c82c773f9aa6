// Binary numbers of a value field ⇄ their text, as JSON and XML write them. PS3.5, 6.2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mapping/vr.h"

namespace mapping {

/// Appends one number of a number VR (AT: eight hexadecimal digits) to a value field. False if the
/// text is no number in the range of the VR, or not finite; value_field is then untouched.
bool append_number(Vr vr, std::string_view text, std::string& value_field);

/// Characters of the longest text of a number.
inline constexpr std::size_t max_number_text = 32;

/// Writes the text of the number at this place of a value field, the shortest that reads back, to
/// where there is room for max_number_text. Returns its end; null if the number is not finite.
char* write_number_text(Vr vr, const char* number, char* to);

/// Characters of the longest Decimal String.
inline constexpr std::size_t max_decimal_string = 16;

/// Rounds a decimal number to as many digits as a Decimal String has room for. False if it is no
/// finite number; rounded is then untouched.
bool round_decimal(std::string_view number, std::string& rounded);

/// Bytes of one number in a value field: as VrFacts::unit, but 4 for AT.
std::size_t number_width(Vr vr);

/// An integer whose text other readers may hold in a double without loss: up to 2^53. rule D8
bool exact_as_double(Vr vr, const char* number);

}  // namespace mapping
