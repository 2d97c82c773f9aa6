// Each line is given to inih by itself, under its section's heading: so every broken line is found,
// with its number, and a line that starts with a blank is an entry like any other.
#include "gateway/ini_file.h"

#include <fmt/format.h>
#include <ini.h>

#include <algorithm>

namespace gateway {
namespace {

// Debian's inih cuts lines at 200 bytes and reads on as if a new line began.
constexpr std::size_t max_line = 198;

struct ParsedLine {
  bool entry = false;
  std::string key;
  std::string value;
};

int take_entry(void* line, const char*, const char* name, const char* value) {
  auto& parsed = *static_cast<ParsedLine*>(line);
  parsed = {true, name, value};
  return 1;
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

class IniReader {
 public:
  IniReader(const Environment& environment, std::vector<ConfigFault>& faults)
      : environment_(environment), faults_(faults) {}

  void read_line(std::string_view raw) {
    ++line_;
    if (raw.size() > max_line) {
      return fail("", fmt::format("line is too long, at most {} bytes are allowed", max_line));
    }
    if (raw.find('\0') != std::string_view::npos) return fail("", "line holds a NUL byte");
    const std::string_view text = trim(raw);
    if (text.starts_with('[')) return read_heading(std::string(text));
    ParsedLine parsed;
    if (ini_parse_string(std::string(text).c_str(), take_entry, &parsed) != 0) {
      return fail("", "expected [section], key = value, or a comment that starts with ;");
    }
    if (parsed.entry) add(std::move(parsed));
  }

  std::vector<IniSection> take() { return std::move(sections_); }

 private:
  void fail(std::string key, std::string what) {
    faults_.push_back(
        {line_, in_section_ ? sections_.back().title() : "", std::move(key), std::move(what)});
  }

  void read_heading(const std::string& text) {
    ParsedLine unused;
    const std::size_t end = text.find(']');
    const std::string_view behind = end == std::string::npos
                                        ? std::string_view()
                                        : trim(std::string_view(text).substr(end + 1));
    if (ini_parse_string(text.c_str(), take_entry, &unused) != 0 ||
        (!behind.empty() && !behind.starts_with(';') && !behind.starts_with('#'))) {
      in_section_ = false;
      return fail("", "expected a section heading such as [dimse] or [backend ris]");
    }
    const std::string_view title = trim(std::string_view(text).substr(1, end - 1));
    const std::size_t blank = std::min(title.find_first_of(" \t"), title.size());
    IniSection section{
        line_, std::string(title.substr(0, blank)), std::string(trim(title.substr(blank))), {}};
    const auto same = [&](const IniSection& other) { return other.title() == section.title(); };
    const auto first = std::find_if(sections_.begin(), sections_.end(), same);
    in_section_ = true;
    if (first != sections_.end()) {
      faults_.push_back({line_, section.title(), "",
                         fmt::format("section stands twice, first in line {}", first->line)});
    }
    sections_.push_back(std::move(section));
  }

  void add(ParsedLine parsed) {
    if (!in_section_) return fail(std::move(parsed.key), "stands in no section");
    std::vector<IniEntry>& entries = sections_.back().entries;
    const auto same = [&](const IniEntry& other) { return other.key == parsed.key; };
    const auto first = std::find_if(entries.begin(), entries.end(), same);
    if (first != entries.end()) {
      return fail(std::move(parsed.key),
                  fmt::format("key stands twice, first in line {}", first->line));
    }
    auto value = replace_variables(parsed.key, parsed.value);
    if (value) entries.push_back({line_, std::move(parsed.key), *std::move(value)});
  }

  // ${NAME} from the environment, once: what comes from there is not looked through again.
  std::optional<std::string> replace_variables(const std::string& key, std::string_view value) {
    std::string replaced;
    for (std::size_t at = value.find("${"); at != std::string_view::npos; at = value.find("${")) {
      const std::size_t end = value.find('}', at);
      if (end == std::string_view::npos) {
        fail(key, "${ is not closed by }");
        return std::nullopt;
      }
      const std::string name(value.substr(at + 2, end - at - 2));
      const auto variable = environment_(name);
      if (!variable) {
        fail(key, fmt::format("environment variable {} is not set", name));
        return std::nullopt;
      }
      replaced.append(value.substr(0, at)).append(*variable);
      value.remove_prefix(end + 1);
    }
    return replaced.append(value);
  }

  const Environment& environment_;
  std::vector<ConfigFault>& faults_;
  std::vector<IniSection> sections_;
  bool in_section_ = false;
  int line_ = 0;
};

}  // namespace

std::string to_string(const ConfigFault& fault, std::string_view file) {
  std::string text(file);
  if (fault.line > 0) text += fmt::format(":{}", fault.line);
  text += ':';
  if (!fault.section.empty()) text += fmt::format(" [{}]", fault.section);
  if (!fault.key.empty()) text += fmt::format(" {}:", fault.key);
  return text + " " + fault.what;
}

std::vector<IniSection> read_ini(std::string_view text, const Environment& environment,
                                 std::vector<ConfigFault>& faults) {
  IniReader reader(environment, faults);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    reader.read_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return reader.take();
}

}  // namespace gateway
