// Walking and building the canonical form.
#include "mapping/data_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace mapping {
namespace {

constexpr std::size_t item_header = 8;
constexpr Tag item_tag{0xFFFE, 0xE000};

using detail::load_16;
using detail::load_32;

void put16(char* at, std::uint32_t value) {
  at[0] = static_cast<char>(value & 0xFF);
  at[1] = static_cast<char>(value >> 8 & 0xFF);
}
void put32(char* at, std::uint32_t value) {
  put16(at, value);
  put16(at + 2, value >> 16);
}

Fault not_canonical(std::string_view what) {
  return {Fault::Kind::malformed, fmt::format("stored data set is damaged: {}", what)};
}

// Structure, order and depth of bytes that are said to be canonical; null if they are.
std::optional<Fault> check(std::string_view bytes, int depth) {
  if (depth > DataSetBuilder::max_depth) return not_canonical("nested too deeply");
  std::optional<Tag> last;
  while (!bytes.empty()) {
    if (bytes.size() < 8) return not_canonical("truncated element");
    const Tag tag{load_16(bytes.data()), load_16(bytes.data() + 2)};
    const auto vr = parse_vr(bytes.substr(4, 2));
    if (!vr) return not_canonical("unknown VR");
    if (place_of(tag) != TagPlace::attribute) return not_canonical("no tag of a data set");
    if (last && tag <= *last) return not_canonical("tags out of order");
    last = tag;
    const std::size_t header = facts(*vr).long_header ? 12 : 8;
    if (bytes.size() < header) return not_canonical("truncated element");
    const std::size_t length = header == 12 ? load_32(bytes.data() + 8) : load_16(bytes.data() + 6);
    if (length % 2 != 0 || bytes.size() - header < length) return not_canonical("wrong length");
    std::string_view value = bytes.substr(header, length);
    while (*vr == Vr::SQ && !value.empty()) {
      if (value.size() < item_header ||
          Tag{load_16(value.data()), load_16(value.data() + 2)} != item_tag ||
          value.size() - item_header < load_32(value.data() + 4)) {
        return not_canonical("broken item");
      }
      const std::size_t item = load_32(value.data() + 4);
      if (auto fault = check(value.substr(item_header, item), depth + 1)) return fault;
      value.remove_prefix(item_header + item);
    }
    bytes.remove_prefix(header + length);
  }
  return std::nullopt;
}

}  // namespace

ItemRange::Iterator ItemRange::Iterator::operator++(int) {
  Iterator before = *this;
  ++*this;
  return before;
}
std::size_t ItemRange::size() const {
  return static_cast<std::size_t>(std::distance(begin(), end()));
}

std::string_view Element::text() const {
  std::string_view text = value;
  if (!text.empty() && text.back() == facts(vr).padding) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> Element::values() const {
  std::vector<std::string_view> values;
  std::string_view rest = text();
  if (rest.empty()) return values;
  if (facts(vr).many_values) {
    for (std::size_t at = rest.find('\\'); at != std::string_view::npos; at = rest.find('\\')) {
      values.push_back(rest.substr(0, at));
      rest.remove_prefix(at + 1);
    }
  }
  values.push_back(rest);
  return values;
}

DataSetView::Iterator DataSetView::Iterator::operator++(int) {
  Iterator before = *this;
  ++*this;
  return before;
}

std::optional<Element> DataSetView::find(Tag tag) const {
  for (const Element& element : *this) {
    if (element.tag == tag) return element;
    if (element.tag > tag) break;
  }
  return std::nullopt;
}

std::string_view DataSetView::text(Tag tag) const {
  const auto element = find(tag);
  return element && facts(element->vr).kind == VrKind::text ? element->text() : std::string_view();
}

std::optional<DataSetView> DataSetView::first_item(Tag sequence) const {
  const auto element = find(sequence);
  if (!element || element->vr != Vr::SQ || element->empty()) return std::nullopt;
  return *element->items().begin();
}

Result<DataSet> DataSet::from_bytes(std::string bytes) {
  if (auto fault = check(bytes, 0)) return *fault;
  return DataSet(std::move(bytes), 0);
}

void DataSetBuilder::fail(Fault::Kind kind, std::string what) {
  if (fault_) return;
  fault_ = Fault{kind, std::move(what)};
  if (frames_.front().any) fault_->attributes.push_back(root_tag_);
}

bool DataSetBuilder::note(Tag tag) {
  if (fault_) return false;
  Frame& frame = frames_.back();
  if (open_lengths_.size() != frame.open) misnested();  // elements stand in items only
  if (frames_.size() == 1) root_tag_ = tag;
  if (frame.any && tag <= frame.last) frame.ascending = false;
  frame.last = tag;
  frame.any = true;
  return !fault_;
}

/// Makes the data set longer; the bytes are still to be written.
char* DataSetBuilder::append(std::size_t count) {
  if (bytes_.size() - size_ < count) {
    constexpr std::size_t least = 512;
    bytes_.resize(std::max({size_ + count, 2 * bytes_.size(), least}));
  }
  char* const at = bytes_.data() + size_;
  size_ += count;
  return at;
}

void DataSetBuilder::append(std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(append(bytes.size()), bytes.data(), bytes.size());
}

/// Writes a header with this length and makes room for a value of so many bytes, which it returns.
char* DataSetBuilder::header(Tag tag, Vr vr, std::size_t length, std::size_t value) {
  const bool long_header = facts(vr).long_header;
  const std::size_t size = long_header ? 12 : 8;
  char* const head = append(size + value);
  put16(head, tag.group());
  put16(head + 2, tag.element());
  put16(head + 4, static_cast<std::uint16_t>(vr));
  if (long_header) {
    put16(head + 6, 0);
    put32(head + 8, static_cast<std::uint32_t>(length));
  } else {
    put16(head + 6, static_cast<std::uint32_t>(length));
  }
  return head + size;
}

DataSetBuilder& DataSetBuilder::add(Tag tag, Vr vr, std::string_view value) {
  if (!note(tag)) return *this;
  const VrFacts& vr_facts = facts(vr);
  const std::size_t length = value.size() + value.size() % 2;
  if (length > (vr_facts.long_header ? 0xFFFFFFFEu : 0xFFFEu)) {
    fail(Fault::Kind::too_large,
         fmt::format("{}: expected at most 65534 bytes in VR {}", to_string(tag), to_string(vr)));
    return *this;
  }
  char* const at = header(tag, vr, length, length);
  if (!value.empty()) std::memcpy(at, value.data(), value.size());
  if (length != value.size()) at[value.size()] = vr_facts.padding;
  return *this;
}

DataSetBuilder& DataSetBuilder::add(const Element& element) {
  if (note(element.tag)) append(element.bytes);
  return *this;
}

DataSetBuilder& DataSetBuilder::begin_sequence(Tag tag) {
  if (!note(tag)) return *this;
  header(tag, Vr::SQ, 0, 0);
  open_lengths_.push_back(size_ - 4);
  return *this;
}

DataSetBuilder& DataSetBuilder::begin_item() {
  if (fault_) return *this;
  if (open_lengths_.size() != frames_.back().open + 1) return misnested();
  if (frames_.size() > max_depth) {
    fail(Fault::Kind::too_large,
         fmt::format("expected at most {} levels of nested sequences", max_depth));
    return *this;
  }
  char* const head = append(item_header);
  put16(head, item_tag.group());
  put16(head + 2, item_tag.element());
  put32(head + 4, 0);
  open_lengths_.push_back(size_ - 4);
  Frame frame;
  frame.start = size_;
  frame.open = open_lengths_.size();
  frames_.push_back(frame);
  return *this;
}

DataSetBuilder& DataSetBuilder::end_item() {
  if (fault_) return *this;
  if (frames_.size() < 2 || open_lengths_.size() != frames_.back().open) return misnested();
  sort(frames_.back());
  frames_.pop_back();
  return write_open_length();
}

DataSetBuilder& DataSetBuilder::end_sequence() {
  if (fault_) return *this;
  if (open_lengths_.size() != frames_.back().open + 1) return misnested();
  return write_open_length();
}

DataSetBuilder& DataSetBuilder::misnested() {
  fail(Fault::Kind::malformed, "items and sequences end in another order than they began");
  return *this;
}

DataSetBuilder& DataSetBuilder::write_open_length() {
  if (fault_) return *this;
  const std::size_t at = open_lengths_.back();
  const std::size_t length = size_ - at - 4;
  if (length > 0xFFFFFFFEu) {
    fail(Fault::Kind::too_large, "expected a sequence of less than 4 GiB");
    return *this;
  }
  put32(bytes_.data() + at, static_cast<std::uint32_t>(length));
  open_lengths_.pop_back();
  return *this;
}

DataSetBuilder& DataSetBuilder::add_item(DataSetView item) {
  begin_item();
  if (fault_) return *this;
  append(item.bytes());
  return end_item();
}

// Brings the elements of a frame into ascending order and finds duplicates.
void DataSetBuilder::sort(const Frame& frame) {
  if (frame.ascending || fault_) return;
  const std::string unsorted = bytes_.substr(frame.start, size_ - frame.start);
  std::vector<Element> elements;
  for (const Element& element : DataSetView(unsorted)) elements.push_back(element);
  std::stable_sort(elements.begin(), elements.end(),
                   [](const Element& a, const Element& b) { return a.tag < b.tag; });
  size_ = frame.start;
  const Element* last = nullptr;
  for (const Element& element : elements) {
    if (last != nullptr && last->tag == element.tag) {
      if (frames_.size() == 1) root_tag_ = element.tag;
      fail(Fault::Kind::malformed,
           fmt::format("{}: expected each attribute once", to_string(element.tag)));
      return;
    }
    last = &element;
    append(element.bytes);
  }
}

Result<DataSet> DataSetBuilder::build() {
  if (!open_lengths_.empty()) misnested();
  if (!fault_) sort(frames_.front());
  if (fault_) {
    const Fault fault = *std::move(fault_);
    clear();
    return fault;
  }
  DataSet built(std::string(bytes_.data(), size_), 0);
  clear();
  return built;
}

void DataSetBuilder::clear() {
  size_ = 0;
  frames_.assign(1, {});
  open_lengths_.clear();
  fault_.reset();
}

}  // namespace mapping
