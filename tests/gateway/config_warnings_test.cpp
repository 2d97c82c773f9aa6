// What "modgate check" warns of, and what it does not.
#include "gateway/config_warnings.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace gateway;

namespace {

using Lines = std::vector<std::string>;

Lines warnings_of(const std::string& text) {
  const auto reading =
      read_config(text, [](const std::string&) { return std::optional<std::string>(); });
  for (const ConfigFault& fault : reading.faults) FAIL(to_string(fault, "f.ini"));
  Lines lines;
  for (const ConfigFault& warning : reading.warnings) lines.push_back(to_string(warning, "f.ini"));
  return lines;
}

/// Whether there is just one, which begins so.
bool only(const Lines& lines, const std::string& beginning) {
  const bool good = lines.size() == 1 && lines[0].starts_with(beginning);
  if (!good) UNSCOPED_INFO("warned: " << Catch::Detail::stringify(lines));
  return good;
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  const auto at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), by);
}

class Scratch {
 public:
  explicit Scratch(const std::string& parent = std::filesystem::temp_directory_path()) {
    std::string pattern = parent + "/modgate-warnings-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::filesystem::path path;
};

/// name.pem and name.key, good until so many days from now.
void make_certificate(const std::filesystem::path& directory, const std::string& name, int days) {
  const std::string command = fmt::format(
      "cd {0} && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={1} "
      "-keyout {1}.key -out {1}.csr 2>/dev/null && chmod 600 {1}.key && openssl x509 -req -in "
      "{1}.csr -signkey {1}.key -days {2} -out {1}.pem 2>/dev/null",
      directory.string(), name, days);
  REQUIRE(std::system(command.c_str()) == 0);
}

const std::string on_loopback =
    "[dimse]\nbind = 127.0.0.1\nworklist = ris\nmpps = pacs\n"
    "[web]\nbind = ::1\nworklist = ris\nmpps = pacs\n"
    "[admin]\nbind = 127.0.0.1\n"
    "[backend ris]\nkind = scp\nae_title = RIS\nhost = localhost\n"
    "[backend pacs]\nkind = origin-server\nbase_uri = http://127.0.0.1:8080/\n";

}  // namespace

TEST_CASE("nothing on the loopback is warned of, nothing that is as it should be") {
  CHECK(warnings_of(on_loopback).empty());
  std::ifstream shipped(SOURCE_DIR "/packaging/modgate.ini");
  std::string packaged{std::istreambuf_iterator<char>(shipped), {}};
  const Scratch scratch(SOURCE_DIR);
  packaged = replaced(packaged, "state_dir = /var/lib/modgate", "state_dir = /proc");
  packaged = replaced(packaged, "worklist_dir = /var/lib/modgate/worklist",
                      "worklist_dir = " + scratch.path.string());
  CHECK(warnings_of(packaged).empty());
}

TEST_CASE(
    "conf/modgate.ini is warned of for its fronts, which everybody reaches, and nothing else") {
  std::ifstream file(SOURCE_DIR "/conf/modgate.ini");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  text = replaced(text, "state_dir = /var/lib/modgate", "state_dir = /proc");
  CHECK(warnings_of(text).size() == 4);
  text = replaced(text, "bind = 0.0.0.0", "bind = 127.0.0.1");
  text = replaced(text, "bind = 0.0.0.0", "bind = 127.0.0.1");
  CHECK(warnings_of(text) == Lines());
}

TEST_CASE("a DIMSE front beyond the loopback: plain text, and every calling AE title") {
  const std::string open =
      "[dimse]\nworklist = ris\n"
      "[backend ris]\nkind = scp\nae_title = RIS\nhost = 127.0.0.1\n";
  CHECK(warnings_of(open) ==
        Lines{"f.ini:1: [dimse] tls_certificate: missing, so patients' data crosses the network in "
              "plain text: set it with tls_private_key, or keep this port to a network of its own",
              "f.ini:1: [dimse] known_modalities_only: no, so every calling AE title is served: "
              "set yes, and a [modality NAME] with its host for each"});
  CHECK(warnings_of(open + "[modality ct]\nae_title = CT\n").size() == 2);  // it shuts nobody out
  CHECK(only(warnings_of(replaced(open, "[dimse]\n", "[dimse]\nknown_modalities_only = yes\n")),
             "f.ini:1: [dimse] tls_certificate: "));

  const Scratch scratch;
  make_certificate(scratch.path, "modgate", 365);
  const std::string tls = fmt::format(
      "[dimse]\ntls_certificate = {0}/modgate.pem\n"
      "tls_private_key = {0}/modgate.key\n",
      scratch.path.string());
  CHECK(only(warnings_of(replaced(open, "[dimse]\n", tls)),
             "f.ini:1: [dimse] known_modalities_only: "));
  const std::string both =
      fmt::format("{}tls_trusted = {}/modgate.pem\n", tls, scratch.path.string());
  CHECK(warnings_of(replaced(open, "[dimse]\n", both)).empty());
}

TEST_CASE("a web front beyond the loopback: plain text, and everybody") {
  const std::string open =
      "[web]\nbind = 0.0.0.0\nworklist = ris\n"
      "[backend ris]\nkind = scp\nae_title = RIS\nhost = 127.0.0.1\n";
  const auto both = warnings_of(open);
  REQUIRE(both.size() == 2);
  CHECK(both[0].starts_with("f.ini:1: [web] tls_certificate: missing, so patients' data"));
  CHECK(both[1].starts_with("f.ini:1: [web] users: missing, so everybody"));

  const Scratch scratch;
  make_certificate(scratch.path, "modgate", 365);
  const std::string tls = fmt::format(
      "[web]\ntls_certificate = {0}/modgate.pem\n"
      "tls_private_key = {0}/modgate.key\n",
      scratch.path.string());
  CHECK(only(warnings_of(replaced(open, "[web]\n", tls)), "f.ini:1: [web] users: "));
  std::ofstream(scratch.path / "tokens") << std::string(64, 'a') << " app\n";
  CHECK(warnings_of(replaced(open, "[web]\n",
                             fmt::format("{}tokens = {}/tokens\n", tls, scratch.path.string())))
            .empty());
}

TEST_CASE("pages of every origin may ask a web front without credentials, on the loopback too") {
  const std::string any = replaced(on_loopback, "[web]\n", "[web]\ncors_allowed_origins = *\n");
  CHECK(only(warnings_of(any), "f.ini:6: [web] cors_allowed_origins: any page"));
  CHECK(warnings_of(replaced(any, "= *\n", "= https://app.example\n")).empty());
}

TEST_CASE("an admin port beyond the loopback") {
  const std::string open = replaced(on_loopback, "[admin]\nbind = 127.0.0.1", "[admin]\nbind = ::");
  const auto both = warnings_of(open);
  REQUIRE(both.size() == 2);
  CHECK(both[0].starts_with("f.ini:9: [admin] users: missing, so everybody"));
  CHECK(both[1].starts_with("f.ini:10: [admin] bind: this port speaks no TLS"));
}

TEST_CASE("audit messages to another machine by UDP") {
  const std::string audit = on_loopback + "[audit]\nsyslog = ";
  CHECK(only(warnings_of(audit + "udp://collector.example\n"),
             "f.ini:19: [audit] syslog: udp, so messages that name patients go to "
             "collector.example in plain text"));
  CHECK(warnings_of(audit + "udp://127.0.0.1\n").empty());
  CHECK(warnings_of(audit + "\n").empty());
}

TEST_CASE("plain text to another machine, on both wires") {
  CHECK(only(warnings_of(replaced(on_loopback, "host = localhost", "host = ris.example")),
             "f.ini:11: [backend ris] tls_trusted: missing, so patients' data goes to ris.example "
             "in plain text"));
  const std::string web = replaced(on_loopback, "http://127.0.0.1", "http://pacs.example");
  CHECK(only(warnings_of(web),
             "f.ini:17: [backend pacs] base_uri: patients' data goes to pacs.example in plain "
             "text: use https"));
  CHECK(only(warnings_of(replaced(web, "base_uri", "plain_text_credentials = yes\nbase_uri")),
             "f.ini:18: [backend pacs] base_uri: patients' data and the password or token"));
  CHECK(warnings_of(replaced(web, "http://", "https://")).empty());
}

TEST_CASE("a state_dir in memory, where the queue, the store or the audit trail is kept") {
  struct statfs system {};
  REQUIRE(::statfs("/dev/shm", &system) == 0);
  REQUIRE(system.f_type == TMPFS_MAGIC);
  const Scratch scratch("/dev/shm");
  const std::string state =
      fmt::format("[gateway]\nstate_dir = {}\n", (scratch.path / "not/there/yet").string());
  const std::string expected = fmt::format(
      "f.ini:2: [gateway] state_dir: {}/not/there/yet is in memory (tmpfs)", scratch.path.string());
  CHECK(warnings_of(state + on_loopback).empty());  // nothing is kept there
  CHECK(only(warnings_of(state + replaced(on_loopback, "mpps = pacs", "mpps = pacs, ris")),
             expected));
  CHECK(only(warnings_of(state + replaced(on_loopback, "mpps = pacs",
                                          "mpps = pacs\nmpps_delivery = queued")),
             expected));
  CHECK(only(
      warnings_of(state + on_loopback + "[modality one]\nae_title = CT\nmpps_delivery = queued\n"),
      expected));
  CHECK(only(warnings_of(state + on_loopback + "[backend local]\nkind = store\n"), expected));
  CHECK(only(warnings_of(state + on_loopback + "[audit]\nsyslog = udp://127.0.0.1\n"), expected));
}

TEST_CASE("a backend that may take longer than those who ask it wait") {
  // 5 s to connect, 5 s to associate; 5 s to connect
  const std::string scp = replaced(on_loopback, "host =", "dimse_timeout_seconds = 51\nhost =");
  CHECK(
      only(warnings_of(scp),
           "f.ini:14: [backend ris] dimse_timeout_seconds: an answer may take 61 s, 10 of them to "
           "connect, but [web] waits 60 s: make it shorter"));
  CHECK(warnings_of(replaced(scp, "= 51", "= 50")).empty());
  const std::string server =
      replaced(on_loopback, "base_uri", "response_timeout_seconds = 56\nbase_uri");
  CHECK(only(warnings_of(server), "f.ini:17: [backend pacs] response_timeout_seconds: an answer "));
  CHECK(warnings_of(replaced(server, "= 56", "= 55")).empty());

  const std::string front = replaced(on_loopback, "[dimse]", "[dimse]\ndimse_timeout_seconds = 36");
  CHECK(
      only(warnings_of(front),
           "f.ini:12: [backend ris] dimse_timeout_seconds: an answer may take 40 s, 10 of them to "
           "connect, but [dimse] waits 36 s: make it shorter, or dimse_timeout_seconds there "
           "longer"));
}

TEST_CASE("what is queued has the queue's patience, not the front's") {
  const std::string queued =
      replaced(replaced(on_loopback, "[dimse]",
                        "[queue]\nattempt_timeout_seconds = 100\n[dimse]\nmpps_delivery = queued"),
               "[web]\nbind = ::1\nworklist = ris\nmpps = pacs\n", "");
  const std::string slow = replaced("[gateway]\nstate_dir = /proc\n" + queued, "base_uri",
                                    "response_timeout_seconds = 95\nbase_uri");
  CHECK(warnings_of(slow).empty());
  CHECK(only(warnings_of(replaced(slow, "= 100", "= 99")),
             "f.ini:18: [backend pacs] response_timeout_seconds: an answer may take 100 s, 5 of "
             "them to connect, but [queue] waits 99 s: make it shorter, or "
             "attempt_timeout_seconds there longer"));
}

TEST_CASE("a certificate that ends within a month, or has ended; a key that everybody may read") {
  const Scratch scratch;
  make_certificate(scratch.path, "soon", 29);
  make_certificate(scratch.path, "late", -1);
  make_certificate(scratch.path, "good", 31);
  const auto with = [&](const std::string& name) {
    return replaced(on_loopback, "[web]\n",
                    fmt::format("[web]\ntls_certificate = {0}/{1}.pem\ntls_private_key = "
                                "{0}/{1}.key\n",
                                scratch.path.string(), name));
  };
  const std::string file = scratch.path.string() + "/";
  CHECK(warnings_of(with("good")).empty());
  CHECK(only(warnings_of(with("soon")),
             "f.ini:6: [web] tls_certificate: " + file + "soon.pem ends "));
  CHECK(only(warnings_of(with("late")),
             "f.ini:6: [web] tls_certificate: " + file + "late.pem has ended on "));
  REQUIRE(::chmod((file + "good.key").c_str(), 0644) == 0);
  CHECK(only(warnings_of(with("good")),
             "f.ini:7: [web] tls_private_key: every user of this machine "
             "can read " +
                 file + "good.key: chmod o-rwx"));
}

TEST_CASE("a file with faults is not warned of") {
  const auto reading = read_config("[dimse]\nworklist = nowhere\n",
                                   [](const std::string&) { return std::optional<std::string>(); });
  CHECK(reading.faults.size() == 1);
  CHECK(reading.warnings.empty());
}
