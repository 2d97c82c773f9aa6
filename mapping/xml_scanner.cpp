#include "mapping/xml_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "mapping/character_set.h"

namespace mapping {
namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Which bytes may stand in a name; any of a character beyond ASCII may. XML, 2.3.
constexpr std::array<bool, 256> make_name_bytes() {
  std::array<bool, 256> allowed{};
  for (std::size_t c = 0; c < 256; ++c) {
    allowed[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '_' || c == ':' || c == '-' || c == '.' || c >= 0x80;
  }
  return allowed;
}
constexpr std::array<bool, 256> name_bytes = make_name_bytes();

constexpr bool starts_name(char c) {
  return name_bytes[static_cast<unsigned char>(c)] && c != '-' && c != '.' && (c < '0' || c > '9');
}

// A character that XML 1.0 may hold. XML, 2.2.
bool is_xml_character(std::uint32_t code) {
  return code == 0x9 || code == 0xA || code == 0xD || (code >= 0x20 && code <= 0xD7FF) ||
         (code >= 0xE000 && code <= 0xFFFD) || (code >= 0x10000 && code <= 0x10FFFF);
}

// A reference at the start of a text: its length (0 if it is none we take) and its character.
struct Reference {
  std::size_t length = 0;
  std::uint32_t code = 0;
};

Reference read_reference(std::string_view text) {
  constexpr std::pair<std::string_view, char> entities[] = {
      {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
  for (const auto& [entity, character] : entities) {
    if (text.starts_with(entity)) return {entity.size(), static_cast<unsigned char>(character)};
  }
  if (!text.starts_with("&#")) return {};
  const bool hexadecimal = text.substr(2).starts_with('x');
  const std::size_t start = hexadecimal ? 3 : 2;
  const std::size_t end = text.substr(0, start + 9).find(';');
  if (end == std::string_view::npos || end == start) return {};
  std::uint32_t code = 0;
  const auto [last, error] =
      std::from_chars(text.data() + start, text.data() + end, code, hexadecimal ? 16 : 10);
  const bool number = error == std::errc() && last == text.data() + end;
  return number && is_xml_character(code) ? Reference{end + 1, code} : Reference{};
}

}  // namespace

void XmlText::resolve(std::string& out) const {
  std::string_view rest = raw;
  while (!rest.empty()) {
    const std::size_t special = resolved ? rest.find('\r') : rest.find_first_of("&\r");
    out.append(rest.substr(0, special));
    if (special == std::string_view::npos) return;
    rest.remove_prefix(special);
    if (rest.front() == '\r') {  // XML, 2.11
      out.push_back('\n');
      rest.remove_prefix(rest.starts_with("\r\n") ? 2 : 1);
      continue;
    }
    const Reference reference = read_reference(rest);  // checked when it was scanned
    append_utf_8(reference.code, out);
    rest.remove_prefix(std::max<std::size_t>(reference.length, 1));
  }
}

XmlScanner::XmlScanner(std::string_view document) : document_(document) {
  if (document_.starts_with("\xEF\xBB\xBF")) document_.remove_prefix(3);
  open_.reserve(16);
  attributes_.reserve(4);
}

XmlScanner::Token XmlScanner::broken(std::string_view expected) {
  if (expected_.empty()) {
    const std::string_view before = document_.substr(0, at_);
    expected_ =
        fmt::format("{}, at line {}", expected, std::count(before.begin(), before.end(), '\n') + 1);
  }
  return Token::broken;
}

void XmlScanner::skip_blanks() {
  while (at_ < document_.size() && is_blank(document_[at_])) ++at_;
}

bool XmlScanner::skip_past(std::string_view end) {
  const std::size_t found = document_.find(end, at_);
  if (found == std::string_view::npos) return false;
  at_ = found + end.size();
  return true;
}

// "--" does not stand in a comment but at its end. XML, 2.5.
bool XmlScanner::skip_comment() {
  at_ += 4;
  return skip_past("--") && at_ < document_.size() && document_[at_++] == '>';
}

XmlScanner::Token XmlScanner::next() {
  if (!expected_.empty()) return Token::broken;
  if (is_empty_) {
    is_empty_ = false;
    open_.pop_back();
    return Token::end;
  }
  if (open_.empty()) return outside_root();
  while (true) {
    if (at_ >= document_.size()) return broken("the end of every element");
    if (document_[at_] != '<') {
      const std::size_t end = std::min(document_.find('<', at_), document_.size());
      text_ = {document_.substr(at_, end - at_), false};
      at_ = end;
      return check_references(text_.raw) ? Token::text : Token::broken;
    }
    const char second = at_ + 1 < document_.size() ? document_[at_ + 1] : '\0';
    if (second == '/') return read_end();
    if (second != '!') return read_start();
    if (starts_with("<![CDATA[")) {
      at_ += 9;
      const std::size_t start = at_;
      if (!skip_past("]]>")) return broken("the end of a CDATA section");
      text_ = {document_.substr(start, at_ - start - 3), true};
      return Token::text;
    }
    if (!starts_with("<!--")) return broken("no declaration within an element");
    if (!skip_comment()) return broken("a comment without -- within");
  }
}

// The prolog, the root's start, and what may follow its end: nothing but comments and blanks.
XmlScanner::Token XmlScanner::outside_root() {
  if (at_ == 0 && starts_with("<?xml") && document_.size() > 5 && is_blank(document_[5]) &&
      !read_declaration()) {
    return Token::broken;
  }
  while (true) {
    skip_blanks();
    if (at_ >= document_.size()) return root_seen_ ? Token::done : broken("a root element");
    if (starts_with("<!--")) {
      if (!skip_comment()) return broken("a comment without -- within");
    } else if (starts_with("<?")) {
      if (starts_with("<?xml ") || !skip_past("?>")) return broken("a processing instruction");
    } else if (starts_with("<!")) {
      return broken("no document type declaration");
    } else if (document_[at_] != '<') {
      return broken("no text outside the root element");
    } else if (root_seen_) {
      return broken("one root element");
    } else {
      root_seen_ = true;
      return read_start();
    }
  }
}

// <?xml version="1.0" encoding="UTF-8"?>: other encodings are refused.
bool XmlScanner::read_declaration() {
  const std::size_t start = at_;
  if (!skip_past("?>")) {
    broken("the end of the XML declaration");
    return false;
  }
  std::string declaration(document_.substr(start, at_ - start));
  std::transform(declaration.begin(), declaration.end(), declaration.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  const std::size_t encoding = declaration.find("encoding");
  if (encoding == std::string::npos || declaration.find("utf-8", encoding) != std::string::npos ||
      declaration.find("us-ascii", encoding) != std::string::npos) {
    return true;
  }
  broken("encoding UTF-8");
  return false;
}

std::string_view XmlScanner::read_name() {
  const std::size_t start = at_;
  if (at_ >= document_.size() || !starts_name(document_[at_])) return {};
  while (at_ < document_.size() && name_bytes[static_cast<unsigned char>(document_[at_])]) ++at_;
  return document_.substr(start, at_ - start);
}

XmlScanner::Token XmlScanner::read_start() {
  ++at_;
  const std::string_view name = read_name();
  if (name.empty()) return broken("the name of an element");
  const std::size_t colon = name.find(':');
  name_ = colon == std::string_view::npos ? name : name.substr(colon + 1);
  if (!read_attributes()) return Token::broken;
  is_empty_ = document_[at_] == '/';
  at_ += is_empty_ ? 2 : 1;
  open_.push_back(name);
  return Token::start;
}

// Up to the "/>" or ">" that ends the tag.
bool XmlScanner::read_attributes() {
  attributes_.clear();
  while (true) {
    const std::size_t before = at_;
    skip_blanks();
    if (starts_with(">") || starts_with("/>")) return true;
    const std::string_view name = before == at_ ? std::string_view() : read_name();
    skip_blanks();
    if (name.empty() || !starts_with("=")) {
      broken("an attribute or the end of a tag");
      return false;
    }
    ++at_;
    skip_blanks();
    const char quote = at_ < document_.size() ? document_[at_] : '\0';
    const std::size_t start = at_ + 1;
    const std::size_t end =
        quote == '"' || quote == '\'' ? document_.find(quote, start) : std::string_view::npos;
    const bool ended = end != std::string_view::npos;
    const std::string_view value =
        ended ? document_.substr(start, end - start) : std::string_view();
    if (!ended || value.find('<') != std::string_view::npos) {
      broken("the value of an attribute in quotes");
      return false;
    }
    if (!check_references(value)) return false;
    at_ = end + 1;
    if (attributes_.size() == max_attributes ||
        std::any_of(attributes_.begin(), attributes_.end(),
                    [&](const Attribute& other) { return other.name == name; })) {
      broken(fmt::format("at most {} attributes, each once", max_attributes));
      return false;
    }
    attributes_.push_back({name, {value, false}});
  }
}

XmlScanner::Token XmlScanner::read_end() {
  at_ += 2;
  const std::string_view name = open_.back();
  if (!starts_with(name)) return broken("the end of the element opened last");
  at_ += name.size();
  skip_blanks();
  if (!starts_with(">")) return broken("the end of the element opened last");
  ++at_;
  open_.pop_back();
  return Token::end;
}

bool XmlScanner::check_references(std::string_view raw) {
  for (std::size_t i = raw.find('&'); i != std::string_view::npos; i = raw.find('&', i + 1)) {
    if (read_reference(raw.substr(i)).length != 0) continue;
    broken("one of the five predefined entities or a character");
    return false;
  }
  return true;
}

bool XmlScanner::skip_element() {
  const std::size_t depth = open_.size();
  while (open_.size() >= depth) {
    if (next() == Token::broken) return false;
  }
  return true;
}

}  // namespace mapping
