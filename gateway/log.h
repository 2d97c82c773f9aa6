// The log: one line an event to standard error, as text or JSON. The rooms below write through
// mapping::Log and do not know the logger.
#pragma once

#include <memory>

#include "gateway/config.h"
#include "mapping/log.h"

namespace gateway {

/// Everything this process logs. Control characters of a line and what is no UTF-8 (a peer may have
/// sent them) come out as "?". Safe from any thread.
class ProcessLog {
 public:
  ProcessLog(mapping::LogLevel level, LogFormat format);

  /// The sink; may outlive this.
  mapping::Log sink() const;
  /// For the lines that begin afterwards, of every sink.
  void change(mapping::LogLevel level, LogFormat format);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gateway
