#include "web/warning_header.h"

#include <algorithm>
#include <charconv>

namespace web {

std::string warning_text(std::string_view value) {
  const std::size_t quote = value.find('"');
  if (quote != std::string_view::npos) {
    std::string text;
    for (std::size_t i = quote + 1; i < value.size() && value[i] != '"'; ++i) {
      if (value[i] == '\\' && i + 1 < value.size()) ++i;
      text += value[i];
    }
    return text;
  }
  // The service is a URI: its colons are not followed by a blank.
  const std::size_t end_of_service = value.find(": ");
  return std::string(end_of_service == std::string_view::npos ? value
                                                              : value.substr(end_of_service + 2));
}

std::optional<std::uint64_t> remaining_results(std::string_view warning_text) {
  constexpr std::string_view before = "There are ";
  constexpr std::string_view after = " additional results";
  const std::size_t at = warning_text.find(before);
  if (at == std::string_view::npos) return std::nullopt;
  warning_text.remove_prefix(at + before.size());
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(warning_text.data(), warning_text.data() + warning_text.size(), number);
  warning_text.remove_prefix(static_cast<std::size_t>(end - warning_text.data()));
  if (error != std::errc() || !warning_text.starts_with(after)) return std::nullopt;
  return number;
}

std::vector<mapping::Tag> attributes_named(std::string_view warning_text) {
  constexpr std::string_view end_of_sentence = ". ";
  constexpr std::string_view comma = ", ";
  const std::size_t sentence = warning_text.rfind(end_of_sentence);
  if (sentence == std::string_view::npos) return {};
  warning_text.remove_prefix(sentence + end_of_sentence.size());
  std::vector<mapping::Tag> tags;
  while (!warning_text.empty()) {
    const std::size_t end = std::min(warning_text.find(comma), warning_text.size());
    mapping::Tag tag;
    if (!mapping::parse_tag(warning_text.substr(0, end), tag)) return {};
    tags.push_back(tag);
    warning_text.remove_prefix(std::min(end + comma.size(), warning_text.size()));
  }
  return tags;
}

}  // namespace web
