// Fronts up, wait, drain. The DIMSE front goes first: its backend may be this process' web front.
#include "gateway/serve.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "dimse/library.h"
#include "dimse/scp.h"
#include "gateway/admin.h"
#include "gateway/admission.h"
#include "gateway/audit_trail.h"
#include "gateway/log.h"
#include "gateway/router.h"
#include "gateway/service_manager.h"
#include "web/origin_server.h"

namespace gateway {
namespace {

using mapping::LogLevel;

std::string address(const std::string& host, std::uint16_t port) {
  const bool ipv_6 = host.find(':') != std::string::npos;
  return ipv_6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

// The signals that end the program, blocked in every thread that is started from here on.
sigset_t block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Starts a front or the admin port; the ready line grows, or a fault is logged.
template <class Front>
bool start(Front& front, std::string_view name, const std::string& host, std::string& ready,
           const mapping::Log& log) {
  const auto port = front.start();
  if (!port) {
    log(LogLevel::error, fmt::format("{} {} cannot start: {}", name,
                                     name == "admin" ? "port" : "front", port.fault().what));
    return false;
  }
  ready += fmt::format(" {}={}", name, address(host, port.value()));
  return true;
}

// The address that the ready line has for a front.
std::string address_in(const std::string& ready, std::string_view name) {
  const std::string key = fmt::format(" {}=", name);
  const auto begin = ready.find(key) + key.size();
  return ready.substr(begin, ready.find(' ', begin) - begin);
}

// scp, origin_server: null if there is none; they outlive the admin port.
AdminSources admin_sources(const Router& router, const std::string& ready, const dimse::Scp* scp,
                           const web::OriginServer* origin_server) {
  AdminSources sources;
  if (scp != nullptr) {
    sources.fronts.push_back(
        {"dimse", address_in(ready, "dimse"), [scp] { return scp->associations(); },
         [scp] { return scp->refused(); }, [scp] { return scp->replaced_characters(); }});
  }
  if (origin_server != nullptr) {
    sources.fronts.push_back({"web", address_in(ready, "web"),
                              [origin_server] { return origin_server->connections(); },
                              [origin_server] { return origin_server->refused(); }});
  }
  sources.services = [&router] { return router.offered(); };
  sources.backends = [&router] { return router.watched(); };
  sources.numbers = [&router] { return router.numbers(); };
  sources.metrics = &router.metrics();
  sources.queue = [&router] { return router.queue(); };
  sources.wake = [&router](const std::string& receiver) { router.wake(receiver); };
  return sources;
}

// What a front refuses, into the audit trail. audit: null = there is none.
mapping::OnSecurityAlert alerts_for(AuditTrail* audit) {
  if (audit == nullptr) return {};
  return [audit](const mapping::SecurityAlert& alert) { audit->record(alert); };
}

void record_activity(AuditTrail* audit, bool start, const Config& config) {
  if (audit == nullptr) return;
  const std::string ae_title = config.dimse ? config.dimse->options.ae_title : std::string();
  audit->record(AuditTrail::Activity{start, ae_title, std::chrono::system_clock::now()});
}

// A service that does not come back must not keep the process: what it does is cut short.
void end_after_grace(const mapping::Log& log) {
  std::thread([log] {
    constexpr std::chrono::seconds to_cut_connections{1};
    std::this_thread::sleep_for(stop_grace + to_cut_connections);
    log(LogLevel::warn, "stopped: operations that still ran were cut short");
    std::_Exit(0);
  }).detach();
}

}  // namespace

int serve(const Config& config, std::optional<TraceOptions> trace_options) {
  const sigset_t signals = block_stop_signals();
  const mapping::Log log = make_log(config.log_level, config.log_format);
  dimse::lead_library_log(log, std::min(config.log_level, LogLevel::warn));
  std::unique_ptr<Trace> trace;
  if (trace_options) {
    auto started = Trace::start(config.state_dir, *std::move(trace_options), log);
    if (!started) {
      log(LogLevel::error, fmt::format("cannot start: {}", started.fault().what));
      return 1;
    }
    trace = std::move(started).value();
  }
  std::unique_ptr<AuditTrail> audit;  // outlives all that records in it
  if (config.audit) {
    auto opened = AuditTrail::open(*config.audit, log);
    if (!opened) {
      log(LogLevel::error, fmt::format("cannot start: {}", opened.fault().what));
      return 1;
    }
    audit = std::move(opened).value();
  }
  const auto router = Router::make(config, log, trace.get(), audit.get());
  if (!router) {
    log(LogLevel::error, fmt::format("cannot start: {}", router.fault().what));
    return 1;
  }
  const mapping::Router route = [&router](const mapping::Caller& caller) {
    return router.value()->route(caller);
  };

  std::unique_ptr<dimse::Scp> scp;
  std::unique_ptr<web::OriginServer> origin_server;
  std::string ready = "ready";
  if (config.dimse) {
    auto admission = make_admission(config.dimse->authentication);
    if (!admission) {  // it was good when the configuration was read
      log(LogLevel::error, fmt::format("dimse front cannot start: {}", admission.fault().what));
      return 1;
    }
    auto options = config.dimse->options;
    options.admits = std::move(admission).value();
    options.on_alert = alerts_for(audit.get());
    scp = std::make_unique<dimse::Scp>(std::move(options), route, log);
    if (!start(*scp, "dimse", config.dimse->options.bind, ready, log)) return 1;
  }
  if (config.web) {
    auto options = config.web->options;
    options.on_alert = alerts_for(audit.get());
    origin_server = std::make_unique<web::OriginServer>(std::move(options), route, log);
    if (!start(*origin_server, "web", config.web->options.bind, ready, log)) return 1;
  }
  std::unique_ptr<Admin> admin;
  if (config.admin) {
    auto sources = admin_sources(*router.value(), ready, scp.get(), origin_server.get());
    sources.audit = audit.get();
    admin = std::make_unique<Admin>(*config.admin, std::move(sources), BackendWatchOptions(), log);
    if (!start(*admin, "admin", config.admin->bind, ready, log)) return 1;
  }
  fmt::print(stderr, "{}\n", ready);
  std::fflush(stderr);
  record_activity(audit.get(), true, config);
  tell_service_manager("READY=1");

  int signal = 0;
  sigwait(&signals, &signal);
  log(LogLevel::info, fmt::format("stopping after {}", signal == SIGINT ? "SIGINT" : "SIGTERM"));
  tell_service_manager("STOPPING=1");
  end_after_grace(log);
  if (admin) admin->note_stopping();
  const auto end = std::chrono::steady_clock::now() + stop_grace;
  const auto left = [&] {
    return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(
                        end - std::chrono::steady_clock::now()),
                    std::chrono::milliseconds(0));
  };
  if (scp) scp->stop(left());
  if (origin_server) origin_server->stop(left());
  if (admin) admin->stop(left());
  record_activity(audit.get(), false, config);
  log(LogLevel::info, "stopped");
  return 0;
}

}  // namespace gateway
