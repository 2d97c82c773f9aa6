// Sections to options, and what must hold between them; all faults at once.
#include "gateway/config.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

#include "gateway/config_keys.h"
#include "gateway/config_warnings.h"

namespace gateway {
namespace {

/// By what it is seen that files were written anew or exchanged, one line each.
std::string stamps_of(const std::vector<std::string>& files) {
  std::string stamps;
  for (const std::string& file : files) {
    struct ::stat now {};
    if (file.empty() || ::stat(file.c_str(), &now) != 0) now = {};
    stamps += fmt::format("{} {} {} {}.{} {}.{}\n", now.st_dev, now.st_ino, now.st_size,
                          now.st_mtim.tv_sec, now.st_mtim.tv_nsec, now.st_ctim.tv_sec,
                          now.st_ctim.tv_nsec);
  }
  return stamps;
}

class ConfigReader {
 public:
  ConfigReader(ConfigReading& reading, const ConfigReading* running)
      : reading_(reading), running_(running) {
    if (running != nullptr) reading_.at_start = running->at_start;
  }

  void read(const std::vector<IniSection>& sections) {
    for (const IniSection& section : sections) read_section(section);
    read_unwritten(sections);
    check_references();
    check_ports(sections);
    if (!config().dimse && !config().web) {
      fault(0, "", "", "neither [dimse] nor [web] is there: expected at least one front");
    }
    if (running_ != nullptr && reading_.faults.empty()) keep_ports(sections);
  }

 private:
  Config& config() { return reading_.config; }
  // Where there is one.
  StepStoreOptions& store() {
    return std::get<StepStoreOptions>(config().backends.at(store_).options);
  }

  // What holds though it is not written: its defaults, or what was there at the start.
  void read_unwritten(const std::vector<IniSection>& sections) {
    for (const char* kind : {"gateway", "queue"}) {
      const bool written = std::any_of(sections.begin(), sections.end(),
                                       [&](const IniSection& each) { return each.kind == kind; });
      if (written) continue;
      IniSection section;
      section.kind = kind;
      read_section(section);
    }
  }

  // A port that listens goes on, and one that does not listen is not opened.
  void keep_ports(const std::vector<IniSection>& sections) {
    const Config& before = running_->config;
    const auto differs = [&](std::string_view kind, bool was, bool is) {
      if (was == is) return false;
      const auto section = std::find_if(sections.begin(), sections.end(),
                                        [&](const IniSection& each) { return each.kind == kind; });
      reading_.unchanged.push_back(
          {section == sections.end() ? 0 : section->line, std::string(kind), "",
           was ? "needs a restart to go: stays as it was" : "needs a restart to come: left out"});
      return true;
    };
    const bool dimse = differs("dimse", before.dimse.has_value(), config().dimse.has_value());
    const bool web = differs("web", before.web.has_value(), config().web.has_value());
    if (differs("admin", before.admin.has_value(), config().admin.has_value())) {
      config().admin = before.admin;
    }
    if (dimse) {
      config().dimse = before.dimse;
      config().modalities = before.modalities;
    }
    if (web) config().web = before.web;
    // What a front that stays asks.
    if (dimse || web) config().backends.insert(before.backends.begin(), before.backends.end());
  }

  // The value that counts of a key that holds until the next start.
  std::string kept(const IniSection& section, const Key& key, int line, const std::string& value) {
    const std::string place = fmt::format("[{}] {}", section.title(), key.name);
    std::string counts = value;
    if (running_ != nullptr && running_->at_start.count(place) > 0) {
      counts = running_->at_start.at(place);
    }
    if (counts != value) {
      reading_.unchanged.push_back(
          {line, section.title(), key.name, fmt::format("needs a restart: stays {}", counts)});
      key.apply(counts);
    }
    reading_.at_start[place] = counts;
    return counts;
  }

  void fault(int line, std::string section, std::string key, std::string what) {
    reading_.faults.push_back({line, std::move(section), std::move(key), std::move(what)});
  }

  void read_section(const IniSection& section) {
    const bool named = section.kind == "backend" || section.kind == "modality";
    if (named == section.name.empty() &&
        (named || section.kind == "gateway" || section.kind == "queue" || section.kind == "dimse" ||
         section.kind == "web" || section.kind == "admin" || section.kind == "audit")) {
      fault(section.line, section.title(), "",
            named ? fmt::format("expected a name, as in [{} one]", section.kind)
                  : fmt::format("expected no name, as in [{}]", section.kind));
    }
    if (section.kind == "gateway") {
      apply(section, gateway_keys(config()));
    } else if (section.kind == "queue") {
      apply(section, queue_keys(config().delivery));
    } else if (section.kind == "dimse") {
      apply(section, dimse_keys(config().dimse.emplace()));
      check_route(section, config().dimse->route);
      check_tls(section, config().dimse->options.tls, true);
    } else if (section.kind == "web") {
      const std::size_t faults = reading_.faults.size();
      apply(section, web_keys(config().web.emplace()));
      check_route(section, config().web->route);
      check_tls(section, config().web->options.tls, true);
      if (reading_.faults.size() == faults) {
        check(section, web::Authentication::make(config().web->options.authentication));
      }
    } else if (section.kind == "admin") {
      apply(section, admin_keys(config().admin.emplace()));
    } else if (section.kind == "audit") {
      read_audit(section);
    } else if (section.kind == "backend") {
      read_backend(section);
    } else if (section.kind == "modality") {
      read_modality(section);
    } else {
      fault(section.line, section.title(), "",
            "unknown section, expected gateway, queue, dimse, web, admin, audit, backend NAME or "
            "modality NAME");
    }
  }

  void read_audit(const IniSection& section) {
    AuditOptions audit;
    bool off = true;
    const std::size_t faults = reading_.faults.size();
    apply(section, audit_keys(audit, off));
    audit.tls_files = stamps_of(
        {audit.syslog.tls.certificate, audit.syslog.tls.private_key, audit.syslog.tls.trusted});
    if (off || reading_.faults.size() > faults) return;
    const dimse::TlsOptions& tls = audit.syslog.tls;
    const auto wrong = [&](std::string_view key, std::string what) {
      fault(line_of(section, key), section.title(), std::string(key), std::move(what));
    };
    if (audit.syslog.target.transport == SyslogTarget::Transport::tls) {
      if (tls.trusted.empty()) {
        wrong("tls_trusted", "missing, expected the CAs that the collector's certificate is of");
      } else {
        check_tls(section, tls, false);
      }
    } else if (!tls.trusted.empty() || !tls.certificate.empty() || !tls.private_key.empty()) {
      wrong("syslog", "expected tls://HOST where there are tls_ keys");
    }
    config().audit = std::move(audit);
  }

  void read_backend(const IniSection& section) {
    backend_names_.insert(section.name);
    const auto kind_entry = std::find_if(section.entries.begin(), section.entries.end(),
                                         [](const IniEntry& e) { return e.key == "kind"; });
    std::string kind;
    if (kind_entry != section.entries.end() && kind_entry->value == "scp") {
      dimse::ScuOptions scu;
      BackendConfig backend;
      apply(section, scp_backend_keys(scu, backend, kind));
      backend.tls_files = stamps_of({scu.tls.certificate, scu.tls.private_key, scu.tls.trusted});
      check_tls(section, scu.tls, false);
      backend.options = std::move(scu);
      config().backends.insert_or_assign(section.name, std::move(backend));
    } else if (kind_entry != section.entries.end() && kind_entry->value == "origin-server") {
      web::UserAgentOptions agent;
      BackendConfig backend;
      const std::size_t faults = reading_.faults.size();
      apply(section, origin_server_backend_keys(agent, backend, kind));
      backend.tls_files = stamps_of({agent.tls.certificate, agent.tls.private_key,
                                     agent.tls.trusted, agent.credentials.oauth.tls_trusted});
      check_tls(section, agent.tls, false);
      // Of values that are faults already no more can be said.
      if (reading_.faults.size() == faults) check(section, web::UserAgent::check(agent));
      backend.options = std::move(agent);
      config().backends.insert_or_assign(section.name, std::move(backend));
    } else if (kind_entry != section.entries.end() && kind_entry->value == "store") {
      StepStoreOptions store;
      BackendConfig backend;
      apply(section, store_backend_keys(store, backend, kind));
      if (!store_.empty()) {
        fault(kind_entry->line, section.title(), "kind",
              fmt::format("expected one store at most, [backend {}] is one already", store_));
      }
      store_ = section.name;
      backend.options = std::move(store);
      config().backends.insert_or_assign(section.name, std::move(backend));
    } else if (kind_entry == section.entries.end()) {
      fault(section.line, section.title(), "kind", "missing, expected scp | origin-server | store");
    } else {  // without its kind no other key can be judged
      fault(kind_entry->line, section.title(), "kind", kind_key(kind).apply(kind_entry->value));
    }
  }

  // What holds for every kind of TLS: a certificate has its key, and a server that checks its
  // clients has a certificate. False after a fault, one of the files themselves included.
  template <class Files, class Wrong>
  bool tls_files_belong_together(const IniSection& section, const Files& tls, bool server,
                                 const Wrong& wrong) {
    const bool faulty =
        std::any_of(reading_.faults.begin(), reading_.faults.end(), [&](const ConfigFault& each) {
          return each.section == section.title() && each.key.starts_with("tls_");
        });
    if (faulty) return false;
    if (tls.certificate.empty() != tls.private_key.empty()) {
      const bool first = tls.certificate.empty();
      wrong(first ? "tls_certificate" : "tls_private_key",
            fmt::format("missing, expected together with {}",
                        first ? "tls_private_key" : "tls_certificate"));
      return false;
    }
    if (server && tls.certificate.empty() && !tls.trusted.empty()) {
      wrong("tls_certificate", "missing, expected together with tls_trusted");
      return false;
    }
    return true;
  }

  // A fault of several values together: "key: what is wrong".
  template <class Value>
  void check(const IniSection& section, const mapping::Result<Value>& checked) {
    if (checked) return;
    const std::string& what = checked.fault().what;
    const std::size_t colon = what.find(": ");
    const std::string key = what.substr(0, colon);
    fault(line_of(section, key), section.title(), key, what.substr(colon + 2));
  }

  // HTTP over TLS; a user agent without CAs of its own trusts the system's.
  void check_tls(const IniSection& section, const web::TlsFiles& tls, bool server) {
    const auto wrong = [&](std::string_view key, std::string what) {
      fault(line_of(section, key), section.title(), std::string(key), std::move(what));
    };
    if (!tls_files_belong_together(section, tls, server, wrong)) return;
    const auto made = server ? web::TlsContext::for_server(tls) : web::TlsContext::for_client(tls);
    if (made) return;
    const std::string& what = made.fault().what;
    const auto colon = what.find(": ");
    wrong(what.substr(0, colon), what.substr(colon + 2));
  }

  // DIMSE over TLS: an SCU checks certificates, and the files are what they should be.
  void check_tls(const IniSection& section, const dimse::TlsOptions& tls, bool scp) {
    const auto wrong = [&](std::string_view key, std::string what) {
      fault(line_of(section, key), section.title(), std::string(key), std::move(what));
    };
    if (!tls_files_belong_together(section, tls, scp, wrong)) return;
    if (!scp && !tls.certificate.empty() && tls.trusted.empty()) {
      return wrong("tls_trusted", "missing, expected the CAs that the SCP's certificate is of");
    }
    if (!(scp ? tls.on_for_scp() : tls.on_for_scu())) return;
    const auto made = scp ? dimse::TlsContext::for_scp(tls) : dimse::TlsContext::for_scu(tls);
    if (made) return;
    const std::string& what = made.fault().what;
    const auto colon = what.find(": ");
    wrong(what.substr(0, colon), what.substr(colon + 2));
  }

  void check_route(const IniSection& section, const Route& route) {
    if (route.retrieve_from == RetrieveFrom::gateway && !route.mpps_queued &&
        route.mpps.size() < 2) {
      fault(
          line_of(section, "retrieve_from"), section.title(), "retrieve_from",
          "gateway keeps no record of steps here, expected mpps_delivery = queued or several mpps");
    }
  }

  void read_modality(const IniSection& section) {
    dimse::Modality modality;
    ModalityRoute route;
    apply(section, modality_keys(modality, route));
    route.ae_title = modality.ae_title;
    const bool twice = std::any_of(
        config().modalities.begin(), config().modalities.end(), [&](const ModalityRoute& other) {
          return other.ae_title == route.ae_title && !route.ae_title.empty();
        });
    if (twice) {
      fault(line_of(section, "ae_title"), section.title(), "ae_title",
            "belongs to another [modality …] already, expected an AE title of its own");
    }
    modalities_.push_back(std::move(modality));
    config().modalities.push_back(std::move(route));
  }

  static int line_of(const IniSection& section, std::string_view key) {
    for (const IniEntry& entry : section.entries) {
      if (entry.key == key) return entry.line;
    }
    return section.line;
  }

  // Defaults first, then what the section says; unknown and missing keys are faults.
  void apply(const IniSection& section, const Keys& keys) {
    reading_.effective += fmt::format("[{}]\n", section.title());
    for (const Key& key : keys) {
      const auto entry = std::find_if(section.entries.begin(), section.entries.end(),
                                      [&](const IniEntry& e) { return e.key == key.name; });
      const bool there = entry != section.entries.end();
      if (!there && key.from_front) continue;
      if (!there && key.required) {
        fault(section.line, section.title(), key.name,
              fmt::format("missing, expected {}", key.allowed));
        continue;
      }
      std::string value = there ? entry->value : key.default_value;
      const int line = there ? entry->line : section.line;
      const std::string wrong = key.apply(value);
      if (!wrong.empty()) {
        fault(line, section.title(), key.name, wrong);
      } else if (key.at_start) {
        value = kept(section, key, line, value);
      }
      reading_.effective += fmt::format("{} = {}\n", key.name, value);
      if (there && (key.name == "worklist" || key.name == "mpps")) {
        references_.push_back({entry->line, section.title(), key.name, entry->value});
      }
    }
    reading_.effective += '\n';
    refuse_unknown(section, keys);
  }

  void refuse_unknown(const IniSection& section, const Keys& keys) {
    for (const IniEntry& entry : section.entries) {
      if (std::any_of(keys.begin(), keys.end(),
                      [&](const Key& key) { return key.name == entry.key; })) {
        continue;
      }
      std::string known;
      for (const Key& key : keys) known += (known.empty() ? "" : ", ") + key.name;
      fault(entry.line, section.title(), entry.key,
            fmt::format("unknown key, expected one of {}", known));
    }
  }

  void check_references() {
    for (const ConfigFault& reference : references_) {
      for (const std::string& name : split_names(reference.what)) {
        if (name.empty()) continue;
        if (backend_names_.count(name) == 0) {
          fault(reference.line, reference.section, reference.key,
                fmt::format("there is no [backend {}]", name));
        } else if (name == store_ && reference.key == "worklist" && store().worklist_dir.empty()) {
          fault(reference.line, reference.section, reference.key,
                fmt::format("expected worklist_dir in [backend {}]", name));
        }
      }
    }
    if (!store_.empty()) store().state_dir = config().state_dir;
    if (config().audit) config().audit->state_dir = config().state_dir;
    if (config().dimse) {
      config().dimse->options.modalities = modalities_;
    } else if (!modalities_.empty()) {
      fault(0, "", "", "[modality …] without [dimse]: expected a DIMSE front");
    }
  }

  // Nothing can listen where another one does; of TLS ports PS3.15 says so, too. rule I10
  void check_ports(const std::vector<IniSection>& sections) {
    struct Listener {
      std::string_view kind, bind;
      std::uint16_t port;
    };
    std::vector<Listener> listeners;
    const auto add = [&](std::string_view kind, const auto& at) {
      listeners.push_back({kind, at.bind, at.port});
    };
    if (config().dimse) add("dimse", config().dimse->options);
    if (config().web) add("web", config().web->options);
    if (config().admin) add("admin", *config().admin);
    const auto all_addresses = [](std::string_view bind, std::string_view other) {
      return bind == "::" || (bind == "0.0.0.0" && other.find(':') == std::string_view::npos);
    };
    for (auto one = listeners.begin(); one != listeners.end(); ++one) {
      const auto other = std::find_if(listeners.begin(), one, [&](const Listener& before) {
        return before.port == one->port && one->port != 0 &&
               (before.bind == one->bind || all_addresses(before.bind, one->bind) ||
                all_addresses(one->bind, before.bind));
      });
      if (other == one) continue;
      const auto section = std::find_if(sections.begin(), sections.end(),
                                        [&](const auto& each) { return each.kind == one->kind; });
      fault(line_of(*section, "port"), section->title(), "port",
            fmt::format("expected another port than that of [{}]", other->kind));
    }
  }

  ConfigReading& reading_;
  const ConfigReading* const running_;  // null: there is none
  std::vector<dimse::Modality> modalities_;
  std::set<std::string> backend_names_;
  std::string store_;                    // the backend of this kind; empty = none
  std::vector<ConfigFault> references_;  // what: the names
};

}  // namespace

ConfigReading read_config(std::string_view text, const Environment& environment,
                          const ConfigReading* running) {
  ConfigReading reading;
  const auto sections = read_ini(text, environment, reading.faults);
  ConfigReader(reading, running).read(sections);
  if (reading.faults.empty()) reading.warnings = config_warnings(reading.config, sections);
  std::stable_sort(reading.faults.begin(), reading.faults.end(),
                   [](const ConfigFault& a, const ConfigFault& b) { return a.line < b.line; });
  return reading;
}

ConfigReading read_config_file(const std::string& path, const Environment& environment,
                               const ConfigReading* running) {
  constexpr std::size_t most = 1u << 20;  // a device may never end
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char piece[4096];
  // read makes a fault of what an iterator would throw: a directory can be opened.
  while (text.size() <= most && (file.read(piece, sizeof piece), file.gcount() > 0)) {
    text.append(piece, static_cast<std::size_t>(file.gcount()));
  }
  if (text.size() <= most && file.eof()) return read_config(text, environment, running);
  ConfigReading reading;
  reading.faults.push_back({0, "", "",
                            text.size() > most ? "is longer than 1 MiB: expected an INI file"
                                               : "cannot be read: expected an INI file"});
  return reading;
}

bool needs_queue(const Route& route) {
  return !route.mpps.empty() && (route.mpps_queued || route.mpps.size() > 1);
}

Route route_of(const Config& config, const ModalityRoute& modality) {
  Route route = config.dimse->route;
  if (modality.worklist) route.worklist = *modality.worklist;
  if (modality.mpps) route.mpps = *modality.mpps;
  if (modality.mpps_queued) route.mpps_queued = *modality.mpps_queued;
  return route;
}

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::vector<ConfigKey> config_keys() {
  Config config;
  std::string word;
  Config::DimseFront dimse_front;
  Config::WebFront web_front;
  Config::Admin admin;
  AuditOptions audit;
  bool off = false;
  dimse::ScuOptions scu;
  web::UserAgentOptions agent;
  StepStoreOptions store;
  BackendConfig backend;
  dimse::Modality modality;
  ModalityRoute route;
  const std::pair<const char*, Keys> sections[] = {
      {"gateway", gateway_keys(config)},
      {"queue", queue_keys(config.delivery)},
      {"dimse", dimse_keys(dimse_front)},
      {"web", web_keys(web_front)},
      {"admin", admin_keys(admin)},
      {"audit", audit_keys(audit, off)},
      {"backend kind=scp", scp_backend_keys(scu, backend, word)},
      {"backend kind=origin-server", origin_server_backend_keys(agent, backend, word)},
      {"backend kind=store", store_backend_keys(store, backend, word)},
      {"modality", modality_keys(modality, route)},
  };
  std::vector<ConfigKey> rows;
  for (const auto& [section, keys] : sections) {
    for (const Key& key : keys) {
      rows.push_back({section, key.name, key.default_value,
                      key.required ? key.allowed + " (required)" : key.allowed, key.at_start,
                      key.from_front});
    }
  }
  return rows;
}

}  // namespace gateway
