// Random data sets of every VR, nested, reproducible from a seed: for round trips as properties.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "mapping/data_set.h"
#include "mapping/dictionary.h"

namespace support {

struct RandomOptions {
  int max_depth = 4;
  std::string alphabet = "ABCxyz 019.,;-_";  ///< characters of text, each one byte or UTF-8
  std::vector<std::string> characters{};     ///< if set, used instead of alphabet
};

/// A value field that is valid for its VR; private attributes with creator among the elements.
class RandomDataSet {
 public:
  explicit RandomDataSet(std::uint64_t seed, RandomOptions options = {})
      : random_(seed), options_(std::move(options)) {}

  mapping::DataSet make() {
    mapping::DataSetBuilder builder;
    fill(builder, options_.max_depth);
    return builder.build().value();
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  void fill(mapping::DataSetBuilder& builder, int depth) {
    using mapping::Vr;
    // One attribute a VR, so that a reader of Implicit VR finds it in the dictionary.
    static const std::vector<std::pair<const char*, Vr>> known{
        {"RetrieveAETitle", Vr::AE},
        {"PatientAge", Vr::AS},
        {"FrameIncrementPointer", Vr::AT},
        {"Modality", Vr::CS},
        {"PatientBirthDate", Vr::DA},
        {"PatientWeight", Vr::DS},
        {"AcquisitionDateTime", Vr::DT},
        {"RealWorldValueSlope", Vr::FD},
        {"RecommendedDisplayFrameRateInFloat", Vr::FL},
        {"SeriesNumber", Vr::IS},
        {"InstitutionName", Vr::LO},
        {"AdditionalPatientHistory", Vr::LT},
        {"DoubleFloatPixelData", Vr::OD},
        {"FloatPixelData", Vr::OF},
        {"TrackPointIndexList", Vr::OL},
        {"ExtendedOffsetTable", Vr::OV},
        {"PatientName", Vr::PN},
        {"AccessionNumber", Vr::SH},
        {"ReferencePixelX0", Vr::SL},
        {"ScheduledProcedureStepSequence", Vr::SQ},
        {"RequestedProcedureCodeSequence", Vr::SQ},
        {"TagAngleSecondAxis", Vr::SS},
        {"InstitutionAddress", Vr::ST},
        {"SelectorSVValue", Vr::SV},
        {"StudyTime", Vr::TM},
        {"LongCodeValue", Vr::UC},
        {"StudyInstanceUID", Vr::UI},
        {"SimpleFrameList", Vr::UL},
        {"URNCodeValue", Vr::UR},
        {"PregnancyStatus", Vr::US},
        {"TextValue", Vr::UT},
        {"SelectorUVValue", Vr::UV},
        {"EncapsulatedDocument", Vr::OB},
    };
    for (const auto& [keyword, vr] : known) {
      if (below(3) != 0) continue;
      const mapping::DictionaryEntry* entry = mapping::find_attribute(std::string_view(keyword));
      if (entry == nullptr || entry->vr != vr) continue;
      if (vr == Vr::SQ)
        sequence(builder, entry->tag, depth);
      else
        builder.add(entry->tag, vr, below(6) == 0 ? std::string() : value(vr));
    }
    if (below(3) == 0) {
      builder.add(mapping::Tag{0x0029, 0x0010}, Vr::LO, "MODGATE TEST");
      builder.add(mapping::Tag{0x0029, 0x1001}, Vr::UN, bytes(1 + below(9)));
    }
  }

  void sequence(mapping::DataSetBuilder& builder, mapping::Tag tag, int depth) {
    builder.begin_sequence(tag);
    const std::uint64_t items = depth > 0 ? below(3) : 0;
    for (std::uint64_t i = 0; i < items; ++i) {
      builder.begin_item();
      if (below(5) != 0) fill(builder, depth - 1);
      builder.end_item();
    }
    builder.end_sequence();
  }

  std::string bytes(std::uint64_t count) {
    std::string value;
    for (std::uint64_t i = 0; i < count; ++i) value.push_back(static_cast<char>(below(256)));
    // A trailing NUL would be padding in the next round.
    if (value.size() % 2 != 0) value.push_back('\1');
    return value;
  }

  // Starts and ends with a letter: blanks at the ends are padding.
  std::string text(std::uint64_t max) {
    std::string value(1, static_cast<char>('A' + below(26)));
    for (std::uint64_t i = below(max - 1); i > 0; --i) {
      if (options_.characters.empty())
        value += options_.alphabet[below(options_.alphabet.size())];
      else
        value += options_.characters[below(options_.characters.size())];
    }
    return value + static_cast<char>('a' + below(26));
  }

  std::string person_name() {
    std::string name = text(12) + (below(2) != 0 ? "^" + text(10) : "");
    if (below(3) == 0) name += "=" + text(8) + (below(2) != 0 ? "=" + text(8) : "");
    return name;
  }

  std::string number(std::uint64_t unit) {
    std::string value;
    for (std::uint64_t i = 0; i < unit; ++i) value.push_back(static_cast<char>(below(256)));
    return value;
  }

  template <class Float>
  std::string floating() {
    const Float value = static_cast<Float>(static_cast<double>(below(2000000)) / 7.0 - 100000.0);
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  std::string one(mapping::Vr vr) {
    using mapping::Vr;
    const auto digits = [&](std::uint64_t n) { return std::to_string(n + below(9 * n)); };
    switch (vr) {
      case Vr::AE:
        return "AE" + digits(10);
      case Vr::AS:
        return "0" + digits(10) + "Y";
      case Vr::CS:
        return "CODE_" + digits(100);
      case Vr::DA:
        return "20" + digits(10) + "1" + std::to_string(below(3)) + "2" + std::to_string(below(10));
      case Vr::DS:
        return std::to_string(below(1000)) + "." + digits(10);
      case Vr::DT:
        return "202611201530" + std::string("15.") + digits(1000);
      case Vr::IS:
        return (below(2) != 0 ? "-" : "+") + digits(1000);
      case Vr::TM:
        return "1" + std::to_string(below(10)) + "3" + std::to_string(below(10));
      case Vr::UI:
        return "1.2.276." + digits(1000000);
      case Vr::UR:
        return "http://example.invalid/" + digits(1000);
      case Vr::PN:
        return person_name();
      case Vr::SH:
        return text(12);
      case Vr::FL:
        return floating<float>();
      case Vr::FD:
        return floating<double>();
      default:
        return text(40);
    }
  }

  std::string value(mapping::Vr vr) {
    const mapping::VrFacts& facts = mapping::facts(vr);
    if (facts.kind == mapping::VrKind::bytes) return bytes(8 * (1 + below(3)));
    std::string all;
    for (std::uint64_t i = 1 + (facts.many_values ? below(3) : 0); i > 0; --i) {
      if (facts.kind == mapping::VrKind::text) {
        all += (all.empty() ? "" : "\\") + one(vr);
      } else if (vr == mapping::Vr::FL || vr == mapping::Vr::FD) {
        all += one(vr);
      } else {
        all += number(vr == mapping::Vr::AT ? 4 : facts.unit);
      }
    }
    return all;
  }

  std::mt19937_64 random_;
  RandomOptions options_;
};

}  // namespace support
