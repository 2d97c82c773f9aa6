// Registered UIDs that modgate speaks of. PS3.6, Annex A. Held against DCMTK's constants by a test.
#pragma once

#include <string_view>

namespace mapping::uids {

inline constexpr std::string_view verification = "1.2.840.10008.1.1";
inline constexpr std::string_view modality_worklist_find = "1.2.840.10008.5.1.4.31";
inline constexpr std::string_view mpps = "1.2.840.10008.3.1.2.3.3";
inline constexpr std::string_view mpps_retrieve = "1.2.840.10008.3.1.2.3.4";
inline constexpr std::string_view implicit_vr_little_endian = "1.2.840.10008.1.2";
inline constexpr std::string_view explicit_vr_little_endian = "1.2.840.10008.1.2.1";
inline constexpr std::string_view explicit_vr_big_endian = "1.2.840.10008.1.2.2";

}  // namespace mapping::uids
