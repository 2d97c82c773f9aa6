// The data set in the body of a Create or Update. Supplement 246, 15.4.1 and 15.5.1; rules B10,
// B11, D3, J11.
#pragma once

#include <cstddef>
#include <string_view>
#include <variant>

#include "mapping/data_set.h"
#include "mapping/uid.h"
#include "web/dispatcher.h"

namespace web {

/// The types that are read, for 415 and the Accept header that goes with it.
inline constexpr std::string_view request_types = "application/dicom+json, application/dicom+xml";

/// The data set, without what names the object: that stands in the path. Or the answer that refuses
/// it: 400, 413 or 415.
std::variant<mapping::DataSet, Answer> read_request_body(const RawRequest& request,
                                                         const mapping::Uid& mpps,
                                                         std::size_t max_bytes);

}  // namespace web
