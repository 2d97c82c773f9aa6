// The attribute tables of PS3.4, compiled in from mapping/attributes/*.csv at build time. The rows
// for "all other attributes of the module" name no attribute and are left out.
#pragma once

#include <span>
#include <string_view>

#include "mapping/vr.h"

namespace mapping {

/// A row of Table K.6-1 with its macros expanded. Strings live for ever.
struct WorklistAttribute {
  std::string_view path;  ///< "00400100.00080060"; sequences stand before what they hold
  std::string_view keyword;
  Vr vr;
  std::string_view matching_key;  ///< R, O, OC …
  std::string_view return_key;    ///< 1, 1C, 2, 2C, 3 …
};
std::span<const WorklistAttribute> worklist_attributes();

/// A row of Table F.7.2-1: what N-CREATE and N-SET may and must hold.
struct MppsAttribute {
  std::string_view path;
  std::string_view keyword;
  Vr vr;
  std::string_view n_create_scu;
  std::string_view n_create_scp;
  std::string_view n_set_scu;  ///< "Not allowed" among them
  std::string_view n_set_scp;
  std::string_view final_state;  ///< type once COMPLETED or DISCONTINUED is set; may be empty
};
std::span<const MppsAttribute> mpps_attributes();

/// A row of Table F.8.2-1.
struct MppsRetrieveAttribute {
  std::string_view path;
  std::string_view keyword;
  Vr vr;
  std::string_view usage_scu;
  std::string_view usage_scp;
};
std::span<const MppsRetrieveAttribute> mpps_retrieve_attributes();

}  // namespace mapping
