// Wraps the file of the log; every other file is the default VFS' own.
#include "gateway/gathering_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <string>

namespace gateway {
namespace {

constexpr int frame_header_size = 24;
constexpr int pages_after_commit = 4;  ///< four bytes of the header there: not zero, it commits
/// SQLite's VFS for Unix cannot write more at once, and says then that the disk is full.
constexpr std::size_t writes_at_most = 0x1ffff;

/// At the beginning of what SQLite allocates for a file; the default VFS' file lies behind it.
struct Log {
  sqlite3_file base{};  ///< what SQLite knows
  sqlite3_file* file = nullptr;
  std::string gathered{};
  sqlite3_int64 gathered_at = 0;
  sqlite3_int64 end = 0;  ///< of what was written last
  bool commits = false;   ///< the page that comes next does
};
constexpr std::size_t alignment = alignof(std::max_align_t);
constexpr std::size_t size_of_log = (sizeof(Log) + alignment - 1) / alignment * alignment;

Log& log_of(sqlite3_file* file) { return *reinterpret_cast<Log*>(file); }
const sqlite3_io_methods& methods_of(const Log& log) { return *log.file->pMethods; }

// What cannot be written is forgotten: SQLite gives its transaction up, and writes other frames
// there.
int flush(Log& log) {
  if (log.gathered.empty()) return SQLITE_OK;
  const int result = methods_of(log).xWrite(log.file, log.gathered.data(),
                                            static_cast<int>(log.gathered.size()), log.gathered_at);
  log.gathered.clear();
  return result;
}

int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  Log& log = log_of(file);
  const auto* const text = static_cast<const char*>(bytes);
  const bool committed = log.commits;
  const bool appended = offset == log.end;
  log.commits = size == frame_header_size &&
                std::any_of(text + pages_after_commit, text + pages_after_commit + 4,
                            [](char byte) { return byte != 0; });
  log.end = offset + size;
  if (!appended) {
    // A header may be written anew and no page follow it.
    const int flushed = flush(log);
    return flushed != SQLITE_OK ? flushed : methods_of(log).xWrite(log.file, bytes, size, offset);
  }
  if (log.gathered.size() + static_cast<std::size_t>(size) > writes_at_most) {
    if (const int flushed = flush(log); flushed != SQLITE_OK) return flushed;
  }
  if (log.gathered.empty()) log.gathered_at = offset;
  try {
    log.gathered.append(text, static_cast<std::size_t>(size));
  } catch (const std::bad_alloc&) {
    log.gathered.clear();
    return SQLITE_IOERR_NOMEM;
  }
  return committed ? flush(log) : SQLITE_OK;
}

/// Calls that method of the default VFS' file once everything is in it.
template <auto method, class... Arguments>
int after_flush(sqlite3_file* file, Arguments... arguments) {
  Log& log = log_of(file);
  const int flushed = flush(log);
  return flushed != SQLITE_OK ? flushed : (methods_of(log).*method)(log.file, arguments...);
}

template <auto method, class... Arguments>
int at_once(sqlite3_file* file, Arguments... arguments) {
  const Log& log = log_of(file);
  return (methods_of(log).*method)(log.file, arguments...);
}

int close(sqlite3_file* file) {
  Log& log = log_of(file);
  const int flushed = flush(log);
  const int closed = methods_of(log).xClose(log.file);
  std::destroy_at(&log);
  return flushed != SQLITE_OK ? flushed : closed;
}

using Io = sqlite3_io_methods;
constexpr Io log_methods{.iVersion = 1,
                         .xClose = close,
                         .xRead = after_flush<&Io::xRead, void*, int, sqlite3_int64>,
                         .xWrite = write,
                         .xTruncate = after_flush<&Io::xTruncate, sqlite3_int64>,
                         .xSync = after_flush<&Io::xSync, int>,
                         .xFileSize = after_flush<&Io::xFileSize, sqlite3_int64*>,
                         .xLock = at_once<&Io::xLock, int>,
                         .xUnlock = at_once<&Io::xUnlock, int>,
                         .xCheckReservedLock = at_once<&Io::xCheckReservedLock, int*>,
                         .xFileControl = at_once<&Io::xFileControl, int, void*>,
                         .xSectorSize = at_once<&Io::xSectorSize>,
                         .xDeviceCharacteristics = at_once<&Io::xDeviceCharacteristics>,
                         // of version 2 and 3, for databases
                         .xShmMap = nullptr,
                         .xShmLock = nullptr,
                         .xShmBarrier = nullptr,
                         .xShmUnmap = nullptr,
                         .xFetch = nullptr,
                         .xUnfetch = nullptr};

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* flags_then) {
  auto* const own = static_cast<sqlite3_vfs*>(vfs->pAppData);
  if ((flags & SQLITE_OPEN_WAL) == 0) return own->xOpen(own, name, file, flags, flags_then);
  Log* const log = new (file) Log;
  log->file = reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + size_of_log);
  log->file->pMethods = nullptr;
  const int opened = own->xOpen(own, name, log->file, flags, flags_then);
  log->base.pMethods = log->file->pMethods == nullptr ? nullptr : &log_methods;
  if (log->base.pMethods == nullptr) std::destroy_at(log);
  return opened;
}

}  // namespace

const char* gathering_vfs() {
  static sqlite3_vfs vfs = [] {
    sqlite3_vfs* const own = sqlite3_vfs_find(nullptr);
    sqlite3_vfs made = *own;
    made.zName = "modgate-gathering";
    made.szOsFile = own->szOsFile + static_cast<int>(size_of_log);
    made.pAppData = own;
    made.pNext = nullptr;
    made.xOpen = open;
    return made;
  }();
  static const int registered = sqlite3_vfs_register(&vfs, 0);
  return registered == SQLITE_OK ? vfs.zName : nullptr;
}

}  // namespace gateway
