// The body of an answer as it comes: gathered, and decompressed where it is in gzip.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "web/gzip.h"

namespace web {

/// One thread. Neither form of the body grows beyond max_bytes.
class AnswerBody {
 public:
  /// body: what is gathered, decompressed, is added here, and may be taken away meanwhile. It
  /// outlives this object.
  AnswerBody(std::string& body, std::size_t max_bytes)
      : body_(body), max_bytes_(max_bytes), left_(max_bytes) {}

  /// Before the first byte. coding: value of Content-Encoding.
  void begin(std::string coding);
  /// False: it is too large.
  bool add(std::string_view bytes);
  /// After the last byte: whether body is what the server meant. Half a gzip must never be taken
  /// for the empty body that says "no match".
  bool whole() const;

 private:
  std::string& body_;
  const std::size_t max_bytes_;
  std::size_t left_;  ///< of the bytes as they come
  std::optional<Inflater> inflater_;
  bool unknown_ = false;  ///< a coding that was not asked for
  bool begun_ = false;
};

}  // namespace web
