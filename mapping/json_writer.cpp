// DataSet → DICOM JSON, straight from the bytes into the caller's string: no tree in between.
#include <fmt/format.h>

#include "mapping/base64.h"
#include "mapping/character_set.h"
#include "mapping/json.h"
#include "mapping/number_text.h"

namespace mapping {
namespace {

constexpr std::string_view character_set_member =
    R"("00080005":{"vr":"CS","Value":["ISO_IR 192"]})";

// A number that reading and writing as a double gives back to the letter: no exponent, no trailing
// zeros, no "+", at most 15 digits. Everything else goes out as a string. rule D8
bool survives_as_number(std::string_view text, bool fraction_allowed) {
  if (!text.empty() && text[0] == '-') {
    text.remove_prefix(1);
    if (text == "0") return false;
  }
  if (text.empty() || text.size() > 16) return false;
  std::size_t digits = 0;
  std::size_t point = std::string_view::npos;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] >= '0' && text[i] <= '9')
      ++digits;
    else if (text[i] == '.' && point == std::string_view::npos && fraction_allowed)
      point = i;
    else
      return false;
  }
  const std::string_view whole = text.substr(0, point);
  if (digits > 15 || whole.empty() || (whole.size() > 1 && whole[0] == '0')) return false;
  if (point == std::string_view::npos) return true;
  // 0.00001 would come back as 1e-5.
  return text.back() >= '1' && text.back() <= '9' && !text.starts_with("0.00000");
}

// Delimiters without a name between them, which JSON has no form for but the empty value.
constexpr std::string_view nothing_in_a_name("^= \0", 4);
bool is_empty_name(std::string_view value) {
  return value.find_first_not_of(nothing_in_a_name) == std::string_view::npos;
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  std::optional<Fault> write(DataSetView data_set) {
    const std::size_t start = out_.size();
    write_object(data_set);
    if (!fault_ && non_ascii_) {  // first: nothing below it stands in a data set. rule D17
      out_.insert(start + 1, std::string(character_set_member) + ",");
    }
    return std::move(fault_);
  }

 private:
  void write_object(DataSetView data_set) {
    out_.push_back('{');
    for (const Element& element : data_set) {
      write_member_name(element.tag);
      write_attribute(element);
      out_.push_back(',');
    }
    if (out_.back() == ',')
      out_.back() = '}';
    else
      out_.push_back('}');
  }

  void write_member_name(Tag tag) {
    char name[11] = {'"', 0, 0, 0, 0, 0, 0, 0, 0, '"', ':'};
    for (std::size_t i = 0; i < 8; ++i) {
      name[i + 1] = "0123456789ABCDEF"[tag.value >> (28 - 4 * i) & 0xF];
    }
    out_.append(name, sizeof name);
  }

  void write_attribute(const Element& element) {
    out_.append(R"({"vr":")").append(to_string(element.vr));
    if (element.empty() || (element.vr == Vr::PN && is_empty_name(element.text()))) {
      out_.append("\"}");
      return;
    }
    const VrKind kind = facts(element.vr).kind;
    if (kind == VrKind::bytes) {
      out_.append(R"(","InlineBinary":")");
      append_base64(element.value, out_);
      out_.append("\"}");
      return;
    }
    out_.append(R"(","Value":[)");
    if (kind == VrKind::text)
      write_text_values(element);
    else if (kind == VrKind::number)
      write_numbers(element);
    else
      write_items(element);
    out_.append("]}");
  }

  void write_items(const Element& sequence) {
    for (const DataSetView item : sequence.items()) {
      write_object(item);
      out_.push_back(',');
    }
    out_.pop_back();
  }

  void write_text_values(const Element& element) {
    std::string_view rest = element.text();
    const bool many = facts(element.vr).many_values;
    for (;;) {
      const std::size_t end = many ? rest.find('\\') : std::string_view::npos;
      write_text_value(element.vr, rest.substr(0, end));
      if (end == std::string_view::npos) return;
      out_.push_back(',');
      rest.remove_prefix(end + 1);
    }
  }

  void write_text_value(Vr vr, std::string_view value) {
    if (value.empty() || (vr == Vr::PN && is_empty_name(value)))
      out_.append("null");
    else if (vr == Vr::PN)
      write_person_name(value);
    else if ((vr == Vr::IS || vr == Vr::DS) && survives_as_number(value, vr == Vr::DS))
      out_.append(value);
    else
      write_string(value);
  }

  // rule D11: only component groups that are not empty, without trailing carets and what pads
  // before them.
  void write_person_name(std::string_view value) {
    constexpr std::string_view groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    out_.push_back('{');
    for (const std::string_view group : groups) {
      const std::size_t end = group == groups[2] ? std::string_view::npos : value.find('=');
      std::string_view text = value.substr(0, end);
      value.remove_prefix(end == std::string_view::npos ? value.size() : end + 1);
      text = text.substr(0, text.find_last_not_of(nothing_in_a_name) + 1);
      if (text.empty()) continue;
      out_.push_back('"');
      out_.append(group).append("\":");
      write_string(text);
      out_.push_back(',');
    }
    if (out_.back() == ',')
      out_.back() = '}';
    else
      out_.push_back('}');
  }

  void write_string(std::string_view text) {
    out_.push_back('"');
    std::size_t plain = 0;  // start of what needs no escape
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c >= 0x80) non_ascii_ = true;
      if (c >= 0x20 && c != '"' && c != '\\') continue;
      out_.append(text.substr(plain, i - plain));
      plain = i + 1;
      write_escape(c);
    }
    out_.append(text.substr(plain));
    out_.push_back('"');
  }

  void write_escape(unsigned char c) {
    switch (c) {
      case '"':
        out_.append("\\\"");
        break;
      case '\\':
        out_.append("\\\\");
        break;
      case '\n':
        out_.append("\\n");
        break;
      case '\r':
        out_.append("\\r");
        break;
      case '\t':
        out_.append("\\t");
        break;
      default:
        fmt::format_to(std::back_inserter(out_), "\\u{:04x}", c);
    }
  }

  void write_numbers(const Element& element) {
    const std::size_t width = number_width(element.vr);
    for (std::size_t i = 0; i + width <= element.value.size(); i += width) {
      if (i != 0) out_.push_back(',');
      const char* const number = element.value.data() + i;
      const bool quoted = element.vr == Vr::AT || !exact_as_double(element.vr, number);
      if (quoted) out_.push_back('"');
      if (!append_number_text(element.vr, number, out_)) refuse(element.tag);
      if (quoted) out_.push_back('"');
    }
  }

  void refuse(Tag tag) {
    if (fault_) return;
    fault_ = Fault{Fault::Kind::invalid_value,
                   fmt::format("{}: expected a finite number, JSON has no other", to_string(tag)),
                   {tag}};
  }

  std::string& out_;
  bool non_ascii_ = false;
  std::optional<Fault> fault_;
};

}  // namespace

Result<bool> write_json(DataSetView data_set, std::string& out) {
  const std::size_t before = out.size();
  if (auto fault = Writer(out).write(data_set)) {
    out.resize(before);
    return *fault;
  }
  return true;
}

}  // namespace mapping
