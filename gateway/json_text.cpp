#include "gateway/json_text.h"

#include "mapping/character_set.h"

namespace gateway {

std::string printable(std::string_view text) {
  const bool utf_8 = mapping::is_utf_8(text);
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf_8) ? '?' : c;
  }
  return result;
}

std::string json_text(std::string_view text) {
  std::string result;
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

}  // namespace gateway
