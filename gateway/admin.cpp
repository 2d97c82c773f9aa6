// Three pages, and the thread that looks at the queue for them.
#include "gateway/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "gateway/admin_page.h"
#include "gateway/queue_actions.h"
#include "gateway/queue_watch.h"
#include "gateway/status_report.h"
#include "web/page_guard.h"
#include "web/page_server.h"

namespace gateway {
namespace {

constexpr auto plain_text = "text/plain; charset=utf-8";

}  // namespace

class Admin::Impl {
 public:
  Impl(Config::Admin options, AdminSources sources, BackendWatchOptions watch, mapping::Log log)
      : sources_(std::move(sources)),
        watch_options_(watch),
        log_(std::move(log)),
        backends_({}, watch_options_, log_),
        server_({options.bind, options.port, std::move(options.authentication),
                 std::move(options.host_names), sources_.on_alert},
                pages(), actions(), log_) {}

  mapping::Result<std::uint16_t> start(std::vector<WatchedBackend> backends,
                                       std::shared_ptr<MppsQueue> queue) {
    watch(std::move(backends), std::move(queue))();
    return server_.start();
  }
  mapping::Result<mapping::Change> prepare(const Config::Admin& options,
                                           std::vector<WatchedBackend> backends,
                                           std::shared_ptr<MppsQueue> queue) {
    auto serve = server_.prepare(options.authentication, options.host_names);
    if (!serve) return serve.fault();
    return mapping::Change(
        [serve = std::move(serve).value(), watch = watch(std::move(backends), std::move(queue))] {
          serve();
          watch();
        });
  }
  void note_stopping() { stopping_ = true; }
  void stop(std::chrono::milliseconds grace) { server_.stop(grace); }

 private:
  struct WatchedQueue {
    std::shared_ptr<MppsQueue> queue;
    QueueWatch watch;
  };

  web::Pages pages() {
    return {{"/",
             [] {
               return web::Page{
                   200,
                   "text/html; charset=utf-8",
                   std::string(admin_page),
                   {{"Content-Security-Policy", web::content_security_policy(admin_page)}}};
             }},
            {"/status", [this] { return status(); }},
            {"/healthz",
             [] {
               return web::Page{200, plain_text, "ok\n"};
             }},
            {"/readyz", [this] { return ready(); }},
            {"/metrics", [this] { return metrics(); }}};
  }
  web::PageActions actions();
  web::Page act(QueueVerb verb, const web::PageAction& action);
  web::Page status() const;
  mapping::Change watch(std::vector<WatchedBackend> backends, std::shared_ptr<MppsQueue> queue);
  web::Page ready() const;
  web::Page metrics() const;
  void write_fronts(MetricsText& text) const;
  void write_backends(MetricsText& text) const;
  static void write_queue(MetricsText& text, const QueueWatch& queue);

  const AdminSources sources_;
  const BackendWatchOptions watch_options_;
  const mapping::Log log_;
  std::atomic<bool> stopping_{false};
  BackendWatch backends_;
  mapping::Current<WatchedQueue> queue_;  ///< null until there is one
  web::PageServer server_;                // last: its threads use what stands above
};

mapping::Change Admin::Impl::watch(std::vector<WatchedBackend> backends,
                                   std::shared_ptr<MppsQueue> queue) {
  auto watched = queue_.get();
  if (!watched && queue) {
    watched.reset(new WatchedQueue{queue, {*queue, watch_options_.interval, log_}});
  }
  return [this, watched, ask = backends_.prepare(std::move(backends))] {
    ask();
    queue_.set(watched);
  };
}

/// The queue's.
web::PageActions Admin::Impl::actions() {
  return {{"/queue/retry",
           [this](const web::PageAction& action) { return act(QueueVerb::retry, action); }},
          {"/queue/discard",
           [this](const web::PageAction& action) { return act(QueueVerb::discard, action); }}};
}

web::Page Admin::Impl::act(QueueVerb verb, const web::PageAction& action) {
  const auto watched = queue_.get();
  if (!watched) return {404, "application/json", R"({"says":"There is no queue here."})"};
  auto answer = QueueActions(*watched->queue, sources_.wake, log_).act(verb, action);
  watched->watch.look();  // the page that asked sees what it did
  return answer;
}

web::Page Admin::Impl::status() const {
  StatusReport report;
  report.stopping = stopping_;
  report.backends = backends_.states();
  if (const auto queue = queue_.get()) report.queue = queue->watch.state();
  if (server_.allows_actions()) report.token = server_.token();
  report.now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  return {200, "application/json", to_json(report, sources_)};
}

namespace {

/// Of the backends of one service: whether one answers, and a sentence on each.
bool describe(const std::vector<std::string>& names,
              const std::map<std::string, BackendState>& states, std::string& text) {
  bool any = false;
  for (const std::string& name : names) {
    if (!text.empty()) text += "; ";
    const auto state = states.find(name);
    if (state == states.end()) {
      any = true;
      text += name + " is part of this gateway";
      continue;
    }
    switch (state->second.is) {
      case BackendState::Is::up:
        any = true;
        text += name + " answers";
        break;
      case BackendState::Is::down:
        text += fmt::format("{} does not answer: {}", name, state->second.why);
        break;
      case BackendState::Is::unknown:
        text += name + " has not answered yet";
        break;
    }
  }
  return any;
}

}  // namespace

web::Page Admin::Impl::ready() const {
  bool all = !stopping_;
  std::string lines;
  const auto line = [&](std::string_view name, bool good, std::string_view what) {
    all = all && good;
    lines += fmt::format("{}: {}: {}\n", name, good ? "ready" : "not ready", what);
  };
  if (stopping_) lines += "gateway: not ready: it is stopping\n";
  for (const auto& front : sources_.fronts) {
    line(front.name + " front", true, "listening on " + front.address);
  }
  const auto states = backends_.states();
  for (const auto& service : sources_.services()) {
    std::string what;
    const bool good = describe(service.backends, states, what);
    line(service.name, good, what);
  }
  if (const auto queue = queue_.get()) {
    const auto depths = queue->watch.state();
    const bool read = depths.fault.empty();
    const bool good = read && depths.write_fault.empty();
    line("mpps queue", good,
         good   ? "can be read and written"
         : read ? "cannot be written, so that MPPS are refused: " + depths.write_fault
                : "cannot be read: " + depths.fault);
  }
  return {all ? 200 : 503, plain_text, (all ? "ready\n" : "not ready\n") + lines};
}

namespace {

void write_audit(MetricsText& text, const AuditTrail::Numbers& numbers) {
  text.single("modgate_audit_sent_total", "counter", "Audit messages that the collector has taken.",
              static_cast<double>(numbers.sent));
  text.single("modgate_audit_waiting", "gauge",
              "Audit messages on disk that the collector has not taken yet.",
              static_cast<double>(numbers.waiting));
  text.single("modgate_audit_lost_total", "counter",
              "Audit messages that found no room in the buffer.",
              static_cast<double>(numbers.lost));
  text.single("modgate_audit_collector_up", "gauge",
              "0 if the last attempt to send to the collector failed.", numbers.up ? 1 : 0);
}

}  // namespace

web::Page Admin::Impl::metrics() const {
  MetricsText text;
  sources_.metrics->write(text);
  write_fronts(text);
  write_backends(text);
  if (const auto queue = queue_.get()) write_queue(text, queue->watch);
  if (sources_.audit != nullptr) {
    if (const auto numbers = sources_.audit->numbers()) write_audit(text, *numbers);
  }
  write_process_metrics(text);
  return {200, std::string(prometheus_text), text.text()};
}

void Admin::Impl::write_fronts(MetricsText& text) const {
  text.family("modgate_front_connections", "gauge",
              "Associations of the DIMSE front and connections of the web front in use.");
  for (const auto& front : sources_.fronts) {
    text.sample({{"front", front.name}}, static_cast<double>(front.in_use()));
  }
  text.family("modgate_front_refused_total", "counter",
              "Associations rejected, and connections refused over a limit.");
  for (const auto& front : sources_.fronts) {
    text.sample({{"front", front.name}}, static_cast<double>(front.refused()));
  }
  text.family("modgate_front_replaced_characters_total", "counter",
              "Characters of answers that became question marks (unencodable_text = replace).");
  for (const auto& front : sources_.fronts) {
    if (!front.replaced_characters) continue;
    text.sample({{"front", front.name}}, static_cast<double>(front.replaced_characters()));
  }
}

namespace {

/// Of the backends that have such a pool: what is open, the callers that wait, and the limit.
void write_pools(MetricsText& text, const std::vector<BackendNumbers>& numbers,
                 const std::string& name, std::string_view help,
                 std::optional<mapping::PoolState> BackendNumbers::*pool) {
  text.family(name, "gauge", help);
  for (const BackendNumbers& backend : numbers) {
    if (!(backend.*pool)) continue;
    const mapping::PoolState& state = *(backend.*pool);
    text.sample({{"backend", backend.name}, {"state", "idle"}}, static_cast<double>(state.idle));
    text.sample({{"backend", backend.name}, {"state", "in_use"}},
                static_cast<double>(state.in_use));
  }
  const auto of_pools = [&](std::string_view suffix, std::string_view meaning,
                            std::size_t mapping::PoolState::*number) {
    text.family(name + std::string(suffix), "gauge", meaning);
    for (const BackendNumbers& backend : numbers) {
      if (!(backend.*pool)) continue;
      text.sample({{"backend", backend.name}}, static_cast<double>(*(backend.*pool).*number));
    }
  };
  of_pools("_waiting", "Requests that wait for a free one of these.", &mapping::PoolState::waiting);
  of_pools("_limit", "The most of these that may be open.", &mapping::PoolState::limit);
}

}  // namespace

void Admin::Impl::write_backends(MetricsText& text) const {
  text.family("modgate_backend_up", "gauge",
              "1 if the backend answers a C-ECHO or OPTIONS, 0 if not or not yet.");
  for (const auto& [name, state] : backends_.states()) {
    text.sample({{"backend", name}}, state.is == BackendState::Is::up ? 1 : 0);
  }
  const auto numbers = sources_.numbers();
  write_pools(text, numbers, "modgate_backend_associations", "Associations open to an SCP.",
              &BackendNumbers::associations);
  write_pools(text, numbers, "modgate_backend_connections", "Connections open to an origin server.",
              &BackendNumbers::connections);
  const auto of_backends = [&](std::string_view name, std::string_view help, const auto& value) {
    text.family(name, "counter", help);
    for (const BackendNumbers& backend : numbers) {
      const auto& number = backend.*value;
      if (number) text.sample({{"backend", backend.name}}, static_cast<double>(*number));
    }
  };
  of_backends("modgate_backend_replaced_characters_total",
              "Characters of requests that became question marks (unencodable_text = replace).",
              &BackendNumbers::replaced_characters);
  of_backends("modgate_mismatched_matches_total",
              "Matches left out by verify_matches: not what was searched for.",
              &BackendNumbers::mismatched_matches);
}

void Admin::Impl::write_queue(MetricsText& text, const QueueWatch& queue) {
  const auto depths = queue.state();
  const auto of_receivers = [&](std::string_view name, std::string_view help, const auto& value) {
    text.family(name, "gauge", help);
    for (const QueueDepth& depth : depths.receivers) {
      text.sample({{"receiver", depth.receiver}}, value(depth));
    }
  };
  text.single("modgate_queue_readable", "gauge", "1 if the queue can be read, 0 if not.",
              depths.fault.empty() ? 1 : 0);
  text.single("modgate_queue_writable", "gauge", "1 if the queue can be written, 0 if not.",
              depths.fault.empty() && depths.write_fault.empty() ? 1 : 0);
  of_receivers("modgate_queue_messages", "MPPS messages neither delivered nor discarded.",
               [](const QueueDepth& depth) { return static_cast<double>(depth.open); });
  of_receivers("modgate_queue_held", "Of these, held until a person decides.",
               [](const QueueDepth& depth) { return static_cast<double>(depth.held); });
  of_receivers("modgate_queue_oldest_age_seconds", "Age of the oldest of these messages.",
               [now = queue_now()](const QueueDepth& depth) {
                 if (!depth.oldest) return 0.0;
                 const std::chrono::duration<double> age = now - *depth.oldest;
                 return std::max(age.count(), 0.0);
               });
}

Admin::Admin(Config::Admin options, AdminSources sources, BackendWatchOptions watch,
             mapping::Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(sources), watch, std::move(log))) {
}

Admin::~Admin() = default;

mapping::Result<std::uint16_t> Admin::start(std::vector<WatchedBackend> backends,
                                            std::shared_ptr<MppsQueue> queue) {
  return impl_->start(std::move(backends), std::move(queue));
}

mapping::Result<mapping::Change> Admin::prepare(const Config::Admin& options,
                                                std::vector<WatchedBackend> backends,
                                                std::shared_ptr<MppsQueue> queue) {
  return impl_->prepare(options, std::move(backends), std::move(queue));
}

void Admin::note_stopping() { impl_->note_stopping(); }

void Admin::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace gateway
