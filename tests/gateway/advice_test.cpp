#include "gateway/advice.h"

#include <catch2/catch.hpp>

using namespace gateway;
using mapping::NetworkEvent;

TEST_CASE("every event on the network has its advice; that nothing happened has none") {
  CHECK(advice_for(NetworkEvent::none).empty());
  const int last = static_cast<int>(NetworkEvent::shutting_down);
  for (int event = 1; event <= last; ++event) {
    CAPTURE(event);
    CHECK_FALSE(advice_for(static_cast<NetworkEvent>(event)).empty());
  }
  CHECK(advice_for(NetworkEvent::connect_failed).find("started there") != std::string_view::npos);
}

TEST_CASE("every failure has its advice, every status of the tables its words") {
  for (int word = 0; word <= 0xFFFF; ++word) {
    if (advice_for(static_cast<std::uint16_t>(word)).empty()) FAIL("no advice for " << word);
  }
  CHECK(words_for(0x0111) == "this step exists already");
  CHECK(words_for(0xA701) == "out of resources, or not there");
  CHECK(words_for(0xC002) == "the origin server failed");
  CHECK(words_for(0xC123) == "unable to process");
  CHECK(words_for(0x0121) == "a required attribute is missing");
  CHECK(words_for(0x7777).empty());
}

TEST_CASE("what stays until somebody changes something: what is not offered, or not allowed") {
  using Event = NetworkEvent;
  namespace status = mapping::dimse_status;
  CHECK(stays(Event::none, status::not_authorized));
  CHECK(stays(Event::none, status::sop_class_not_supported));
  CHECK(stays(Event::abstract_syntax_refused, status::resource_limitation));
  CHECK_FALSE(stays(Event::none, status::duplicate_sop_instance));
  CHECK_FALSE(stays(Event::connect_failed, status::resource_limitation));
  CHECK_FALSE(stays(Event::none, status::success));
}
