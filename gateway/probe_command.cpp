// Step after step until one fails; each failure comes with its advice.
#include "gateway/probe_command.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "dimse/library.h"
#include "web/base_uri.h"

namespace gateway {
namespace {

using mapping::NetworkEvent;
using mapping::Outcome;

constexpr std::chrono::seconds patience{15};  ///< for each question

void no_log(mapping::LogLevel, std::string_view) {}

mapping::Context question() {
  mapping::Context context;
  context.transaction = "probe";
  context.deadline = std::chrono::steady_clock::now() + patience;
  return context;
}

/// What the configuration uses a backend for.
struct Uses {
  bool worklist = false;
  bool mpps = false;
};

Uses uses_of(const Config& config, const std::string& backend) {
  Uses uses;
  const auto in = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), backend) != names.end();
  };
  const auto add = [&](const Route& route) {
    uses.worklist = uses.worklist || in(route.worklist);
    uses.mpps = uses.mpps || in(route.mpps);
  };
  if (config.dimse) add(config.dimse->route);
  if (config.web) add(config.web->route);
  for (const ModalityRoute& modality : config.modalities) {
    uses.worklist = uses.worklist || (modality.worklist && in(*modality.worklist));
    uses.mpps = uses.mpps || (modality.mpps && in(*modality.mpps));
  }
  return uses;
}

/// The lines about one backend.
class Report {
 public:
  explicit Report(std::ostream& out) : out_(out) {}

  void good(std::string_view step, std::string_view what) { line(step, "ok", what); }
  void note(std::string_view step, std::string_view what) { line(step, "-", what); }
  void bad(std::string_view step, std::string_view what, std::string_view advice) {
    line(step, "FAILED", what);
    out_ << fmt::format("  {:<12} -> {}\n", "", advice);
    good_ = false;
  }
  bool all_good() const { return good_; }

 private:
  void line(std::string_view step, std::string_view mark, std::string_view what) {
    out_ << fmt::format("  {:<12} {:<6}  {}\n", step, mark, what);
  }
  std::ostream& out_;
  bool good_ = true;
};

/// False if the name is unknown.
bool resolve(const std::string& host, Report& report) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
    report.bad("name", fmt::format("{}: {}", host, ::gai_strerror(code)),
               "here: correct the host name in this section, or the name server of this machine");
    return false;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  std::string all;
  for (const auto* each = found; each != nullptr; each = each->ai_next) {
    char text[NI_MAXHOST] = "";
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      all += (all.empty() ? "" : ", ") + std::string(text);
    }
  }
  report.good("name", all == host ? all : fmt::format("{} is {}", host, all));
  return true;
}

constexpr auto mend_tls =
    "here: tls_trusted must hold the CA of its certificate; there: the certificate must be in date "
    "and for this host, the port speak TLS, and trust our tls_certificate if it asks for one";

/// What holds for both kinds of peer. False: it is about something else.
bool report_connection(const Outcome& outcome, const std::string& peer, bool tls, Report& report) {
  if (outcome.event == NetworkEvent::connect_failed) {
    report.bad("connection", fmt::format("{}: {}", peer, outcome.error_comment),
               "there: start the program, see that it listens on this port and that no firewall is "
               "in the way; here: correct host and port in this section");
    return true;
  }
  report.good("connection", fmt::format("{} accepts TCP connections", peer));
  if (outcome.event == NetworkEvent::tls_failed) {
    report.bad("TLS",
               outcome.error_comment.empty() ? "the handshake was ended" : outcome.error_comment,
               mend_tls);
    return true;
  }
  if (tls) report.good("TLS", "agreed, certificate checked");
  return false;
}

// --- DIMSE ---------------------------------------------------------------------------------------

void report_association(const dimse::ScuOptions& scu, const Outcome& outcome, Report& report) {
  const std::string titles =
      fmt::format("called {}, calling {}", scu.ae_title, scu.calling_ae_title);
  const std::string what = fmt::format("{} ({})", outcome.error_comment, titles);
  switch (outcome.event) {
    case NetworkEvent::rejected_transient:
      return report.bad("association", what,
                        "there: it is busy or allows too few associations; try again later");
    case NetworkEvent::rejected_permanent:
      return report.bad("association", what,
                        fmt::format("here: ae_title must be the SCP's own ({} now); there: the SCP "
                                    "must know the AE title {} and this machine's address",
                                    scu.ae_title, scu.calling_ae_title));
    case NetworkEvent::user_identity_refused:
      return report.bad("association", what,
                        "here: correct username, password_file or bearer_token_file; there: the "
                        "SCP must know this user");
    default:
      return report.bad(
          "association", what,
          scu.tls.on_for_scu()
              ? "there: see that a DICOM SCP listens on this port, and speaks TLS"
              : "there: see that a DICOM SCP listens on this port; here: if it speaks TLS, set "
                "tls_trusted");
  }
}

void report_service(std::string_view name, bool accepted, bool used, Report& report) {
  if (accepted) {
    report.good(name, "accepted");
  } else if (used) {
    report.bad(name, "refused by the SCP",
               "there: switch this service on for our AE title; here: name another backend for it");
  } else {
    report.note(name, "refused by the SCP, not used here");
  }
}

void probe_scp(dimse::ScuOptions options, const Uses& uses, Report& report) {
  if (!resolve(options.host, report)) return;
  options.max_associations = 1;
  dimse::Scu scu(options, no_log);
  const auto presence = scu.probe(question());
  const std::string peer = fmt::format("{}:{}", options.host, options.port);
  const Outcome& outcome = presence.outcome;
  if (report_connection(outcome, peer, options.tls.on_for_scu(), report)) return;
  if (outcome.how == Outcome::How::unreachable) {
    return report_association(options, outcome, report);
  }
  report.good("association", fmt::format("accepted by {}", options.ae_title));
  if (!presence.verification) {
    report.note("C-ECHO", "the SCP offers no Verification; not needed here");
  } else if (outcome.how == Outcome::How::answered && outcome.good()) {
    report.good("C-ECHO", "answered");
  } else {
    report.bad("C-ECHO",
               outcome.how == Outcome::How::answered
                   ? fmt::format("answered with status {:04X}", outcome.status)
                   : outcome.error_comment,
               "there: the SCP takes associations and does not do its work; see its log");
  }
  report_service("worklist", presence.worklist, uses.worklist, report);
  report_service("MPPS", presence.mpps, uses.mpps, report);
  if (presence.mpps_retrieve) {
    report.good("MPPS N-GET", "accepted");
  } else {
    report.note("MPPS N-GET", "refused by the SCP; it is optional");
  }
}

// --- DICOMweb ------------------------------------------------------------------------------------

constexpr auto is_it_a_server =
    "here: base_uri must be that of the DICOMweb service, with its path; there: see that it offers "
    "the worklist of Supplement 246";

constexpr auto it_says_so =
    "there: look at its log, and at a proxy in front of it: one of them answers that it cannot "
    "serve now";

void report_search(const Outcome& outcome, Report& report) {
  if (outcome.good()) return report.good("worklist", "a search is answered");
  const std::string what =
      outcome.how == Outcome::How::answered
          ? fmt::format("a search is refused: {}",
                        outcome.error_comment.empty() ? fmt::format("status {:04X}", outcome.status)
                                                      : outcome.error_comment)
          : outcome.error_comment;
  if (outcome.status == mapping::dimse_status::upstream_refused_authorization) {
    return report.bad("worklist", what,
                      "here: correct username and password_file, or bearer_token_file; there: "
                      "allow this user to search");
  }
  report.bad("worklist", what, is_it_a_server);
}

void probe_origin_server(web::UserAgentOptions options, const Uses& uses, Report& report) {
  const web::BaseUri server = web::parse_base_uri(options.base_uri).value();
  if (!resolve(server.host, report)) return;
  options.page_size = 1;
  const std::string base_uri = options.base_uri;
  const auto agent = web::UserAgent::make(std::move(options), no_log);
  if (!agent) {
    return report.bad("options", agent.fault().what, "here: correct this section");
  }
  const Outcome outcome = agent.value()->probe(question());
  if (report_connection(outcome, base_uri, server.tls, report)) return;
  if (outcome.how != Outcome::How::answered) {
    constexpr auto is_it_http =
        "there: see that an HTTP server listens on this port; here: if it speaks TLS, base_uri "
        "begins with https";
    const bool says_so = outcome.event == NetworkEvent::none;
    return report.bad("OPTIONS", outcome.error_comment,
                      says_so      ? it_says_so
                      : server.tls ? is_it_a_server
                                   : is_it_http);
  }
  report.good("OPTIONS", "answered");
  if (uses.worklist) {
    const auto first = [](mapping::Match&&) { return false; };
    report_search(agent.value()->search({}, first, question()), report);
  }
  if (uses.mpps) report.note("MPPS", "can be tried by a step only");
}

// -------------------------------------------------------------------------------------------------

bool probe(const std::string& name, const BackendConfig& backend, const Uses& uses,
           std::ostream& out) {
  Report report(out);
  if (const auto* scu = std::get_if<dimse::ScuOptions>(&backend.options)) {
    out << fmt::format("backend {}: SCP {} at {}:{}\n", name, scu->ae_title, scu->host, scu->port);
    probe_scp(*scu, uses, report);
  } else if (const auto* agent = std::get_if<web::UserAgentOptions>(&backend.options)) {
    out << fmt::format("backend {}: origin server {}\n", name, agent->base_uri);
    probe_origin_server(*agent, uses, report);
  } else {
    out << fmt::format("backend {}: embedded store\n", name);
    report.good("store", "part of this gateway");
  }
  out.flush();
  return report.all_good();
}

// --- The collector of audit messages -------------------------------------------------------------

/// No message is sent: whatever came there would be a record of the trail.
void probe_collector(const SyslogOptions& options, Report& report) {
  if (!resolve(options.target.host, report)) return;
  if (options.target.transport == SyslogTarget::Transport::udp) {
    return report.note("UDP", "is not answered: whether it arrives, the collector's log says");
  }
  const auto sender = SyslogSender::make(options, -1);
  if (!sender) return report.bad("options", sender.fault().what, "here: correct [audit]");
  const auto failure = sender.value()->send({});
  if (!failure) return report.good("TLS", "agreed, certificate checked");
  report.bad(failure->authentication ? "TLS" : "connection", failure->why,
             failure->authentication
                 ? mend_tls
                 : "there: start the collector, see that it listens on this port and that no "
                   "firewall is in the way; here: correct syslog in [audit]");
}

bool probe(const SyslogOptions& options, std::ostream& out) {
  Report report(out);
  out << fmt::format("collector of audit messages {}\n", options.target.uri());
  probe_collector(options, report);
  out << '\n';
  return report.all_good();
}

}  // namespace

int run_probe_command(const Config& config, std::ostream& out) {
  dimse::lead_library_log(no_log, mapping::LogLevel::error);
  std::size_t failed = 0;
  for (const auto& [name, backend] : config.backends) {
    if (!probe(name, backend, uses_of(config, name), out)) ++failed;
    out << '\n';
  }
  const bool collector_good = !config.audit || probe(config.audit->syslog, out);
  out << (failed == 0
              ? fmt::format("all {} backends are as they should be\n", config.backends.size())
              : fmt::format("{} of {} backends failed\n", failed, config.backends.size()));
  if (!collector_good) out << "the collector of audit messages failed\n";
  return failed == 0 && collector_good ? 0 : 1;
}

}  // namespace gateway
