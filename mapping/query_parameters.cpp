// Splitting, decoding and the two kinds of lists. Names are decoded here, values when they are
// read: a raw comma in one means something else than an encoded one.
#include "mapping/query_parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "mapping/query.h"

namespace mapping {

Result<std::vector<Parameter>> split_query(std::string_view raw_query) {
  std::vector<Parameter> parameters;
  while (!raw_query.empty()) {
    const std::size_t end = std::min(raw_query.find('&'), raw_query.size());
    const std::string_view segment = raw_query.substr(0, end);
    raw_query.remove_prefix(std::min(end + 1, raw_query.size()));
    if (segment.empty()) continue;
    const std::size_t equals = std::min(segment.find('='), segment.size());
    Result<std::string> name = percent_decode(segment.substr(0, equals));
    if (!name) return about("", name.fault());
    if (name.value().empty()) {
      return Fault{Fault::Kind::malformed, "expected a name before each ="};
    }
    parameters.push_back(
        {std::move(name).value(), segment.substr(std::min(equals + 1, segment.size()))});
  }
  return parameters;
}

Result<std::string> decoded_value(const Parameter& parameter) {
  Result<std::string> value = percent_decode(parameter.raw_value);
  if (!value) return about(parameter.name, value.fault());
  return value;
}

std::optional<Fault> append_list(const Parameter& parameter, std::vector<std::string>& list) {
  const Result<std::string> value = decoded_value(parameter);
  if (!value) return value.fault();
  std::string_view rest = value.value();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    std::string_view element = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (element.starts_with(' ')) element.remove_prefix(1);
    while (element.ends_with(' ')) element.remove_suffix(1);
    if (!element.empty()) list.emplace_back(element);
  }
  return std::nullopt;
}

std::string_view shown(std::string_view name) {
  const bool harmless = name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
                          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                                 (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-';
                        });
  return harmless && !name.empty() ? name : "a parameter";
}

Fault about(std::string_view name, Fault fault) {
  fault.what = fmt::format("{}: {}", shown(name), fault.what);
  return fault;
}
Fault bad_value(std::string_view name, std::string_view expected) {
  return about(name, {Fault::Kind::invalid_value, fmt::format("expected {}", expected)});
}

std::vector<std::string>* negotiation_list(std::string_view name, std::vector<std::string>& accept,
                                           std::vector<std::string>& charset) {
  if (name == "accept" || name == "Accept") return &accept;
  if (name == "charset" || name == "Accept-Charset") return &charset;
  return nullptr;
}

std::optional<Fault> IncludeFields::add(const Parameter& parameter) {
  const std::size_t before = names.size();
  if (const auto fault = append_list(parameter, names)) return fault;
  if (names.size() == before) {
    return bad_value("includefield", "attributes separated by commas, or all");
  }
  all = all || std::find(names.begin() + static_cast<std::ptrdiff_t>(before), names.end(), "all") !=
                   names.end();
  if (all && names.size() > 1) {
    return bad_value("includefield", "all to be the only one (PS3.18, 8.3.4.3)");
  }
  return std::nullopt;
}

}  // namespace mapping
