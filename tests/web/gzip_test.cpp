// Compression and decompression against each other and against the gzip program's bytes.
#include "web/gzip.h"

#include <catch2/catch.hpp>
#include <string>

using web::Deflater;
using web::Inflater;
using State = Inflater::State;

namespace {

std::string compressed(std::string_view plain, std::size_t step = 1u << 20) {
  Deflater deflater;
  std::string out;
  for (std::size_t at = 0; at < plain.size(); at += step) {
    deflater.add(plain.substr(at, step), out);
  }
  deflater.finish(out);
  return out;
}

struct Inflated {
  State state;
  std::string plain;
  std::size_t largest = 0;  ///< of the pieces handed on
};

Inflated inflated(std::string_view bytes, std::size_t max_bytes = 64u << 20,
                  std::size_t step = 1u << 20) {
  Inflater inflater(max_bytes);
  Inflated result{};
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    inflater.add(bytes.substr(at, step), [&](std::string_view plain) {
      result.plain += plain;
      result.largest = std::max(result.largest, plain.size());
      return true;
    });
  }
  result.state = inflater.state();
  return result;
}

/// Text that does not shrink to nothing.
std::string text(std::size_t size) {
  std::string result;
  for (unsigned number = 1; result.size() < size; number = number * 1664525 + 1013904223) {
    result += std::to_string(number);
  }
  result.resize(size);
  return result;
}

}  // namespace

TEST_CASE("What was compressed comes back, whatever the pieces") {
  for (const std::size_t size : {0u, 1u, 100u, 32768u, 32769u, 1'000'000u}) {
    for (const std::size_t step : {1u, 7u, 4096u, 1u << 20}) {
      if (step < 100 && size > 100'000) continue;
      CAPTURE(size, step);
      const std::string plain = text(size);
      const std::string bytes = compressed(plain, step);
      const Inflated back = inflated(bytes, size, step);
      CHECK(back.state == State::whole);
      CHECK((back.plain == plain));
      CHECK(back.largest <= 32768);
    }
  }
}

TEST_CASE(
    "The output of the gzip program is read, with a file name in its header and two members") {
  // printf 'worklist' >w; gzip -c w w
  const std::string member(
      "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03w\x00\x2b\xcf\x2f\xca\xce\xc9\x2c\x2e\x01\x00"
      "\x7e\xb6\xcd\x73\x08\x00\x00\x00",
      30);
  const Inflated once = inflated(member);
  CHECK(once.state == State::whole);
  CHECK(once.plain == "worklist");
  const Inflated twice = inflated(member + member, 16, 1);
  CHECK(twice.state == State::whole);
  CHECK(twice.plain == "worklistworklist");
}

TEST_CASE("Every truncation is seen, and so is every broken byte that matters") {
  const std::string bytes = compressed(text(2000));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK(inflated(bytes.substr(0, size)).state == State::more);
  }
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{2}, bytes.size() / 2, bytes.size() - 8, bytes.size() - 1}) {
    CAPTURE(at);
    std::string broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ 0x55);
    const State state = inflated(broken).state;
    CHECK(state != State::whole);
  }
  CHECK(inflated("[{\"0020000D\":{}}]").state == State::malformed);
  CHECK(inflated(bytes + "tail").state == State::malformed);
}

TEST_CASE("A zip bomb ends at the limit, and nothing beyond it is handed on") {
  std::string bomb;
  {
    Deflater deflater;
    const std::string zeros(1u << 20, '\0');
    for (int i = 0; i < 256; ++i) deflater.add(zeros, bomb);
    deflater.finish(bomb);
  }
  REQUIRE(bomb.size() < 2u << 20);
  std::size_t plain = 0;
  Inflater inflater(100'000);
  const auto count = [&](std::string_view part) {
    plain += part.size();
    return true;
  };
  CHECK(inflater.add(bomb, count) == State::too_large);
  CHECK(plain <= 100'000);
  const std::size_t before = plain;
  CHECK(inflater.add(bomb, count) == State::too_large);  // for good
  CHECK(plain == before);
  // The limit itself is allowed, one byte more is not.
  CHECK(inflated(compressed(text(50'000)), 50'000).state == State::whole);
  CHECK(inflated(compressed(text(50'001)), 50'000).state == State::too_large);
}

TEST_CASE("Who wants no more gets no more") {
  const std::string bytes = compressed(text(200'000));
  int calls = 0;
  Inflater inflater(1u << 20);
  const auto once = [&](std::string_view) { return ++calls < 2; };
  CHECK(inflater.add(bytes, once) == State::stopped);
  CHECK(inflater.add(bytes, once) == State::stopped);
  CHECK(calls == 2);
}
