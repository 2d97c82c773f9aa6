#include "web/request_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "mapping/json.h"
#include "mapping/tags.h"
#include "mapping/xml.h"
#include "web/content_coding.h"
#include "web/media_type.h"

namespace web {
namespace {

using mapping::DataSet;
using mapping::Fault;
using mapping::Result;
using mapping::Uid;

Answer refusal(int status, std::string_view detail) {
  return to_answer(to_problem(status, Fault{Fault::Kind::malformed, std::string(detail)}));
}

Answer unsupported_type(std::string_view detail) {
  Answer answer = refusal(415, fmt::format("{}; supported: {}", detail, request_types));
  answer.headers.emplace_back("Accept", request_types);
  return answer;
}

/// A missing type is tolerated where the body shows what it is. rule J11
std::optional<Model> apparent_model(std::string_view body) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (body.starts_with(byte_order_mark)) body.remove_prefix(byte_order_mark.size());
  body.remove_prefix(std::min(body.find_first_not_of(" \t\r\n"), body.size()));
  if (body.starts_with('{') || body.starts_with('[')) return Model::json;
  return body.starts_with('<') ? std::optional(Model::xml) : std::nullopt;
}

Result<DataSet> read(std::string_view body, Model model, std::size_t max_bytes) {
  if (model == Model::json) {
    return mapping::read_json(body, {.max_bytes = max_bytes, .enforce_vr_limits = true});
  }
  return mapping::read_xml(body, {.max_bytes = max_bytes, .enforce_vr_limits = true});
}

/// rule D3
Result<DataSet> without_instance(const DataSet& data_set, const Uid& mpps) {
  const auto named = data_set.view().find(mapping::tags::SOPInstanceUID);
  if (named && !named->text().empty() && named->text() != mpps.text()) {
    return Fault{Fault::Kind::invalid_value,
                 "SOP Instance UID (0008,0018) of the body is not the UID of the path",
                 {mapping::tags::SOPInstanceUID}};
  }
  mapping::DataSetBuilder kept;
  bool any = false;
  for (const mapping::Element& element : data_set.view()) {
    if (element.tag == mapping::tags::SOPClassUID) continue;
    if (element.tag == mapping::tags::SOPInstanceUID) continue;
    kept.add(element);
    any = true;
  }
  if (!any) return Fault{Fault::Kind::invalid_value, "The data set of the body has no attributes"};
  return kept.build();
}

}  // namespace

std::variant<DataSet, Answer> read_request_body(const RawRequest& request, const Uid& mpps,
                                                std::size_t max_bytes) {
  if (!request.header("content-length") && !request.header("transfer-encoding")) {
    return refusal(411, "The request has no Content-Length; a data set is expected");
  }
  std::variant<std::string, Answer> decoded;
  if (is_coded(request)) decoded = decode_body(request, max_bytes);
  if (auto* refused = std::get_if<Answer>(&decoded)) return std::move(*refused);
  const std::string_view body = is_coded(request) ? std::get<std::string>(decoded) : request.body;
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return refusal(400, "The body is empty; a data set is expected");
  }
  const auto type = request.header("content-type");
  const auto model = type ? model_of(*type) : apparent_model(body);
  if (!model) {
    return unsupported_type(type ? "The Content-Type of the body is not supported"
                                 : "The Content-Type header is missing");
  }
  const auto as_sent = read(body, *model, max_bytes);
  auto data_set = as_sent ? without_instance(as_sent.value(), mpps) : as_sent;
  if (data_set) return std::move(data_set).value();
  const bool too_large = data_set.fault().kind == Fault::Kind::too_large;
  return to_answer(to_problem(too_large ? 413 : 400, data_set.fault()));
}

}  // namespace web
