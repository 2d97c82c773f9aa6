// Keys and certificates for tests, made by openssl when they are first needed: a CA, what it signed
// for the host 127.0.0.1, what it signed for another host, and a CA that nobody trusts.
#pragma once

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "dimse/tls.h"

namespace loopback {

class Certificates {
 public:
  static const Certificates& get() {
    static const Certificates certificates;
    return certificates;
  }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;
  ~Certificates() { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& file) const { return directory_ + "/" + file; }
  /// name: of a certificate; empty = none. ca: to trust; empty = none.
  dimse::TlsOptions options(const std::string& name, const std::string& ca) const {
    dimse::TlsOptions options;
    if (!name.empty()) options.certificate = path(name + ".pem");
    if (!name.empty()) options.private_key = path(name + ".key");
    if (!ca.empty()) options.trusted = path(ca + ".pem");
    return options;
  }

 private:
  Certificates() {
    std::string pattern = std::filesystem::temp_directory_path() / "modgate-tls-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    for (const std::string ca : {"ca", "strangers-ca"}) {
      run("req -x509 " + key(ca) + " -out " + ca + ".pem -days 2 -subj /CN=" + ca);
    }
    sign("here", "ca", "IP:127.0.0.1");
    sign("elsewhere", "ca", "DNS:elsewhere.example");
    sign("stranger", "strangers-ca", "IP:127.0.0.1");
  }

  static std::string key(const std::string& name) {
    return "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout " + name + ".key";
  }
  void sign(const std::string& name, const std::string& ca, const std::string& host) const {
    run("req " + key(name) + " -out " + name + ".csr -subj /CN=" + name);
    run("x509 -req -in " + name + ".csr -CA " + ca + ".pem -CAkey " + ca +
        ".key -CAcreateserial -days 2 -extfile <(echo subjectAltName=" + host + ") -out " + name +
        ".pem");
  }
  void run(const std::string& arguments) const {
    const auto command =
        "cd " + directory_ + " && bash -c 'openssl " + arguments + "' >/dev/null 2>&1";
    INFO(command);
    REQUIRE(std::system(command.c_str()) == 0);
  }

  std::string directory_;
};

}  // namespace loopback
