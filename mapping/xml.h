// The Native DICOM Model (XML) ⇄ DataSet. PS3.19, A.1; rules E.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "mapping/data_set.h"
#include "mapping/result.h"

namespace mapping {

struct XmlReadOptions {
  std::size_t max_bytes = 64u << 20;  ///< of the text
  /// Refuse values that break the length or character rules of their VR (rule D19).
  bool enforce_vr_limits = false;
};

/// Reads one document. No DTD, no entities beyond the predefined five, UTF-8 only.
/// Faults name the attribute path and what was expected there, never a value.
Result<DataSet> read_xml(std::string_view text, const XmlReadOptions& options = {});

/// Appends the data set as a whole document. (0008,0005) stands in it as ISO_IR 192 where a value
/// is not ASCII (rules E7, D17).
/// Fault: a control character or a floating point value that XML or the model cannot hold (E10);
/// out is then as it was.
Result<bool> write_xml(DataSetView data_set, std::string& out);

}  // namespace mapping
