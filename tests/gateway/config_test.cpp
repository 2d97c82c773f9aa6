// The INI file: form, table of keys, references. conf/modgate.ini is held against the table.
#include "gateway/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "mapping/services.h"

using namespace gateway;

namespace {

std::optional<std::string> no_environment(const std::string&) { return std::nullopt; }

ConfigReading read(const std::string& text) { return read_config(text, no_environment); }

std::vector<std::string> faults_of(const std::string& text) {
  std::vector<std::string> faults;
  for (const ConfigFault& fault : read(text).faults) faults.push_back(to_string(fault, "f.ini"));
  return faults;
}

std::string shipped() {
  std::ifstream file(SOURCE_DIR "/conf/modgate.ini");
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::string small =
    "[dimse]\nworklist = ris\nport = 0\n[backend ris]\nkind = origin-server\n"
    "base_uri = http://127.0.0.1:8080/x\n";

}  // namespace

TEST_CASE("conf/modgate.ini is read without a fault") {
  const ConfigReading reading = read(shipped());
  for (const ConfigFault& fault : reading.faults) FAIL_CHECK(to_string(fault, "conf/modgate.ini"));
  REQUIRE(reading.config.dimse);
  REQUIRE(reading.config.web);
  CHECK(reading.config.backends.size() == 3);
}

TEST_CASE("conf/modgate.ini holds every key of the table with its default, and no other") {
  std::vector<ConfigFault> faults;
  const auto sections = read_ini(shipped(), no_environment, faults);
  std::size_t in_file = 0;
  for (const IniSection& section : sections) in_file += section.entries.size();
  std::size_t in_table = 0;
  for (const ConfigKey& row : config_keys()) {
    INFO("[" << row.section << "] " << row.key);
    ++in_table;
    const auto section = std::find_if(sections.begin(), sections.end(), [&](const IniSection& one) {
      if (one.kind != "backend") return one.kind == row.section;
      return row.section == "backend kind=" + one.entries.front().value;
    });
    REQUIRE(section != sections.end());
    const auto entry = std::find_if(section->entries.begin(), section->entries.end(),
                                    [&](const IniEntry& one) { return one.key == row.key; });
    REQUIRE(entry != section->entries.end());
    const bool example = row.allowed.find("(required)") != std::string::npos ||
                         row.key == "worklist" || row.key == "mpps";
    if (!example) CHECK(entry->value == row.default_value);
  }
  CHECK(in_file == in_table);
}

TEST_CASE("values reach the options of the rooms") {
  const auto reading = read(
      "[gateway]\nlog_level = debug\nlog_format = json\n"
      "[dimse]\nae_title = GATE\nbind = ::1\nport = 104\nmpps = old\nmax_associations = 7\n"
      "max_associations_per_ae = 3\n"
      "dimse_timeout_seconds = 9\nknown_modalities_only = yes\n"
      "[web]\nport = 0\nbase_path = /dicom/web\nno_match_status = 200\nworklist = old\n"
      "cors_allowed_origins = https://a.example, http://b.example:1\n"
      "[backend old]\nkind = scp\nae_title = RIS\nhost = ris.example\ncharacter_set = ISO_IR 100\n"
      "reuse_associations = no\n"
      "[modality ct]\nae_title = CT1\nstation_filter = yes\nworklist = old\nmpps =\n"
      "return_keys_only = PatientID, ScheduledProcedureStepSequence.00080060\n");
  for (const ConfigFault& fault : reading.faults) FAIL_CHECK(fault.what);
  const Config& config = reading.config;
  CHECK(config.log_level == mapping::LogLevel::debug);
  CHECK(config.log_format == LogFormat::json);
  REQUIRE(config.dimse);
  CHECK(config.dimse->options.ae_title == "GATE");
  CHECK(config.dimse->options.bind == "::1");
  CHECK(config.dimse->options.max_associations == 7);
  CHECK(config.dimse->options.max_associations_per_ae == 3);
  CHECK(config.dimse->options.dimse_timeout == std::chrono::seconds(9));
  CHECK(config.dimse->options.transaction_timeout == std::chrono::seconds(9));
  CHECK(config.dimse->options.known_modalities_only);
  CHECK(config.dimse->route.worklist.empty());
  CHECK(config.dimse->route.mpps == std::vector<std::string>{"old"});
  REQUIRE(config.dimse->options.modalities.size() == 1);
  CHECK(config.dimse->options.modalities[0].station_filter);
  CHECK(config.dimse->options.modalities[0].return_keys_only ==
        std::vector<mapping::AttributePath>{{mapping::Tag(0x00100020)},
                                            {mapping::Tag(0x00400100), mapping::Tag(0x00080060)}});
  REQUIRE(config.web);
  CHECK(config.web->options.base_path == "/dicom/web");
  CHECK(config.web->options.no_match_status == 200);
  CHECK(config.web->options.cors_allowed_origins ==
        std::vector<std::string>{"https://a.example", "http://b.example:1"});
  const auto& scu = std::get<dimse::ScuOptions>(config.backends.at("old").options);
  CHECK(scu.host == "ris.example");
  CHECK(scu.character_set->value() == "ISO_IR 100");
  CHECK_FALSE(scu.reuse_associations);
  REQUIRE(config.modalities.size() == 1);
  CHECK(config.modalities[0].worklist == std::vector<std::string>{"old"});
  REQUIRE(config.modalities[0].mpps);  // there, and empty: this modality has no MPPS
  CHECK(config.modalities[0].mpps->empty());
}

TEST_CASE("a modality without keys for its route has the front's") {
  const auto reading = read(small + "[modality ct]\nae_title = CT1\n");
  REQUIRE(reading.faults.empty());
  CHECK_FALSE(reading.config.modalities[0].worklist);
  CHECK_FALSE(reading.config.modalities[0].mpps);
}

TEST_CASE("all faults come at once, each with its line, section, key and what is allowed") {
  CHECK(faults_of("[dimse]\n"
                  "port = 99999\n"
                  "worklist = nowhere\n"
                  "colour = blue\n"
                  "[web]\n"
                  "no_match_status = 404\n"
                  "[backend ris]\n"
                  "kind = scp\n"
                  "host = h\n") ==
        std::vector<std::string>{
            "f.ini:2: [dimse] port: expected a whole number from 0 to 65535",
            "f.ini:3: [dimse] worklist: there is no [backend nowhere]",
            "f.ini:4: [dimse] colour: unknown key, expected one of ae_title, bind, port, worklist, "
            "worklist_partial, mpps, mpps_delivery, retrieve_from, validate, max_associations, "
            "max_associations_per_ae, "
            "known_modalities_only, "
            "any_called_ae_title, fuzzy_matching, "
            "acse_timeout_seconds, dimse_timeout_seconds, idle_timeout_seconds, max_pdu_bytes, "
            "users, tokens, "
            "tls_certificate, tls_private_key, tls_trusted",
            "f.ini:6: [web] no_match_status: expected 204 | 200",
            "f.ini:7: [backend ris] ae_title: missing, expected an AE title of 1 to 16 printable "
            "ASCII characters, no backslash"});
}

TEST_CASE("each single fault is found where it stands") {
  const std::pair<std::string, std::string> rows[] = {
      {"[dimse]\nnonsense\n[backend a]\nkind = scp\nae_title = A\nhost = h\n",
       "f.ini:2: [dimse] expected [section], key = value, or a comment that starts with ;"},
      {small + "[dimse]\n", "f.ini:7: [dimse] section stands twice, first in line 1"},
      {"[dimse]\nport = 1\nport = 2\n", "f.ini:3: [dimse] port: key stands twice, first in line 2"},
      {"port = 1\n[dimse]\n", "f.ini:1: port: stands in no section"},
      {"[dimse]\n[admin]\nport = 70000\n",
       "f.ini:3: [admin] port: expected a whole number from 0 to 65535"},
      {"[dimse]\n[admin]\ntokens = x\n",
       "f.ini:3: [admin] tokens: unknown key, expected one of bind, port, users, "
       "host_names"},
      {"[dimse]\n[audit]\nsyslog = tcp://host\n",
       "f.ini:3: [audit] syslog: expected udp://HOST[:514] or tls://HOST[:6514]; empty = no audit "
       "trail"},
      {"[dimse]\n[audit]\nsyslog = tls://host\n",
       "f.ini:2: [audit] tls_trusted: missing, expected the CAs that the collector's certificate "
       "is of"},
      {"[dimse]\n[audit]\nsyslog = udp://host\ntls_trusted = /etc/passwd\n",
       "f.ini:3: [audit] syslog: expected tls://HOST where there are tls_ keys"},
      {"[dimse]\n[audit]\nbuffer_megabytes = 0\n",
       "f.ini:3: [audit] buffer_megabytes: expected a whole number from 1 to 1000000"},
      {"[dimse]\n[audit one]\n", "f.ini:2: [audit one] expected no name, as in [audit]"},
      {"[dimse]\n[admin one]\n", "f.ini:2: [admin one] expected no name, as in [admin]"},
      {"[dimse]\n[surprise]\n",
       "f.ini:2: [surprise] unknown section, expected gateway, queue, dimse, web, admin, audit, "
       "backend NAME or modality NAME"},
      {"[dimse]\n[backend]\nkind = scp\nae_title = A\nhost = h\n",
       "f.ini:2: [backend] expected a name, as in [backend one]"},
      {"[dimse front]\n", "f.ini:1: [dimse front] expected no name, as in [dimse]"},
      {"[gateway]\n", "f.ini: neither [dimse] nor [web] is there: expected at least one front"},
      {"[dimse]\nae_title = SEVENTEEN LETTERS\n",
       "f.ini:2: [dimse] ae_title: expected an AE title of 1 to 16 printable ASCII characters, no "
       "backslash"},
      {"[dimse]\nknown_modalities_only = maybe\n",
       "f.ini:2: [dimse] known_modalities_only: expected yes | no"},
      {"[dimse]\nmpps_delivery = later\n",
       "f.ini:2: [dimse] mpps_delivery: expected direct | queued"},
      {"[dimse]\nretrieve_from = gateway\n",
       "f.ini:2: [dimse] retrieve_from: gateway keeps no record of steps here, expected "
       "mpps_delivery = queued or several mpps"},
      {"[dimse]\n[backend a]\nkind = scp\nmirror_states = COMPLETED, DONE\n",
       "f.ini:4: [backend a] mirror_states: expected some of IN PROGRESS, COMPLETED, DISCONTINUED, "
       "joined by commas; empty = all"},
      {"[dimse]\n[queue]\nretry_first_milliseconds = 0\n",
       "f.ini:3: [queue] retry_first_milliseconds: expected a whole number from 1 to 3600000"},
      {"[dimse]\ntls_certificate = /etc/c.pem\n",
       "f.ini:1: [dimse] tls_private_key: missing, expected together with tls_certificate"},
      {"[dimse]\n[backend a]\nkind = scp\nae_title = A\nhost = h\npassword_file = /nowhere\n",
       "f.ini:6: [backend a] password_file: cannot read a secret from /nowhere"},
      {"[dimse]\ntls_trusted = /etc/c.pem\n",
       "f.ini:1: [dimse] tls_certificate: missing, expected together with tls_trusted"},
      {"[dimse]\ntls_certificate = /nowhere.pem\ntls_private_key = /nowhere.key\n",
       "f.ini:2: [dimse] tls_certificate: cannot use /nowhere.pem: No such file or directory"},
      {"[web]\ntls_certificate = /nowhere.pem\ntls_private_key = /nowhere.key\n",
       "f.ini:2: [web] tls_certificate: cannot use /nowhere.pem: No such file or directory"},
      {"[dimse]\nusers = /nowhere\n",
       "f.ini:2: [dimse] users: cannot use /nowhere: No such file or directory"},
      {"[dimse]\ntokens = /nowhere\n",
       "f.ini:2: [dimse] tokens: cannot use /nowhere: No such file or directory"},
      {"[web]\nread_only_users = anna\n",
       "f.ini:2: [web] read_only_users: anna is not named in users or tokens"},
      {"[web]\nmax_connections_per_address = many\n",
       "f.ini:2: [web] max_connections_per_address: expected a whole number from 0 to 100000"},
      {"[web]\nusers = /nowhere\n",
       "f.ini:2: [web] users: cannot use /nowhere: No such file or directory"},
      {"[web]\ntokens = /nowhere\n",
       "f.ini:2: [web] tokens: cannot use /nowhere: No such file or directory"},
      {"[web]\ntls_trusted = /etc/c.pem\n",
       "f.ini:1: [web] tls_certificate: missing, expected together with tls_trusted"},
      {"[web]\n[backend a]\nkind = origin-server\nbase_uri = https://h\ntls_trusted = "
       "/nowhere.pem\n",
       "f.ini:5: [backend a] tls_trusted: cannot use /nowhere.pem: No such file or directory"},
      {"[web]\n[backend a]\nkind = origin-server\nbase_uri = https://h\nusername = u\n",
       "f.ini:2: [backend a] password_file: missing, expected together with username"},
      {"[web]\n[backend a]\nkind = origin-server\nbase_uri = https://h\nbearer_token_file = /no\n",
       "f.ini:5: [backend a] bearer_token_file: cannot use /no: No such file or directory"},
      {"[web]\n[backend a]\nkind = origin-server\nbase_uri = http://h\nforward_bearer_token = "
       "yes\n",
       "f.ini:5: [backend a] forward_bearer_token: would cross the network in plain text, expected "
       "a base_uri with https, or plain_text_credentials = yes"},
      {"[web]\n[backend a]\nkind = origin-server\nbase_uri = https://h\nredirect_origins = h\n",
       "f.ini:5: [backend a] redirect_origins: the URI must begin with http:// or https://"},
      {"[web]\n[backend a]\nkind = origin-server\nbase_uri = http://h\nupdate_uri = both\n",
       "f.ini:5: [backend a] update_uri: expected query | path | query-then-path"},
      {"[dimse]\n[backend a]\nkind = scp\nae_title = A\nhost = h\ntls_trusted = /nowhere.pem\n",
       "f.ini:6: [backend a] tls_trusted: cannot use /nowhere.pem: No such file or directory"},
      {"[dimse]\n[backend a]\nkind = scp\nae_title = A\nhost = h\n"
       "tls_certificate = /a.pem\ntls_private_key = /a.key\n",
       "f.ini:2: [backend a] tls_trusted: missing, expected the CAs that the SCP's certificate is "
       "of"},
      {"[dimse]\nmpps = a, b\n", "f.ini:2: [dimse] mpps: there is no [backend b]"},
      {"[dimse]\nworklist = a,, b\n",
       "f.ini:2: [dimse] worklist: expected the name of a [backend …] section between commas, each "
       "once"},
      {"[dimse]\nworklist = a, a\n",
       "f.ini:2: [dimse] worklist: expected the name of a [backend …] section between commas, each "
       "once"},
      {"[dimse]\nworklist = a, b\n[backend a]\nkind = store\n",
       "f.ini:2: [dimse] worklist: there is no [backend b]"},
      {"[dimse]\nworklist = a\n[backend a]\nkind = store\n",
       "f.ini:2: [dimse] worklist: expected worklist_dir in [backend a]"},
      {"[dimse]\n[backend a]\nkind = store\nworklist_dir = /nowhere\n",
       "f.ini:4: [backend a] worklist_dir: expected empty, or a directory that is there"},
      {"[dimse]\n[backend a]\nkind = store\n[backend b]\nkind = store\n",
       "f.ini:5: [backend b] kind: expected one store at most, [backend a] is one already"},
      {"[dimse]\n[backend a]\n",
       "f.ini:2: [backend a] kind: missing, expected scp | origin-server | store"},
      {"[web]\nbase_path = radiology\n",
       "f.ini:2: [web] base_path: expected a path that starts with / and holds letters, digits, / "
       ". "
       "_ ~ -"},
      {"[dimse]\nae_title = ${NOT_SET_ANYWHERE}\n",
       "f.ini:2: [dimse] ae_title: environment variable NOT_SET_ANYWHERE is not set"},
      {"[dimse]\nae_title = ${OPEN\n", "f.ini:2: [dimse] ae_title: ${ is not closed by }"},
      {"[dimse\n", "f.ini:1: expected a section heading such as [dimse] or [backend ris]"},
      {"[dimse]\n[modality a]\nae_title = CT\n[modality b]\nae_title = CT\n",
       "f.ini:5: [modality b] ae_title: belongs to another [modality …] already, expected an AE "
       "title "
       "of its own"},
      {"[dimse]\nae_title = " + std::string(300, 'x') + "\n",
       "f.ini:2: [dimse] line is too long, at most 198 bytes are allowed"},
  };
  for (const auto& [text, fault] : rows) {
    const auto faults = faults_of(text);
    INFO(text);
    CHECK(std::find(faults.begin(), faults.end(), fault) != faults.end());
    if (!faults.empty() && faults.front() != fault) UNSCOPED_INFO(faults.front());
  }
}

TEST_CASE("no two ports are one, where one address has both (I10)") {
  const auto config = [](const char* dimse, const char* web, const char* admin) {
    return faults_of(
        fmt::format("[dimse]\nbind = {}\nport = 2762\n[web]\nport = 2762\nbind = {}\n"
                    "[admin]\nbind = {}\nport = 2763\n",
                    dimse, web, admin));
  };
  const std::vector<std::string> fault{
      "f.ini:5: [web] port: expected another port than that of [dimse]"};
  CHECK(config("127.0.0.1", "127.0.0.1", "::1") == fault);
  CHECK(config("0.0.0.0", "127.0.0.1", "::1") == fault);
  CHECK(config("127.0.0.1", "0.0.0.0", "::1") == fault);
  CHECK(config("::", "127.0.0.1", "::1") == fault);
  CHECK(config("::1", "::", "::1") == fault);
  CHECK(config("127.0.0.1", "127.0.0.2", "::1").empty());
  CHECK(config("0.0.0.0", "::1", "::1").empty());
  CHECK(
      faults_of("[web]\nport = 8082\n[admin]\n") ==
      std::vector<std::string>{"f.ini:3: [admin] port: expected another port than that of [web]"});
  CHECK(faults_of("[dimse]\nport = 0\n[web]\nport = 0\n[admin]\nport = 0\n").empty());
}

TEST_CASE("a base URI that cannot be used yet is a fault of the configuration") {
  const auto faults = faults_of(
      "[dimse]\nworklist = ris\n[backend ris]\nkind = origin-server\nbase_uri = ris.example\n");
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].rfind("f.ini:5: [backend ris] base_uri: ", 0) == 0);
}

TEST_CASE("values come from the environment once, and comments and blanks go") {
  const auto reading = read_config("[dimse]\n  ae_title =  ${AE}  ; the title\nport = 0\n",
                                   [](const std::string& name) -> std::optional<std::string> {
                                     if (name != "AE") return std::nullopt;
                                     return "CT ${AE}";
                                   });
  REQUIRE(reading.faults.empty());
  CHECK(reading.config.dimse->options.ae_title == "CT ${AE}");
}

TEST_CASE("the effective configuration names every key with its value and reads back") {
  const ConfigReading reading = read(small);
  REQUIRE(reading.faults.empty());
  CHECK(reading.effective.find("max_associations = 200\n") != std::string::npos);
  CHECK(reading.effective.find("base_uri = http://127.0.0.1:8080/x\n") != std::string::npos);
  const ConfigReading again = read(reading.effective);
  CHECK(again.faults.empty());
  CHECK(again.effective == reading.effective);
}

TEST_CASE("the effective configuration holds what is not written, and reads back as what holds") {
  const ConfigReading reading = read(
      "[modality ct]\nae_title = CT1\n[modality mr]\nae_title = MR1\nmpps =\n"
      "[dimse]\nworklist = a\nmpps = a\nmpps_delivery = queued\n"
      "[backend a]\nkind = scp\nae_title = A\nhost = h\n");
  REQUIRE(reading.faults.empty());
  CHECK(reading.effective.find("[gateway]\nlog_level = info\n") != std::string::npos);
  CHECK(reading.effective.find("[queue]\nworkers_per_receiver = 8\n") != std::string::npos);
  const ConfigReading again = read(reading.effective);
  REQUIRE(again.faults.empty());
  for (const Config* config : {&reading.config, &again.config}) {
    const Route ct = route_of(*config, config->modalities[0]);
    CHECK(ct.worklist == std::vector<std::string>{"a"});
    CHECK(ct.mpps == std::vector<std::string>{"a"});
    CHECK(ct.mpps_queued);
    CHECK(route_of(*config, config->modalities[1]).mpps.empty());
  }
  CHECK(again.effective == reading.effective);
}

TEST_CASE("credentials toward an origin server reach its options, and no secret is printed") {
  const auto directory = std::filesystem::temp_directory_path();
  const std::string file = (directory / fmt::format("modgate-secret-{}", ::getpid())).string();
  std::ofstream(file) << "hush-hush\n";
  const auto backend = [&](const std::string& keys) {
    return read("[web]\n[backend a]\nkind = origin-server\nbase_uri = https://h\n" + keys);
  };
  const auto credentials = [](const ConfigReading& reading) {
    REQUIRE(reading.faults.empty());
    CHECK(reading.effective.find("hush-hush") == std::string::npos);
    return std::get<web::UserAgentOptions>(reading.config.backends.at("a").options).credentials;
  };
  const auto basic = credentials(backend("username = u\npassword_file = " + file + "\n"));
  CHECK(basic.username == "u");
  CHECK(basic.password == "hush-hush");
  const auto token = credentials(backend("bearer_token_file = " + file + "\n"));
  CHECK(token.bearer_token_file == file);
  const auto by_oauth = credentials(
      backend("oauth_token_uri = https://login/token\noauth_client_id = me\noauth_scope = a b\n"
              "oauth_client_secret_file = " +
              file + "\nforward_bearer_token = yes\nplain_text_credentials = yes\n"));
  CHECK(by_oauth.oauth.token_uri == "https://login/token");
  CHECK(by_oauth.oauth.client_id == "me");
  CHECK(by_oauth.oauth.client_secret == "hush-hush");
  CHECK(by_oauth.oauth.scope == "a b");
  CHECK(by_oauth.forward_bearer_token);
  CHECK(by_oauth.plain_text);
  const auto both =
      backend("username = u\npassword_file = " + file + "\nbearer_token_file = " + file + "\n");
  REQUIRE(both.faults.size() == 1);
  CHECK(to_string(both.faults[0], "f.ini") ==
        "f.ini:7: [backend a] bearer_token_file: stands beside username, expected one kind of "
        "credentials");
  std::filesystem::remove(file);
}

namespace {

const std::string two_fronts =
    "[dimse]\nport = 104\nworklist = a\n[web]\nport = 8081\nmax_body_bytes = 2048\n"
    "[backend a]\nkind = scp\nae_title = A\nhost = h\n";

ConfigReading running_by(const std::string& text, const ConfigReading* running = nullptr) {
  auto reading = read_config(text, no_environment, running);
  for (const ConfigFault& fault : reading.faults) FAIL(to_string(fault, "test"));
  return reading;
}

std::vector<std::string> unchanged(const ConfigReading& reading) {
  std::vector<std::string> lines;
  for (const ConfigFault& kept : reading.unchanged) lines.push_back(to_string(kept, "f"));
  return lines;
}

}  // namespace

TEST_CASE("what needs a restart is as it was and named, whichever reload asks for it") {
  const auto first = running_by(two_fronts);
  CHECK(first.unchanged.empty());
  CHECK(running_by(two_fronts, &first).unchanged.empty());
  const std::string changed =
      "[gateway]\nstate_dir = /elsewhere\n[dimse]\nport = 105\nworklist = a\nae_title = NEW\n"
      "[web]\nmax_body_bytes = 4096\n[backend a]\nkind = scp\nae_title = A\nhost = h\n";
  const auto second = running_by(changed, &first);
  const std::vector<std::string> kept{
      "f:2: [gateway] state_dir: needs a restart: stays /var/lib/modgate",
      "f:4: [dimse] port: needs a restart: stays 104",
      "f:8: [web] max_body_bytes: needs a restart: stays 2048"};
  CHECK(unchanged(second) == kept);
  CHECK(second.config.state_dir == "/var/lib/modgate");
  CHECK(second.config.dimse->options.port == 104);
  CHECK(second.config.dimse->options.ae_title == "NEW");
  CHECK(second.config.web->options.max_body_bytes == 2048);
  CHECK(second.effective.find("port = 104\n") != std::string::npos);
  CHECK(unchanged(running_by(changed, &second)) == kept);
  CHECK_FALSE(read_config("[dimse]\nport = 99999\n", no_environment, &first).faults.empty());

  const auto elsewhere = running_by("[gateway]\nstate_dir = /elsewhere\n" + two_fronts);
  const auto without = running_by(two_fronts, &elsewhere);
  CHECK(unchanged(without) ==
        std::vector<std::string>{"f: [gateway] state_dir: needs a restart: stays /elsewhere"});
  CHECK(without.config.state_dir == "/elsewhere");
}

TEST_CASE("a front or the admin port neither comes nor goes without a restart") {
  const auto first = running_by(two_fronts + "[modality m]\nae_title = CT1\n");
  const auto second = running_by(
      "[web]\nworklist = b\nport = 8081\n[admin]\n[backend b]\nkind = origin-server\n"
      "base_uri = http://h\n",
      &first);
  CHECK(unchanged(second) ==
        std::vector<std::string>{"f:1: [web] max_body_bytes: needs a restart: stays 2048",
                                 "f: [dimse] needs a restart to go: stays as it was",
                                 "f:4: [admin] needs a restart to come: left out"});
  REQUIRE(second.config.dimse);
  CHECK(second.config.dimse->route.worklist == std::vector<std::string>{"a"});
  CHECK(second.config.modalities.size() == 1);
  CHECK(second.config.backends.count("a") == 1);
  CHECK(second.config.backends.count("b") == 1);
  CHECK_FALSE(second.config.admin);
  const auto third = running_by(two_fronts, &second);  // the section is back, as it was
  CHECK(unchanged(third).empty());
}

TEST_CASE("that TLS files were written anew is seen, though their names are the same") {
  const std::string file =
      (std::filesystem::temp_directory_path() / ("modgate-ca-" + std::to_string(::getpid())))
          .string();
  const auto install = [&] {  // as those who exchange certificates do
    std::filesystem::copy_file(file + ".made", file + ".new");
    std::filesystem::rename(file + ".new", file);
  };
  const std::string make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout " +
                           file + ".key -out " + file + ".made >/dev/null 2>&1";
  REQUIRE(std::system(make.c_str()) == 0);
  install();
  const std::string text =
      "[dimse]\nworklist = a\n[backend a]\nkind = scp\nae_title = A\nhost = h\ntls_trusted = " +
      file + "\n";
  const auto first = running_by(text);
  CHECK(running_by(text).config.backends == first.config.backends);
  const std::ifstream held(file);  // its inode is not used again meanwhile
  install();
  CHECK(running_by(text).config.backends != first.config.backends);
  for (const char* end : {"", ".key", ".made"}) std::filesystem::remove(file + end);
}
