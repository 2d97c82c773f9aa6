// A bearer token in a file that somebody else renews: an agent of the identity provider, an
// orchestrator's projected secret, an administrator.
#pragma once

#include <sys/stat.h>

#include <mutex>
#include <string>

#include "mapping/log.h"
#include "mapping/result.h"

namespace web {

/// Safe from any thread.
class TokenFile {
 public:
  /// The token in the file: its first line without blanks around it.
  /// Fault: why there is none, without the file's name and never what stands in it.
  static mapping::Result<std::string> read(const std::string& file);

  TokenFile(std::string file, mapping::Log log) : file_(std::move(file)), log_(std::move(log)) {}

  /// The token; the file is read when it is another one than last time (inode, size, time of its
  /// change), or in any case where again. A file that holds no token leaves the last one in use:
  /// it may just be written. Empty: there was none yet.
  std::string token(bool again = false);

 private:
  bool changed();

  // Constant after construction.
  const std::string file_;
  const mapping::Log log_;

  std::mutex mutex_;
  struct ::stat last_ {};  // guarded by mutex_
  std::string token_;      // guarded by mutex_
};

}  // namespace web
