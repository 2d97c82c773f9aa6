// Search → query component, for an origin server that is to be asked what a C-FIND asked (A29).
// Tags, not keywords: they are shorter, and every server knows them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mapping/query.h"
#include "mapping/query_value.h"

namespace mapping {
namespace {

/// An includefield list longer than this asks for all instead: servers limit their URIs (414), and
/// what comes in excess is pruned by the front. Rule A29.
constexpr std::size_t max_include_bytes = 6000;

bool has_creator(Tag tag, DataSetView data_set) {
  if (!tag.is_private() || tag.is_private_creator()) return true;
  const auto creator = data_set.find(tag.private_creator());
  return creator && !creator->empty();
}

/// The parameters that an identifier comes to.
class Keys {
 public:
  /// prefix: the path of the sequence whose item this is, with a dot; empty at the root.
  std::optional<Fault> collect(DataSetView data_set, const std::string& prefix) {
    for (const Element& element : data_set) {
      if (prefix.empty()) root_ = element.tag;
      if (!has_creator(element.tag, data_set)) {  // rule A26
        return refuse(prefix + to_string(element.tag),
                      "expected its Private Creator with a value beside it");
      }
      if (auto fault = collect(element, prefix + to_string(element.tag))) return fault;
    }
    return std::nullopt;
  }

  std::vector<std::string> parameters() && {
    std::string list = fmt::format("{}", fmt::join(include_, ","));
    if (list.size() > max_include_bytes) list = "all";
    if (!list.empty()) parameters_.push_back("includefield=" + list);
    return std::move(parameters_);
  }

 private:
  std::optional<Fault> collect(const Element& element, const std::string& path) {
    if (element.vr == Vr::SQ) {
      // What is inside a private sequence nobody can name: only the whole can be asked for.
      if (element.tag.is_private() && !element.empty()) {
        return refuse(path, "expected no keys inside a private sequence");
      }
      return collect_sequence(element, path);
    }
    if (element.empty()) {
      include_.push_back(path);
      return std::nullopt;
    }
    const Result<std::string> value = write_query_value(element);
    if (!value) return refuse(path, value.fault().what);
    parameters_.push_back(path + "=" + value.value());
    return std::nullopt;
  }

  std::optional<Fault> collect_sequence(const Element& sequence, const std::string& path) {
    const std::size_t items = sequence.items().size();
    if (items > 1) return refuse(path, "expected one item in a sequence of keys (C.2.2.2.6)");
    const DataSetView item = items == 0 ? DataSetView() : *sequence.items().begin();
    if (!item.empty()) return collect(item, path + ".");
    include_.push_back(path);
    return std::nullopt;
  }

  Fault refuse(std::string_view path, std::string_view why) const {
    return {Fault::Kind::invalid_value, fmt::format("{}: {}", path, why), {root_}};
  }

  std::vector<std::string> parameters_;
  std::vector<std::string> include_;
  Tag root_;  ///< the top-level attribute being collected
};

}  // namespace

Result<std::string> write_search_query(const Search& search, const Page& page) {
  Keys keys;
  if (auto fault = keys.collect(search.identifier.view(), "")) return *std::move(fault);
  std::vector<std::string> parameters = std::move(keys).parameters();
  if (search.fuzzy_matching) parameters.emplace_back("fuzzymatching=true");
  if (search.empty_value_matching) parameters.emplace_back("emptyvaluematching=true");
  if (search.multiple_value_matching) parameters.emplace_back("multiplevaluematching=true");
  if (page.offset > 0) parameters.push_back(fmt::format("offset={}", page.offset));
  if (page.limit) parameters.push_back(fmt::format("limit={}", *page.limit));
  return fmt::format("{}", fmt::join(parameters, "&"));
}

std::string write_retrieve_query(const AttributeList& attributes) {
  AttributeList asked = attributes;
  for (const Tag tag : attributes) {
    const Tag creator = tag.private_creator();
    const bool needed = tag.is_private() && creator.is_private_creator() &&
                        std::find(asked.begin(), asked.end(), creator) == asked.end();
    if (needed) asked.push_back(creator);
  }
  std::string query;
  for (const Tag tag : asked) {
    query += query.empty() ? "includefield=" : ",";
    query += to_string(tag);
  }
  return query;
}

}  // namespace mapping
