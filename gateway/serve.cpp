// Fronts up, reload on SIGHUP, drain. The DIMSE front goes first: its backend may be this process'
// web front.
#include "gateway/serve.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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

// Those that end the program or reload its configuration.
sigset_t our_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  return signals;
}

// A front or the admin port was started, or not: the ready line grows, or the fault is logged.
bool started(const mapping::Result<std::uint16_t>& port, std::string_view name,
             const std::string& host, std::string& ready, const mapping::Log& log) {
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
  sources.numbers = [&router] { return router.numbers(); };
  sources.metrics = &router.metrics();
  sources.wake = [&router](const std::string& receiver) { router.wake(receiver); };
  return sources;
}

// What a front refuses, into the audit trail.
mapping::OnSecurityAlert alerts_for(AuditTrail& audit) {
  return [&audit](const mapping::SecurityAlert& alert) { audit.record(alert); };
}

void record_activity(AuditTrail& audit, bool start, const Config& config) {
  const std::string ae_title = config.dimse ? config.dimse->options.ae_title : std::string();
  audit.record(AuditActivity{start, ae_title, std::chrono::system_clock::now()});
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

void log_warnings(const ConfigReading& reading, const std::string& path, const mapping::Log& log) {
  for (const ConfigFault& warning : reading.warnings) log(LogLevel::warn, to_string(warning, path));
  for (const ConfigFault& kept : reading.unchanged) log(LogLevel::warn, to_string(kept, path));
}

// "; a restart is needed for [dimse] port, [web]": what this reading could not change.
std::string restart_needed(const ConfigReading& reading) {
  std::string places;
  for (const ConfigFault& kept : reading.unchanged) {
    places += fmt::format("{}[{}]{}{}", places.empty() ? "" : ", ", kept.section,
                          kept.key.empty() ? "" : " ", kept.key);
  }
  return places.empty() ? places : "; a restart is needed for " + places;
}

// What the DIMSE front is to do. Fault: a file of credentials cannot be used.
mapping::Result<dimse::ScpOptions> scp_options(const Config::DimseFront& front,
                                               const mapping::OnSecurityAlert& on_alert) {
  auto admission = make_admission(front.authentication);
  if (!admission) return admission.fault();
  dimse::ScpOptions options = front.options;
  options.admits = std::move(admission).value();
  options.on_alert = on_alert;
  return options;
}

// What the web front is to do.
web::OriginServerOptions server_options(const Config::WebFront& front,
                                        const mapping::OnSecurityAlert& on_alert) {
  web::OriginServerOptions options = front.options;
  options.on_alert = on_alert;
  return options;
}

// Everything that a configuration changes in a gateway that runs.
struct Running {
  ProcessLog& log;
  AuditTrail& audit;
  Router& router;
  dimse::Scp* scp;  // null: there is none; this and the next ones
  web::OriginServer* origin_server;
  Admin* admin;
};

// The changes to this configuration, all of them prepared: those who ask come after those who
// answer; the audit trail, which may wait for its collector, comes last. config: has the fronts and
// the admin port that run. Fault: one cannot be made.
mapping::Result<std::vector<mapping::Change>> prepare(const Config& config,
                                                      const Running& running) {
  std::vector<mapping::Change> changes;
  std::optional<mapping::Fault> fault;
  const auto take = [&](mapping::Result<mapping::Change> change) {
    if (!change) fault = change.fault();
    if (change) changes.push_back(std::move(change).value());
  };
  auto routed = running.router.prepare(config);
  if (!routed) return routed.fault();
  take(std::move(routed.value().change));
  if (running.scp != nullptr) {
    auto options = scp_options(*config.dimse, alerts_for(running.audit));
    take(options ? running.scp->prepare(std::move(options).value()) : options.fault());
  }
  if (running.origin_server != nullptr) {
    take(running.origin_server->prepare(server_options(*config.web, alerts_for(running.audit))));
  }
  if (running.admin != nullptr) {
    const auto& [change, watched, queue] = routed.value();
    take(running.admin->prepare(*config.admin, watched, queue));
  }
  take(running.audit.prepare(config.audit));
  take(mapping::Change([&running, level = config.log_level, format = config.log_format] {
    running.log.change(level, format);
  }));
  if (fault) return *fault;
  return changes;
}

// The same from the file, which next is read from; nothing has changed where it returns nothing.
std::optional<std::vector<mapping::Change>> prepare_from(const std::string& path,
                                                         const ConfigReading& reading,
                                                         const Running& running,
                                                         const mapping::Log& log,
                                                         ConfigReading& next) try {
  next = read_config_file(path, process_environment, &reading);
  if (!next.faults.empty()) {
    for (const ConfigFault& fault : next.faults) log(LogLevel::error, to_string(fault, path));
    log(LogLevel::error, "not reloaded: the configuration has faults, nothing has changed");
    return std::nullopt;
  }
  auto changes = prepare(next.config, running);
  if (changes) return std::move(changes).value();
  log(LogLevel::error, fmt::format("not reloaded: {}, nothing has changed", changes.fault().what));
  return std::nullopt;
} catch (const std::exception& error) {
  log(LogLevel::error, fmt::format("not reloaded: no threads or no memory for what it names ({}), "
                                   "nothing has changed",
                                   error.what()));
  return std::nullopt;
}

// Changes everything to what the file says now, or nothing.
void reload(const std::string& path, ConfigReading& reading, const Running& running,
            const mapping::Log& log) try {
  ConfigReading next;
  const auto changes = prepare_from(path, reading, running, log, next);
  if (!changes) return;
  const bool audited = running.audit.on();
  if (audited && !next.config.audit) {
    running.audit.record_own(audit_code::recording_stopped,
                             "The configuration was changed: it names no collector any more");
  }
  for (const mapping::Change& change : *changes) change();
  if (!audited) {
    running.audit.record_own(audit_code::recording_started,
                             "The configuration was changed: it names a collector now");
  }
  running.audit.record_own(audit_code::software_configuration,
                           "The configuration was read again, and holds");
  reading = std::move(next);
  log_warnings(reading, path, log);
  log(LogLevel::info, fmt::format("reloaded {}{}", path, restart_needed(reading)));
} catch (const std::exception& error) {  // memory for a list of names, at most
  log(LogLevel::error,
      fmt::format("reloaded in part only: {}; expected memory, reload again", error.what()));
}

// Does it on a thread of its own, once more for what is asked meanwhile: a file that does not
// answer (a pipe, a network's disk) must not keep the program from stopping.
class OnRequest {
 public:
  explicit OnRequest(std::function<void()> work)
      : thread_([this, work = std::move(work)](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          while (changed_.wait(lock, stop, [this] { return asked_; }), !stop.stop_requested()) {
            asked_ = false;
            lock.unlock();
            work();
            lock.lock();
          }
        }) {}

  void ask() {
    const std::lock_guard lock(mutex_);
    asked_ = true;
    changed_.notify_one();
  }
  /// Waits for what has begun; what was only asked for is not done.
  void stop() {
    thread_.request_stop();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool asked_ = false;
  std::jthread thread_;
};

}  // namespace

void block_signals() {
  const sigset_t signals = our_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int serve(const std::string& path, ConfigReading reading,
          std::optional<TraceOptions> trace_options) {
  const sigset_t signals = our_signals();
  const Config& config = reading.config;
  ProcessLog process_log(config.log_level, config.log_format);
  const mapping::Log log = process_log.sink();
  log_warnings(reading, path, log);
  dimse::lead_library_log(log, LogLevel::warn);
  std::unique_ptr<Trace> trace;
  if (trace_options) {
    auto started = Trace::start(config.state_dir, *std::move(trace_options), log);
    if (!started) {
      log(LogLevel::error, fmt::format("cannot start: {}", started.fault().what));
      return 1;
    }
    trace = std::move(started).value();
  }
  AuditTrail audit(log);  // outlives all that records in it
  if (const auto begin = audit.prepare(config.audit)) {
    begin.value()();
  } else {
    log(LogLevel::error, fmt::format("cannot start: {}", begin.fault().what));
    return 1;
  }
  const auto router = Router::make(config, log, audit, trace.get());
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
    auto options = scp_options(*config.dimse, alerts_for(audit));
    if (!options) {  // it was good when the configuration was read
      log(LogLevel::error, fmt::format("dimse front cannot start: {}", options.fault().what));
      return 1;
    }
    scp = std::make_unique<dimse::Scp>(std::move(options).value(), route, log);
    if (!started(scp->start(), "dimse", config.dimse->options.bind, ready, log)) return 1;
  }
  if (config.web) {
    origin_server = std::make_unique<web::OriginServer>(
        server_options(*config.web, alerts_for(audit)), route, log);
    if (!started(origin_server->start(), "web", config.web->options.bind, ready, log)) return 1;
  }
  std::unique_ptr<Admin> admin;
  if (config.admin) {
    auto sources = admin_sources(*router.value(), ready, scp.get(), origin_server.get());
    sources.audit = &audit;
    sources.on_alert = alerts_for(audit);
    admin = std::make_unique<Admin>(*config.admin, std::move(sources), BackendWatchOptions(), log);
    const auto port = admin->start(router.value()->watched(), router.value()->queue());
    if (!started(port, "admin", config.admin->bind, ready, log)) return 1;
  }
  fmt::print(stderr, "{}\n", ready);
  std::fflush(stderr);
  record_activity(audit, true, config);
  tell_service_manager("READY=1");

  const Running running{process_log,         audit,      *router.value(), scp.get(),
                        origin_server.get(), admin.get()};
  OnRequest reloads([&] { reload(path, reading, running, log); });
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGHUP) reloads.ask();
  log(LogLevel::info, fmt::format("stopping after {}", signal == SIGINT ? "SIGINT" : "SIGTERM"));
  tell_service_manager("STOPPING=1");
  end_after_grace(log);
  reloads.stop();
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
  record_activity(audit, false, config);
  log(LogLevel::info, "stopped");
  return 0;
}

}  // namespace gateway
