#include "web/result_writer.h"

#include <fmt/format.h>

#include "mapping/json.h"
#include "mapping/xml.h"
#include "web/multipart.h"

namespace web {
namespace {
/// Written here first: it stays in the processor's cache, and a body of slabs takes it by copying.
constexpr std::size_t piece_size = 16u << 10;
}  // namespace

ResultWriter::ResultWriter(ResultForm form)
    : form_(form), boundary_(form == ResultForm::json ? std::string() : new_boundary()) {}

mapping::Result<bool> ResultWriter::add(mapping::DataSetView result) {
  if (form_ != ResultForm::json) return add_part(result);
  const std::size_t before = piece_.size();
  piece_ += results_ == 0 ? '[' : ',';
  auto written = mapping::write_json(result, piece_);
  if (!written) {
    piece_.resize(before);
    return written;
  }
  ++results_;
  next_piece();
  return written;
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
  append_part(boundary_, json ? dicom_json : dicom_xml, scratch_, piece_);
  next_piece();
  return written;
}

void ResultWriter::next_piece() {
  if (piece_.size() < piece_size) return;
  body_.append(piece_);
  piece_.clear();
}

ResultWriter::Written ResultWriter::finish() && {
  if (form_ == ResultForm::json) {
    piece_ += results_ == 0 ? "[]" : "]";
    return {std::string(dicom_json), take_body()};
  }
  if (form_ == ResultForm::xml && results_ == 1) {
    return {std::string(dicom_xml), Body(std::move(only_))};
  }
  append_last_boundary(boundary_, piece_);
  const ResultForm parts = is_multipart(form_) ? form_ : ResultForm::multipart_xml;
  return {fmt::format("{}; boundary={}", to_text(parts), boundary_), take_body()};
}

Body ResultWriter::take_body() {
  if (body_.size() == 0) return Body(std::move(piece_));
  body_.append(piece_);
  return std::move(body_);
}

}  // namespace web
