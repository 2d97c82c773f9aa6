// Fills our table from DCMTK's dictionary once; the only place in mapping/ that sees DCMTK.
#include "mapping/dictionary.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdicent.h>
#include <dcmtk/dcmdata/dcdict.h>
#include <dcmtk/dcmdata/dcuid.h>

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace mapping {
namespace {

// DCMTK's own names for VRs that depend on other attributes.
Vr usual_vr(DcmEVR vr) {
  switch (vr) {
    case EVR_xs:  // US or SS
    case EVR_lt:  // US, SS or OW
      return Vr::US;
    case EVR_ox:  // OB or OW
    case EVR_px:
      return Vr::OW;
    case EVR_up:
      return Vr::UL;
    default:
      return parse_vr(DcmVR(vr).getValidVRName()).value_or(Vr::UN);
  }
}

// DCMTK writes RETIRED_EthnicGroup where PS3.6 has EthnicGroup.
std::string_view without_prefix(std::string_view keyword) {
  constexpr std::string_view prefix = "RETIRED_";
  return keyword.starts_with(prefix) ? keyword.substr(prefix.size()) : keyword;
}

class Dictionary {
 public:
  Dictionary() {
    DcmDataDictionary& dcmtk = dcmDataDict.wrlock();  // its iterators are not const
    for (auto it = dcmtk.normalBegin(); it != dcmtk.normalEnd(); ++it) {
      const DcmDictEntry* entry = *it;
      if (entry->getPrivateCreator() != nullptr) continue;
      keywords_.emplace_back(without_prefix(entry->getTagName()));
      entries_.push_back(
          {Tag(entry->getGroup(), entry->getElement()), usual_vr(entry->getEVR()), {}});
    }
    dcmDataDict.wrunlock();
    for (std::size_t i = 0; i < entries_.size(); ++i) entries_[i].keyword = keywords_[i];
    by_keyword_.reserve(entries_.size());
    for (const DictionaryEntry& entry : entries_) by_keyword_.emplace(entry.keyword, &entry);
    for (std::size_t i = 0; i < entries_.size(); ++i) insert(i);
  }

  const DictionaryEntry* find(Tag tag) const {
    for (std::size_t slot = hash(tag);; slot = (slot + 1) % by_tag_.size()) {
      if (by_tag_[slot] == 0) return nullptr;
      const DictionaryEntry& entry = entries_[by_tag_[slot] - 1u];
      if (entry.tag == tag) return &entry;
    }
  }
  const DictionaryEntry* find(std::string_view keyword) const {
    const auto it = by_keyword_.find(keyword);
    return it == by_keyword_.end() ? nullptr : it->second;
  }

 private:
  std::size_t hash(Tag tag) const { return (tag.value * 0x9E3779B1u) >> 18; }
  void insert(std::size_t index) {
    std::size_t slot = hash(entries_[index].tag);
    while (by_tag_[slot] != 0) slot = (slot + 1) % by_tag_.size();
    by_tag_[slot] = static_cast<std::uint16_t>(index + 1);
  }

  // All constant after construction.
  std::vector<std::string> keywords_;
  std::vector<DictionaryEntry> entries_;
  // Open addressing; index into entries_ plus one, 0 = free. Reading an implicit VR data set asks
  // for every element, so this is three times as fast as a sorted vector.
  std::array<std::uint16_t, 1u << 14> by_tag_{};
  std::unordered_map<std::string_view, const DictionaryEntry*> by_keyword_;
};

const Dictionary& dictionary() {
  static const Dictionary instance;
  return instance;
}

}  // namespace

const DictionaryEntry* find_attribute(Tag tag) { return dictionary().find(tag); }
const DictionaryEntry* find_attribute(std::string_view keyword) {
  return dictionary().find(keyword);
}

std::string_view find_uid(std::string_view name) {
  const char* uid = dcmFindUIDFromName(std::string(name).c_str());
  return uid == nullptr ? std::string_view() : std::string_view(uid);
}

}  // namespace mapping
