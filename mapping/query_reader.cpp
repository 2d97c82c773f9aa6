// Query component → Search, Retrieve or Update. What a client asks for is either understood or
// refused; only parameters that are no attributes are ignored (rule A21). Rule A21 would also let
// an attribute that we cannot map be ignored, but then a worklist search silently widens, so that
// is a fault here (docs/life-of-a-request.md, What holds everywhere).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "mapping/attribute_tables.h"
#include "mapping/dictionary.h"
#include "mapping/query.h"
#include "mapping/query_parameters.h"
#include "mapping/query_value.h"
#include "mapping/tags.h"

namespace mapping {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Keywords are case-sensitive (rule A3), but who writes patientname does not ask for everybody.
bool is_misspelt_keyword(std::string_view name) {
  const auto keys = worklist_attributes();
  return std::any_of(keys.begin(), keys.end(), [name](const WorklistAttribute& row) {
    return std::equal(name.begin(), name.end(), row.keyword.begin(), row.keyword.end(),
                      [](char a, char b) { return lower(a) == lower(b); });
  });
}

/// A name of lower-case words can be no attribute, and a parameter we do not know is ignored.
/// Everything else might have been meant as one.
bool may_be_ignored(std::string_view name) {
  Tag tag;
  if (parse_tag(name, tag) || is_misspelt_keyword(name)) return false;
  const auto is_lower = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  return is_lower(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
           return is_lower(c) || (c >= '0' && c <= '9') || c == '-';
         });
}

// ---- Keys ---------------------------------------------------------------------------------------

/// A key of the identifier that grows from the parameters.
struct Key {
  Vr vr = Vr::UN;
  bool matched = false;     ///< named by a match parameter, which may come once (rule A6)
  bool whole = false;       ///< a sequence that was asked for itself
  std::string value;        ///< empty = universal matching, return key
  std::map<Tag, Key> item;  ///< of a sequence: one item however many paths lead into it (rule F5)
};
using KeyMap = std::map<Tag, Key>;

/// Private attributes have no entry: their creators are LO (PS3.5, 7.8.1), of the others nobody
/// knows.
Vr vr_of(Tag tag) {
  if (tag.is_private()) return tag.is_private_creator() ? Vr::LO : Vr::UN;
  return find_attribute(tag)->vr;
}

std::optional<Fault> check_key(const AttributePath& path) {
  for (const Tag& tag : path) {
    const auto refuse = [&](std::string_view why) {
      return Fault{
          Fault::Kind::malformed, fmt::format("{} {}", to_string(tag), why), {path.front()}};
    };
    if (place_of(tag) != TagPlace::attribute && tag != tags::SpecificCharacterSet) {
      return refuse("is no attribute of an identifier");
    }
    const bool in_block = tag.is_private_creator() || tag.private_creator().is_private_creator();
    if (tag.is_private() && in_block && &tag == &path.back()) continue;  // see check_creators
    if (tag.is_private()) return refuse("is no private attribute of a block (PS3.5, 7.8.1)");
    if (tag.group() == 0xFFFE) return refuse("is no attribute of an identifier");
    if (find_attribute(tag) == nullptr) return refuse("is not in the data dictionary");
  }
  return std::nullopt;
}

/// The key at the end of a path that check_key has passed.
Key& key_at(KeyMap& keys, const AttributePath& path) {
  KeyMap* level = &keys;
  Key* key = nullptr;
  for (const Tag tag : path) {
    key = &(*level)[tag];
    key->vr = vr_of(tag);
    level = &key->item;
  }
  return *key;
}

Result<AttributePath> parse_key(std::string_view name) {
  Result<AttributePath> path = parse_attribute_path(name);
  if (!path) return path;
  if (auto fault = check_key(path.value())) return *std::move(fault);
  return path;
}

/// (0008,0005) says how a request is encoded and is no key (rule A30).
bool is_no_key(const AttributePath& path) { return path.back() == tags::SpecificCharacterSet; }

std::optional<Fault> add_match(const Parameter& parameter, bool empty_value_matching,
                               KeyMap& keys) {
  const Result<AttributePath> path = parse_key(parameter.name);
  if (!path) return path.fault();
  if (is_no_key(path.value())) return std::nullopt;
  const auto located = [&](Fault fault) {
    fault.attributes = {path.value().front()};
    return fault;
  };
  Key& key = key_at(keys, path.value());
  if (key.matched) return located(bad_value(parameter.name, "a match attribute only once"));
  key.matched = true;
  const Result<std::string> text = decoded_value(parameter);
  if (!text) return located(text.fault());
  if (key.vr == Vr::SQ) {
    if (!text.value().empty()) {
      return located(bad_value(parameter.name, "no value: it is a sequence"));
    }
    key.whole = true;
    return std::nullopt;
  }
  if (key.vr != Vr::UI && parameter.raw_value.find(',') != std::string_view::npos) {
    return located(bad_value(parameter.name, "one value; a comma in it is written %2C"));
  }
  Result<std::string> value = read_query_value(key.vr, text.value(), empty_value_matching);
  if (!value) return located(about(parameter.name, value.fault()));
  key.value = std::move(value).value();
  return std::nullopt;
}

std::optional<Fault> add_include(std::string_view name, KeyMap& keys) {
  const Result<AttributePath> path = parse_key(name);
  if (!path) return about("includefield", path.fault());
  if (is_no_key(path.value())) return std::nullopt;
  Key& key = key_at(keys, path.value());
  key.whole = key.vr == Vr::SQ;
  return std::nullopt;
}

bool matches_inside(const KeyMap& keys) {
  return std::any_of(keys.begin(), keys.end(), [](const auto& entry) {
    return !entry.second.value.empty() || matches_inside(entry.second.item);
  });
}

/// A sequence key either has no item and asks for all, or has one and asks for what is in it. Where
/// a query asks for the sequence and matches inside it, all that Table K.6-1 knows of it is named.
bool name_all_inside(const std::string& path, Key& sequence) {
  bool any = false;
  for (const WorklistAttribute& row : worklist_attributes()) {
    const bool child = row.path.size() == path.size() + 9 && row.path.starts_with(path) &&
                       row.path[path.size()] == '.';
    Tag tag;
    if (!child || !parse_tag(row.path.substr(path.size() + 1), tag)) continue;
    const auto [key, added] = sequence.item.try_emplace(tag);
    key->second.vr = row.vr;
    if (row.vr == Vr::SQ) key->second.whole = true;
    any = true;
  }
  return any;
}

std::optional<Fault> settle_sequences(const std::string& prefix, KeyMap& keys) {
  for (auto& [tag, key] : keys) {
    if (key.vr != Vr::SQ) continue;
    const std::string path = prefix + to_string(tag);
    if (key.whole && !matches_inside(key.item)) {
      key.item.clear();
    } else if (key.whole && !name_all_inside(path, key)) {
      return bad_value(path, "its attributes to be named one by one, since it is matched inside");
    }
    if (auto fault = settle_sequences(path + ".", key.item)) return fault;
  }
  return std::nullopt;
}

/// A private attribute means something only beside its creator. Rule A26
std::optional<Fault> check_creators(const KeyMap& keys) {
  for (const auto& [tag, key] : keys) {
    if (auto fault = check_creators(key.item)) return fault;
    if (!tag.is_private() || tag.is_private_creator()) continue;
    const auto creator = keys.find(tag.private_creator());
    if (creator != keys.end() && !creator->second.value.empty()) continue;
    return Fault{Fault::Kind::malformed,
                 fmt::format("{}: expected its Private Creator {} as a match parameter too "
                             "(PS3.18, 8.3.4.1)",
                             to_string(tag), to_string(tag.private_creator())),
                 {tag}};
  }
  return std::nullopt;
}

void build_identifier(const KeyMap& keys, DataSetBuilder& builder) {
  for (const auto& [tag, key] : keys) {
    if (key.vr != Vr::SQ) {
      builder.add(tag, key.vr, key.value);
      continue;
    }
    builder.begin_sequence(tag);
    if (!key.item.empty()) {
      builder.begin_item();
      build_identifier(key.item, builder);
      builder.end_item();
    }
    builder.end_sequence();
  }
}

// ---- The parameters of a Search that are no keys ------------------------------------------------

Result<bool> read_flag(const Parameter& parameter) {
  const Result<std::string> value = decoded_value(parameter);
  if (!value) return value.fault();
  if (value.value() == "true") return true;
  if (value.value() == "false") return false;
  return bad_value(parameter.name, "true or false");
}

Result<std::uint64_t> read_count(const Parameter& parameter) {
  const Result<std::string> value = decoded_value(parameter);
  if (!value) return value.fault();
  const std::string& text = value.value();
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size()) return count;
  return bad_value(parameter.name, "an unsigned decimal integer within 64 bits");
}

class SearchReader {
 public:
  Result<SearchQuery> read(std::string_view raw_query) {
    const auto parameters = split_query(raw_query);
    if (!parameters) return parameters.fault();
    for (const Parameter& parameter : parameters.value()) {
      if (auto fault = take(parameter)) return *std::move(fault);
    }
    if (auto fault = make_identifier()) return *std::move(fault);
    return std::move(query_);
  }

 private:
  std::optional<Fault> take(const Parameter& parameter) {
    const std::string& name = parameter.name;
    if (name == "includefield") return include_.add(parameter);
    if (auto* list = negotiation_list(name, query_.accept, query_.charset)) {
      return append_list(parameter, *list);
    }
    if (bool* flag = flag_of(name)) return take_once(parameter, read_flag(parameter), *flag);
    if (name == "offset") return take_once(parameter, read_count(parameter), query_.offset);
    if (name == "limit") return take_once(parameter, read_count(parameter), query_.limit);
    if (may_be_ignored(name)) {
      query_.ignored.emplace_back(shown(name));
    } else {
      keys_.push_back(parameter);
    }
    return std::nullopt;
  }

  bool* flag_of(std::string_view name) {
    if (name == "fuzzymatching") return &query_.search.fuzzy_matching;
    if (name == "emptyvaluematching") return &query_.search.empty_value_matching;
    if (name == "multiplevaluematching") return &query_.search.multiple_value_matching;
    return nullptr;
  }

  template <class Read, class Target>
  std::optional<Fault> take_once(const Parameter& parameter, const Result<Read>& value,
                                 Target& target) {
    if (!value) return value.fault();
    if (!seen_.insert(parameter.name).second) return bad_value(parameter.name, "to come once");
    target = value.value();
    return std::nullopt;
  }

  std::optional<Fault> make_identifier() {
    query_.include_all = include_.all;
    KeyMap keys;
    for (const Parameter& parameter : keys_) {
      if (auto fault = add_match(parameter, query_.search.empty_value_matching, keys)) return fault;
    }
    for (const std::string& name : include_.names) {
      if (include_.all) break;
      if (auto fault = add_include(name, keys)) return fault;
    }
    if (auto fault = check_creators(keys)) return fault;
    if (auto fault = settle_sequences("", keys)) return fault;
    DataSetBuilder builder;
    build_identifier(keys, builder);
    Result<DataSet> identifier = builder.build();
    if (!identifier) return identifier.fault();
    query_.search.identifier = std::move(identifier).value();
    return std::nullopt;
  }

  SearchQuery query_;
  IncludeFields include_;
  std::vector<Parameter> keys_;  ///< read when all flags are known
  std::set<std::string> seen_;
};

/// Rule A26: the creator of a private attribute is to be named too.
bool creator_is_named(const AttributePath& path, const std::set<AttributePath>& paths) {
  const Tag tag = path.back();
  if (!tag.is_private() || tag.is_private_creator()) return true;
  AttributePath creator = path;
  creator.back() = tag.private_creator();
  return paths.count(creator) == 1;
}

}  // namespace

Result<SearchQuery> read_search_query(std::string_view raw_query) {
  return SearchReader().read(raw_query);
}

Result<RetrieveQuery> read_retrieve_query(std::string_view raw_query) {
  const auto parameters = split_query(raw_query);
  if (!parameters) return parameters.fault();
  RetrieveQuery query;
  IncludeFields include;
  for (const Parameter& parameter : parameters.value()) {
    std::optional<Fault> fault;
    if (parameter.name == "includefield") {
      fault = include.add(parameter);
    } else if (auto* list = negotiation_list(parameter.name, query.accept, query.charset)) {
      fault = append_list(parameter, *list);
    } else {
      query.ignored.emplace_back(shown(parameter.name));
    }
    if (fault) return *std::move(fault);
  }
  if (include.all) return query;
  for (const std::string& name : include.names) {
    Result<AttributePath> path = parse_attribute_path(name);
    if (!path) return about("includefield", path.fault());
    query.include.push_back(std::move(path).value());
  }
  const std::set<AttributePath> paths(query.include.begin(), query.include.end());
  for (const AttributePath& path : paths) {
    if (!creator_is_named(path, paths)) {
      return about("includefield",
                   {Fault::Kind::invalid_value,
                    fmt::format("expected the creator of {} as well", to_string(path)),
                    {path.front()}});
    }
  }
  return query;
}

Result<bool> is_update_query(std::string_view raw_query) {
  const auto parameters = split_query(raw_query);
  if (!parameters) return parameters.fault();
  bool update = false;
  for (const Parameter& parameter : parameters.value()) {
    const Result<std::string> value = decoded_value(parameter);
    if (!value) return value.fault();
    if (parameter.name != "update") continue;
    if (!value.value().empty() && value.value() != "true") {
      return bad_value("update", "no value");
    }
    update = true;
  }
  return update;
}

}  // namespace mapping
