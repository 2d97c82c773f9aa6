#include "web/request_reader.h"

#include <algorithm>
#include <charconv>

namespace web {
namespace {

bool is_token_character(char c) {
  constexpr std::string_view specials = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         specials.find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower(c);
  return result;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Field values: visible characters, blanks, tabs and bytes over 127. RFC 9110, 5.5.
bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u == '\t' || (u >= 0x20 && u != 0x7F);
  });
}

bool is_target(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; }) &&
         text.find('#') == std::string_view::npos;
}

bool list_holds(const std::optional<std::string>& list, std::string_view member) {
  if (!list) return false;
  std::string_view rest = *list;
  while (true) {
    const std::size_t comma = rest.find(',');
    if (lower(trim(rest.substr(0, comma))) == member) return true;
    if (comma == std::string_view::npos) return false;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace

std::optional<std::string> RawRequest::header(std::string_view name) const {
  std::optional<std::string> result;
  for (const auto& [key, value] : headers) {
    if (key != name) continue;
    if (result) {
      *result += ", " + value;
    } else {
      result = value;
    }
  }
  return result;
}

bool RawRequest::wants_close() const {
  const auto connection = header("connection");
  if (list_holds(connection, "close")) return true;
  return http_1_0 && !list_holds(connection, "keep-alive");
}

RequestReader::Progress RequestReader::feed(std::string_view bytes) {
  if (progress_ == Progress::refused) return progress_;
  in_.append(bytes);
  return advance();
}

bool RequestReader::take_expectation() {
  const bool waits =
      expectation_ && progress_ == Progress::body && in_.empty() && request_.body.empty();
  if (progress_ == Progress::body) expectation_ = false;
  return waits;
}

RawRequest RequestReader::take() {
  RawRequest result = std::move(request_);
  request_ = {};
  progress_ = Progress::head;
  framing_ = Framing::none;
  scanned_ = line_start_ = head_end_ = empty_lines_ = trailer_bytes_ = 0;
  expectation_ = false;
  return result;
}

bool RequestReader::refuse(int status, std::string why) {
  progress_ = Progress::refused;
  refusal_ = {status, std::move(why)};
  in_.clear();
  in_.shrink_to_fit();
  return false;
}

RequestReader::Progress RequestReader::advance() {
  if (progress_ == Progress::head) {
    if (refuse_early() || !find_head_end()) return progress_;
    if (!read_head(std::string_view(in_).substr(0, head_end_))) return progress_;
    in_.erase(0, head_end_ + 2);
    progress_ = framing_ == Framing::none ? Progress::whole : Progress::body;
  }
  if (progress_ == Progress::body) read_body();
  return progress_;
}

/// What the first byte already shows. True if refused.
bool RequestReader::refuse_early() {
  if (in_.empty() || scanned_ > 0) return false;
  constexpr char tls_handshake = 0x16;
  return in_[0] == tls_handshake &&
         !refuse(400, "A TLS handshake came to a port that speaks plain HTTP");
}

/// Looks for the empty line; every line must end in CR LF. False if it is not here yet or the head
/// was refused. head_end_ is then where the empty line begins.
bool RequestReader::find_head_end() {
  for (; scanned_ < in_.size(); ++scanned_) {
    const char c = in_[scanned_];
    if (c == '\0') return refuse(400, "The head of the request holds a NUL");
    if (c == '\r' && scanned_ + 1 < in_.size() && in_[scanned_ + 1] != '\n') {
      return refuse(400, "A CR stands without LF in the head of the request");
    }
    if (c != '\n') continue;
    if (scanned_ == 0 || in_[scanned_ - 1] != '\r') {
      return refuse(400, "A line of the head ends in LF without CR");
    }
    if (scanned_ == 1) {
      // An empty line before a request is ignored: some clients end a body with it. RFC 9112, 2.2.
      // A client that sends nothing else does not look busy by it for ever.
      constexpr std::size_t max_empty_lines = 4;
      if (++empty_lines_ > max_empty_lines) return refuse(400, "Empty lines are sent, no request");
      in_.erase(0, 2);
      scanned_ = static_cast<std::size_t>(-1);
      continue;
    }
    if (scanned_ - 1 == line_start_) {
      head_end_ = line_start_;
      if (head_end_ > limits_.max_head_bytes) break;
      return true;
    }
    line_start_ = scanned_ + 1;
  }
  constexpr std::size_t rest_of_request_line = 64;  // method, version, blanks
  if (line_start_ == 0 && in_.size() > limits_.max_target_bytes + rest_of_request_line) {
    return refuse(414, "The request target is too long");
  }
  if (in_.size() > limits_.max_head_bytes)
    return refuse(431, "The head of the request is too long");
  return false;
}

bool RequestReader::read_head(std::string_view head) {
  std::size_t end = head.find("\r\n");
  if (!read_request_line(head.substr(0, end))) return false;
  for (std::size_t at = end + 2; at < head.size(); at = end + 2) {
    end = head.find("\r\n", at);
    if (!read_header(head.substr(at, end - at))) return false;
  }
  return read_framing();
}

bool RequestReader::read_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return refuse(400, "The request line is not method, target and version, one blank apart");
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method)) return refuse(400, "The method is not a token");
  if (line == "PRI * HTTP/2.0") return refuse(400, "HTTP/2 is not spoken here");
  const bool is_http = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.';
  if (!is_http) return refuse(400, "The request line does not end in an HTTP version");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return refuse(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here");
  }
  request_.method = method;
  request_.http_1_0 = version == "HTTP/1.0";
  return read_target(line.substr(first + 1, last - first - 1));
}

bool RequestReader::read_target(std::string_view target) {
  if (target.size() > limits_.max_target_bytes)
    return refuse(414, "The request target is too long");
  if (!is_target(target)) {
    return refuse(400, "The request target holds a character that must be percent-encoded");
  }
  // The absolute form must be accepted; its authority says no more than Host does. RFC 9112, 3.2.2.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (lower(target.substr(0, scheme.size())) != scheme) continue;
    const std::size_t path = target.find_first_of("/?", scheme.size());
    const std::string_view rest = path == std::string_view::npos ? "" : target.substr(path);
    request_.target = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
    return true;
  }
  if (!target.starts_with('/') && !(target == "*" && request_.method == "OPTIONS")) {
    return refuse(400, "The request target does not begin with a slash");
  }
  request_.target = target;
  return true;
}

bool RequestReader::read_header(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with('\t')) {
    return refuse(400, "A header is folded over two lines");
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return refuse(400, "A header line has no colon");
  if (!is_token(line.substr(0, colon))) {
    return refuse(400, "A header name is not a token that stands directly before its colon");
  }
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_field_value(value)) return refuse(400, "A header value holds a control character");
  if (request_.headers.size() == limits_.max_headers) {
    return refuse(431, "The request has too many headers");
  }
  request_.headers.emplace_back(lower(line.substr(0, colon)), value);
  return true;
}

/// How long the body is, without any doubt. RFC 9112, 6.
bool RequestReader::read_framing() {
  std::size_t hosts = 0;
  const std::string* length = nullptr;
  const std::string* coding = nullptr;
  for (const auto& [name, value] : request_.headers) {
    if (name == "host") {
      ++hosts;
    } else if (name == "content-length") {
      if (length != nullptr) return refuse(400, "Content-Length is given twice");
      length = &value;
    } else if (name == "transfer-encoding") {
      if (coding != nullptr) return refuse(400, "Transfer-Encoding is given twice");
      coding = &value;
    } else if (name == "expect") {
      if (lower(value) != "100-continue") return refuse(417, "Only 100-continue can be expected");
      expectation_ = !request_.http_1_0;
    }
  }
  if (hosts > 1) return refuse(400, "Host is given twice");
  if (hosts == 0 && !request_.http_1_0) return refuse(400, "The Host header is missing");
  if (coding != nullptr) {
    if (length != nullptr) return refuse(400, "Content-Length stands beside Transfer-Encoding");
    if (request_.http_1_0) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    if (lower(*coding) != "chunked")
      return refuse(501, "Only the transfer coding chunked is known");
    framing_ = Framing::chunk_size;
    return true;
  }
  return length == nullptr || read_content_length(*length);
}

bool RequestReader::read_content_length(std::string_view value) {
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  const bool digits = !value.empty() && end == value.data() + value.size();
  if (digits && error == std::errc::result_out_of_range)
    return refuse(413, "The body is too large");
  if (!digits || error != std::errc()) return refuse(400, "Content-Length is not a decimal number");
  if (length > limits_.max_body_bytes) {
    return refuse(413, "The body is larger than " + std::to_string(limits_.max_body_bytes) +
                           " bytes, the limit of this server");
  }
  if (length > 0) {
    framing_ = Framing::length;
    body_left_ = length;
  }
  return true;
}

void RequestReader::read_body() {
  used_ = 0;
  if (framing_ == Framing::length) {
    take_body_bytes();
    if (body_left_ == 0) progress_ = Progress::whole;
  } else {
    while (progress_ == Progress::body && read_chunk_line()) {
    }
  }
  if (progress_ != Progress::refused) in_.erase(0, used_);
}

void RequestReader::take_body_bytes() {
  const std::size_t taken = std::min(body_left_, in_.size() - used_);
  request_.body.append(in_, used_, taken);
  used_ += taken;
  body_left_ -= taken;
}

/// A line that ends in CR LF, without it; nothing if it is not whole yet or was refused.
std::optional<std::string_view> RequestReader::line() {
  constexpr std::size_t max_chunk_line = 1024;
  const std::size_t end = in_.find('\n', used_);
  if (end == std::string::npos ? in_.size() - used_ > max_chunk_line
                               : end - used_ > max_chunk_line) {
    refuse(400, "A line of the chunked body is too long");
    return std::nullopt;
  }
  if (end == std::string::npos) return std::nullopt;
  if (end == used_ || in_[end - 1] != '\r') {
    refuse(400, "A line of the chunked body ends in LF without CR");
    return std::nullopt;
  }
  const std::string_view result = std::string_view(in_).substr(used_, end - 1 - used_);
  used_ = end + 1;
  return result;
}

/// One step of a chunked body. RFC 9112, 7.1. False if more bytes are needed or it is at its end.
bool RequestReader::read_chunk_line() {
  if (framing_ == Framing::chunk_data) {
    take_body_bytes();
    if (body_left_ > 0) return false;
    framing_ = Framing::chunk_end;
  }
  const auto text = line();
  if (!text) return false;
  if (framing_ == Framing::chunk_size) return read_chunk_size(*text);
  if (framing_ == Framing::chunk_end) {
    if (!text->empty()) return refuse(400, "A chunk is longer than its size");
    framing_ = Framing::chunk_size;
    return true;
  }
  if (text->empty()) {
    progress_ = Progress::whole;
    return false;
  }
  trailer_bytes_ += text->size();  // trailer fields are read past
  if (trailer_bytes_ > limits_.max_head_bytes) return refuse(431, "The trailer is too long");
  return true;
}

bool RequestReader::read_chunk_size(std::string_view text) {
  const std::size_t semicolon = text.find(';');  // chunk extensions are read past
  const std::string_view digits =
      semicolon == std::string_view::npos ? text : trim(text.substr(0, semicolon));
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
  if (digits.empty() || digits[0] == '-' || end != digits.data() + digits.size()) {
    return refuse(400, "A chunk size is not a hexadecimal number");
  }
  if (error != std::errc() || size > limits_.max_body_bytes - request_.body.size()) {
    return refuse(413, "The body is larger than " + std::to_string(limits_.max_body_bytes) +
                           " bytes, the limit of this server");
  }
  framing_ = size == 0 ? Framing::trailer : Framing::chunk_data;
  body_left_ = size;
  return true;
}

}  // namespace web
