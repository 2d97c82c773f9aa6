// Media types: what an Accept or Content-Type header says, and which of the types we can write is
// to be sent. PS3.18, 8.7; RFC 9110, 12.5.1; rules B1 to B5, B11, A27.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace web {

inline constexpr std::string_view dicom_json = "application/dicom+json";

/// One media type or range, lower case but for parameter values.
struct MediaType {
  std::string type;                                             ///< "application", "*"
  std::string subtype;                                          ///< "dicom+json", "*"
  std::vector<std::pair<std::string, std::string>> parameters;  ///< without q
  double q = 1;

  std::string_view parameter(std::string_view name) const;  ///< empty if absent
};

/// Reads one type with its parameters; nothing if it is none.
std::optional<MediaType> parse_media_type(std::string_view text);

/// Reads the ranges of an Accept header. Those that are none are left out (rule B4).
std::vector<MediaType> parse_accept(std::string_view header);

/// Whether an answer in DICOM JSON is acceptable: header is the Accept header (nothing = absent),
/// parameter the accept query parameter, which goes first and must be covered by the header
/// (rules A27, B3). application/json counts as application/dicom+json (rule B5).
bool accepts_dicom_json(const std::optional<std::string>& header,
                        const std::vector<std::string>& parameter);

/// Whether a request body with this Content-Type may be read as DICOM JSON: application/dicom+json
/// or application/json, charset UTF-8 or none (rule B11).
bool is_dicom_json(std::string_view content_type);

}  // namespace web
