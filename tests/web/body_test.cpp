#include "web/body.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

namespace {

using namespace std::chrono_literals;

std::string text_of(const web::Body& body) {
  std::string text;
  for (std::size_t i = 0; i < body.pieces(); ++i) text += body.piece(i);
  return text;
}

}  // namespace

TEST_CASE("a body holds what was appended, whatever its length, and no more of an earlier one") {
  const std::string piece = "0123456789abcdef0123456789ABCDEF-";
  // Some for one text, some that end in a first and in a second slab, and short ones after them.
  for (const std::size_t count : {1u, 8000u, 20'000u, 150'000u, 3u, 8000u}) {
    web::Body body;
    std::string expected;
    for (std::size_t i = 0; i < count; ++i) {
      body.append(piece);
      expected += piece;
    }
    CHECK(body.size() == expected.size());
    CHECK(text_of(body) == expected);
    web::Body moved(std::move(body));
    CHECK(text_of(moved) == expected);
    std::string drained;
    moved.drain([&](std::string_view text) { drained += text; });
    CHECK(drained == expected);
    CHECK(moved.size() == 0);
    CHECK(text_of(moved).empty());
  }
}

TEST_CASE("two bodies at the same time share nothing") {
  web::Body one;
  web::Body other;
  one.append("one");
  other.append("other");
  one.append("!");
  CHECK(text_of(one) == "one!");
  CHECK(text_of(other) == "other");
  one = std::move(other);
  CHECK(text_of(one) == "other");
  web::Body begun(std::string("beg"));
  begun.append("un");
  CHECK(text_of(begun) == "begun");
}

TEST_CASE("slabs serve the next body, so many are kept at most, and none that nobody needs") {
  const std::string slab(web::Slab::capacity, 'x');
  const auto body_of = [&](std::size_t slabs) {
    web::Body body;
    for (std::size_t i = 0; i < slabs; ++i) body.append(slab);
    return body;
  };
  { const web::Body body = body_of(web::Slab::most_kept + 3); }
  CHECK(web::Slab::kept() == web::Slab::most_kept);
  {
    const web::Body next = body_of(4);
    CHECK(web::Slab::kept() == web::Slab::most_kept - 4);
  }
  CHECK(web::Slab::kept() == web::Slab::most_kept);

  // As long as each look finds that four were needed, those four stay; the others go.
  const auto end = std::chrono::steady_clock::now() + 10s;
  std::size_t fewest = web::Slab::most_kept;
  while (fewest > 4 && std::chrono::steady_clock::now() < end) {
    { const web::Body busy = body_of(4); }
    fewest = std::min(fewest, web::Slab::kept());
    std::this_thread::sleep_for(10ms);
  }
  CHECK(fewest == 4);
  while (web::Slab::kept() > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(10ms);
  }
  CHECK(web::Slab::kept() == 0);
}
