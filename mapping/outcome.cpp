// Classes of status words and the outcomes that every room makes: what mapping.md 5b tells a DIMSE
// peer about trouble behind this gateway. What the web is told is in status.cpp.
#include "mapping/outcome.h"

#include <algorithm>

namespace mapping {

StatusClass classify(std::uint16_t dimse_status) {
  using namespace mapping::dimse_status;
  switch (dimse_status) {
    case success:
      return StatusClass::success;
    case pending:
    case pending_optional_keys_not_supported:
      return StatusClass::pending;
    case cancel:
      return StatusClass::cancel;
    case requested_optional_attributes_not_supported:
    case attribute_list_error:
    case attribute_value_out_of_range:
      return StatusClass::warning;
    default:
      // Bxxx is a warning of whatever service class; all else that is not named is a failure.
      return (dimse_status & 0xF000) == 0xB000 ? StatusClass::warning : StatusClass::failure;
  }
}

Outcome Outcome::answered(std::uint16_t status, std::string_view error_comment) {
  Outcome outcome;
  outcome.status = status;
  outcome.error_comment = to_error_comment(error_comment);
  return outcome;
}

Outcome Outcome::local(std::uint16_t status, std::string_view error_comment,
                       std::vector<Tag> attributes) {
  Outcome outcome = answered(status, error_comment);
  outcome.how = How::local;
  outcome.attributes = std::move(attributes);
  return outcome;
}

Outcome Outcome::unreachable(Transaction transaction, NetworkEvent event,
                             std::string_view error_comment) {
  Outcome outcome = answered(transaction == Transaction::search ? dimse_status::out_of_resources
                                                                : dimse_status::resource_limitation,
                             error_comment);
  outcome.how = How::unreachable;
  outcome.event = event;
  return outcome;
}

Outcome Outcome::unknown(Transaction transaction, NetworkEvent event,
                         std::string_view error_comment) {
  std::uint16_t status = dimse_status::processing_failure;
  if (transaction == Transaction::search) {
    status = event == NetworkEvent::response_timeout ? dimse_status::out_of_resources
                                                     : dimse_status::upstream_answer_unreadable;
  }
  Outcome outcome = answered(status, error_comment);
  outcome.how = How::unknown;
  outcome.event = event;
  return outcome;
}

Outcome Outcome::may_no_longer_be_updated() {
  Outcome outcome = answered(dimse_status::processing_failure,
                             "Performed Procedure Step Object may no longer be updated");
  outcome.error_id = dimse_status::error_id_may_no_longer_be_updated;
  return outcome;
}

std::string to_error_comment(std::string_view text) {
  constexpr std::size_t max_length = 64;  // VR LO
  std::string comment;
  for (const char c : text) {
    if (comment.size() == max_length) break;
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // one ? for a character of UTF-8, not for each byte
    // A backslash would begin a second value.
    comment += byte >= 0x20 && byte < 0x7F && c != '\\' ? c : '?';
  }
  return comment;
}

}  // namespace mapping
