// The CSV text of the attribute tables; read by mapping/attribute_tables.cpp only.
#pragma once

#include <string_view>

namespace mapping {
extern const std::string_view worklist_csv;
extern const std::string_view mpps_csv;
extern const std::string_view mpps_retrieve_csv;
}  // namespace mapping
