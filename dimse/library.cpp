// One-time setup of DCMTK. Its globals are set here and nowhere else.
#include "dimse/library.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/dcmtrans.h>
#include <dcmtk/oflog/appender.h>
#include <dcmtk/oflog/loglevel.h>
#include <dcmtk/oflog/oflog.h>
#include <dcmtk/oflog/spi/logevent.h>

#include <csignal>
#include <mutex>
#include <string_view>
#include <utility>

#include "dimse/associate_pdu.h"
#include "mapping/log_limit.h"

namespace dimse {
namespace {

namespace log4cplus = dcmtk::log4cplus;

mapping::LogLevel level_of(log4cplus::LogLevel level) {
  if (level >= log4cplus::ERROR_LOG_LEVEL) return mapping::LogLevel::error;
  if (level >= log4cplus::WARN_LOG_LEVEL) return mapping::LogLevel::warn;
  if (level >= log4cplus::INFO_LOG_LEVEL) return mapping::LogLevel::info;
  return mapping::LogLevel::debug;
}

OFLogger::LogLevel to_library(mapping::LogLevel level) {
  switch (level) {
    case mapping::LogLevel::error:
      return OFLogger::ERROR_LOG_LEVEL;
    case mapping::LogLevel::warn:
      return OFLogger::WARN_LOG_LEVEL;
    case mapping::LogLevel::info:
      return OFLogger::INFO_LOG_LEVEL;
    case mapping::LogLevel::debug:
      return OFLogger::DEBUG_LOG_LEVEL;
  }
  return OFLogger::ERROR_LOG_LEVEL;
}

/// Hands each line of DCMTK's logger on. Called by log4cplus under the appender's own lock.
class LogBridge : public log4cplus::Appender {
 public:
  explicit LogBridge(mapping::Log log) : limited_(std::move(log)) {}
  ~LogBridge() override { destructorImpl(); }
  void close() override { closed = true; }

 protected:
  void append(const log4cplus::spi::InternalLoggingEvent& event) override {
    const auto& message = event.getMessage();
    std::string_view line(message.c_str(), message.length());
    limited_(level_of(event.getLogLevel()), {}, line.substr(0, line.find('\n')));
  }

 private:
  const mapping::LogLimit limited_;  ///< a peer may make it speak without end
};

}  // namespace

void set_up_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::signal(SIGPIPE, SIG_IGN);
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    dcmDisableGethostbyaddr.set(OFTrue);
    dcmSocketSendTimeout.set(-1);  // our transport keeps the time
    dcmSocketReceiveTimeout.set(-1);
    dcmAssociatePDUSizeLimit.set(max_associate_bytes);
  });
}

void lead_library_log(mapping::Log log, mapping::LogLevel level) {
  set_up_library();
  auto root = log4cplus::Logger::getRoot();
  root.removeAllAppenders();
  if (!log) {
    root.setLogLevel(OFLogger::OFF_LOG_LEVEL);
    return;
  }
  root.addAppender(log4cplus::SharedAppenderPtr(new LogBridge(std::move(log))));
  root.setLogLevel(to_library(level));
}

}  // namespace dimse
