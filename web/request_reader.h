// Makes whole HTTP/1.x requests of bytes as they come, strictly and within limits. RFC 9112.
// Knows no socket and no clock: connection_front owns both. Whatever another server in the way
// might read differently (smuggling) is refused here, so that nothing behind has to think of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace web {

struct RequestLimits {
  std::size_t max_head_bytes = 32u << 10;   ///< request line and headers. 431
  std::size_t max_headers = 100;            ///< 431
  std::size_t max_target_bytes = 8u << 10;  ///< 414
  std::size_t max_body_bytes = 4u << 20;    ///< 413
};

/// One request, whole. The body is decoded: no transfer coding is left.
struct RawRequest {
  std::string method;
  std::string target;  ///< origin form, or "*"; still percent-encoded
  bool http_1_0 = false;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// The value of the only header with this name (lower case), several joined by commas.
  std::optional<std::string> header(std::string_view name) const;
  /// Whether the client or its version wants the connection closed after the answer.
  bool wants_close() const;
};

/// Why a request is not read any further. The connection cannot be used again.
struct Refusal {
  int status = 400;
  std::string why;  ///< one sentence, nothing of the request in it
};

/// One per connection. After feed or next answered whole, take the request and call next for what
/// a pipelining client sent behind it.
class RequestReader {
 public:
  enum class Progress : std::uint8_t { head, body, whole, refused };

  explicit RequestReader(const RequestLimits& limits) : limits_(limits) {}

  Progress feed(std::string_view bytes);
  /// Goes on with bytes that are here already.
  Progress next() { return advance(); }

  /// A byte of a request is here.
  bool begun() const { return progress_ != Progress::head || !in_.empty(); }
  Progress progress() const { return progress_; }
  /// Once: the client waits for 100 Continue before it sends the body.
  bool take_expectation();
  /// Only when whole.
  const RawRequest& request() const { return request_; }
  RawRequest take();
  /// Only when refused.
  const Refusal& refusal() const { return refusal_; }

 private:
  enum class Framing : std::uint8_t { none, length, chunk_size, chunk_data, chunk_end, trailer };

  Progress advance();
  bool find_head_end();
  bool refuse_early();
  bool read_head(std::string_view head);
  bool read_request_line(std::string_view line);
  bool read_target(std::string_view target);
  bool read_header(std::string_view line);
  bool read_framing();
  bool read_content_length(std::string_view value);
  void read_body();
  bool read_chunk_line();
  bool read_chunk_size(std::string_view line);
  std::optional<std::string_view> line();
  void take_body_bytes();
  bool refuse(int status, std::string why);

  const RequestLimits limits_;
  std::string in_;           ///< bytes not yet used
  std::size_t used_ = 0;     ///< of in_, in the body's lines
  std::size_t scanned_ = 0;  ///< of in_, in search of the head's end
  std::size_t line_start_ = 0;
  std::size_t head_end_ = 0;
  std::size_t empty_lines_ = 0;  ///< before the head
  std::size_t trailer_bytes_ = 0;
  Progress progress_ = Progress::head;
  Framing framing_ = Framing::none;
  std::size_t body_left_ = 0;  ///< of the body or the chunk
  bool expectation_ = false;
  RawRequest request_;
  Refusal refusal_;
};

}  // namespace web
