#include "web/media_type.h"

#include <catch2/catch.hpp>

using web::accepts_dicom_json;
using web::is_dicom_json;
using web::parse_accept;
using web::parse_media_type;

TEST_CASE("A media type is read with its parameters, quoted or not (rules B6, B11)") {
  const auto type = parse_media_type(
      " Multipart/Related ; Type=\"application/dicom+json\" ; boundary=\"a\\\"b;c,d\"; q=0.5 ");
  REQUIRE(type);
  CHECK(type->type == "multipart");
  CHECK(type->subtype == "related");
  CHECK(type->parameter("type") == "application/dicom+json");
  CHECK(type->parameter("boundary") == "a\"b;c,d");
  CHECK(type->parameter("absent").empty());
  CHECK(type->q == 0.5);
  CHECK(parse_media_type("multipart/related; type=application/dicom+json")->parameter("type") ==
        "application/dicom+json");
}

TEST_CASE("What is no media type is not taken for one") {
  for (const char* text :
       {"", "text", "text/", "/plain", "*/plain", "text/plain; q", "text/plain; q=2",
        "text/plain; q=x", "text/plain; q=-1", "text/plain; q=nan", "text/plain; a=\"b",
        "text/plain; a=\"b\\", "text /plain", "text/plain x", "t(xt/plain", "text/plain; =b"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_media_type(text));
  }
}

TEST_CASE("A list of ranges is split at commas outside quotes, nonsense left out (rule B4)") {
  const auto ranges = parse_accept("text/html, , junk, a/b; c=\"d,e\";q=0, */*;q=0.1");
  REQUIRE(ranges.size() == 3);
  CHECK(ranges[1].parameter("c") == "d,e");
  CHECK(ranges[1].q == 0);
  CHECK(ranges[2].type == "*");
}

TEST_CASE("The most specific range decides about DICOM JSON (rules B3 to B5)") {
  struct Row {
    std::string accept;
    bool acceptable;
  };
  for (const Row& row : {
           Row{"*/*", true},
           Row{"application/*", true},
           Row{"application/dicom+json", true},
           Row{"application/json", true},
           Row{"text/*", false},
           Row{"application/dicom+xml", false},
           Row{"*/*;q=0", false},
           Row{"*/*;q=0, application/dicom+json", true},
           Row{"application/*;q=0, */*", false},
           Row{"application/dicom+json;q=0, */*", false},
           Row{"application/dicom+json; charset=latin1", false},
           Row{"application/dicom+json;q=0.000, text/html", false},
       }) {
    CAPTURE(row.accept);
    CHECK(accepts_dicom_json(row.accept, {}) == row.acceptable);
  }
  CHECK(accepts_dicom_json(std::nullopt, {}));
  CHECK(accepts_dicom_json(std::nullopt, {"application/dicom+json"}));
  CHECK(accepts_dicom_json("*/*", {"*/*"}));
  CHECK_FALSE(accepts_dicom_json("*/*", {"application/dicom+xml"}));
  CHECK_FALSE(accepts_dicom_json("text/html", {"application/dicom+json"}));
}

TEST_CASE("A request body is DICOM JSON in UTF-8 or it is not read (rule B11)") {
  CHECK(is_dicom_json("application/dicom+json"));
  CHECK(is_dicom_json("application/json;charset=\"utf-8\""));
  CHECK(is_dicom_json("Application/DICOM+JSON; transfer-syntax=1.2.840.10008.1.2.1"));
  CHECK_FALSE(is_dicom_json("application/dicom+json; charset=ISO-8859-1"));
  CHECK_FALSE(is_dicom_json("application/*"));
  CHECK_FALSE(is_dicom_json("application/dicom+json, text/plain"));
  CHECK_FALSE(is_dicom_json(""));
}
