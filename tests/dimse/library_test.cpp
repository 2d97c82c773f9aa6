// DCMTK's own log lines come in ours.
#include "dimse/library.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/oflog/oflog.h>

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

using mapping::LogLevel;

namespace {

/// DCMTK's lines, as long as it lives.
struct Led {
  std::vector<std::pair<LogLevel, std::string>> lines;
  explicit Led(LogLevel level) {
    dimse::lead_library_log(
        [this](LogLevel of_line, std::string_view line) { lines.emplace_back(of_line, line); },
        level);
  }
  ~Led() { dimse::lead_library_log({}, LogLevel::error); }
  Led(const Led&) = delete;
  Led& operator=(const Led&) = delete;
};

void say_all(OFLogger& logger) {
  OFLOG_ERROR(logger, "an error\nwith more lines");
  OFLOG_WARN(logger, "a warning");
  OFLOG_INFO(logger, "news");
  OFLOG_DEBUG(logger, "detail");
}

}  // namespace

TEST_CASE("DCMTK's messages of a level and above come in our log, with their level, a line each") {
  auto logger = OFLog::getLogger("dcmtk.dcmnet");
  {
    Led led(LogLevel::warn);
    say_all(logger);
    CHECK(led.lines == std::vector<std::pair<LogLevel, std::string>>{
                           {LogLevel::error, "an error"}, {LogLevel::warn, "a warning"}});
  }
  {
    Led led(LogLevel::error);
    say_all(logger);
    CHECK(led.lines.size() == 1);
  }
  say_all(logger);  // silent, and nobody is called who is gone
}

TEST_CASE("a peer that makes DCMTK complain without end does not fill the log") {
  auto logger = OFLog::getLogger("dcmtk.dcmnet");
  Led led(LogLevel::warn);
  for (int i = 0; i < 1000; ++i) OFLOG_WARN(logger, "complaint");
  CHECK(led.lines.size() < 30);
  CHECK(led.lines.back().second.find("too many such lines") != std::string::npos);
}
