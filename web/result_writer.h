// The results of a Search or Retrieve, written one after the other in the form that was negotiated.
// PS3.18, 8.6.1 and F.2.1; rules B7 to B10.
#pragma once

#include <cstddef>
#include <string>

#include "mapping/data_set.h"
#include "mapping/json.h"
#include "mapping/result.h"
#include "web/body.h"
#include "web/media_type.h"

namespace web {

class ResultWriter {
 public:
  explicit ResultWriter(ResultForm form);

  /// Fault: a value that the model cannot hold; nothing was added then.
  mapping::Result<bool> add(mapping::DataSetView result);
  std::size_t size() const { return body_.size(); }  ///< bytes so far

  struct Written {
    std::string content_type;
    Body body;
  };
  /// One result in the form xml is a document of its own, several are parts (rule B9).
  Written finish() &&;

 private:
  mapping::Result<bool> add_part(mapping::DataSetView result);

  const ResultForm form_;
  const std::string boundary_;
  mapping::JsonWriter json_;
  Body body_;
  std::string scratch_;  ///< the document of one part, or a result that a slab has no room for
  std::string part_;
  std::string only_;  ///< the document of the first part
  std::size_t results_ = 0;
};

}  // namespace web
