#include "web/result_writer.h"

#include <fmt/format.h>

#include <span>

#include "mapping/xml.h"
#include "web/multipart.h"

namespace web {

ResultWriter::ResultWriter(ResultForm form)
    : form_(form), boundary_(form == ResultForm::json ? std::string() : new_boundary()) {}

mapping::Result<bool> ResultWriter::add(mapping::DataSetView result) {
  if (form_ != ResultForm::json) return add_part(result);
  const std::span<char> room = body_.room();
  room[0] = results_ == 0 ? '[' : ',';
  scratch_.clear();
  const auto written = json_.write(result, room.subspan(1), scratch_);
  if (!written) return written.fault();
  body_.commit(1 + written.value());
  body_.append(scratch_);
  ++results_;
  return true;
}

mapping::Result<bool> ResultWriter::add_part(mapping::DataSetView result) {
  const bool json = model_of(form_) == Model::json;
  scratch_.clear();
  if (json) scratch_ += '[';
  auto written =
      json ? mapping::write_json(result, scratch_) : mapping::write_xml(result, scratch_);
  if (!written) return written;
  if (json) scratch_ += ']';
  if (++results_ == 1) only_ = scratch_;
  part_.clear();
  append_part(boundary_, json ? dicom_json : dicom_xml, scratch_, part_);
  body_.append(part_);
  return written;
}

ResultWriter::Written ResultWriter::finish() && {
  if (form_ == ResultForm::json) {
    body_.append(results_ == 0 ? "[]" : "]");
    return {std::string(dicom_json), std::move(body_)};
  }
  if (form_ == ResultForm::xml && results_ == 1) {
    return {std::string(dicom_xml), Body(std::move(only_))};
  }
  part_.clear();
  append_last_boundary(boundary_, part_);
  body_.append(part_);
  const ResultForm parts = is_multipart(form_) ? form_ : ResultForm::multipart_xml;
  return {fmt::format("{}; boundary={}", to_text(parts), boundary_), std::move(body_)};
}

}  // namespace web
