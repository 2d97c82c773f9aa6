#include "web/body.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <span>
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
  // Some for a small slab, some that end in a first and in a second large one, and short ones
  // again.
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
    std::string consumed;
    for (std::size_t some = 1; moved.size() > 0; some = some * 3 + 1) {
      REQUIRE(text_of(moved) == expected.substr(consumed.size()));
      const std::string_view next = moved.front().substr(0, some);
      REQUIRE_FALSE(next.empty());
      consumed += next;
      moved.consume(next.size());
    }
    CHECK(consumed == expected);
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
  begun.consume(2);
  CHECK(text_of(begun) == "gun");
  begun.consume(2);
  CHECK(text_of(begun) == "n");
  CHECK(begun.front() == "n");
}

TEST_CASE("what is put into the room of a body is part of it once it is committed") {
  web::Body body;
  std::string expected;
  for (char c = 'a'; body.size() < 2 * web::Slab::capacity; c = c == 'z' ? 'a' : c + 1) {
    const std::span<char> room = body.room();
    REQUIRE_FALSE(room.empty());
    const std::size_t count = std::min<std::size_t>(room.size(), 70'001);
    std::fill(room.begin(), room.end(), c);  // all of it may be written to
    body.commit(count);
    expected.append(count, c);
  }
  CHECK(text_of(body) == expected);
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
    web::Body next = body_of(4);
    CHECK(web::Slab::kept() == web::Slab::most_kept - 4);
    // A slab goes back when all of it is consumed, not when the body ends.
    next.consume(web::Slab::small_capacity + web::Slab::capacity - 1);
    CHECK(web::Slab::kept() == web::Slab::most_kept - 4);
    next.consume(1);
    CHECK(web::Slab::kept() == web::Slab::most_kept - 3);
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
