// SQLite writes each frame of its write-ahead log in two pieces: eight calls of the kernel for a
// small commit, a fifth of the time that it takes. Here they gather, and a commit is one write.
// Source: "Database File Format" of SQLite, 4.1 (WAL file format).
#pragma once

namespace gateway {

/// The name of a VFS that is SQLite's default one but for write-ahead logs: frames that are
/// appended lie in memory until the one that commits them has come, or until the connection reads,
/// measures, cuts or syncs the log. So what is committed is in the file before SQLite tells other
/// connections of it, and a write that fails is the failure of that commit. The first call
/// registers it; safe from any thread.
const char* gathering_vfs();

}  // namespace gateway
