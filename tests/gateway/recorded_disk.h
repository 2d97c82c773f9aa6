// What a disk may hold of a directory after the machine has stopped: of what was written to a file
// since its last sync all, nothing or torn parts. Records what SQLite writes and what anybody syncs
// there, and makes directories of it as they may be found at each moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace power_loss_test {

using Random = std::minstd_rand;
/// 0 to end - 1.
std::size_t below(Random& random, std::size_t end);

/// One at a time, over all that is opened and closed while it lives. Not what -shm files hold:
/// nobody syncs those, and nobody believes them. Meanwhile nobody waits for a real disk.
class RecordedDisk {
 public:
  explicit RecordedDisk(std::filesystem::path directory);
  ~RecordedDisk();
  RecordedDisk(const RecordedDisk&) = delete;
  RecordedDisk& operator=(const RecordedDisk&) = delete;

  /// How many events there were.
  std::size_t now() const { return events_.size(); }
  /// Puts into another directory what may be found when the machine stops after so many events.
  void restore(std::size_t moment, Random& random, const std::filesystem::path& directory) const;

  /// What happened to a file.
  struct Event {
    enum class Kind : std::uint8_t { create, write, truncate, sync, remove };
    Kind kind = Kind::write;
    std::string file;        ///< its name; empty: the directory itself, with the names in it
    std::size_t offset = 0;  ///< of a write; the size of a truncated file
    std::string bytes{};     ///< of a write
  };
  static bool is_one() { return current_ != nullptr; }
  /// By those that write and sync. Nothing if no disk is recorded, or another directory.
  static void note(Event::Kind kind, const std::filesystem::path& file, std::size_t offset = 0,
                   std::string bytes = {});

 private:
  static RecordedDisk* current_;
  const std::filesystem::path directory_;
  std::vector<Event> events_;
};

}  // namespace power_loss_test
