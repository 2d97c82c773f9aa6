#include "web/warning_header.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using Tags = std::vector<mapping::Tag>;

TEST_CASE("A Warning names attributes behind its sentence, or none") {
  const mapping::Tag status(0x0040, 0x0252), id(0x0040, 0x0253);
  struct Row {
    std::string text;
    Tags expected;
  };
  for (const Row& row : {
           Row{"It was created with modifications. 00400252", {status}},
           Row{"It was created with modifications. 00400252, 00400253", {status, id}},
           Row{"It was created with modifications.", {}},
           Row{"It was created with modifications. ", {}},
           Row{"00400252, 00400253", {}},  // no sentence: these may be anything
           Row{"It was created. 00400252, by 00400253", {}},
           Row{"It was created. 0040025", {}},
           Row{"It was created. Ask Dr. 00400252 of ward 7. Twice", {}},
           Row{"", {}},
       }) {
    CAPTURE(row.text);
    CHECK(web::attributes_named(row.text) == row.expected);
  }
}
