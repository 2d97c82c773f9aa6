// Over zlib. What it says about memory is an exception here, all else a state.
#include "web/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>
#include <new>

namespace web {
namespace {

constexpr int gzip_window = 15 + 16;  ///< 32 KiB, with the header and trailer of gzip
constexpr int memory_level = 8;
constexpr std::size_t piece = 32u << 10;

/// zlib counts in unsigned int and takes its input by a pointer to non-const.
void set_input(z_stream& stream, std::string_view bytes) {
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
}
template <std::size_t size>
void set_output(z_stream& stream, std::array<char, size>& buffer) {
  stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
  stream.avail_out = static_cast<uInt>(buffer.size());
}

/// The next part of the bytes that fits zlib's count.
std::string_view take(std::string_view& bytes) {
  const std::size_t count = std::min<std::size_t>(bytes.size(), std::numeric_limits<int>::max());
  const std::string_view part = bytes.substr(0, count);
  bytes.remove_prefix(count);
  return part;
}

}  // namespace

struct Deflater::Stream {
  Stream() {
    // The best speed: bodies of JSON shrink to a tenth and less by that already.
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, gzip_window, memory_level, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
      throw std::bad_alloc();
    }
  }
  ~Stream() { deflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  z_stream z{};
};

Deflater::Deflater() : stream_(std::make_unique<Stream>()) {}
Deflater::~Deflater() = default;

void Deflater::add(std::string_view plain, std::string& out) {
  while (!plain.empty()) run(take(plain), Z_NO_FLUSH, out);
}

void Deflater::finish(std::string& out) { run({}, Z_FINISH, out); }

void Deflater::run(std::string_view plain, int flush, std::string& out) {
  z_stream& z = stream_->z;
  std::array<char, piece> buffer;
  set_input(z, plain);
  do {
    set_output(z, buffer);
    ::deflate(&z, flush);
    out.append(buffer.data(), buffer.size() - z.avail_out);
  } while (z.avail_out == 0);
}

struct Inflater::Stream {
  Stream() {
    if (inflateInit2(&z, gzip_window) != Z_OK) throw std::bad_alloc();
  }
  ~Stream() { inflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  z_stream z{};
};

Inflater::Inflater(std::size_t max_bytes)
    : stream_(std::make_unique<Stream>()), bytes_left_(max_bytes) {}
Inflater::~Inflater() = default;

Inflater::State Inflater::add(std::string_view compressed, const OnPlain& on_plain) {
  while (!compressed.empty()) {
    set_input(stream_->z, take(compressed));
    while (stream_->z.avail_in > 0 && (state_ == State::more || state_ == State::whole)) {
      state_ = step(on_plain);
    }
  }
  return state_;
}

/// Fills one piece, from the input that is set, and hands it on.
Inflater::State Inflater::step(const OnPlain& on_plain) {
  z_stream& z = stream_->z;
  if (state_ == State::whole && inflateReset(&z) != Z_OK) return State::malformed;
  int result = Z_OK;
  do {
    std::array<char, piece> buffer;
    set_output(z, buffer);
    result = ::inflate(&z, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    // Z_BUF_ERROR: all input was used up, and there was no more to write.
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return State::malformed;
    const std::size_t size = buffer.size() - z.avail_out;
    if (size > bytes_left_) return State::too_large;
    bytes_left_ -= size;
    if (size > 0 && !on_plain({buffer.data(), size})) return State::stopped;
  } while (z.avail_out == 0 && result != Z_STREAM_END);
  return result == Z_STREAM_END ? State::whole : State::more;
}

}  // namespace web
