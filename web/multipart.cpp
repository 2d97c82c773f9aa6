#include "web/multipart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <random>

namespace web {
namespace {

mapping::Fault malformed(std::string_view what) {
  return {mapping::Fault::Kind::malformed, std::string(what)};
}

/// Cuts the next line off, without its end.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool names_content_type(std::string_view header) {
  constexpr std::string_view name = "content-type:";
  return header.size() >= name.size() &&
         std::equal(name.begin(), name.end(), header.begin(), [](char a, char b) {
           return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
         });
}

/// A part as it stands between two boundary lines.
Part read_part(std::string_view text) {
  Part part;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (line.empty()) break;
    if (names_content_type(line)) part.content_type = line.substr(line.find(':') + 1);
  }
  part.content = text;
  return part;
}

/// Where the next line begins that starts with the delimiter.
std::size_t find_delimiter(std::string_view body, std::string_view delimiter, std::size_t from) {
  std::size_t at = body.find(delimiter, from);
  while (at != std::string_view::npos && at > 0 && body[at - 1] != '\n') {
    at = body.find(delimiter, at + 1);
  }
  return at;
}

}  // namespace

std::string new_boundary() {
  std::random_device bits;
  return fmt::format("modgate-{:08x}{:08x}{:08x}{:08x}", bits(), bits(), bits(), bits());
}

void append_part(std::string_view boundary, std::string_view content_type, std::string_view content,
                 std::string& out) {
  fmt::format_to(std::back_inserter(out), "--{}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
                 boundary, content_type, content.size());
  out.append(content).append("\r\n");
}

void append_last_boundary(std::string_view boundary, std::string& out) {
  out.append("--").append(boundary).append("--\r\n");
}

mapping::Result<bool> read_multipart(std::string_view body, std::string_view boundary,
                                     const std::function<bool(const Part&)>& on_part) {
  if (boundary.empty() || boundary.size() > 70) {
    return malformed("The boundary has 1 to 70 characters");
  }
  const std::string delimiter = "--" + std::string(boundary);
  std::size_t at = find_delimiter(body, delimiter, 0);
  if (at == std::string_view::npos) return malformed("The boundary does not stand in the body");
  while (true) {
    std::string_view rest = body.substr(at + delimiter.size());
    if (rest.starts_with("--")) return true;
    if (take_line(rest).find_first_not_of(" \t") != std::string_view::npos) {
      return malformed("The boundary is followed by something else on its line");
    }
    const std::size_t start = body.size() - rest.size();
    // The delimiter may follow at once: an empty part. So the search begins at the line's end.
    at = find_delimiter(body, delimiter, start);
    if (at == std::string_view::npos) return malformed("The last part has no end");
    std::string_view part = body.substr(start, at - start);
    if (part.ends_with('\n')) part.remove_suffix(1);
    if (part.ends_with('\r')) part.remove_suffix(1);
    if (!on_part(read_part(part))) return true;
  }
}

}  // namespace web
