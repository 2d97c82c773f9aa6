#include "web/media_type.h"

#include <algorithm>
#include <charconv>

namespace web {
namespace {

constexpr std::string_view token_specials = "!#$%&'*+-.^_`|~";

bool is_token_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         token_specials.find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

/// Reads along one header value.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool at_end() const { return at_ == text_.size(); }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view token() {
    const std::size_t start = at_;
    while (!at_end() && is_token_character(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  /// A token or a quoted string; nothing if neither stands here. Unquoted blanks end it; a slash
  /// is let through, since some send type=application/dicom+json without quotes (rule B6).
  std::optional<std::string> value() {
    if (take('"')) return quoted();
    const std::size_t start = at_;
    while (!at_end() && (is_token_character(text_[at_]) || text_[at_] == '/')) ++at_;
    if (start == at_) return std::nullopt;
    return std::string(text_.substr(start, at_ - start));
  }

 private:
  std::optional<std::string> quoted() {
    std::string result;
    while (!at_end()) {
      char c = text_[at_++];
      if (c == '"') return result;
      if (c == '\\') {
        if (at_end()) return std::nullopt;
        c = text_[at_++];
      }
      result += c;
    }
    return std::nullopt;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// RFC 9110, 12.4.2: 0 to 1 with up to three decimals. Nothing if it is no such number.
std::optional<double> parse_q(std::string_view text) {
  double q = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), q, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !(q >= 0 && q <= 1)) {
    return std::nullopt;
  }
  return q;
}

/// Splits at commas that do not stand in a quoted string.
std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ',' && !quoted) {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  parts.push_back(text.substr(start));
  return parts;
}

bool charset_fits(const MediaType& type) {
  const std::string charset = lower(type.parameter("charset"));
  return charset.empty() || charset == "utf-8" || charset == "utf8";
}

bool is_json(const MediaType& type) {
  return type.type == "application" && (type.subtype == "dicom+json" || type.subtype == "json") &&
         charset_fits(type);
}

/// How closely a range fits application/dicom+json: 3 the type itself, 2 application/json,
/// 1 application/*, 0 */*; -1 it does not. The more specific range decides. RFC 9110, 12.5.1.
int closeness(const MediaType& range) {
  if (is_json(range)) return range.subtype == "dicom+json" ? 3 : 2;
  if (range.subtype != "*") return -1;
  if (range.type == "application") return 1;
  return range.type == "*" ? 0 : -1;
}

bool any_accepts_dicom_json(const std::vector<MediaType>& ranges) {
  int closest = -1;
  double q = 0;
  for (const MediaType& range : ranges) {
    const int close = closeness(range);
    if (close > closest || (close == closest && close >= 0 && range.q > q)) {
      closest = close;
      q = range.q;
    }
  }
  return closest >= 0 && q > 0;
}

}  // namespace

std::string_view MediaType::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

std::optional<MediaType> parse_media_type(std::string_view text) {
  Reader reader(text);
  reader.skip_blanks();
  MediaType result;
  result.type = lower(reader.token());
  if (result.type.empty() || !reader.take('/')) return std::nullopt;
  result.subtype = lower(reader.token());
  if (result.subtype.empty() || (result.type == "*" && result.subtype != "*")) return std::nullopt;
  for (reader.skip_blanks(); !reader.at_end(); reader.skip_blanks()) {
    if (!reader.take(';')) return std::nullopt;
    reader.skip_blanks();
    if (reader.at_end()) break;  // a last ";" alone is harmless
    const std::string name = lower(reader.token());
    if (name.empty() || !reader.take('=')) return std::nullopt;
    auto value = reader.value();
    if (!value) return std::nullopt;
    if (name == "q") {
      const auto q = parse_q(*value);
      if (!q) return std::nullopt;
      result.q = *q;
    } else {
      result.parameters.emplace_back(name, std::move(*value));
    }
  }
  return result;
}

std::vector<MediaType> parse_accept(std::string_view header) {
  std::vector<MediaType> ranges;
  for (const std::string_view part : split_list(header)) {
    if (auto range = parse_media_type(part)) ranges.push_back(std::move(*range));
  }
  return ranges;
}

bool accepts_dicom_json(const std::optional<std::string>& header,
                        const std::vector<std::string>& parameter) {
  const bool by_header = !header || any_accepts_dicom_json(parse_accept(*header));
  if (parameter.empty()) return by_header;
  std::vector<MediaType> named;
  for (const std::string& type : parameter) {
    if (auto parsed = parse_media_type(type); parsed && parsed->subtype != "*") {
      named.push_back(std::move(*parsed));
    }
  }
  // Nothing but wildcards or nonsense in the parameter: it says nothing (rule B4).
  if (named.empty()) return by_header;
  return by_header && any_accepts_dicom_json(named);
}

bool is_dicom_json(std::string_view content_type) {
  const auto type = parse_media_type(content_type);
  return type && is_json(*type);
}

}  // namespace web
