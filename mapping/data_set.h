// The one model between the two wires: a data set as bytes.
//
// Canonical form: Explicit VR Little Endian, every length defined, tags ascending without
// duplicates, text in UTF-8, no group lengths, no Specific Character Set (0008,0005) at any level,
// values padded to even length with one pad character at most. Reading is walking; writing is
// appending through DataSetBuilder. The wire's other forms exist only in mapping/wire.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/result.h"
#include "mapping/tag.h"
#include "mapping/vr.h"

namespace mapping {

class DataSetView;

namespace detail {
static_assert(std::endian::native == std::endian::little, "the canonical form is little endian");
inline std::uint16_t load_16(const char* at) {
  std::uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline std::uint32_t load_32(const char* at) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
}  // namespace detail

/// The items of one sequence, in order; each is a data set.
class ItemRange {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = DataSetView;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = DataSetView;
    Iterator() = default;
    explicit Iterator(const char* at) : at_(at) {}
    DataSetView operator*() const;
    Iterator& operator++() {
      at_ += item_header + detail::load_32(at_ + 4);
      return *this;
    }
    Iterator operator++(int);
    bool operator==(const Iterator&) const = default;

   private:
    static constexpr std::size_t item_header = 8;
    const char* at_ = nullptr;
  };

  explicit ItemRange(std::string_view value) : value_(value) {}
  Iterator begin() const { return Iterator(value_.data()); }
  Iterator end() const { return Iterator(value_.data() + value_.size()); }
  bool empty() const { return value_.empty(); }
  std::size_t size() const;

 private:
  std::string_view value_;
};

/// One data element of a data set. Views the data set's bytes: lives no longer than they do.
struct Element {
  Tag tag;
  Vr vr = Vr::UN;
  std::string_view value;  ///< the value field as stored, padding included
  std::string_view bytes;  ///< the whole element, header included

  bool empty() const { return value.empty(); }
  /// Text without its padding. Only for text VRs.
  std::string_view text() const;
  /// Text values, split at backslashes where the VR has many. One empty value gives no entry.
  std::vector<std::string_view> values() const;
  /// The items. Only for SQ.
  ItemRange items() const { return ItemRange(value); }
};

/// Walks a data set in canonical form without owning it. Cheap to copy.
/// Any number of threads may read the same bytes.
class DataSetView {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Element;
    using difference_type = std::ptrdiff_t;
    using pointer = const Element*;
    using reference = const Element&;
    Iterator() = default;
    Iterator(const char* at, const char* end) : at_(at), end_(end) { read(); }
    const Element& operator*() const { return element_; }
    const Element* operator->() const { return &element_; }
    Iterator& operator++() {
      at_ += element_.bytes.size();
      read();
      return *this;
    }
    Iterator operator++(int);
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    // Inline, as facts is: most of the work on data sets is walking them.
    void read() {
      if (at_ == end_) return;
      element_.tag = Tag{detail::load_16(at_), detail::load_16(at_ + 2)};
      element_.vr = static_cast<Vr>(detail::load_16(at_ + 4));
      const bool long_header = facts(element_.vr).long_header;
      const std::size_t header = long_header ? 12 : 8;
      const std::size_t length = long_header ? detail::load_32(at_ + 8) : detail::load_16(at_ + 6);
      element_.value = {at_ + header, length};
      element_.bytes = {at_, header + length};
    }
    const char* at_ = nullptr;
    const char* end_ = nullptr;
    Element element_;
  };

  DataSetView() = default;
  /// canonical: bytes that came from a DataSet; not checked here.
  explicit DataSetView(std::string_view canonical) : bytes_(canonical) {}

  Iterator begin() const { return {bytes_.data(), bytes_.data() + bytes_.size()}; }
  Iterator end() const { return {bytes_.data() + bytes_.size(), bytes_.data() + bytes_.size()}; }
  bool empty() const { return bytes_.empty(); }
  std::string_view bytes() const { return bytes_; }

  /// The element with this tag at the top level, or nothing.
  std::optional<Element> find(Tag tag) const;
  /// Its text without padding; empty if absent, empty or no text.
  std::string_view text(Tag tag) const;
  /// The first item of the sequence with this tag, or nothing.
  std::optional<DataSetView> first_item(Tag sequence) const;

  bool operator==(const DataSetView& other) const { return bytes_ == other.bytes_; }

 private:
  std::string_view bytes_;
};

inline DataSetView ItemRange::Iterator::operator*() const {
  return DataSetView(std::string_view(at_ + item_header, detail::load_32(at_ + 4)));
}

/// Owns a data set in canonical form. A value: copy it, compare it, hand it to another thread.
class DataSet {
 public:
  DataSet() = default;
  /// Checks that bytes are in canonical form (structure, order, depth), for bytes from a disk.
  static Result<DataSet> from_bytes(std::string bytes);
  /// Copies a view, such as an item of a sequence.
  explicit DataSet(DataSetView view) : bytes_(view.bytes()) {}

  operator DataSetView() const { return DataSetView(bytes_); }  // NOLINT
  DataSetView view() const { return DataSetView(bytes_); }
  const std::string& bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  bool operator==(const DataSet&) const = default;

 private:
  friend class DataSetBuilder;
  explicit DataSet(std::string bytes, int) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

/// Appends elements and makes a DataSet of them. Elements may come in any tag order.
/// The first fault (duplicate tag, value too long for its VR's length field, nesting over
/// max_depth, ends that do not belong to the last begin) is kept and returned by build; calls after
/// it are harmless. One thread at a time.
class DataSetBuilder {
 public:
  static constexpr int max_depth = 32;  ///< sequences inside sequences. rule D20

  DataSetBuilder() { clear(); }

  /// value: the value field without padding, in canonical form (UTF-8, little endian).
  DataSetBuilder& add(Tag tag, Vr vr, std::string_view value);
  /// Copies an element as it stands, items included.
  DataSetBuilder& add(const Element& element);
  /// Between begin_sequence and end_sequence only items, between begin_item and end_item elements.
  DataSetBuilder& begin_sequence(Tag tag);
  DataSetBuilder& begin_item();
  DataSetBuilder& end_item();
  DataSetBuilder& end_sequence();
  /// An item that is there already, as a whole.
  DataSetBuilder& add_item(DataSetView item);

  bool failed() const { return fault_.has_value(); }
  /// Ends the data set. The builder is empty afterwards and may be used again: one that builds many
  /// keeps its memory.
  Result<DataSet> build();
  /// Forgets everything but its memory.
  void clear();

 private:
  struct Frame {
    std::size_t start = 0;  ///< where its elements begin in bytes_
    std::size_t open = 0;   ///< lengths that are open when only it is
    Tag last;               ///< the last tag added
    bool any = false;       ///< an element was added
    bool ascending = true;  ///< so far
  };
  bool note(Tag tag);
  char* append(std::size_t count);
  void append(std::string_view bytes);
  char* header(Tag tag, Vr vr, std::size_t length, std::size_t value);
  void sort(const Frame& frame);
  void fail(Fault::Kind kind, std::string what);
  DataSetBuilder& misnested();
  DataSetBuilder& write_open_length();

  std::string bytes_;  ///< the first size_ are the data set so far; behind it is room
  std::size_t size_ = 0;
  std::vector<Frame> frames_;              ///< open data sets: the root and open items
  std::vector<std::size_t> open_lengths_;  ///< where the lengths of open sequences and items stand
  Tag root_tag_;                           ///< the top-level element being written, for faults
  std::optional<Fault> fault_;
};

}  // namespace mapping
