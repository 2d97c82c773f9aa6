// A VFS of SQLite that notes what it hands on to the one that was the default, and fdatasync.
#include "tests/gateway/recorded_disk.h"

#include <sqlite3.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <utility>

namespace power_loss_test {

std::size_t below(Random& random, std::size_t end) {
  return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
}

namespace {

using Event = RecordedDisk::Event;
using Kind = Event::Kind;

sqlite3_vfs* below_it = nullptr;

struct NotingFile {
  sqlite3_file base;
  const char* name;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
NotingFile* noting(sqlite3_file* file) { return reinterpret_cast<NotingFile*>(file); }
sqlite3_file* real(sqlite3_file* file) { return noting(file)->real(); }
const char* name_of(sqlite3_file* file) {
  return noting(file)->name == nullptr ? "" : noting(file)->name;
}

template <auto Method, class... Arguments>
int hand_on(sqlite3_file* file, Arguments... arguments) {
  return (real(file)->pMethods->*Method)(real(file), arguments...);
}

int write_and_note(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  RecordedDisk::note(Kind::write, name_of(file), static_cast<std::size_t>(offset),
                     {static_cast<const char*>(data), static_cast<std::size_t>(size)});
  return hand_on<&sqlite3_io_methods::xWrite>(file, data, size, offset);
}
int truncate_and_note(sqlite3_file* file, sqlite3_int64 size) {
  RecordedDisk::note(Kind::truncate, name_of(file), static_cast<std::size_t>(size));
  return hand_on<&sqlite3_io_methods::xTruncate>(file, size);
}

constexpr sqlite3_io_methods methods = [] {
  sqlite3_io_methods all{};
  all.iVersion = 2;
  all.xClose = [](sqlite3_file* file) { return hand_on<&sqlite3_io_methods::xClose>(file); };
  all.xRead = hand_on<&sqlite3_io_methods::xRead, void*, int, sqlite3_int64>;
  all.xWrite = write_and_note;
  all.xTruncate = truncate_and_note;
  all.xSync = hand_on<&sqlite3_io_methods::xSync, int>;  // noted by fdatasync
  all.xFileSize = hand_on<&sqlite3_io_methods::xFileSize, sqlite3_int64*>;
  all.xLock = hand_on<&sqlite3_io_methods::xLock, int>;
  all.xUnlock = hand_on<&sqlite3_io_methods::xUnlock, int>;
  all.xCheckReservedLock = hand_on<&sqlite3_io_methods::xCheckReservedLock, int*>;
  all.xFileControl = hand_on<&sqlite3_io_methods::xFileControl, int, void*>;
  all.xSectorSize = [](sqlite3_file* file) {
    return hand_on<&sqlite3_io_methods::xSectorSize>(file);
  };
  all.xDeviceCharacteristics = [](sqlite3_file* file) {
    return hand_on<&sqlite3_io_methods::xDeviceCharacteristics>(file);
  };
  all.xShmMap = hand_on<&sqlite3_io_methods::xShmMap, int, int, int, void volatile**>;
  all.xShmLock = hand_on<&sqlite3_io_methods::xShmLock, int, int, int>;
  all.xShmBarrier = [](sqlite3_file* file) { real(file)->pMethods->xShmBarrier(real(file)); };
  all.xShmUnmap = hand_on<&sqlite3_io_methods::xShmUnmap, int>;
  return all;
}();

int open_and_note(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* granted) {
  const bool there = name != nullptr && std::filesystem::exists(name);
  const int result = below_it->xOpen(below_it, name, real(file), flags, granted);
  noting(file)->name = name;
  file->pMethods = real(file)->pMethods == nullptr ? nullptr : &methods;
  if (name != nullptr && !there) RecordedDisk::note(Kind::create, name);
  return result;
}
int delete_and_note(sqlite3_vfs*, const char* name, int sync_directory) {
  RecordedDisk::note(Kind::remove, name);
  return below_it->xDelete(below_it, name, sync_directory);
}

sqlite3_vfs& noting_vfs() {
  static sqlite3_vfs vfs = [] {
    below_it = sqlite3_vfs_find(nullptr);
    sqlite3_vfs own = *below_it;
    own.zName = "noting";
    own.szOsFile += static_cast<int>(sizeof(NotingFile));
    own.xOpen = open_and_note;
    own.xDelete = delete_and_note;
    return own;
  }();
  return vfs;
}

// From the beginning: whoever has asked for the default VFS once keeps it. Notes nothing where no
// disk is recorded.
[[maybe_unused]] const int registered = sqlite3_vfs_register(&noting_vfs(), 1);

}  // namespace

RecordedDisk* RecordedDisk::current_ = nullptr;

RecordedDisk::RecordedDisk(std::filesystem::path directory) : directory_(std::move(directory)) {
  current_ = this;
}
RecordedDisk::~RecordedDisk() { current_ = nullptr; }

void RecordedDisk::note(Kind kind, const std::filesystem::path& file, std::size_t offset,
                        std::string bytes) {
  if (current_ == nullptr) return;
  const bool names = file == current_->directory_;
  if (!names && file.parent_path() != current_->directory_) return;
  current_->events_.push_back(
      {kind, names ? std::string() : file.filename().string(), offset, std::move(bytes)});
}

}  // namespace power_loss_test

// In place of the C library's: SQLite syncs by it, and so do we. What is recorded needs no disk.
extern "C" int fdatasync(int descriptor) {
  using power_loss_test::RecordedDisk;
  if (!RecordedDisk::is_one()) return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
  std::error_code none;
  RecordedDisk::note(
      RecordedDisk::Event::Kind::sync,
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), none));
  return 0;
}

namespace power_loss_test {
namespace {

// --- What a disk may hold of a file.

void put(const Event& event, std::string& content) {
  if (event.kind == Kind::truncate) content.resize(event.offset);
  if (event.kind != Kind::write) return;
  content.resize(std::max(content.size(), event.offset + event.bytes.size()));
  content.replace(event.offset, event.bytes.size(), event.bytes);
}

enum class Left : std::uint8_t { nothing, all, torn, holes, sectors };
constexpr std::size_t lefts = 5;
constexpr std::size_t sector = 512;

/// Of what was written since the last sync.
void apply_some(const std::vector<const Event*>& unsynced, Left left, Random& random,
                std::string& content) {
  const std::size_t whole = unsynced.empty() ? 0 : below(random, unsynced.size());
  for (std::size_t i = 0; i < unsynced.size(); ++i) {
    Event event = *unsynced[i];
    switch (left) {
      case Left::nothing:
        return;
      case Left::all:
        break;
      case Left::torn:  // up to some byte
        if (i > whole) return;
        if (i == whole) event.bytes.resize(below(random, event.bytes.size() + 1));
        break;
      case Left::holes:  // the file has grown, its blocks were not written
        event.bytes.assign(event.bytes.size(), '\0');
        if (event.offset < content.size()) continue;
        break;
      case Left::sectors:  // any of them, in any order
        if (event.kind == Kind::truncate && below(random, 2) == 0) continue;
        for (std::size_t at = 0; at < event.bytes.size(); at += sector) {
          if (below(random, 2) == 0) continue;
          put({Kind::write, {}, event.offset + at, event.bytes.substr(at, sector)}, content);
        }
        if (event.kind == Kind::write) continue;
        break;
    }
    put(event, content);
  }
}

}  // namespace

void RecordedDisk::restore(std::size_t moment, Random& random,
                           const std::filesystem::path& directory) const {
  struct File {
    std::string synced;
    std::vector<const Event*> unsynced;
    bool named = false;  ///< the directory was synced with its name in it
    bool removed = false;
  };
  std::map<std::string, File> files;
  for (std::size_t i = 0; i < moment; ++i) {
    const Event& event = events_[i];
    if (event.file.empty()) {
      std::erase_if(files, [](const auto& file) { return file.second.removed; });
      for (auto& file : files) file.second.named = true;
      continue;
    }
    File& file = files[event.file];
    if (event.kind == Kind::create) file = {};
    if (event.kind == Kind::remove) file.removed = true;
    if (event.kind == Kind::sync) {
      for (const Event* one : file.unsynced) put(*one, file.synced);
      file.unsynced.clear();
    } else {
      file.unsynced.push_back(&event);
    }
  }
  for (auto& [name, file] : files) {
    if ((file.removed || !file.named) && below(random, 2) == 0) continue;
    apply_some(file.unsynced, static_cast<Left>(below(random, lefts)), random, file.synced);
    std::ofstream(directory / name, std::ios::binary) << file.synced;
    // Nobody syncs it: what it says of the log is of some other time.
    if (name.ends_with("-wal") && below(random, 2) == 0) {
      const std::string shared = name.substr(0, name.size() - 3) + "shm";
      std::ofstream(directory / shared, std::ios::binary) << std::string(32768, '\x2A');
    }
  }
}

}  // namespace power_loss_test
