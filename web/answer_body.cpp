#include "web/answer_body.h"

namespace web {

void AnswerBody::begin(std::string coding) {
  for (char& c : coding) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (coding == "gzip" || coding == "x-gzip") {
    inflater_.emplace(max_bytes_);
  } else {
    unknown_ = !coding.empty() && coding != "identity";
  }
}

bool AnswerBody::add(std::string_view bytes) {
  if (bytes.size() > left_) return false;
  left_ -= bytes.size();
  begun_ = begun_ || !bytes.empty();
  if (unknown_) return true;
  if (!inflater_) {
    body_ += bytes;
    return true;
  }
  const auto take = [this](std::string_view plain) {
    body_ += plain;
    return true;
  };
  return inflater_->add(bytes, take) != Inflater::State::too_large;
}

bool AnswerBody::whole() const {
  return !begun_ || (!unknown_ && (!inflater_ || inflater_->state() == Inflater::State::whole));
}

}  // namespace web
