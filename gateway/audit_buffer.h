// Where audit messages lie until the collector has them: one SQLite file in state_dir, readable by
// its owner only, since they name patients. Beside them, whom each performed procedure step is
// about: an N-SET names no patient, and its audit message has to. Knows no network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/audit_message.h"
#include "mapping/result.h"

namespace gateway {

/// The file could not be read or written (disk full, damaged): nothing has happened. what(): for
/// the log, without patient data.
class AuditBufferFailure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Safe from any thread. What transaction has written is there after SIGKILL; a power failure may
/// cost what the kernel had not written yet (PRAGMA synchronous=NORMAL): nobody waits for the disk.
class AuditBuffer {
 public:
  /// directory: state_dir. Fault: what is wrong with which file, and what to do.
  static mapping::Result<std::unique_ptr<AuditBuffer>> open(const std::filesystem::path& directory);
  ~AuditBuffer();

  /// Runs work, which may call the functions below it, and commits. Throws AuditBufferFailure.
  void transaction(const std::function<void()>& work);
  /// Inside transaction.
  void append(const std::string& message);
  void keep_step(const std::string& mpps, const AuditedStep& step, AuditTime now);
  std::optional<AuditedStep> step(const std::string& mpps);
  /// Forgets steps that were kept before this.
  void forget_steps(AuditTime before);

  struct Stored {
    std::int64_t id = 0;
    std::string message;
  };
  /// The oldest messages behind the one with this id, in order. Throws AuditBufferFailure.
  std::vector<Stored> next(std::int64_t after, std::size_t count);
  /// All up to this one, included. Throws AuditBufferFailure.
  void remove_through(std::int64_t id);

  /// Of the messages that lie there. Without waiting for the disk.
  std::uint64_t count() const;
  std::uint64_t bytes() const;

 private:
  struct Impl;
  explicit AuditBuffer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
