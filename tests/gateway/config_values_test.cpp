// What each kind of value takes, and what it makes of it. Numbers, words and AE titles are tried by
// every key of the table (config_keys_test.cpp).
#include "gateway/config_values.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using Names = std::vector<std::string>;

TEST_CASE("names between commas: blanks around them go, those within stay, an empty one is one") {
  CHECK(split_names("") == Names{});
  CHECK(split_names("a") == Names{"a"});
  CHECK(split_names(" a , b c ,d") == Names{"a", "b c", "d"});
  CHECK(split_names("a,,b") == Names{"a", "", "b"});
  CHECK(split_names(",a") == Names{"", "a"});
}

TEST_CASE("times are read in the unit that stands in the key's name") {
  std::chrono::milliseconds one{}, other{};
  CHECK(value::seconds("some_seconds", "", one, other).apply("7") == "");
  CHECK(one == std::chrono::seconds(7));
  CHECK(other == std::chrono::seconds(7));
  CHECK(value::milliseconds("some_milliseconds", "", 0, 10, one).apply("7") == "");
  CHECK(one == std::chrono::milliseconds(7));
}

TEST_CASE("port 0 is any free one where that makes sense") {
  std::uint16_t port = 1;
  const Key key = value::port("port", "", port, true);
  CHECK(key.allowed.ends_with("0 = any free port"));
  CHECK(key.apply("0") == "");
  CHECK(port == 0);
  CHECK_FALSE(value::port("port", "", port, false).apply("0").empty());
}

TEST_CASE("a choice is what its word stands for, and nothing is one, too") {
  std::optional<int> target = 7;
  const Key key =
      value::choice<std::optional<int>>("key", "", {{"auto", std::nullopt}, {"one", 1}}, target);
  CHECK(key.allowed == "auto | one");
  CHECK(key.apply("one") == "");
  CHECK(target == 1);
  CHECK(key.apply("two") == "expected auto | one");
  CHECK(target == 1);
  CHECK(key.apply("auto") == "");
  CHECK_FALSE(target);
}

TEST_CASE("a character set by its defined term; empty is none, another one changes nothing") {
  std::optional<mapping::CharacterSet> target;
  const Key key = value::character_set("character_set", target);
  CHECK(key.apply("ISO_IR 100") == "");
  const auto latin1 = target;
  CHECK(latin1);
  CHECK(key.apply("LATIN1") == "expected " + key.allowed);
  CHECK(target == latin1);
  CHECK(key.apply("\\ISO 2022 IR 87") == "");
  CHECK(target != latin1);
  CHECK(key.apply("") == "");
  CHECK_FALSE(target);
}

TEST_CASE("words: known ones where there are any, none without a letter") {
  std::set<std::string> target;
  const Key known = value::words("key", "some of A, B", target, {"A", "B"});
  CHECK(known.apply("B, A") == "");
  CHECK(target == std::set<std::string>{"A", "B"});
  for (const char* wrong : {"C", "A, C", "A,,B", ","}) {
    CAPTURE(wrong);
    CHECK(known.apply(wrong) == "expected some of A, B");
  }
  CHECK(target == std::set<std::string>{"A", "B"});
  const Key any = value::words("key", "any", target);
  CHECK(any.apply("a,,b") == "expected any");
  CHECK(any.apply("whatever") == "");
  CHECK(target == std::set<std::string>{"whatever"});
}

TEST_CASE("a secret is the first line of its file, and stands in no message") {
  const queue_test::Directory directory;
  const auto file = [&](const std::string& content) {
    const auto path = directory.path() / "secret";
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  };
  std::string target;
  const Key key = value::secret_file("password_file", target);
  CHECK(key.apply(file("top secret\r\nand more\n")) == "");
  CHECK(target == "top secret");
  for (const std::string& wrong : {file("\nsecond line"), std::string("/nowhere/at/all")}) {
    CAPTURE(wrong);
    CHECK(key.apply(wrong) == "cannot read a secret from " + wrong);
  }
  CHECK(target == "top secret");
  CHECK(key.apply("") == "");
  CHECK(target.empty());
}

TEST_CASE("what a key names as a file is a regular one, or leads to one, before it is opened") {
  const queue_test::Directory directory;
  const auto path = [&](const char* name) { return (directory.path() / name).string(); };
  std::ofstream(path("secret")) << "top secret\n";
  std::filesystem::create_symlink("secret", path("link"));
  REQUIRE(::mkfifo(path("pipe").c_str(), 0600) == 0);
  std::filesystem::create_symlink("pipe", path("link to a pipe"));
  std::filesystem::create_symlink("nothing", path("link to nothing"));
  std::string read;
  const Key key = value::file(value::text("tls_trusted", "", read));
  for (const auto& good : {std::string(), path("secret"), path("link")}) {
    CAPTURE(good);
    CHECK(key.apply(good) == "");
    CHECK(read == good);
  }
  for (const auto& wrong : {directory.path().string(), path("pipe"), path("link to a pipe"),
                            std::string("/dev/zero")}) {
    CAPTURE(wrong);
    CHECK(key.apply(wrong) == "cannot use " + wrong + ": expected a regular file");
  }
  CHECK(read == path("link"));
  // What is not there is for its reader to say.
  for (const auto& missing : {path("nothing"), path("link to nothing")}) {
    CAPTURE(missing);
    CHECK(key.apply(missing) == "");
  }
}

TEST_CASE("files of users and tokens are read at once, and told by their names") {
  const queue_test::Directory directory;
  const std::string path = (directory.path() / "tokens").string();
  web::AuthenticationFiles files;
  const Key tokens = value::tokens_file(files);
  std::ofstream(path) << std::string(64, 'a') << " nurse\n";
  CHECK(tokens.apply(path) == "");
  CHECK(files.tokens == path);
  const std::string wrong = value::users_file(files).apply(path);  // no htpasswd
  CHECK(wrong.find(path) != std::string::npos);
  CHECK(files.users.empty());
  CHECK(tokens.apply("") == "");
  CHECK(files.tokens.empty());
}

TEST_CASE("a key that is required, or holds until the next start, is as it was else") {
  std::string target;
  const Key key = value::required(value::at_start(value::text("key", "default", target)));
  CHECK(key.required);
  CHECK(key.at_start);
  CHECK(key.default_value == "default");
  CHECK(key.apply("anything = at all") == "");
  CHECK(target == "anything = at all");
}
