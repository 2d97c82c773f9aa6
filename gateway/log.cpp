// spdlog behind mapping::Log.
#include "gateway/log.h"

#include <spdlog/details/os.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

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

/// Two loggers, so that no line is made for one form and written in the other.
struct ProcessLog::Impl {
  std::shared_ptr<spdlog::logger> text = logger("%Y-%m-%dT%H:%M:%S.%eZ %l %v");
  std::shared_ptr<spdlog::logger> json =
      logger(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":"%v"})");
  std::atomic<mapping::LogLevel> level{};
  std::atomic<LogFormat> format{};

  static std::shared_ptr<spdlog::logger> logger(std::string pattern) {
    auto made = std::make_shared<spdlog::logger>("modgate",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    made->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        std::move(pattern), spdlog::pattern_time_type::utc));
    return made;
  }
  void write(mapping::LogLevel line_level, std::string_view line) {
    if (line_level > level) return;
    const bool as_json = format == LogFormat::json;
    (as_json ? json : text)
        ->log(to_spdlog(line_level),
              spdlog::string_view_t(as_json ? json_text(line) : printable(line)));
  }
};

ProcessLog::ProcessLog(mapping::LogLevel level, LogFormat format)
    : impl_(std::make_shared<Impl>()) {
  change(level, format);
}

mapping::Log ProcessLog::sink() const {
  return [impl = impl_](mapping::LogLevel level, std::string_view line) {
    try {
      impl->write(level, line);
    } catch (...) {  // a log that cannot be written stops nothing
    }
  };
}

void ProcessLog::change(mapping::LogLevel level, LogFormat format) {
  impl_->level = level;
  impl_->format = format;
}

}  // namespace gateway
