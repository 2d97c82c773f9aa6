// Kinds of values: what a key of the table allows, and how its value is read. Knows no section;
// which keys there are stands in gateway/config_keys.h.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapping/character_set.h"
#include "web/authentication.h"

namespace gateway {

/// One key of a section, bound to where its value goes.
struct Key {
  std::string name;
  std::string default_value;
  std::string allowed;
  /// Takes the value over; returns what is wrong with it, empty if nothing.
  std::function<std::string(const std::string&)> apply;
  bool required = false;
  bool at_start = false;    ///< holds until the next start, whatever a reload reads
  bool from_front = false;  ///< where it is not there, what the front has holds, and no default
};
using Keys = std::vector<Key>;

/// Names separated by commas, blanks around them taken away.
std::vector<std::string> split_names(std::string_view value);

/// Each makes a Key that writes into target, or gives what it has read to set. Targets outlive the
/// key; what is wrong changes nothing of them unless said otherwise.
namespace value {

Key required(Key key);
Key at_start(Key key);
Key from_front(Key key);
/// The value names a file. What is there and is no regular file, nor leads to one, is refused
/// before anybody opens it: reading a pipe may never end.
Key file(Key key);

Key text(std::string name, std::string default_value, std::string& target);
/// 1 to 16 characters. PS3.5, 6.2
Key ae_title(std::string name, std::string default_value, std::string& target);
Key port(std::string name, std::string default_value, std::uint16_t& target, bool any_allowed);
Key yes_no(std::string name, std::string default_value, bool& target);
/// Empty: none.
Key character_set(std::string name, std::optional<mapping::CharacterSet>& target);
/// Names between commas; what they name, no key can say alone.
Key names(std::string name, std::string allowed, std::vector<std::string>& target);
/// Words between commas, of known ones where there are any. target: emptied by what is wrong.
Key words(std::string name, std::string allowed, std::set<std::string>& target,
          std::set<std::string> known = {});
/// The first line of a file, so that no secret stands in the configuration. target: as words.
Key secret_file(std::string name, std::string& target);

Key integer(std::string name, std::string default_value, std::uint64_t low, std::uint64_t high,
            std::function<void(std::uint64_t)> set);
template <class Integer>
Key integer(std::string name, std::string default_value, std::uint64_t low, std::uint64_t high,
            Integer& target) {
  return integer(std::move(name), std::move(default_value), low, high,
                 [&target](std::uint64_t number) { target = static_cast<Integer>(number); });
}

/// One number into each target.
template <class... Targets>
Key seconds(std::string name, std::string default_value, Targets&... targets) {
  return integer(
      std::move(name), std::move(default_value), 1, 86400,
      [&targets...](std::uint64_t number) { ((targets = std::chrono::seconds(number)), ...); });
}
template <class Target>
Key milliseconds(std::string name, std::string default_value, std::uint64_t low, std::uint64_t high,
                 Target& target) {
  return integer(std::move(name), std::move(default_value), low, high,
                 [&target](std::uint64_t number) { target = std::chrono::milliseconds(number); });
}

/// A word and what it stands for.
template <class T>
struct Choice {
  std::string_view word;
  T meaning;
};
/// T of target may be wider than that of the choices: optional, for one.
template <class T, class Target>
Key choice(std::string name, std::string default_value, std::vector<Choice<T>> choices,
           Target& target) {
  std::string allowed;
  for (const auto& one : choices) {
    allowed += fmt::format("{}{}", allowed.empty() ? "" : " | ", one.word);
  }
  return {std::move(name), std::move(default_value), allowed,
          [=, &target](const std::string& value) -> std::string {
            for (const auto& one : choices) {
              if (one.word != value) continue;
              target = one.meaning;
              return {};
            }
            return fmt::format("expected {}", allowed);
          }};
}

// Keys that several groups of sections have.

Key unencodable_text(bool& replace);
Key users_file(web::AuthenticationFiles& target);
Key tokens_file(web::AuthenticationFiles& target);

template <class TlsFiles>
Keys tls_keys(TlsFiles& files) {
  return {
      file(text("tls_certificate", "", files.certificate)),
      file(text("tls_private_key", "", files.private_key)),
      file(text("tls_trusted", "", files.trusted)),
  };
}

Keys joined(std::initializer_list<Keys> parts);

}  // namespace value
}  // namespace gateway
