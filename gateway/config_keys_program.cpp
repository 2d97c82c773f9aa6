// [gateway], [queue], [admin], [audit]: what is the program's own.
#include "gateway/config_keys.h"

namespace gateway {
namespace {

using namespace value;

Key directory(std::string name, std::string default_value, std::filesystem::path& target) {
  return {std::move(name), std::move(default_value), "a directory",
          [&target](const std::string& value) {
            target = value;
            return std::string();
          }};
}

Key collector(SyslogTarget& target, bool& off) {
  static constexpr const char* allowed =
      "udp://HOST[:514] or tls://HOST[:6514]; empty = no audit trail";
  return {"syslog", "", allowed, [&target, &off](const std::string& value) {
            off = value.empty();
            if (off) return std::string();
            auto parsed = SyslogTarget::parse(value);
            if (!parsed) return fmt::format("expected {}", allowed);
            target = std::move(parsed).value();
            return std::string();
          }};
}

}  // namespace

Keys gateway_keys(Config& config) {
  using mapping::LogLevel;
  return {
      choice<LogLevel>("log_level", "info",
                       {{"error", LogLevel::error},
                        {"warn", LogLevel::warn},
                        {"info", LogLevel::info},
                        {"debug", LogLevel::debug}},
                       config.log_level),
      choice<LogFormat>("log_format", "text",
                        {{"text", LogFormat::text}, {"json", LogFormat::json}}, config.log_format),
      at_start(directory("state_dir", "/var/lib/modgate", config.state_dir)),
  };
}

Keys queue_keys(DeliveryOptions& delivery) {
  return {
      integer("workers_per_receiver", "8", 1, 1000, delivery.workers),
      milliseconds("retry_first_milliseconds", "1000", 1, 3600000, delivery.retry_first),
      seconds("retry_max_seconds", "300", delivery.retry_max),
      seconds("probe_max_seconds", "15", delivery.probe_max),
      seconds("attempt_timeout_seconds", "60", delivery.attempt_timeout),
      integer("keep_delivered_days", "30", 1, 3650,
              [&delivery](std::uint64_t number) {
                delivery.keep_delivered = std::chrono::hours(24 * number);
              }),
  };
}

Keys admin_keys(Config::Admin& admin) {
  return {
      at_start(text("bind", "127.0.0.1", admin.bind)),
      at_start(port("port", "8082", admin.port, true)),
      users_file(admin.authentication),
      names("host_names", "empty, or names of hosts without port, joined by commas",
            admin.host_names),
  };
}

Keys audit_keys(AuditOptions& audit, bool& off) {
  return {
      collector(audit.syslog.target, off),
      text("source_id", "", audit.rules.source.id),
      text("enterprise_site_id", "", audit.rules.source.site),
      integer("buffer_megabytes", "256", 1, 1000000,
              [&audit](std::uint64_t number) { audit.rules.buffer_bytes = number << 20; }),
      file(text("tls_trusted", "", audit.syslog.tls.trusted)),
      file(text("tls_certificate", "", audit.syslog.tls.certificate)),
      file(text("tls_private_key", "", audit.syslog.tls.private_key)),
  };
}

}  // namespace gateway
