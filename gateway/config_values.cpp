#include "gateway/config_values.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

namespace gateway {

std::vector<std::string> split_names(std::string_view value) {
  std::vector<std::string> names;
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    std::string_view name = value.substr(0, comma);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    names.emplace_back(name);
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return names;
}

namespace value {

Key required(Key key) {
  key.required = true;
  return key;
}

Key at_start(Key key) {
  key.at_start = true;
  return key;
}

Key from_front(Key key) {
  key.from_front = true;
  return key;
}

Key file(Key key) {
  key.apply = [read = std::move(key.apply)](const std::string& value) {
    std::error_code error;
    const auto found = std::filesystem::status(value, error);
    if (std::filesystem::exists(found) && !std::filesystem::is_regular_file(found)) {
      return fmt::format("cannot use {}: expected a regular file", value);
    }
    return read(value);
  };
  return key;
}

Key text(std::string name, std::string default_value, std::string& target) {
  return {std::move(name), std::move(default_value), "text", [&target](const std::string& value) {
            target = value;
            return std::string();
          }};
}

Key ae_title(std::string name, std::string default_value, std::string& target) {
  static constexpr const char* allowed =
      "an AE title of 1 to 16 printable ASCII characters, no backslash";
  return {std::move(name), std::move(default_value), allowed, [&target](const std::string& value) {
            const bool printable = std::all_of(value.begin(), value.end(), [](char c) {
              return c >= 0x20 && c < 0x7F && c != '\\';
            });
            if (value.empty() || value.size() > 16 || !printable) {
              return fmt::format("expected {}", allowed);
            }
            target = value;
            return std::string();
          }};
}

Key port(std::string name, std::string default_value, std::uint16_t& target, bool any_allowed) {
  Key key = integer(std::move(name), std::move(default_value), any_allowed ? 0 : 1, 65535, target);
  if (any_allowed) key.allowed += "; 0 = any free port";
  return key;
}

Key yes_no(std::string name, std::string default_value, bool& target) {
  return choice<bool>(std::move(name), std::move(default_value), {{"yes", true}, {"no", false}},
                      target);
}

Key character_set(std::string name, std::optional<mapping::CharacterSet>& target) {
  static constexpr const char* allowed =
      "empty, or a Specific Character Set: ISO_IR 100 …, ISO_IR 192, GB18030, GBK, or several as "
      "ISO 2022 IR … joined by backslashes";
  return {std::move(name), "", allowed, [&target](const std::string& value) {
            std::optional<mapping::CharacterSet> read;
            if (!value.empty()) {
              const auto parsed = mapping::CharacterSet::parse(value);
              if (!parsed) return fmt::format("expected {}", allowed);
              read = parsed.value();
            }
            target = read;
            return std::string();
          }};
}

Key names(std::string name, std::string allowed, std::vector<std::string>& target) {
  return {std::move(name), "", std::move(allowed), [&target](const std::string& value) {
            target = split_names(value);
            return std::string();
          }};
}

Key words(std::string name, std::string allowed, std::set<std::string>& target,
          std::set<std::string> known) {
  return {std::move(name), "", allowed, [=, &target](const std::string& value) {
            const auto names = split_names(value);
            const bool good = std::all_of(names.begin(), names.end(), [&](const auto& word) {
              return !word.empty() && (known.empty() || known.contains(word));
            });
            if (!good) return fmt::format("expected {}", allowed);
            target = {names.begin(), names.end()};
            return std::string();
          }};
}

Key secret_file(std::string name, std::string& target) {
  return file({std::move(name), "", "empty, or a file whose first line is the secret",
               [&target](const std::string& value) {
                 std::string secret;
                 if (!value.empty()) {
                   std::ifstream in(value);
                   std::getline(in, secret);
                   if (secret.ends_with('\r')) secret.pop_back();
                   if (secret.empty()) return fmt::format("cannot read a secret from {}", value);
                 }
                 target = std::move(secret);
                 return std::string();
               }});
}

Key integer(std::string name, std::string default_value, std::uint64_t low, std::uint64_t high,
            std::function<void(std::uint64_t)> set) {
  std::string allowed = fmt::format("a whole number from {} to {}", low, high);
  return {std::move(name), std::move(default_value), allowed, [=](const std::string& value) {
            std::uint64_t number = 0;
            const char* const end = value.data() + value.size();
            const auto [behind, error] = std::from_chars(value.data(), end, number);
            if (error != std::errc() || behind != end || number < low || number > high) {
              return fmt::format("expected {}", allowed);
            }
            set(number);
            return std::string();
          }};
}

Key unencodable_text(bool& replace) {
  return choice<bool>("unencodable_text", "refuse", {{"refuse", false}, {"replace", true}},
                      replace);
}

namespace {

/// Read now, to say what is wrong with it, and again by the front.
Key credentials_file(std::string name, std::string allowed,
                     std::string web::AuthenticationFiles::*which,
                     web::AuthenticationFiles& target) {
  return file({std::move(name), "", std::move(allowed), [which, &target](const std::string& value) {
                 if (!value.empty()) {
                   web::AuthenticationFiles alone;
                   alone.*which = value;
                   const auto made = web::Authentication::make(alone);
                   if (!made) {
                     const std::string& what = made.fault().what;
                     return what.substr(what.find(": ") + 2);
                   }
                 }
                 target.*which = value;
                 return std::string();
               }});
}

}  // namespace

Key users_file(web::AuthenticationFiles& target) {
  return credentials_file("users",
                          "empty, or a file of NAME:HASH lines with bcrypt, as htpasswd -B writes",
                          &web::AuthenticationFiles::users, target);
}

Key tokens_file(web::AuthenticationFiles& target) {
  return credentials_file("tokens",
                          "empty, or a file of lines with the SHA-256 of a token and a name",
                          &web::AuthenticationFiles::tokens, target);
}

Keys joined(std::initializer_list<Keys> parts) {
  Keys all;
  for (const Keys& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace value
}  // namespace gateway
