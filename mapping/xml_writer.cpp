// DataSet → Native DICOM Model, straight from the bytes into the caller's string.
#include <fmt/format.h>

#include <vector>

#include "mapping/base64.h"
#include "mapping/dictionary.h"
#include "mapping/number_text.h"
#include "mapping/xml.h"

namespace mapping {
namespace {

constexpr std::string_view document_start =
    R"(<?xml version="1.0" encoding="UTF-8"?>)"
    R"(<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" )"
    R"(xml:space="preserve">)";
constexpr std::string_view document_end = "</NativeDicomModel>";
constexpr std::string_view character_set_attribute =
    R"(<DicomAttribute tag="00080005" vr="CS" keyword="SpecificCharacterSet">)"
    R"(<Value number="1">ISO_IR 192</Value></DicomAttribute>)";

constexpr std::string_view component_groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
constexpr std::string_view components[] = {"FamilyName", "GivenName", "MiddleName", "NamePrefix",
                                           "NameSuffix"};

// The owners of the private blocks of one data set. PS3.5, 7.8.1.
class PrivateCreators {
 public:
  explicit PrivateCreators(DataSetView data_set) {
    for (const Element& element : data_set) {
      if (element.tag.is_private_creator() && facts(element.vr).kind == VrKind::text) {
        owners_.emplace_back(element.tag, element.text());
      }
    }
  }
  /// Empty if no element names one.
  std::string_view owner(Tag tag) const {
    const Tag creator(tag.group(), static_cast<std::uint16_t>(tag.element() >> 8));
    for (const auto& [at, name] : owners_) {
      if (at == creator) return name;
    }
    return {};
  }

 private:
  std::vector<std::pair<Tag, std::string_view>> owners_;
};

/// Whether it begins with U+FFFE or U+FFFF.
bool is_no_character(std::string_view utf_8) {
  return utf_8.starts_with("\xEF\xBF\xBE") || utf_8.starts_with("\xEF\xBF\xBF");
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  std::optional<Fault> write(DataSetView data_set) {
    out_.append(document_start);
    const std::size_t start = out_.size();
    write_data_set(data_set);
    out_.append(document_end);
    // First: nothing below it stands in a data set. rule D17
    if (!fault_ && non_ascii_) out_.insert(start, character_set_attribute);
    return std::move(fault_);
  }

 private:
  void write_data_set(DataSetView data_set) {
    const PrivateCreators creators(data_set);
    for (const Element& element : data_set) {
      if (element.tag.is_private_creator()) continue;  // stands with each attribute instead, E3
      write_attribute_start(element, creators);
      if (element.empty()) {
        out_.replace(out_.size() - 1, 1, "/>");
      } else {
        write_value(element);
        out_.append("</DicomAttribute>");
      }
    }
  }

  void write_attribute_start(const Element& element, const PrivateCreators& creators) {
    const std::string_view owner =
        element.tag.is_private() ? creators.owner(element.tag) : std::string_view();
    const Tag tag = owner.empty() ? element.tag
                                  : Tag(element.tag.group(),
                                        static_cast<std::uint16_t>(element.tag.element() & 0xFF));
    out_.append(R"(<DicomAttribute tag=")").append(to_string(tag));
    out_.append(R"(" vr=")").append(to_string(element.vr));
    if (const DictionaryEntry* entry = find_attribute(element.tag)) {
      out_.append(R"(" keyword=")").append(entry->keyword);
    }
    if (!owner.empty()) {
      out_.append(R"(" privateCreator=")");
      write_text(element.tag, owner);
    }
    out_.append("\">");
  }

  void write_value(const Element& element) {
    switch (facts(element.vr).kind) {
      case VrKind::text:
        return write_text_values(element);
      case VrKind::number:
        return write_numbers(element);
      case VrKind::sequence:
        return write_items(element);
      case VrKind::bytes:
        break;
    }
    out_.append("<InlineBinary>");
    append_base64(element.value, out_);
    out_.append("</InlineBinary>");
  }

  void write_number_attribute(std::string_view name, std::size_t number) {
    out_.push_back('<');
    out_.append(name).append(" number=\"");
    if (number < 10)
      out_.push_back(static_cast<char>('0' + number));
    else
      fmt::format_to(std::back_inserter(out_), "{}", number);
    out_.append("\">");
  }

  void write_items(const Element& sequence) {
    std::size_t number = 0;
    for (const DataSetView item : sequence.items()) {
      write_number_attribute("Item", ++number);
      write_data_set(item);
      out_.append("</Item>");
    }
  }

  void write_numbers(const Element& element) {
    const std::size_t width = number_width(element.vr);
    for (std::size_t i = 0; i + width <= element.value.size(); i += width) {
      write_number_attribute("Value", i / width + 1);
      char text[max_number_text];
      if (const char* end = write_number_text(element.vr, element.value.data() + i, text)) {
        out_.append(text, static_cast<std::size_t>(end - text));
      } else {
        refuse(element.tag, "a finite number");
      }
      out_.append("</Value>");
    }
  }

  void write_text_values(const Element& element) {
    std::string_view rest = element.text();
    const bool many = facts(element.vr).many_values;
    for (std::size_t number = 1;; ++number) {
      const std::size_t end = many ? rest.find('\\') : std::string_view::npos;
      if (element.vr == Vr::PN) {
        write_person_name(element.tag, rest.substr(0, end), number);
      } else {
        write_number_attribute("Value", number);
        write_text(element.tag, rest.substr(0, end));
        out_.append("</Value>");
      }
      if (end == std::string_view::npos) return;
      rest.remove_prefix(end + 1);
    }
  }

  // rule E6: groups and components that are there, in order.
  void write_person_name(Tag tag, std::string_view name, std::size_t number) {
    write_number_attribute("PersonName", number);
    for (const std::string_view group : component_groups) {
      const std::size_t end =
          group == component_groups[2] ? std::string_view::npos : name.find('=');
      const std::string_view text = name.substr(0, end);
      name.remove_prefix(end == std::string_view::npos ? name.size() : end + 1);
      if (text.find_first_not_of('^') == std::string_view::npos) continue;
      write_tag("<", group);
      write_components(tag, text);
      write_tag("</", group);
    }
    out_.append("</PersonName>");
  }

  void write_components(Tag tag, std::string_view group) {
    for (const std::string_view component : components) {
      const std::size_t end = component == components[4] ? std::string_view::npos : group.find('^');
      const std::string_view text = group.substr(0, end);
      group.remove_prefix(end == std::string_view::npos ? group.size() : end + 1);
      if (text.empty()) continue;
      write_tag("<", component);
      write_text(tag, text);
      write_tag("</", component);
    }
  }

  void write_tag(std::string_view start, std::string_view name) {
    out_.append(start).append(name).push_back('>');
  }

  void write_text(Tag tag, std::string_view text) {
    std::size_t plain = 0;  // start of what needs no escape
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c >= 0x80) non_ascii_ = true;
      if (c == 0xEF && is_no_character(text.substr(i))) {
        refuse(tag, "no U+FFFE and no U+FFFF: XML 1.0 has neither");
      }
      if (c >= 0x20 && c != '&' && c != '<' && c != '>' && c != '"') continue;
      if (c == '\t' || c == '\n') continue;
      out_.append(text.substr(plain, i - plain));
      plain = i + 1;
      write_escape(tag, c);
    }
    out_.append(text.substr(plain));
  }

  void write_escape(Tag tag, unsigned char c) {
    switch (c) {
      case '&':
        out_.append("&amp;");
        return;
      case '<':
        out_.append("&lt;");
        return;
      case '>':
        out_.append("&gt;");
        return;
      case '"':
        out_.append("&quot;");
        return;
      case '\r':
        out_.append("&#13;");
        return;  // a bare one would be read as a line feed
      default:
        refuse(tag, "no control character but TAB, LF and CR: XML 1.0 has no other");
    }
  }

  void refuse(Tag tag, std::string_view expected) {
    if (fault_) return;
    fault_ = Fault{Fault::Kind::invalid_value,
                   fmt::format("{}: expected {}", to_string(tag), expected),
                   {tag}};
  }

  std::string& out_;
  bool non_ascii_ = false;
  std::optional<Fault> fault_;
};

}  // namespace

Result<bool> write_xml(DataSetView data_set, std::string& out) {
  const std::size_t before = out.size();
  if (auto fault = Writer(out).write(data_set)) {
    out.resize(before);
    return *fault;
  }
  return true;
}

}  // namespace mapping
