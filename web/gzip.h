// gzip (RFC 1952) of bodies while they pass by, in both directions and in bounded memory. rule B13
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace web {

/// Compresses one body. One thread at a time.
class Deflater {
 public:
  Deflater();
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  /// Appends to out what is ready of the compressed body; that may be nothing yet.
  void add(std::string_view plain, std::string& out);
  /// Appends the rest. Nothing may be added afterwards.
  void finish(std::string& out);

 private:
  void run(std::string_view plain, int flush, std::string& out);

  struct Stream;
  std::unique_ptr<Stream> stream_;
};

/// Decompresses one body of one or more gzip members. One thread at a time.
class Inflater {
 public:
  enum class State {
    more,       ///< the body is not at its end
    whole,      ///< a member has ended with its check sum; another one may follow
    malformed,  ///< no gzip, or its check sum is wrong: for good
    too_large,  ///< it would be longer than max_bytes: for good
    stopped,    ///< on_plain returned false: for good
  };
  /// Called with at most 32 KiB at a time; false = no more is wanted.
  using OnPlain = std::function<bool(std::string_view)>;

  /// max_bytes: of the whole body, decompressed.
  explicit Inflater(std::size_t max_bytes);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Takes the next bytes of the body and hands on what they decompress to. Nothing beyond
  /// max_bytes is handed on.
  State add(std::string_view compressed, const OnPlain& on_plain);
  /// After the last byte: the body is complete only where this is whole.
  State state() const { return state_; }

 private:
  State step(const OnPlain& on_plain);

  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::size_t bytes_left_;
  State state_ = State::more;
};

}  // namespace web
