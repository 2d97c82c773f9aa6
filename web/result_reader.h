// The results in what an origin server answers, in whatever form it sent them: an array or a bare
// object in JSON, a document in XML, parts of either in multipart/related. Rules B6, B8, B10, B11.
#pragma once

#include <cstddef>
#include <functional>

#include "mapping/data_set.h"
#include "mapping/result.h"
#include "web/origin_connections.h"

namespace web {

/// Whether the body of a 2xx is in a form that read_results reads; a missing type is forgiven where
/// the body shows what it is.
bool holds_results(const OriginReply& reply);

/// Whether the body of this head is one JSON document, which can be read while it comes.
bool is_json_document(const OriginReply& head);

/// Hands each data set on until on_data_set returns false. Data sets before a fault were handed on.
mapping::Result<bool> read_results(const OriginReply& reply,
                                   const std::function<bool(mapping::DataSet&&)>& on_data_set,
                                   std::size_t max_bytes);

}  // namespace web
