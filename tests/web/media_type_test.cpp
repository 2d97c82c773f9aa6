#include "web/media_type.h"

#include <array>
#include <catch2/catch.hpp>

using web::accepts_utf_8;
using web::choose_form;
using web::Model;
using web::model_of;
using web::parse_accept;
using web::parse_media_type;
using web::ResultForm;

namespace {
constexpr std::array all{ResultForm::json, ResultForm::xml, ResultForm::multipart_json,
                         ResultForm::multipart_xml};

/// The chosen form in words; empty = none.
std::string chosen(const std::optional<std::string>& header,
                   const std::vector<std::string>& parameter = {},
                   std::span<const ResultForm> offered = all) {
  const auto form = choose_form(header, parameter, offered);
  return form ? std::string(to_text(*form)) : "";
}
const std::string json = "application/dicom+json";
const std::string xml = "application/dicom+xml";
const std::string json_parts = R"(multipart/related; type="application/dicom+json")";
const std::string xml_parts = R"(multipart/related; type="application/dicom+xml")";
}  // namespace

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

TEST_CASE("The most specific range decides about a form, then q, then the name (rules B3 to B5)") {
  struct Row {
    std::string accept;
    std::string form;
  };
  for (const Row& row : {
           Row{"*/*", json},
           Row{"application/*", json},
           Row{json, json},
           Row{"application/json", json},
           Row{xml, xml},
           Row{json_parts, json_parts},
           Row{xml_parts, xml_parts},
           Row{"multipart/related; type=application/dicom+xml", xml_parts},
           Row{"Multipart/Related; Type=\"Application/DICOM+XML\"", xml_parts},
           Row{"multipart/related", json_parts},
           Row{"multipart/*", json_parts},
           Row{"multipart/related; type=\"image/jpeg\"", ""},
           Row{"text/*", ""},
           Row{"text/html", ""},
           Row{"*/*;q=0", ""},
           Row{"", ""},
           Row{"*/*;q=0, application/dicom+json", json},
           Row{"application/*;q=0, */*", json_parts},
           Row{"application/dicom+json;q=0, */*", xml},
           Row{"application/dicom+json; charset=latin1", ""},
           Row{"application/dicom+json;q=0.000, text/html", ""},
           Row{xml + ", " + json, xml},
           Row{json + ", " + xml, json},
           Row{json + ";q=0.5, " + xml + ";q=0.6", xml},
           Row{xml + ", */*", xml},
           Row{xml + ";q=0.5, */*", json},
           Row{xml + ";q=0.5, */*;q=0.4", xml},
           Row{"application/*;q=0.1, " + json + ";q=0.05, " + xml + ";q=0.02", json},
           Row{xml + ";q=0.1, " + xml + ";q=0.9, " + json + ";q=0.5", xml},
       }) {
    CAPTURE(row.accept);
    CHECK(chosen(row.accept) == row.form);
  }
  CHECK(chosen(std::nullopt) == json);
}

TEST_CASE("The accept parameter goes first where the Accept header covers it (rules A27, B3)") {
  CHECK(chosen(std::nullopt, {xml}) == xml);
  CHECK(chosen("*/*", {xml}) == xml);
  CHECK(chosen(json + ", " + xml + ";q=0.1", {xml}) == xml);
  CHECK(chosen("*/*", {json + ";q=0.1", xml}) == xml);
  CHECK(chosen("*/*", {xml, json}) == xml);
  // Not covered, not supported, or a wildcard: the header alone decides.
  CHECK(chosen(json, {xml}) == json);
  CHECK(chosen("*/*", {"text/html"}) == json);
  CHECK(chosen(xml, {"*/*"}) == xml);
  CHECK(chosen(json + ";q=0.1, " + xml, {"*/*"}) == xml);
  CHECK(chosen(json + ";q=0.1, " + xml, {"application/*"}) == xml);
  CHECK(chosen("text/html", {json}).empty());
}

TEST_CASE("Only what is offered is chosen") {
  constexpr std::array documents{ResultForm::json, ResultForm::xml};
  CHECK(chosen(xml_parts, {}, documents).empty());
  CHECK(chosen(xml_parts + ", */*;q=0.1", {}, documents) == json);
}

TEST_CASE("Only a client that excludes UTF-8 is not served (rule B21)") {
  CHECK(accepts_utf_8(std::nullopt, {}));
  CHECK(accepts_utf_8("utf-8", {}));
  CHECK(accepts_utf_8("iso-8859-1", {}));
  CHECK(accepts_utf_8("iso-8859-1, *;q=0.1", {}));
  CHECK(accepts_utf_8("*;q=0, UTF-8;q=0.5", {}));
  CHECK(accepts_utf_8("utf-8;q=0", {"utf-8"}));
  CHECK(accepts_utf_8("iso-8859-1, *;q=0", {"ISO_IR 192"}));
  CHECK_FALSE(accepts_utf_8("utf-8;q=0, *", {}));
  CHECK_FALSE(accepts_utf_8("iso-8859-1, utf-8; q=0", {"iso-8859-1"}));
  CHECK_FALSE(accepts_utf_8("iso-8859-1, *;q=0", {}));
}

TEST_CASE("A body is in JSON or XML, in UTF-8, or it is not read (rule B11)") {
  CHECK(model_of(json) == Model::json);
  CHECK(model_of("application/json;charset=\"utf-8\"") == Model::json);
  CHECK(model_of("Application/DICOM+JSON; transfer-syntax=1.2.840.10008.1.2.1") == Model::json);
  CHECK(model_of("application/dicom+xml; charset=UTF-8") == Model::xml);
  CHECK(model_of("text/xml") == Model::xml);
  for (const char* type :
       {"application/dicom+json; charset=ISO-8859-1", "application/*", "text/json", "text/html",
        "application/dicom+json, text/plain", "application/dicom", ""}) {
    CAPTURE(type);
    CHECK_FALSE(model_of(std::string_view(type)));
  }
}
