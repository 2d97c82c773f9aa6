// spdlog behind mapping::Log.
#include "gateway/log.h"

#include <spdlog/details/os.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "gateway/json_text.h"

namespace gateway {
namespace {

spdlog::level::level_enum to_spdlog(mapping::LogLevel level) {
  switch (level) {
    case mapping::LogLevel::error:
      return spdlog::level::err;
    case mapping::LogLevel::warn:
      return spdlog::level::warn;
    case mapping::LogLevel::info:
      return spdlog::level::info;
    case mapping::LogLevel::debug:
      return spdlog::level::debug;
  }
  return spdlog::level::info;
}

}  // namespace

mapping::Log make_log(mapping::LogLevel level, LogFormat format) {
  auto logger = std::make_shared<spdlog::logger>("modgate",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::trace);
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      format == LogFormat::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":"%v"})"
                                : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
      spdlog::pattern_time_type::utc));
  return [logger, format](mapping::LogLevel line_level, std::string_view line) {
    const auto spdlog_level = to_spdlog(line_level);
    if (!logger->should_log(spdlog_level)) return;
    try {
      logger->log(spdlog_level, spdlog::string_view_t(format == LogFormat::json ? json_text(line)
                                                                                : printable(line)));
    } catch (...) {  // a log that cannot be written stops nothing
    }
  };
}

}  // namespace gateway
