// Accepts TCP connections and gives each a thread, up to a limit. Knows no PDU.
//
// Why not DcmSCPPool: it leaks a thread per association, reads requests on the accepting thread, so
// that one silent client blocks everybody, and cannot answer at its limit.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "dimse/descriptor.h"
#include "mapping/log.h"
#include "mapping/log_limit.h"
#include "mapping/result.h"

namespace dimse {

/// A connection while its thread runs. The listener owns the descriptors.
struct Connection {
  int descriptor = -1;
  std::string address;       ///< numeric; IPv4 in IPv6 as IPv4
  int stop_descriptor = -1;  ///< readable once the listener stops
  /// To be called once the peer has shown who it is: until then the connection may be shut down to
  /// make room for another.
  std::function<void()> settle;
};

struct ListenerOptions {
  std::string bind = "0.0.0.0";  ///< numeric address
  std::uint16_t port = 0;
  std::size_t max_connections = 232;  ///< for one more, the oldest unsettled one has to go
};

class Listener {
 public:
  /// serve: runs on a thread of the connection's own; the connection is closed when it returns.
  using Serve = std::function<void(const Connection&)>;

  Listener(ListenerOptions options, Serve serve, mapping::Log log);
  ~Listener();  ///< stops without grace
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Listens and returns the port.
  mapping::Result<std::uint16_t> start();

  /// Stops accepting and makes every stop_descriptor readable; connections that are still served
  /// when the grace is over are shut down, and all threads joined. Harmless when called again.
  void stop(std::chrono::milliseconds grace);

 private:
  struct Served {
    Descriptor descriptor;
    std::thread thread;
    bool settled = false;  // guarded by mutex_
    bool evicted = false;  // guarded by mutex_
  };
  using ServedList = std::list<Served>;

  void accept_until_stopped();
  bool accept_one();
  bool make_room();             // with mutex_ held
  std::size_t leaving() const;  // with mutex_ held: evicted, and their threads still there
  void serve(ServedList::iterator served, const std::string& address);
  void join_finished();

  const ListenerOptions options_;
  const Serve serve_;
  const mapping::Log log_;
  const mapping::LogLimit limited_{log_};  ///< what callers can cause without end
  Descriptor listening_;
  Descriptor stop_;  ///< an eventfd, readable once stopped
  Descriptor wake_;  ///< an eventfd: a thread has finished
  std::thread accepting_;
  bool starved_ = false;  ///< the last accept found no descriptor; of the accepting thread

  std::mutex mutex_;
  std::condition_variable finished_one_;
  ServedList running_;   // guarded by mutex_; in order of arrival
  ServedList finished_;  // guarded by mutex_
};

}  // namespace dimse
