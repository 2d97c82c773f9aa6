#include "dimse/places.h"

#include <catch2/catch.hpp>
#include <thread>
#include <vector>

using dimse::Place;
using dimse::Places;

TEST_CASE("Places are limited in all and of one AE title, and free again when they are left") {
  Places places(3, 2);
  Place first(places), second(places), third(places);
  CHECK(first.take("CT1"));
  CHECK(second.take("CT1"));
  CHECK_FALSE(third.take("CT1"));  // two of one
  CHECK(places.taken() == 2);
  CHECK(third.take("CT2"));
  CHECK_FALSE(Place(places).take("CT3"));  // three in all
  second.leave();
  second.leave();  // once is enough
  CHECK(places.taken() == 2);
  {
    Place fourth(places);
    CHECK(fourth.take("CT1"));
    CHECK(places.taken() == 3);
  }
  CHECK(places.taken() == 2);
  CHECK(second.take("CT1"));
}

TEST_CASE("Without a limit of its own one AE title may have all places") {
  Places places(50, 0);
  for (int i = 0; i < 50; ++i) CHECK(places.take("CT1"));
  CHECK_FALSE(places.take("CT1"));
  for (int i = 0; i < 50; ++i) places.leave("CT1");
  CHECK(places.taken() == 0);
}

TEST_CASE("Many threads never hold more places than there are, and leave none behind") {
  Places places(4, 3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&places, title = i % 2 == 0 ? "CT1" : "CT2"] {
      for (int round = 0; round < 2000; ++round) {
        Place place(places);
        if (place.take(title) && places.taken() > 4) std::abort();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(places.taken() == 0);
}
