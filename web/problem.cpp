#include "web/problem.h"

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <utility>

#include "mapping/status.h"

namespace web {
namespace {

std::string hexadecimal(std::uint16_t word) { return fmt::format("{:04X}", word); }

void member(rapidjson::Writer<rapidjson::StringBuffer>& writer, std::string_view name,
            std::string_view value) {
  writer.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  writer.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

std::string text_member(const rapidjson::Document& document, const char* name) {
  const auto found = document.FindMember(name);
  if (found == document.MemberEnd() || !found->value.IsString()) return {};
  return {found->value.GetString(), found->value.GetStringLength()};
}

}  // namespace

Problem to_problem(int status, const mapping::Fault& fault) {
  Problem problem;
  problem.status = status;
  problem.detail = fault.what;
  problem.attributes = fault.attributes;
  return problem;
}

Problem to_problem(int status, const mapping::Outcome& outcome, std::string_view detail) {
  Problem problem;
  problem.status = status;
  problem.detail = detail;
  problem.dimse_status = hexadecimal(outcome.status);
  problem.error_comment = outcome.error_comment;
  if (outcome.error_id) problem.error_id = hexadecimal(*outcome.error_id);
  problem.attributes = outcome.attributes;
  return problem;
}

std::string to_json(const Problem& problem) {
  rapidjson::StringBuffer text;
  rapidjson::Writer<rapidjson::StringBuffer> writer(text);
  writer.StartObject();
  member(writer, "type", "about:blank");
  member(writer, "title", mapping::reason_phrase(problem.status));
  writer.Key("status");
  writer.Int(problem.status);
  if (!problem.detail.empty()) member(writer, "detail", problem.detail);
  if (!problem.dimse_status.empty()) member(writer, "dimseStatus", problem.dimse_status);
  if (!problem.error_comment.empty()) member(writer, "errorComment", problem.error_comment);
  if (!problem.error_id.empty()) member(writer, "errorId", problem.error_id);
  if (!problem.attributes.empty()) {
    writer.Key("attributes");
    writer.StartArray();
    for (const mapping::Tag tag : problem.attributes) writer.String(to_string(tag).c_str());
    writer.EndArray();
  }
  writer.EndObject();
  return {text.GetString(), text.GetSize()};
}

Problem read_problem(std::string_view json) {
  Problem problem;
  constexpr std::size_t longest = 64u << 10;  // of a document sixteen times its size in memory
  if (json.size() > longest) return problem;
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return problem;
  problem.detail = text_member(document, "detail");
  problem.dimse_status = text_member(document, "dimseStatus");
  problem.error_comment = text_member(document, "errorComment");
  problem.error_id = text_member(document, "errorId");
  // Through const, since clang finds RapidJSON's == of the other iterators ambiguous.
  const auto attributes = std::as_const(document).FindMember("attributes");
  if (attributes == std::as_const(document).MemberEnd() || !attributes->value.IsArray())
    return problem;
  for (const auto& attribute : attributes->value.GetArray()) {
    mapping::Tag tag;
    if (attribute.IsString() &&
        parse_tag({attribute.GetString(), attribute.GetStringLength()}, tag)) {
      problem.attributes.push_back(tag);
    }
  }
  return problem;
}

}  // namespace web
