// Holds the headings of a conformance statement against the outline of PS3.2, Annex N:
// document_outline OUTLINE.csv DOCUMENT.md
// A row of the outline is SECTION,TITLE,CONTENT. SECTION: the number without "N.", or a range
// "1.3.1 – 1.3.5" of sections that have one heading. CONTENT: what stands between this heading and
// the next one: "table", "text", "table and text", "N/A" (the heading ends with " - N/A", and
// nothing else stands there), or empty: only subsections. The document may add sections; numbers
// ascend. Names every fault, and exits 1 if there is any.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Number = std::vector<int>;

constexpr std::string_view dash = " – ", not_applicable = " - N/A";

struct Heading {
  std::string section;  ///< as written: "1.3.6", "1.3.1 – 1.3.5"
  Number first, last;   ///< the same but for a range
  std::string title;    ///< without " - N/A"
  bool applies = true;
  std::size_t level = 0;  ///< count of "#"
  std::string text{};     ///< up to the next heading
};

/// "1.3.6"; nothing if it is no such number.
std::optional<Number> number_of(std::string_view text) {
  Number number(1, 0);
  bool digit = false;
  for (const char c : text) {
    if (c == '.' && digit) {
      number.push_back(0);
      digit = false;
    } else if (c >= '0' && c <= '9') {
      number.back() = 10 * number.back() + (c - '0');
      digit = true;
    } else {
      return std::nullopt;
    }
  }
  return digit ? std::optional(number) : std::nullopt;
}

/// The numbers of "1.3.6 …" or "1.3.1 – 1.3.5 …", and what stands behind; nothing if it begins
/// with none.
std::optional<Heading> heading_of(std::string_view text) {
  Heading heading;
  std::size_t end = std::min(text.find(' '), text.size());
  const auto first = number_of(text.substr(0, end));
  if (!first) return std::nullopt;
  heading.first = heading.last = *first;
  if (text.substr(end).starts_with(dash)) {
    const std::size_t begin = end + dash.size();
    const std::size_t behind = std::min(text.find(' ', begin), text.size());
    if (const auto last = number_of(text.substr(begin, behind - begin))) {
      heading.last = *last;
      end = behind;
    }
  }
  heading.section = text.substr(0, end);
  std::string_view rest = text.substr(end);
  if (rest.ends_with(not_applicable)) {
    heading.applies = false;
    rest.remove_suffix(not_applicable.size());
  }
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  heading.title = rest;
  return heading;
}

/// Those with numbers, with what stands below each. Code blocks have none.
std::vector<Heading> headings_of(std::istream& document) {
  std::vector<Heading> headings;
  bool code = false;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("```")) code = !code;
    const std::size_t level = line.find_first_not_of('#');
    if (!code && level != line.npos && level > 0 && line[level] == ' ') {
      if (auto heading = heading_of(std::string_view(line).substr(level + 1))) {
        heading->level = level;
        headings.push_back(*std::move(heading));
        continue;
      }
    }
    if (!headings.empty()) headings.back().text += line + '\n';
  }
  for (Heading& heading : headings) {
    std::string& text = heading.text;
    text.erase(0, std::min(text.find_first_not_of('\n'), text.size()));
    text.erase(text.find_last_not_of('\n') + 1);
  }
  return headings;
}

struct Expected {
  Heading heading;
  std::string content;
};

/// SECTION,TITLE,CONTENT; a title with a comma stands in quotation marks.
Expected expected_of(const std::string& row) {
  const std::size_t first = row.find(','), last = row.rfind(',');
  std::string title = row.substr(first + 1, last - first - 1);
  if (title.starts_with('"')) title = title.substr(1, title.size() - 2);
  Expected expected{heading_of(row.substr(0, first)).value(), row.substr(last + 1)};
  expected.heading.title = title;
  return expected;
}

/// A heading, a line under it, and at least one row with something in it.
bool has_table(const std::string& text) {
  std::istringstream lines(text);
  std::size_t rows = 0;
  for (std::string line; std::getline(lines, line);) {
    const bool row = line.starts_with('|') && line.find_first_not_of("|-: ") != line.npos;
    const bool rule = line.starts_with('|') && !row;
    if (rule && rows == 1) {
      rows = 2;
    } else if (row && rows == 2) {
      return true;
    } else {
      rows = row ? 1 : 0;
    }
  }
  return false;
}

/// Something beside tables.
bool has_text(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && !line.starts_with('|')) return true;
  }
  return false;
}

/// What is wrong with the section; empty if nothing.
std::string wrong_with(const Heading& heading, const Expected& expected) {
  if (heading.title != expected.heading.title) {
    return fmt::format("expected the title \"{}\"", expected.heading.title);
  }
  const bool applies = expected.content != "N/A";
  if (heading.applies != applies) {
    return applies ? "applies: expected no N/A" : "does not apply: expected - N/A behind it";
  }
  if (!applies) return heading.text == "N/A" ? "" : "does not apply: expected the text N/A";
  const auto wanted = [&](std::string_view kind) {
    return expected.content.find(kind) != std::string::npos;
  };
  if (wanted("table") && !has_table(heading.text)) return "expected a table";
  if (wanted("text") && !has_text(heading.text)) return "expected a text";
  return {};
}

std::vector<std::string> faults_of(const std::vector<Expected>& outline,
                                   const std::vector<Heading>& document) {
  std::vector<std::string> faults;
  const auto fault = [&](const std::string& section, std::string_view what) {
    faults.push_back(fmt::format("section {}: {}", section, what));
  };
  for (std::size_t i = 0; i < document.size(); ++i) {
    const Heading& heading = document[i];
    if (i > 0 && !(document[i - 1].last < heading.first)) {
      fault(heading.section, "expected numbers that ascend");
    }
    if (heading.level != heading.first.size() + 1) {
      fault(heading.section, fmt::format("expected {} #", heading.first.size() + 1));
    }
  }
  for (const Expected& expected : outline) {
    const std::string& section = expected.heading.section;
    const auto found = std::find_if(document.begin(), document.end(),
                                    [&](const Heading& one) { return one.section == section; });
    if (found == document.end()) {
      fault(section, fmt::format("missing, expected \"{}\"", expected.heading.title));
    } else if (const std::string wrong = wrong_with(*found, expected); !wrong.empty()) {
      fault(section, wrong);
    }
  }
  return faults;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::ifstream rows(arguments.at(0)), document(arguments.at(1));
  std::vector<Expected> outline;
  std::string row;
  std::getline(rows, row);  // its heading
  while (std::getline(rows, row)) outline.push_back(expected_of(row));
  const auto faults = faults_of(outline, headings_of(document));
  for (const std::string& fault : faults) std::cerr << arguments[1] << ": " << fault << '\n';
  return outline.empty() || !faults.empty() ? 1 : 0;
}
