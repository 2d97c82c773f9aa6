// Return keys as a tree: the tree of Table K.6-1 is merged into an identifier on its way to an SCP;
// the tree that an identifier or a list of paths spans is laid over an answer to take the rest
// away.
#include "mapping/return_keys.h"

#include <algorithm>
#include <map>

#include "mapping/attribute_tables.h"
#include "mapping/tags.h"

namespace mapping {
namespace {

// ---- Adding keys --------------------------------------------------------------------------------

/// A return key of Table K.6-1.
struct Key {
  Vr vr = Vr::UN;
  bool always_returned = false;  ///< type 1, 1C, 2 or 2C (rule A13)
  bool type_2 = false;           ///< is there, if only empty
  std::map<Tag, Key> item;       ///< keys inside a sequence
};
using KeyMap = std::map<Tag, Key>;

KeyMap make_worklist_keys() {
  KeyMap keys;
  for (const WorklistAttribute& row : worklist_attributes()) {
    // Table K.6-1a: in the identifier, but no part of the model. (0008,0005) and (0008,0201) shall
    // not have zero length, (0040,A390) comes unasked.
    if (row.return_key.ends_with("(response)") || row.path.starts_with("0040A390")) continue;
    const Result<AttributePath> path = parse_attribute_path(row.path);
    if (!path) continue;  // none such; see the test
    KeyMap* level = &keys;
    for (const Tag sequence : std::span(path.value()).first(path.value().size() - 1)) {
      level = &(*level)[sequence].item;
    }
    Key& key = (*level)[path.value().back()];
    key.vr = row.vr;
    key.always_returned = row.return_key.starts_with('1') || row.return_key.starts_with('2');
    key.type_2 = row.return_key == "2";
  }
  return keys;
}

const KeyMap& worklist_keys() {
  static const KeyMap keys = make_worklist_keys();
  return keys;
}

enum class Wanted { always_returned, all };

void add_keys(DataSetView identifier, const KeyMap& keys, Wanted wanted, DataSetBuilder& builder);

/// A key that is not asked for yet. The Scheduled Procedure Step Sequence gets an item with the
/// keys in it, which is how modalities ask and what every SCP understands; other sequences are
/// asked for as a whole.
void add_missing(Tag tag, const Key& key, Wanted wanted, DataSetBuilder& builder) {
  if (wanted == Wanted::always_returned && !key.always_returned) return;
  if (tag != tags::ScheduledProcedureStepSequence) {
    builder.add(tag, key.vr, {});
    return;
  }
  builder.begin_sequence(tag).begin_item();
  add_keys(DataSetView(), key.item, wanted, builder);
  builder.end_item().end_sequence();
}

/// A key that is asked for already. A sequence without an item, or with an empty one, asks for all
/// that it holds: keys inside would narrow it.
void add_present(const Element& element, const Key& key, Wanted wanted, DataSetBuilder& builder) {
  const bool whole = element.vr != Vr::SQ || element.empty() || (*element.items().begin()).empty();
  if (whole || key.item.empty()) {
    builder.add(element);
    return;
  }
  builder.begin_sequence(element.tag);
  for (const DataSetView item : element.items()) {
    builder.begin_item();
    add_keys(item, key.item, wanted, builder);
    builder.end_item();
  }
  builder.end_sequence();
}

void add_keys(DataSetView identifier, const KeyMap& keys, Wanted wanted, DataSetBuilder& builder) {
  auto key = keys.begin();
  for (const Element& element : identifier) {
    for (; key != keys.end() && key->first < element.tag; ++key) {
      add_missing(key->first, key->second, wanted, builder);
    }
    if (key != keys.end() && key->first == element.tag) {
      add_present(element, key->second, wanted, builder);
      ++key;
    } else {
      builder.add(element);
    }
  }
  for (; key != keys.end(); ++key) add_missing(key->first, key->second, wanted, builder);
}

/// Neither duplicates nor deeper nesting than in what was read can arise here, so building does not
/// fail; if it ever does, the data set stays as it was.
DataSet built(DataSetBuilder& builder, DataSetView otherwise) {
  Result<DataSet> result = builder.build();
  return result ? std::move(result).value() : DataSet(otherwise);
}

DataSet with_return_keys(DataSetView identifier, Wanted wanted) {
  DataSetBuilder builder;
  add_keys(identifier, worklist_keys(), wanted, builder);
  return built(builder, identifier);
}

// ---- Taking away --------------------------------------------------------------------------------

/// What a response may hold unasked: times without their zone mean something else, and documents
/// referenced in the match are told here. PS3.4, K.4.1.1.3.2; rule F8.
bool returned_unasked(const Element& element) {
  constexpr Tag hl7_structured_document_reference_sequence{0x0040, 0xA390};
  return !element.empty() && (element.tag == tags::TimezoneOffsetFromUTC ||
                              element.tag == hl7_structured_document_reference_sequence);
}

/// Where in the match.
struct Level {
  const KeyMap* keys;  ///< of Table K.6-1 at this place; null where it does not reach
  bool root;
  bool complete_all;  ///< keys that the match lacks are added: all, not only type 2
};
void prune(DataSetView match, DataSetView identifier, const Level& level, DataSetBuilder& builder);

const Key* find_key(const KeyMap* level, Tag tag) {
  if (level == nullptr) return nullptr;
  const auto key = level->find(tag);
  return key == level->end() ? nullptr : &key->second;
}

void prune_element(const Element& element, const Element& key, const Level& level,
                   DataSetBuilder& builder) {
  const bool whole = key.vr != Vr::SQ || element.vr != Vr::SQ || key.items().size() != 1 ||
                     (*key.items().begin()).empty();
  if (whole) {
    builder.add(element);
    return;
  }
  const Key* const known = find_key(level.keys, element.tag);
  const Level inside{known == nullptr ? nullptr : &known->item, false, level.complete_all};
  builder.begin_sequence(element.tag);
  for (const DataSetView item : element.items()) {
    builder.begin_item();
    prune(item, *key.items().begin(), inside, builder);
    builder.end_item();
  }
  builder.end_sequence();
}

/// A key of type 2 that the match lacks: some servers leave empty attributes out of their JSON, and
/// a modality may rely on their being there (rule F8).
void complete(const Element& key, const Level& level, DataSetBuilder& builder) {
  const Key* const known = find_key(level.keys, key.tag);
  if (known != nullptr && known->type_2) {
    builder.add(key.tag, known->vr, {});
  } else if (level.complete_all && key.vr != Vr::SQ && key.tag != tags::TimezoneOffsetFromUTC) {
    builder.add(key.tag, key.vr, {});
  }
}

void prune(DataSetView match, DataSetView identifier, const Level& level, DataSetBuilder& builder) {
  auto key = identifier.begin();
  const auto end = identifier.end();
  for (const Element& element : match) {
    for (; key != end && key->tag < element.tag; ++key) complete(*key, level, builder);
    if (key != end && key->tag == element.tag) {
      prune_element(element, *key, level, builder);
      ++key;
    } else if (level.root && returned_unasked(element)) {
      builder.add(element);
    }
  }
  for (; key != end; ++key) complete(*key, level, builder);
}

/// The attributes that a list of paths names; no children = the whole attribute.
struct PathTree {
  std::map<Tag, PathTree> children;
  bool whole = false;
};

void prune(DataSetView data_set, const PathTree& tree, DataSetBuilder& builder) {
  for (const Element& element : data_set) {
    const auto named = tree.children.find(element.tag);
    if (named == tree.children.end()) continue;
    if (named->second.whole) {
      builder.add(element);
    } else if (element.vr == Vr::SQ) {
      builder.begin_sequence(element.tag);
      for (const DataSetView item : element.items()) {
        builder.begin_item();
        prune(item, named->second, builder);
        builder.end_item();
      }
      builder.end_sequence();
    }
  }
}

}  // namespace

DataSet with_default_return_keys(DataSetView identifier) {
  return with_return_keys(identifier, Wanted::always_returned);
}

DataSet with_all_return_keys(DataSetView identifier) {
  return with_return_keys(identifier, Wanted::all);
}

DataSet prune_to_identifier(DataSetView match, DataSetView identifier) {
  DataSetBuilder builder;
  prune(match, identifier, {&worklist_keys(), true, false}, builder);
  return built(builder, match);
}

DataSet answer_to_identifier(DataSetView step, DataSetView identifier) {
  DataSetBuilder builder;
  prune(step, identifier, {&worklist_keys(), true, true}, builder);
  return built(builder, step);
}

std::vector<DataSet> split_scheduled_procedure_steps(const DataSet& match) {
  const auto steps = match.view().find(tags::ScheduledProcedureStepSequence);
  if (!steps || steps->vr != Vr::SQ || steps->items().size() < 2) return {match};
  std::vector<DataSet> matches;
  for (const DataSetView step : steps->items()) {
    DataSetBuilder builder;
    for (const Element& element : match.view()) {
      if (element.tag == steps->tag) {
        builder.begin_sequence(element.tag).add_item(step).end_sequence();
      } else {
        builder.add(element);
      }
    }
    matches.push_back(built(builder, match));
  }
  return matches;
}

DataSet prune_to_paths(DataSetView data_set, const std::vector<AttributePath>& paths) {
  if (paths.empty()) return DataSet(data_set);
  PathTree tree;
  for (const AttributePath& path : paths) {
    PathTree* node = &tree;
    for (const Tag tag : path) node = &node->children[tag];
    node->whole = true;
  }
  DataSetBuilder builder;
  prune(data_set, tree, builder);
  return built(builder, data_set);
}

DataSet prune_to_attributes(DataSetView data_set, const std::vector<Tag>& attributes) {
  if (attributes.empty()) return DataSet(data_set);
  DataSetBuilder builder;
  for (const Element& element : data_set) {
    const bool listed =
        std::find(attributes.begin(), attributes.end(), element.tag) != attributes.end();
    if (listed) builder.add(element);
  }
  return built(builder, data_set);
}

}  // namespace mapping
