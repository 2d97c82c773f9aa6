#include "web/multipart.h"

#include <catch2/catch.hpp>
#include <vector>

namespace {

/// What the parts hold, or one entry with the fault.
std::vector<std::string> parts(std::string_view body, std::string_view boundary = "b") {
  std::vector<std::string> found;
  const auto read = web::read_multipart(body, boundary, [&](const web::Part& part) {
    found.push_back(part.content_type + "|" + std::string(part.content));
    return true;
  });
  return read ? found : std::vector<std::string>{"fault: " + read.fault().what};
}

}  // namespace

TEST_CASE("What is written in parts is read back as it was (rule B7)") {
  const std::string boundary = web::new_boundary();
  const std::vector<std::string> contents{"[{}]", "", "\r\n--b\r\n", "a\r\n", "--" + boundary};
  std::string body;
  for (const std::string& content : contents) {
    web::append_part(boundary, "application/dicom+json", content, body);
  }
  web::append_last_boundary(boundary, body);
  // The last one holds the boundary itself at the start of a line, which random bits make
  // impossible in earnest: no reader could do better than end the part there.
  const auto read = parts(body, boundary);
  REQUIRE(read.size() >= 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(read[i] == " application/dicom+json|" + contents[i]);
  CHECK(web::new_boundary() != boundary);
  CHECK(boundary.size() <= 70);
}

TEST_CASE("Parts are read as servers write them") {
  using List = std::vector<std::string>;
  CHECK(parts("--b\r\n\r\nx\r\n--b--") == List{"|x"});
  CHECK(parts("preamble\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue\r\n--b") == List{"|x"});
  CHECK(parts("--b \t\r\nContent-Type: a/b\r\n\r\nx\r\n--b\r\n\r\n\r\n--b--") ==
        List{" a/b|x", "|"});
  CHECK(parts("--b\ncontent-type:a/b\nX: y\n\nx\n--b--") == List{"a/b|x"});
  CHECK(parts("--b\r\n\r\na --b c\r\n--b--") == List{"|a --b c"});
  CHECK(parts("--b--") == List{});
}

TEST_CASE("A multipart body without boundary or end is a fault") {
  for (const char* body : {"", "x", "--c\r\n\r\nx\r\n--c--", "--b", "--b\r\n", "--b\r\n\r\nx",
                           "--b\r\n\r\nx\r\n", "--bb\r\n\r\nx\r\n--bb--", "--b\r\n\r\nx--b--"}) {
    CAPTURE(body);
    REQUIRE(parts(body).size() == 1);
    CHECK(parts(body)[0].starts_with("fault: "));
  }
  CHECK(parts("----", "")[0].starts_with("fault: "));
  CHECK(parts("x", std::string(71, 'b'))[0].starts_with("fault: "));
}
