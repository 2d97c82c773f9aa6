#include "gateway/admission.h"

#include <crypt.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

using dimse::UserIdentity;
using gateway::make_admission;
using Type = UserIdentity::Type;

namespace {

/// Two files that go with the test: anna's password is "secret", ct's token is "a.b.c".
class Files {
 public:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "modgate-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    directory = pattern;
    crypt_data data{};
    const std::string salt = ::crypt_gensalt("$2y$", 4, nullptr, 0);
    std::ofstream(directory / "users")
        << "anna:" << ::crypt_r("secret", salt.c_str(), &data) << '\n';
    std::ofstream(directory / "tokens")
        << "5e25ab5e5b7bc4d5b0a1f1ba6a5b1d1ec6f7a3b1c0d2e3f40516273849505162 other\n"
        << sha_256_of_a_b_c << " ct\n";
  }
  ~Files() { std::filesystem::remove_all(directory); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  std::string users() const { return directory / "users"; }
  std::string tokens() const { return directory / "tokens"; }

 private:
  // printf a.b.c | sha256sum
  static constexpr const char* sha_256_of_a_b_c =
      "845e30448809e2bc8958eb025bfc795235d13b077a53d0c3abbd2385170dc9b8";
  std::filesystem::path directory;
};

}  // namespace

TEST_CASE("without files nobody is asked for an identity") {
  const auto admission = make_admission({});
  REQUIRE(admission.ok());
  CHECK_FALSE(admission.value());
}

TEST_CASE("a user identity is admitted by what the files say of it (rule H10)") {
  const Files files;
  const struct {
    UserIdentity user;
    bool by_users, by_tokens;
    const char* why;
  } rows[] = {
      {{Type::passcode, "anna", "secret"}, true, false, "the right passcode"},
      {{Type::passcode, "anna", "Secret"}, false, false, "a wrong passcode"},
      {{Type::passcode, "anna", ""}, false, false, "an empty passcode"},
      {{Type::passcode, "bert", "secret"}, false, false, "an unknown user"},
      {{Type::passcode, "", ""}, false, false, "nobody"},
      {{Type::passcode, "anna", std::string("secret\0", 7)}, false, false, "more than it seems"},
      {{Type::passcode, "a.b.c", ""}, false, false, "a token as a name"},
      {{Type::user, "anna", ""}, false, false, "a name alone proves nothing"},
      {{Type::user, "anna", "secret"}, false, false, "a passcode where there is none"},
      {{Type::jwt, "a.b.c", ""}, false, true, "the right token"},
      {{Type::jwt, "a.b.d", ""}, false, false, "another token"},
      {{Type::jwt, "", ""}, false, false, "an empty token"},
      {{Type::kerberos, "a.b.c", ""}, false, false, "a ticket"},
      {{Type::saml, "a.b.c", ""}, false, false, "an assertion"},
      {{static_cast<Type>(77), "anna", "secret"}, false, false, "a type that does not exist"},
  };
  const auto by_users = make_admission({files.users(), ""});
  const auto by_tokens = make_admission({"", files.tokens()});
  const auto by_both = make_admission({files.users(), files.tokens()});
  REQUIRE((by_users.ok() && by_tokens.ok() && by_both.ok()));
  for (const auto& [user, in_users, in_tokens, why] : rows) {
    INFO(why);
    for (int i = 0; i < 2; ++i) {  // the second time without bcrypt
      CHECK(by_users.value()(user) == in_users);
      CHECK(by_tokens.value()(user) == in_tokens);
      CHECK(by_both.value()(user) == (in_users || in_tokens));
    }
  }
}

TEST_CASE("a file that cannot be used is a fault that names its key") {
  const auto admission = make_admission({"/nowhere", ""});
  REQUIRE_FALSE(admission.ok());
  CHECK(admission.fault().what.rfind("users: ", 0) == 0);
}
