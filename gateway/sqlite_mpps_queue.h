// The durable queue in one SQLite file: WAL, group commit, and a sync of its own beside the next
// transaction.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "gateway/mpps_queue.h"
#include "mapping/result.h"

namespace gateway {

/// Holds nothing in memory but SQLite's page cache and the steps that messages came for last, so
/// that a backlog costs disk only.
class SqliteMppsQueue : public MppsQueue {
 public:
  /// How a queue is opened.
  enum class Role : std::uint8_t {
    /// The gateway: creates the file where there is none, refuses a second gateway, checks the
    /// file, takes back what a gateway that is gone had on its way.
    gateway,
    /// Somebody who looks and mends while a gateway may be running. The file must be there.
    visitor
  };
  /// directory: state_dir. Fault: what is wrong with which file, and what to do.
  static mapping::Result<std::unique_ptr<SqliteMppsQueue>> open(
      const std::filesystem::path& directory, Role role);
  /// Whether a gateway has left one in this directory.
  static bool is_in(const std::filesystem::path& directory);
  ~SqliteMppsQueue() override;

  Accepted accept(const MppsMessage& message, const Judge& judge) override;
  void decide(MessageId id, bool happened) override;
  Taken finish(const std::string& receiver, const std::vector<Ended>& ended, QueueTime now,
               std::size_t take_at_most) override;
  void make_due(const std::string& receiver, QueueTime now) override;
  void check_writable() override;
  bool changed_elsewhere() override;
  std::optional<RecordedStep> step(const mapping::Uid& mpps) override;
  bool is_open(const mapping::Uid& mpps, const std::string& receiver) override;
  std::vector<QueueEntry> list(const QueueFilter& filter) override;
  std::vector<QueueEntry> entries(MessageId id, const std::string& receiver) override;
  std::optional<MppsMessage> message(MessageId id) override;
  std::vector<QueueDepth> depths() override;
  bool retry(MessageId id, const std::string& receiver) override;
  bool discard(MessageId id, const std::string& receiver) override;
  std::size_t forget(QueueTime accepted_before) override;

 private:
  class Impl;
  explicit SqliteMppsQueue(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gateway
