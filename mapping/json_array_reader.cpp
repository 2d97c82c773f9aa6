// The array around the data sets, and an object that comes in pieces.
//
// An object is parsed where it lies. Only where a piece ends within one is it gathered: from then
// on its end is looked for by counting brackets, and it is parsed once more when that is there. So
// no byte is looked at more than three times, however small the pieces are.
#include "mapping/json_array_reader.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "mapping/json_parser.h"

namespace mapping {
namespace {

/// Finds the end of a JSON object that comes in pieces. Well-formedness is the parser's business.
class ObjectEnd {
 public:
  void begin() { *this = {}; }
  /// How much of the piece belongs to the object.
  std::size_t find(std::string_view piece) {
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const char c = piece[i];
      if (escaped_) {
        escaped_ = false;
      } else if (in_string_) {
        escaped_ = c == '\\';
        in_string_ = c != '"';
      } else if (c == '"') {
        in_string_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if (c == '}' || c == ']') {
        found_ = --depth_ <= 0;
        if (found_) return i + 1;
      }
    }
    return piece.size();
  }
  bool found() const { return found_; }

 private:
  std::ptrdiff_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool found_ = false;
};

}  // namespace

class JsonArrayReader::Impl {
 public:
  Impl(std::function<bool(DataSet&&)> on_data_set, const JsonReadOptions& options)
      : on_data_set_(std::move(on_data_set)), max_bytes_(options.max_bytes), parser_(options) {}

  /// last: the text ends with this piece.
  bool take(std::string_view piece, bool last);
  Result<std::size_t> result() {
    if (fault_) return *fault_;
    return handed_on_;
  }

 private:
  enum class Place : std::uint8_t {
    start,        ///< before the array, or the one object
    first_item,   ///< behind the beginning of the array
    next_item,    ///< behind a comma
    behind_item,  ///< in the array
    end,          ///< behind all
    over          ///< a fault, or nothing more is wanted
  };

  void read(std::string_view& piece, bool last);
  void skip_byte_order_mark(std::string_view& piece);
  void parse(std::string_view& text, bool whole);
  void gather(std::string_view& piece, bool last);
  void fail(Fault fault) {
    fault_ = std::move(fault);
    place_ = Place::over;
  }
  void broken(std::string_view what) { fail(JsonParser::broken(offset_, what)); }
  void advance(std::string_view& piece, std::size_t count) {
    piece.remove_prefix(count);
    offset_ += count;
  }

  const std::function<bool(DataSet&&)> on_data_set_;
  const std::size_t max_bytes_;
  JsonParser parser_;
  Place place_ = Place::start;
  bool in_array_ = false;
  std::size_t taken_ = 0;            ///< bytes of all pieces
  std::size_t offset_ = 0;           ///< of what is read next, in all pieces
  std::size_t byte_order_mark_ = 0;  ///< bytes of it
  std::string gathered_;             ///< an object, or what stands in its place, as far as it came
  ObjectEnd object_end_;             ///< of gathered_
  std::size_t handed_on_ = 0;
  std::optional<Fault> fault_;
};

bool JsonArrayReader::Impl::take(std::string_view piece, bool last) {
  if (place_ == Place::over) return false;
  if (piece.size() > max_bytes_ - taken_) {
    fail(
        {Fault::Kind::too_large, fmt::format("expected at most {} bytes of JSON", max_bytes_), {}});
    return false;
  }
  taken_ += piece.size();
  if (place_ == Place::start && gathered_.empty()) skip_byte_order_mark(piece);
  if (!gathered_.empty()) gather(piece, last);
  while (place_ != Place::over && gathered_.empty() && !piece.empty()) {
    if (JsonParser::is_blank(piece.front())) {
      advance(piece, 1);
    } else {
      read(piece, last);
    }
  }
  if (last && place_ != Place::over && place_ != Place::end) broken("the text ends too early");
  return place_ != Place::over;
}

/// Tolerated. rule D1
void JsonArrayReader::Impl::skip_byte_order_mark(std::string_view& piece) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  while (offset_ == byte_order_mark_ && byte_order_mark_ < mark.size() && !piece.empty() &&
         piece.front() == mark[byte_order_mark_]) {
    ++byte_order_mark_;
    advance(piece, 1);
  }
  const bool cut = byte_order_mark_ > 0 && byte_order_mark_ < mark.size();
  if (cut && !piece.empty()) broken("a value is missing");
}

/// What comes next; piece does not begin with a blank.
void JsonArrayReader::Impl::read(std::string_view& piece, bool last) {
  const char c = piece.front();
  switch (place_) {
    case Place::start:
      if (c != '[') return parse(piece, last);
      in_array_ = true;
      place_ = Place::first_item;
      return advance(piece, 1);
    case Place::first_item:
      if (c != ']') return parse(piece, last);
      place_ = Place::end;
      return advance(piece, 1);
    case Place::next_item:
      return parse(piece, last);
    case Place::behind_item:
      if (c != ',' && c != ']') return broken("a comma or the end of the array is missing");
      place_ = c == ',' ? Place::next_item : Place::end;
      return advance(piece, 1);
    case Place::end:
      return broken("nothing may stand behind the end");
    case Place::over:
      return;
  }
}

/// Reads one object and hands it on. whole: all of it is in the text, or there will be no more.
void JsonArrayReader::Impl::parse(std::string_view& text, bool whole) {
  switch (parser_.parse(text, whole, offset_)) {
    case JsonParser::End::fault:
      return fail(parser_.fault());
    case JsonParser::End::incomplete:
      object_end_.begin();
      object_end_.find(text);
      gathered_ = text;
      text = {};
      return;
    case JsonParser::End::data_set:
      break;
  }
  advance(text, parser_.consumed());
  place_ = in_array_ ? Place::behind_item : Place::end;
  ++handed_on_;
  if (!on_data_set_(parser_.found())) place_ = Place::over;
}

void JsonArrayReader::Impl::gather(std::string_view& piece, bool last) {
  const std::size_t count = object_end_.find(piece);
  gathered_ += piece.substr(0, count);
  piece.remove_prefix(count);
  if (!object_end_.found() && !last) return;
  const std::string object = std::exchange(gathered_, {});
  std::string_view text = object;
  parse(text, true);
}

JsonArrayReader::JsonArrayReader(std::function<bool(DataSet&&)> on_data_set,
                                 const JsonReadOptions& options)
    : impl_(std::make_unique<Impl>(std::move(on_data_set), options)) {}

JsonArrayReader::~JsonArrayReader() = default;

bool JsonArrayReader::take(std::string_view piece) { return impl_->take(piece, false); }

Result<std::size_t> JsonArrayReader::finish(std::string_view last_piece) {
  impl_->take(last_piece, true);
  return impl_->result();
}

}  // namespace mapping
