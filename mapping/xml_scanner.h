// Walks an XML document without building a tree or copying it: what the Native DICOM Model needs of
// XML 1.0, and no more. No document types, no entities but the predefined five, no processing
// instructions below the prolog. Memory is the open elements' names. Knows nothing of DICOM.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mapping {

/// Characters of XML text or of an attribute as they stand: resolve() makes them what they mean.
struct XmlText {
  std::string_view raw;
  bool resolved = false;  ///< it is what it means: a CDATA section

  /// Appends the characters, references replaced and line ends as LF.
  void resolve(std::string& out) const;
  /// Whether raw is already what resolve would append.
  bool is_plain() const {
    return raw.find('\r') == std::string_view::npos &&
           (resolved || raw.find('&') == std::string_view::npos);
  }
};

/// A cursor over one document, which must outlive it and be UTF-8. One thread at a time.
class XmlScanner {
 public:
  struct Attribute {
    std::string_view name;
    XmlText value;
  };
  enum class Token {
    start,   ///< of an element: name() and attributes() are its own
    end,     ///< of the element opened last; comes for an empty one too
    text,    ///< between tags: text(); a CDATA section is a text of its own, and so is what stands
             ///< around a comment
    done,    ///< the document is over and was well-formed
    broken,  ///< it is not well-formed: expected() says why. Stays so
  };

  explicit XmlScanner(std::string_view document);

  Token next();
  /// After start: to the element's end, which is taken too. False if broken.
  bool skip_element();

  /// Without its prefix.
  std::string_view name() const { return name_; }
  std::span<const Attribute> attributes() const { return attributes_; }
  const XmlText& text() const { return text_; }
  /// What the document should have had where it is broken.
  const std::string& expected() const { return expected_; }

  /// A place to go back to, as long as the element is open in which it was taken.
  struct Mark {
    std::size_t at = 0;
    std::size_t depth = 0;
    bool is_empty = false;
  };
  Mark mark() const { return {at_, open_.size(), is_empty_}; }
  void go_back(const Mark& mark) {
    at_ = mark.at;
    open_.resize(mark.depth);
    is_empty_ = mark.is_empty;
  }

 private:
  static constexpr std::size_t max_attributes = 32;  // of one element

  Token broken(std::string_view expected);
  bool starts_with(std::string_view text) const { return document_.substr(at_).starts_with(text); }
  void skip_blanks();
  bool skip_past(std::string_view end);
  bool skip_comment();
  Token outside_root();
  bool read_declaration();
  Token read_start();
  Token read_end();
  bool read_attributes();
  bool check_references(std::string_view raw);
  std::string_view read_name();

  std::string_view document_;
  std::size_t at_ = 0;
  bool root_seen_ = false;
  bool is_empty_ = false;  // the last start was of an empty element: its end comes next
  std::vector<std::string_view> open_;  // whole names
  std::vector<Attribute> attributes_;
  std::string_view name_;
  XmlText text_;
  std::string expected_;
};

}  // namespace mapping
