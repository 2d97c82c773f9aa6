#include "gateway/json_text.h"

#include <catch2/catch.hpp>

using namespace gateway;

TEST_CASE("quotes and backslashes are escaped, control characters and broken UTF-8 replaced") {
  CHECK(json_text("CT 1") == "CT 1");
  CHECK(json_text("a\"b\\c") == "a\\\"b\\\\c");
  CHECK(json_text(std::string_view("\n\t\0\x7F", 4)) == "????");
  CHECK(json_text("Größe") == "Größe");
  CHECK(json_text("Gr\xF6\xDF"
                  "e \xC3\xBC") == "Gr??e ??");
  CHECK(json_text("\xC3") == "?");
  CHECK(json_text("").empty());
  CHECK(printable("a\"\n") == "a\"?");
}
