// The lines of an INI file as sections and entries with their line numbers. Knows the form only;
// what keys mean stands in gateway/config.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

/// One thing that is wrong with the configuration.
struct ConfigFault {
  int line = 0;         ///< 1 is the first; 0 if no line is at fault
  std::string section;  ///< "backend ris"; may be empty
  std::string key;      ///< may be empty
  std::string what;     ///< what is wrong and what is allowed
};

/// FILE:LINE: [section] key: what
std::string to_string(const ConfigFault& fault, std::string_view file);

struct IniEntry {
  int line = 0;
  std::string key;
  std::string value;  ///< blanks around it and a comment behind it are gone, ${NAME} is replaced
};

struct IniSection {
  int line = 0;
  std::string kind;  ///< "backend" of [backend ris]
  std::string name;  ///< "ris"; empty where there is none
  std::vector<IniEntry> entries;

  std::string title() const { return name.empty() ? kind : kind + " " + name; }
};

/// A variable of the environment, or nothing if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// Reads every line; what cannot be read is added to faults and left out. Repeated sections and
/// repeated keys within a section are faults.
std::vector<IniSection> read_ini(std::string_view text, const Environment& environment,
                                 std::vector<ConfigFault>& faults);

}  // namespace gateway
