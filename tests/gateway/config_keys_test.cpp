// The kinds of values, each by every key of its kind: what a row of the table allows is what it
// takes.
#include "gateway/config_keys.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace gateway;

namespace {

/// The whole table, bound to what it fills.
struct Table {
  Config config;
  std::string kind;
  Config::DimseFront dimse;
  Config::WebFront web;
  Config::Admin admin;
  AuditOptions audit;
  bool audit_off = false;
  dimse::ScuOptions scu;
  ::web::UserAgentOptions agent;
  StepStoreOptions store;
  BackendConfig backend;
  dimse::Modality modality;
  ModalityRoute route;

  std::vector<std::pair<std::string, Keys>> sections() {
    return {{"gateway", gateway_keys(config)},
            {"queue", queue_keys(config.delivery)},
            {"dimse", dimse_keys(dimse)},
            {"web", web_keys(web)},
            {"admin", admin_keys(admin)},
            {"audit", audit_keys(audit, audit_off)},
            {"scp", scp_backend_keys(scu, backend, kind)},
            {"origin-server", origin_server_backend_keys(agent, backend, kind)},
            {"store", store_backend_keys(store, backend, kind)},
            {"modality", modality_keys(modality, route)}};
  }
};

template <class Visit>
void for_each_key(const Visit& visit) {
  Table table;
  for (const auto& [section, keys] : table.sections()) {
    for (const Key& key : keys) {
      CAPTURE(section, key.name, key.allowed);
      visit(key);
    }
  }
}

/// low and high of "a whole number from LOW to HIGH".
std::optional<std::pair<std::uint64_t, std::uint64_t>> range_of(std::string_view allowed) {
  constexpr std::string_view begin = "a whole number from ";
  if (!allowed.starts_with(begin)) return std::nullopt;
  allowed.remove_prefix(begin.size());
  std::uint64_t low = 0, high = 0;
  const char* const end = allowed.data() + allowed.size();
  const auto [behind, error] = std::from_chars(allowed.data(), end, low);
  REQUIRE(error == std::errc());
  constexpr std::size_t to = 4;  // " to "
  REQUIRE(std::from_chars(behind + to, end, high).ec == std::errc());
  return std::pair{low, high};
}

/// The words of "one | two".
std::vector<std::string> words_of(const std::string& allowed) {
  std::vector<std::string> words;
  for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 3) {
    end = allowed.find(" | ", begin);
    words.push_back(allowed.substr(begin, end - begin));
  }
  return words.size() > 1 ? words : std::vector<std::string>();
}

const Key& key_of(const Keys& keys, std::string_view name) {
  for (const Key& key : keys) {
    if (key.name == name) return key;
  }
  FAIL("no key " << name);
  return keys.front();
}

}  // namespace

TEST_CASE("every key says what it allows, and takes its own default") {
  for_each_key([](const Key& key) {
    CHECK_FALSE(key.allowed.empty());
    if (key.required) {
      CHECK(key.default_value.empty());
    } else {
      CHECK(key.apply(key.default_value) == "");
    }
  });
}

TEST_CASE("a number is taken from its lowest to its highest value, and nothing else is") {
  int found = 0;
  for_each_key([&](const Key& key) {
    const auto range = range_of(key.allowed);
    if (!range) return;
    ++found;
    const auto [low, high] = *range;
    CHECK(key.apply(std::to_string(low)) == "");
    CHECK(key.apply(std::to_string(high)) == "");
    CHECK(key.apply("0" + std::to_string(high)) == "");
    std::vector<std::string> wrong{
        "", "-1", "+1", " 1", "1 ", "1x", "1.0", "0x1", "1e1", "ten", "99999999999999999999"};
    wrong.push_back(std::to_string(high + 1));
    if (low > 0) wrong.push_back(std::to_string(low - 1));
    for (const std::string& value : wrong) {
      CAPTURE(value);
      CHECK(key.apply(value).starts_with("expected a whole number from "));
    }
  });
  CHECK(found > 25);
}

TEST_CASE("a word is taken as it stands in the table, and nothing else is") {
  int found = 0;
  for_each_key([&](const Key& key) {
    const auto words = words_of(key.allowed);
    if (words.empty()) return;
    ++found;
    for (const std::string& word : words) {
      CAPTURE(word);
      CHECK(key.apply(word) == "");
      CHECK(key.apply(word + " ") == "expected " + key.allowed);
    }
    for (const char* wrong : {"", "YES", "Yes", "true", "1", "yes|no", "yes | no"}) {
      CAPTURE(wrong);
      CHECK(key.apply(wrong) == "expected " + key.allowed);
    }
  });
  CHECK(found > 20);
}

TEST_CASE("an AE title has 1 to 16 characters, printable and no backslash. PS3.5, 6.2") {
  int found = 0;
  for_each_key([&](const Key& key) {
    if (!key.allowed.starts_with("an AE title")) return;
    ++found;
    for (const char* good : {"A", "ABCDEFGHIJKLMNOP", "ct-1 \"{}'", "0"}) {
      CAPTURE(good);
      CHECK(key.apply(good) == "");
    }
    for (const char* wrong : {"", "ABCDEFGHIJKLMNOPQ", "A\\B", "A\tB", "A\x7F", "\xC3\x9C"}) {
      CAPTURE(wrong);
      CHECK(key.apply(wrong) == "expected " + key.allowed);
    }
  });
  CHECK(found == 4);
}

TEST_CASE("what is wrong changes nothing of what was there") {
  Table table;
  const Keys dimse = dimse_keys(table.dimse);
  REQUIRE(key_of(dimse, "port").apply("104") == "");
  REQUIRE_FALSE(key_of(dimse, "port").apply("65536").empty());
  CHECK(table.dimse.options.port == 104);
  REQUIRE(key_of(dimse, "ae_title").apply("FRONT") == "");
  REQUIRE_FALSE(key_of(dimse, "ae_title").apply("").empty());
  CHECK(table.dimse.options.ae_title == "FRONT");
  REQUIRE(key_of(dimse, "worklist").apply("a, b") == "");
  REQUIRE_FALSE(key_of(dimse, "worklist").apply("a, a").empty());
  CHECK(table.dimse.route.worklist == std::vector<std::string>{"a", "b"});
}

TEST_CASE(
    "one key may fill several values: the front waits for a backend as long as for a message") {
  Table table;
  const Keys dimse = dimse_keys(table.dimse);
  REQUIRE(key_of(dimse, "dimse_timeout_seconds").apply("7") == "");
  CHECK(table.dimse.options.dimse_timeout == std::chrono::seconds(7));
  CHECK(table.dimse.options.transaction_timeout == std::chrono::seconds(7));
}

TEST_CASE("the backends of a service: each once, none without a name") {
  Table table;
  const Keys web = web_keys(table.web);
  for (const char* wrong : {",a", "a,,b", "a, a", ","}) {
    CAPTURE(wrong);
    CHECK_FALSE(key_of(web, "mpps").apply(wrong).empty());
  }
  CHECK(key_of(web, "mpps").apply("a, b,") == "");  // the last comma names nothing more
  CHECK(table.web.route.mpps == std::vector<std::string>{"a", "b"});
}
