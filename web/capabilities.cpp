#include "web/capabilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "mapping/attribute_path.h"
#include "mapping/attribute_tables.h"
#include "mapping/dictionary.h"

namespace web {
namespace {

using mapping::Transaction;
using Element = DescriptionElement;
using Attributes = std::vector<std::pair<std::string, std::string>>;

// --- What a transaction takes and answers -------------------------------------------------------

Element param(std::string_view name, std::string_view style, Attributes more = {}) {
  Attributes attributes{{"name", std::string(name)}, {"style", std::string(style)}};
  attributes.insert(attributes.end(), more.begin(), more.end());
  return {"param", std::move(attributes), {}, {}};
}

Element option(std::string_view value) {
  return {"option", {{"value", std::string(value)}}, {}, {}};
}

Element representation(std::string_view type) {
  return {"representation", {{"mediaType", std::string(type)}}, {}, {}};
}

Element response(std::string_view status, std::span<const ResultForm> forms = {}) {
  Element element{"response", {{"status", std::string(status)}}, {}, {}};
  for (const ResultForm form : forms) element.children.push_back(representation(to_text(form)));
  return element;
}

/// The statuses of problem reports; 401 stands among them where somebody is asked who he is.
Element failures(const CapabilitiesOptions& options, std::string_view others) {
  Element element =
      response(fmt::format("400 {}{}", options.asks_for_credentials ? "401 " : "", others));
  element.children.push_back(representation("application/problem+json"));
  return element;
}

void add_negotiation(Element& request, std::span<const ResultForm> forms) {
  Element header = param("Accept", "header", {{"default", std::string(to_text(forms.front()))}});
  Element query = param("accept", "query");
  for (const ResultForm form : forms) {
    header.children.push_back(option(to_text(form)));
    query.children.push_back(option(to_text(form)));
  }
  Element character_set = param("charset", "query");
  character_set.children = {option("utf-8")};
  for (Element* each : {&header, &query, &character_set}) {
    request.children.push_back(std::move(*each));
  }
}

Element include_field() {
  Element element = param("includefield", "query", {{"repeating", "true"}});
  element.children = {option("all")};
  return element;
}

/// ScheduledProcedureStepSequence.Modality of 00400100.00080060.
std::string keywords(std::string_view path) {
  std::string text;
  const auto tags = mapping::parse_attribute_path(path);
  if (!tags) return text;
  for (const mapping::Tag tag : tags.value()) {
    const mapping::DictionaryEntry* entry = mapping::find_attribute(tag);
    if (entry == nullptr) return {};
    text += fmt::format("{}{}", text.empty() ? "" : ".", entry->keyword);
  }
  return text;
}

Element search_request(const CapabilitiesOptions& options) {
  Element request{"request", {}, {}, {}};
  add_negotiation(request, options.search_forms);
  request.children.push_back(param("limit", "query", {{"type", "xs:nonNegativeInteger"}}));
  request.children.push_back(
      param("offset", "query", {{"type", "xs:nonNegativeInteger"}, {"default", "0"}}));
  request.children.push_back(include_field());
  for (const char* name : {"fuzzymatching", "emptyvaluematching", "multiplevaluematching"}) {
    request.children.push_back(
        param(name, "query", {{"type", "xs:boolean"}, {"default", "false"}}));
  }
  for (const mapping::WorklistAttribute& row : mapping::worklist_attributes()) {
    if (row.vr == mapping::Vr::SQ) continue;
    for (const std::string& name : {std::string(row.path), keywords(row.path)}) {
      if (!name.empty()) request.children.push_back(param(name, "query"));
    }
  }
  return request;
}

Element body_request() {
  return {"request", {}, {representation(dicom_json), representation(dicom_xml)}, {}};
}

Element retrieve_request(const CapabilitiesOptions& options) {
  Element request{"request", {}, {}, {}};
  add_negotiation(request, options.retrieve_forms);
  request.children.push_back(include_field());
  return request;
}

Element method(const Operation& operation, const CapabilitiesOptions& options) {
  Element element{"method",
                  {{"name", std::string(operation.method)}, {"id", std::string(operation.id)}},
                  {},
                  {}};
  std::vector<Element>& children = element.children;
  switch (operation.transaction) {
    case Transaction::search:
      children = {search_request(options), response("200", options.search_forms), response("204"),
                  failures(options, "403 406 413 500 501 503")};
      break;
    case Transaction::create:
      children = {body_request(), response("201"),
                  failures(options, "403 409 411 413 415 500 501 503")};
      break;
    case Transaction::update:
      children = {body_request(), response("200"),
                  failures(options, "403 404 409 411 413 415 500 501 503")};
      if (!operation.path.ends_with("/update")) {
        children[0].children.insert(children[0].children.begin(),
                                    param("update", "query", {{"required", "true"}}));
      }
      break;
    case Transaction::retrieve:
      children = {retrieve_request(options), response("200", options.retrieve_forms),
                  failures(options, "403 404 406 500 501 503")};
      break;
  }
  return element;
}

// --- The tree of resources ----------------------------------------------------------------------

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.push_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

bool is_template(std::string_view segment) { return segment.starts_with('{'); }

/// The child resource with this path, made if it is not there.
Element& child_resource(Element& parent, std::string_view path) {
  for (Element& child : parent.children) {
    if (child.name == "resource" && child.attributes[0].second == path) return child;
  }
  Element resource{"resource", {{"path", std::string(path)}}, {}, {}};
  if (is_template(path)) {
    resource.children = {param(path.substr(1, path.size() - 2), "template",
                               {{"type", "xs:string"}, {"required", "true"}})};
  }
  parent.children.push_back(std::move(resource));
  return parent.children.back();
}

/// Adds the operation if it stands at the target or below; true if so.
bool add(Element& resources, const Operation& operation,
         const std::vector<std::string_view>& target, const CapabilitiesOptions& options) {
  const auto path = segments(operation.path);
  if (path.size() < target.size()) return false;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (path[i] != target[i] && !is_template(path[i])) return false;
  }
  Element* at = &resources;
  for (const std::string_view segment : path) at = &child_resource(*at, segment);
  at->children.push_back(method(operation, options));
  return true;
}

// --- Writing ------------------------------------------------------------------------------------

void append_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
}

void append_xml(const Element& element, std::string& out) {
  out += "<" + element.name;
  for (const auto& [name, value] : element.attributes) {
    out += " " + name + "=\"";
    append_escaped(value, out);
    out += '"';
  }
  if (element.children.empty() && element.text.empty()) {
    out += "/>";
    return;
  }
  out += '>';
  append_escaped(element.text, out);
  for (const Element& child : element.children) append_xml(child, out);
  out += "</" + element.name + ">";
}

/// Everything in a description is printable ASCII.
void append_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

/// Whether WADL lets it stand several times in its parent.
bool repeats(std::string_view name) {
  return name != "application" && name != "resources" && name != "request";
}

void append_json(const Element& element, std::string& out);

/// One member for all children of a name, in the order of the first of each.
void append_children(const Element& element, std::string& out) {
  std::vector<std::string_view> written;
  for (const Element& child : element.children) {
    if (std::find(written.begin(), written.end(), child.name) != written.end()) continue;
    written.push_back(child.name);
    append_string(child.name, out);
    out += ':';
    if (!repeats(child.name)) {
      append_json(child, out);
      out += ',';
      continue;
    }
    out += '[';
    for (const Element& each : element.children) {
      if (each.name != child.name) continue;
      append_json(each, out);
      out += ',';
    }
    out.back() = ']';
    out += ',';
  }
}

void append_json(const Element& element, std::string& out) {
  out += '{';
  for (const auto& [name, value] : element.attributes) {
    append_string("@" + name, out);
    out += ':';
    append_string(value, out);
    out += ',';
  }
  if (!element.text.empty()) {
    out += "\"value\":";
    append_string(element.text, out);
    out += ',';
  }
  append_children(element, out);
  if (out.back() == ',') out.pop_back();
  out += '}';
}

}  // namespace

std::optional<Element> describe(std::span<const Operation> offered, std::string_view target,
                                const CapabilitiesOptions& options) {
  const auto wanted = segments(target);
  Element resources{"resources", {{"base", options.base_uri + "/"}}, {}, {}};
  bool any = wanted.empty();
  for (const Operation& operation : offered) any |= add(resources, operation, wanted, options);
  if (!any) return std::nullopt;
  Element application{"application",
                      {{"xmlns", "http://wadl.dev.java.net/2009/02"},
                       {"xmlns:xs", "http://www.w3.org/2001/XMLSchema"}},
                      {},
                      {}};
  application.children.push_back(
      {"doc",
       {{"xml:lang", "en"}, {"title", "Modality worklist and performed procedure steps"}},
       {},
       "Origin server of DICOM PS3.18, chapters 14 and 15. Text is in UTF-8."});
  application.children.push_back(std::move(resources));
  return application;
}

std::string to_wadl(const Element& application) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
  append_xml(application, out);
  return out;
}

std::string to_json(const Element& application) {
  std::string out = "{\"application\":";
  append_json(application, out);
  return out + "}";
}

}  // namespace web
