// The admin port: is the gateway alive, can it do its work, what has it counted. Looks only at what
// is known already: no request waits for a backend or a disk, but for what a person does about a
// message of the queue.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/audit_trail.h"
#include "gateway/backend_watch.h"
#include "gateway/config.h"
#include "gateway/metrics.h"
#include "gateway/mpps_queue.h"
#include "gateway/routes.h"
#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"

namespace gateway {

/// What the admin port tells about. Everything lives longer than the port; functions are called
/// from several threads and do not block.
struct AdminSources {
  /// A front that listens.
  struct Front {
    std::string name;                        ///< "dimse", "web"
    std::string address;                     ///< HOST:PORT
    std::function<std::size_t()> in_use;     ///< associations or connections
    std::function<std::uint64_t()> refused;  ///< of them, since the start
    /// Characters that became question marks, since the start; null: never any.
    std::function<std::uint64_t()> replaced_characters{};
  };
  std::vector<Front> fronts;
  std::function<std::vector<OfferedService>()> services;
  std::function<std::vector<BackendNumbers>()> numbers;  ///< Router::numbers
  const Metrics* metrics = nullptr;
  std::function<void(const std::string&)> wake{};  ///< Router::wake; with a queue
  const AuditTrail* audit = nullptr;               ///< null, or off: nothing is told of it
  mapping::OnSecurityAlert on_alert{};             ///< of this port itself
};

/// GET /: the status page. GET /status: what it shows, as JSON (status_report.h).
/// POST /queue/retry, /queue/discard: what a person does about a message by that page, see
/// QueueActions; they alone wait for a disk.
/// GET /healthz: 200 "ok" as long as the process serves.
/// GET /readyz: 200 if all fronts listen, of each service at least one backend answers, and the
/// queue can be read and written; 503 otherwise. A line for each says which and why.
/// GET /metrics: Prometheus' text format.
/// start and stop once each, and prepare with its change, from one thread.
class Admin {
 public:
  Admin(Config::Admin options, AdminSources sources, BackendWatchOptions watch, mapping::Log log);
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  /// Listens, and begins to watch: backends, of which one that a service has and that is not among
  /// them is always there, and the queue; null: there is none. Returns the port. Fault: as
  /// web::PageServer::start.
  mapping::Result<std::uint16_t> start(std::vector<WatchedBackend> backends,
                                       std::shared_ptr<MppsQueue> queue);
  /// Who is served, by which names, and what is watched, after the change. bind and port stay, and
  /// so does a queue that is watched. Fault: as web::PageServer::prepare. Throws std::system_error
  /// where there are no threads for it.
  mapping::Result<mapping::Change> prepare(const Config::Admin& options,
                                           std::vector<WatchedBackend> backends,
                                           std::shared_ptr<MppsQueue> queue);
  /// From now on the gateway is not ready, and says that it stops.
  void note_stopping();
  void stop(std::chrono::milliseconds grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
