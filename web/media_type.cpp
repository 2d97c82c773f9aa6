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

/// How closely a range fits a form: 3 its very type, 2 a name that counts as it, 1 application/* or
/// multipart/*, 0 */*; -1 it does not.
int closeness(const MediaType& range, ResultForm form) {
  if (range.subtype == "*") {
    if (range.type == "*") return 0;
    return range.type == (is_multipart(form) ? "multipart" : "application") ? 1 : -1;
  }
  const std::string_view model = model_of(form) == Model::json ? "dicom+json" : "dicom+xml";
  if (!is_multipart(form)) {
    if (range.type != "application" || !charset_fits(range)) return -1;
    if (range.subtype == model) return 3;
    return range.subtype == "json" && form == ResultForm::json ? 2 : -1;
  }
  if (range.type != "multipart" || range.subtype != "related") return -1;
  const std::string parts = lower(range.parameter("type"));
  if (parts.empty()) return 2;
  return parts.starts_with("application/") && parts.substr(12) == model ? 3 : -1;
}

/// The same for a type that has but its name.
int closeness(const MediaType& range, std::string_view type) {
  const std::string name = range.type + "/" + range.subtype;
  if (name == type) return 3;
  if (range.subtype != "*") return -1;
  if (range.type == "*") return 0;
  return type.starts_with(range.type + "/") ? 1 : -1;
}

/// What a list of ranges says of one form. The more specific range decides. RFC 9110, 12.5.1.
struct Preference {
  double q = 0;  ///< 0 = not acceptable
  int closeness = -1;
  std::size_t place = 0;  ///< in the list

  bool better_than(const Preference& other) const {
    if (q != other.q) return q > other.q;
    const bool named = closeness >= 2;
    const bool other_named = other.closeness >= 2;
    return named != other_named ? named : named && place < other.place;
  }
};

template <class Form>
Preference preference(const std::vector<MediaType>& ranges, Form form) {
  Preference best;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const int close = closeness(ranges[i], form);
    const bool same = close == best.closeness && close >= 0 && ranges[i].q > best.q;
    if (close > best.closeness || same) best = {ranges[i].q, close, i};
  }
  return best;
}

/// The best of the offered forms that both lists accept, as the first list has it.
template <class Form>
std::optional<Form> choose(const std::vector<MediaType>& ranges,
                           const std::vector<MediaType>& covered_by,
                           std::span<const Form> offered) {
  std::optional<Form> chosen;
  Preference best;
  for (const Form form : offered) {
    const Preference its = preference(ranges, form);
    if (its.q <= 0 || preference(covered_by, form).q <= 0) continue;
    if (chosen && !its.better_than(best)) continue;
    chosen = form;
    best = its;
  }
  return chosen;
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

std::string_view to_text(ResultForm form) {
  switch (form) {
    case ResultForm::json:
      return dicom_json;
    case ResultForm::xml:
      return dicom_xml;
    case ResultForm::multipart_json:
      return R"(multipart/related; type="application/dicom+json")";
    case ResultForm::multipart_xml:
      break;
  }
  return R"(multipart/related; type="application/dicom+xml")";
}

std::string to_text(std::span<const ResultForm> forms) {
  std::string text;
  for (const ResultForm form : forms) (text += text.empty() ? "" : ", ") += to_text(form);
  return text;
}

std::optional<ResultForm> choose_form(const std::optional<std::string>& header,
                                      const std::vector<std::string>& parameter,
                                      std::span<const ResultForm> offered) {
  const std::vector<MediaType> ranges = parse_accept(header ? *header : "*/*");
  std::vector<MediaType> named;  // wildcards have no place in the parameter
  for (const std::string& type : parameter) {
    auto parsed = parse_media_type(type);
    if (parsed && parsed->subtype != "*") named.push_back(std::move(*parsed));
  }
  const auto by_parameter = choose(named, ranges, offered);
  return by_parameter ? by_parameter : choose(ranges, ranges, offered);
}

std::optional<std::string_view> choose_type(const std::optional<std::string>& header,
                                            std::span<const std::string_view> offered) {
  const std::vector<MediaType> ranges = parse_accept(header ? *header : "*/*");
  return choose(ranges, ranges, offered);
}

namespace {
/// What a list of names and weights, as in Accept-Charset, says of one name and of all others.
struct Weights {
  std::optional<double> by_name;
  std::optional<double> by_wildcard;
};

template <class IsName>
Weights weights(std::string_view header, const IsName& is_name) {
  Weights result;
  for (const std::string_view part : split_list(header)) {
    // As a media range, since the grammar of names and weights is the same.
    const auto range = parse_media_type(
        "name/" + std::string(part.substr(std::min(part.find_first_not_of(" \t"), part.size()))));
    if (!range) continue;
    if (is_name(range->subtype)) result.by_name = range->q;
    if (range->subtype == "*") result.by_wildcard = range->q;
  }
  return result;
}
}  // namespace

bool accepts_utf_8(const std::optional<std::string>& header,
                   const std::vector<std::string>& parameter) {
  const auto is_utf_8 = [](std::string_view name) {
    const std::string text = lower(name);
    return text == "utf-8" || text == "utf8" || text == "iso_ir 192";
  };
  if (!header || std::any_of(parameter.begin(), parameter.end(), is_utf_8)) return true;
  const Weights utf_8 = weights(*header, is_utf_8);
  return utf_8.by_name.value_or(utf_8.by_wildcard.value_or(1)) > 0;
}

bool prefers_gzip(const std::optional<std::string>& header) {
  if (!header) return false;
  const Weights gzip =
      weights(*header, [](std::string_view name) { return name == "gzip" || name == "x-gzip"; });
  const Weights identity =
      weights(*header, [](std::string_view name) { return name == "identity"; });
  const double q = gzip.by_name.value_or(gzip.by_wildcard.value_or(0));
  return q > 0 && q >= identity.by_name.value_or(0);
}

std::optional<Model> model_of(const MediaType& type) {
  if (!charset_fits(type)) return std::nullopt;
  const bool application = type.type == "application";
  if (application && (type.subtype == "dicom+json" || type.subtype == "json")) return Model::json;
  if (application && (type.subtype == "dicom+xml" || type.subtype == "xml")) return Model::xml;
  return type.type == "text" && type.subtype == "xml" ? std::optional(Model::xml) : std::nullopt;
}

std::optional<Model> model_of(std::string_view content_type) {
  const auto type = parse_media_type(content_type);
  return type ? model_of(*type) : std::nullopt;
}

}  // namespace web
