#include "web/result_reader.h"

#include <optional>
#include <string>
#include <utility>

#include "mapping/json.h"
#include "mapping/xml.h"
#include "web/media_type.h"
#include "web/multipart.h"

namespace web {
namespace {

using mapping::DataSet;
using mapping::Fault;
using mapping::Result;
using OnDataSet = std::function<bool(DataSet&&)>;

/// What a reply is: its boundary, or its model.
struct Form {
  std::string boundary;        ///< empty = one document
  std::optional<Model> model;  ///< of the document, or of parts that name no type
};

std::optional<Form> form_of(const OriginReply& reply) {
  if (reply.content_type.empty()) {
    const std::size_t first = reply.body.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return std::nullopt;
    const char c = reply.body[first];
    if (c == '[' || c == '{') return Form{"", Model::json};
    return c == '<' ? std::optional(Form{"", Model::xml}) : std::nullopt;
  }
  const auto type = parse_media_type(reply.content_type);
  if (!type) return std::nullopt;
  if (type->type != "multipart") {
    const auto model = model_of(*type);
    return model ? std::optional(Form{"", model}) : std::nullopt;
  }
  const std::string_view boundary = type->parameter("boundary");
  if (boundary.empty()) return std::nullopt;
  return Form{std::string(boundary), model_of(type->parameter("type"))};
}

/// False in the value: no more are wanted.
Result<bool> read_document(std::string_view text, Model model, const OnDataSet& on_data_set,
                           std::size_t max_bytes) {
  if (model == Model::xml) {
    auto data_set = mapping::read_xml(text, {.max_bytes = max_bytes});
    if (!data_set) return data_set.fault();
    return on_data_set(std::move(data_set).value());
  }
  bool wanted = true;
  const auto take = [&](DataSet&& data_set) {
    wanted = on_data_set(std::move(data_set));
    return wanted;
  };
  const auto read = mapping::read_json_array(text, take, {.max_bytes = max_bytes});
  if (!read) return read.fault();
  return wanted;
}

}  // namespace

bool holds_results(const OriginReply& reply) { return form_of(reply).has_value(); }

bool is_json_document(const OriginReply& head) {
  const auto form = form_of(head);
  return form && form->boundary.empty() && form->model == Model::json;
}

Result<bool> read_results(const OriginReply& reply, const OnDataSet& on_data_set,
                          std::size_t max_bytes) {
  const auto form = form_of(reply);
  const Fault no_form{Fault::Kind::malformed, "the answer is neither DICOM JSON nor XML"};
  if (!form) return no_form;
  if (form->boundary.empty()) {
    return read_document(reply.body, *form->model, on_data_set, max_bytes);
  }
  std::optional<Fault> fault;
  const auto on_part = [&](const Part& part) {
    const auto model = part.content_type.empty() ? form->model : model_of(part.content_type);
    if (!model) {
      fault = no_form;
      return false;
    }
    const auto read = read_document(part.content, *model, on_data_set, max_bytes);
    if (!read) fault = read.fault();
    return read.ok() && read.value();
  };
  auto parts = read_multipart(reply.body, form->boundary, on_part);
  if (fault) return *fault;
  return parts;
}

}  // namespace web
