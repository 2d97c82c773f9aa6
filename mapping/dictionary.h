// The data dictionary: tag ⇄ keyword ⇄ VR. PS3.6. An immutable table filled once, on first use,
// from DCMTK's dictionary; look-ups take no lock. Private attributes are not in it.
#pragma once

#include <string_view>

#include "mapping/tag.h"
#include "mapping/vr.h"

namespace mapping {

struct DictionaryEntry {
  Tag tag;
  Vr vr = Vr::UN;  ///< of several, the usual one: US for "US or SS", OW for "OB or OW"
  std::string_view keyword;
};

/// The entry of a standard attribute (repeating groups excepted), or null. Lives for ever.
const DictionaryEntry* find_attribute(Tag tag);

/// By keyword, case-sensitive (rule A3), or null.
const DictionaryEntry* find_attribute(std::string_view keyword);

/// The UID of PS3.6, Annex A, that DCMTK knows by this name, such as "MRImageStorage"; empty if
/// there is none. Lives for ever.
std::string_view find_uid(std::string_view name);

}  // namespace mapping
