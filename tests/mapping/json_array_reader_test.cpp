// DICOM JSON that comes in pieces.
#include "mapping/json_array_reader.h"

#include <catch2/catch.hpp>

#include "mapping/tags.h"
#include "tests/support/random_data_set.h"

using namespace mapping;

namespace {

/// What came of a text.
struct Reading {
  std::vector<DataSet> data_sets;
  std::string fault;  ///< empty: none
  bool operator==(const Reading&) const = default;
};

Reading read_whole(std::string_view text) {
  Reading reading;
  const auto read = read_json_array(text, [&](DataSet&& data_set) {
    reading.data_sets.push_back(std::move(data_set));
    return true;
  });
  if (!read) reading.fault = read.fault().what;
  if (read) CHECK(read.value() == reading.data_sets.size());
  return reading;
}

/// In pieces of this size, the last one with finish or before it.
Reading read_in_pieces(std::string_view text, std::size_t size, bool last_with_finish) {
  Reading reading;
  JsonArrayReader reader([&](DataSet&& data_set) {
    reading.data_sets.push_back(std::move(data_set));
    return true;
  });
  std::string piece;  // its memory changes: nothing may be kept of it
  while (text.size() > (last_with_finish ? size : 0)) {
    piece = text.substr(0, size);
    text.remove_prefix(piece.size());
    if (!reader.take(piece)) break;
    piece.assign(piece.size(), 'x');
  }
  const auto read = reader.finish(last_with_finish ? text : std::string_view());
  if (!read) reading.fault = read.fault().what;
  return reading;
}

}  // namespace

TEST_CASE("JSON in pieces of any size reads as it does in one") {
  std::vector<std::string> texts{
      "",
      " ",
      "[]",
      "\xEF\xBB\xBF[{}]",
      "\xEF\xBB",
      "\xEF\xBBx",
      "\xEF\xBB\xBF\xEF\xBB\xBF[]",
      " [ { } , { } ] ",
      "{}",
      "{} ",
      "{}x",
      "{}{}",
      "[{}]x",
      "[{} {}]",
      "[{},]",
      "[,{}]",
      "[{}",
      "[{},",
      "[",
      "]",
      "5",
      "[5]",
      "[\"}\"]",
      "[[{}]]",
      "nul",
      "[nulx]",
      "[true]",
      R"({"00100020":{"vr":"LO","Value":["7"]}})",
      R"([{"00100020":{"Value":["\"}{\\"],"vr":"LO"}},{"00100020":{"Value":["x\"}]"]}}])",
      R"([{"00100020":{"vr":"LO","Value":["ü€😀\u00fc\ud83d\ude00"]}}])",
      R"([{"00100020":{"vr":"LO","Value":["\ud83d"]}}])",
      R"([{"00101030":{"vr":"DS","Value":[81.5e0,-1]}},{"00101030":{"vr":"DS","Value":[1.]}}])",
      R"([{"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]}},null]}},{}])",
      R"([{},{"00100020":{"vr":"LO","Value":[}])",
      R"([{},{"00100020":{"vr":"LO"]},{}])",
      R"([{},{"00100020":{"x":[1,{"y":false}],"vr":"LO"}},{"PatientID":{}}])",
      "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\xC3\"]}}]",
      "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\n\"]}}]",
      R"([{"00100020":{"vr":"LO","Value":["7"]},"00100020":{"vr":"LO"}}])",
  };
  std::string all = "[";
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    support::RandomOptions options;
    options.characters = {"ü", "王", "\"", "/", "\t", "}", "[", "\\"};
    std::string one;
    REQUIRE(write_json(support::RandomDataSet(seed, options).make(), one));
    all += (seed == 1 ? "" : ",") + one;
  }
  texts.push_back(all + "]");
  for (const std::string& text : texts) {
    const Reading whole = read_whole(text);
    for (std::size_t size : {1, 2, 3, 7, 64, 1000, 100000}) {
      INFO(text.substr(0, 200) << " in pieces of " << size);
      CHECK(read_in_pieces(text, size, false) == whole);
      CHECK(read_in_pieces(text, size, true) == whole);
    }
  }
}

TEST_CASE("a data set is handed on with the piece that ends it") {
  std::size_t handed_on = 0;
  JsonArrayReader reader([&](DataSet&&) { return ++handed_on < 3; });
  CHECK(reader.take(R"([{"00100020":{"vr":"LO","Value":["a)"));
  CHECK(handed_on == 0);
  CHECK(reader.take(R"("]}})"));
  CHECK(handed_on == 1);
  CHECK(reader.take(",{},"));
  CHECK(handed_on == 2);
  CHECK_FALSE(reader.take("{},{},broken"));  // no more are wanted
  CHECK(handed_on == 3);
  CHECK_FALSE(reader.take("broken"));
  const auto read = reader.finish();
  REQUIRE(read);
  CHECK(read.value() == 3);
}

TEST_CASE("a text that is longer than allowed is refused where it becomes so (D20)") {
  std::size_t handed_on = 0;
  JsonArrayReader reader(
      [&](DataSet&&) {
        ++handed_on;
        return true;
      },
      {.max_bytes = 6});
  CHECK(reader.take("[{},"));
  CHECK_FALSE(reader.take("{},"));
  CHECK(handed_on == 1);
  const auto read = reader.finish();
  REQUIRE_FALSE(read);
  CHECK(read.fault().kind == Fault::Kind::too_large);
}
