// Media types: what an Accept or Content-Type header says, and which of the types we can write is
// to be sent. PS3.18, 8.7; RFC 9110, 12.5.1; rules B1 to B5, B11, A27.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace web {

inline constexpr std::string_view dicom_json = "application/dicom+json";
inline constexpr std::string_view dicom_xml = "application/dicom+xml";

/// One data set on the web.
enum class Model : std::uint8_t { json, xml };

/// How an answer holds its results: one document, or one part a result. PS3.18, Table 8.7.3-1.
enum class ResultForm : std::uint8_t { json, xml, multipart_json, multipart_xml };

/// The media type as Accept and Content-Type have it, without a boundary.
std::string_view to_text(ResultForm form);
/// The media types joined by commas.
std::string to_text(std::span<const ResultForm> forms);

constexpr bool is_multipart(ResultForm form) {
  return form == ResultForm::multipart_json || form == ResultForm::multipart_xml;
}
constexpr Model model_of(ResultForm form) {
  return form == ResultForm::json || form == ResultForm::multipart_json ? Model::json : Model::xml;
}

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

/// The form to answer in, or nothing: 406. header is the Accept header (nothing = absent, which is
/// */*); parameter the accept query parameter, which goes first where the header covers what it
/// names (rules A27, B3). offered: the default first.
/// The highest q wins; then a type that is named, not only covered by a wildcard; then the one
/// named first. application/json counts as application/dicom+json (rule B5).
std::optional<ResultForm> choose_form(const std::optional<std::string>& header,
                                      const std::vector<std::string>& parameter,
                                      std::span<const ResultForm> offered);

/// The same for types without forms of their own: the best of them, or nothing.
std::optional<std::string_view> choose_type(const std::optional<std::string>& header,
                                            std::span<const std::string_view> offered);

/// Whether UTF-8, the only character set that is written, may be sent: false only where the
/// Accept-Charset header excludes it and the charset parameter does not name it. Others are told
/// UTF-8 whatever they prefer, as rule B21 has it for a tolerant server.
bool accepts_utf_8(const std::optional<std::string>& header,
                   const std::vector<std::string>& parameter);

/// Whether an answer is to be sent in gzip: only where the Accept-Encoding header names it or * and
/// does not weigh identity more. RFC 9110, 12.5.3; rule B13.
bool prefers_gzip(const std::optional<std::string>& header);

/// In which model a body with this Content-Type is to be read, or nothing: dicom+json or json,
/// dicom+xml or xml, charset UTF-8 or none (rule B11).
std::optional<Model> model_of(std::string_view content_type);
/// The same of a type that was read already.
std::optional<Model> model_of(const MediaType& type);

}  // namespace web
