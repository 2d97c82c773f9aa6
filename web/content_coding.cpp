#include "web/content_coding.h"

#include <fmt/format.h>

#include <utility>

#include "web/gzip.h"
#include "web/media_type.h"

namespace web {
namespace {

Body compress(Body&& body) {
  Body compressed;
  Deflater deflater;
  std::string ready;
  const auto take_ready = [&] {
    compressed.append(ready);
    ready.clear();
  };
  while (body.size() > 0) {
    const std::string_view piece = body.front();
    deflater.add(piece, ready);
    take_ready();
    body.consume(piece.size());
  }
  deflater.finish(ready);
  take_ready();
  return compressed;
}

/// Nothing, or only "identity", is no coding.
std::string coding_of(const RawRequest& request) {
  std::string coding = request.header("content-encoding").value_or("");
  for (char& c : coding) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return coding == "identity" ? std::string() : coding;
}

}  // namespace

void encode_body(Answer& answer, const RawRequest& request) {
  constexpr std::size_t worth_it = 1024;  // a smaller one leaves in one segment anyway
  if (answer.body.size() < worth_it) return;
  answer.headers.emplace_back("Vary", "Accept-Encoding");
  if (!prefers_gzip(request.header("accept-encoding"))) return;
  answer.headers.emplace_back("Content-Encoding", "gzip");
  answer.body = compress(std::move(answer.body));
}

bool is_coded(const RawRequest& request) { return !coding_of(request).empty(); }

std::variant<std::string, Answer> decode_body(const RawRequest& request, std::size_t max_bytes) {
  const std::string coding = coding_of(request);
  if (coding != "gzip" && coding != "x-gzip") {
    Answer answer = to_answer(415, "The Content-Encoding of the body is not supported; gzip is");
    answer.headers.emplace_back("Accept-Encoding", "gzip");  // RFC 9110, 15.5.16
    return answer;
  }
  std::string plain;
  Inflater inflater(max_bytes);
  const auto state = inflater.add(request.body, [&plain](std::string_view piece) {
    plain += piece;
    return true;
  });
  if (state == Inflater::State::whole) return plain;
  if (state == Inflater::State::too_large) {
    return to_answer(413,
                     fmt::format("The body, decompressed, is larger than {} bytes, the limit of "
                                 "this server",
                                 max_bytes));
  }
  return to_answer(400, state == Inflater::State::more ? "The gzip body ends too early"
                                                       : "The body is not in gzip, or damaged");
}

}  // namespace web
