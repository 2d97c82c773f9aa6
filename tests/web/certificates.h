// Certificates of both roles, made by the openssl program for each run of the tests.
#pragma once

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/web/web_support.h"
#include "web/tls.h"

namespace web_test {

/// Two CAs, and certificates of the first for localhost: a good with an RSA key, one with a key on
/// an elliptic curve, an expired one, and another host's.
class Certificates {
 public:
  Certificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "modgate-tls-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    for (const char* ca : {"ca", "other_ca"}) {
      make(fmt::format(
          "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
          "-subj /CN={0} -keyout {0}.key -out {0}.pem",
          ca));
    }
    sign("good", "ca", "-days 2", "DNS:localhost,IP:127.0.0.1");
    sign("elliptic", "ca", "-days 2", "DNS:localhost,IP:127.0.0.1",
         "ec -pkeyopt ec_paramgen_curve:P-256");
    sign("expired", "ca", "-days -1", "DNS:localhost,IP:127.0.0.1");
    sign("wrong_host", "ca", "-days 2", "DNS:elsewhere.example");
    sign("stranger", "other_ca", "-days 2", "DNS:localhost,IP:127.0.0.1");
  }
  ~Certificates() { std::filesystem::remove_all(directory_); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  std::string file(const std::string& name) const { return directory_ + "/" + name; }
  web::TlsFiles files(const std::string& name, const std::string& trusted = "") const {
    return {file(name + ".pem"), file(name + ".key"),
            trusted.empty() ? "" : file(trusted + ".pem")};
  }

 private:
  void make(const std::string& command) {
    const Run made = run("cd " + directory_ + " && " + command);
    INFO(made.output);
    REQUIRE(made.code == 0);
  }
  void sign(const std::string& name, const std::string& ca, const std::string& days,
            const std::string& names, const std::string& key = "rsa:2048") {
    make(fmt::format(
        "openssl req -new -newkey {4} -nodes -subj /CN={0} -keyout {0}.key -out {0}.csr && "
        "echo subjectAltName={3} >{0}.ext && openssl x509 -req -in {0}.csr -CA {1}.pem -CAkey "
        "{1}.key "
        "-CAcreateserial {2} -extfile {0}.ext -out {0}.pem",
        name, ca, days, names, key));
  }

  std::string directory_;
};

inline const Certificates& certificates() {
  static const Certificates made;
  return made;
}

}  // namespace web_test
