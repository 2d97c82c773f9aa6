// Any bytes as DICOM JSON: refused, or read to what writes and reads again alike. In pieces the
// same comes of them as in one, and written to where they are to stay the same as to a string.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/json.h"
#include "mapping/json_array_reader.h"
#include "tests/fuzz/check.h"

using namespace mapping;

namespace {

void compare_pieces(std::string_view text, std::size_t size) {
  std::vector<DataSet> whole, in_pieces;
  const auto gather = [](std::vector<DataSet>& into) {
    return [&into](DataSet&& data_set) {
      into.push_back(std::move(data_set));
      return true;
    };
  };
  const auto read = read_json_array(text, gather(whole));
  JsonArrayReader reader(gather(in_pieces));
  while (!text.empty()) {
    const std::vector<char> piece(
        text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(size, text.size())));
    text.remove_prefix(piece.size());
    if (!reader.take({piece.data(), piece.size()})) break;
  }
  const auto read_in_pieces = reader.finish();
  FUZZ_CHECK(whole == in_pieces);
  FUZZ_CHECK(read.ok() == read_in_pieces.ok());
  if (read) {
    FUZZ_CHECK(read.value() == read_in_pieces.value());
  } else {
    FUZZ_CHECK(read.fault().what == read_in_pieces.fault().what);
    FUZZ_CHECK(read.fault().kind == read_in_pieces.fault().kind);
    FUZZ_CHECK(read.fault().attributes == read_in_pieces.fault().attributes);
  }
}

void compare_place(const DataSet& data_set, const std::string& text, std::size_t room) {
  JsonWriter writer;
  for (int time = 0; time < 2; ++time) {  // the second one knows whether the first was ASCII
    std::vector<char> place(room);
    std::string instead;
    const auto written = writer.write(data_set, place, instead);
    FUZZ_CHECK(written);
    FUZZ_CHECK((written.value() > 0 ? std::string(place.data(), written.value()) : instead) ==
               text);
    FUZZ_CHECK(written.value() == 0 || instead.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  compare_pieces(text, size == 0 ? 1 : 1 + data[size - 1] % 61);
  JsonReadOptions strict;
  strict.enforce_vr_limits = true;
  (void)read_json(text, strict);
  const auto read = read_json(text);
  if (!read) {
    FUZZ_CHECK(!read.fault().what.empty());
    return 0;
  }
  FUZZ_CHECK(DataSet::from_bytes(read.value().bytes()));
  std::string written;
  if (!write_json(read.value(), written)) return 0;
  compare_place(read.value(), written, written.size() + 256 - data[size - 1]);
  const auto again = read_json(written);
  FUZZ_CHECK(again);
  std::string rewritten;
  FUZZ_CHECK(write_json(again.value(), rewritten));
  FUZZ_CHECK(written == rewritten);
  return 0;
}
