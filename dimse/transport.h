// Bytes on one TCP connection, both roles: buffered both ways, one send a message and one recv a
// burst, every wait bounded by a total deadline, so that a peer that drips or stops reading holds
// no thread for ever. Knows no PDU. TLS, where it is spoken, stands in for the calls of send and
// recv.
//
// Why not DcmTCPConnection: it writes each PDU in two writes with Nagle on (44 ms against delayed
// ACKs), and its timeouts begin anew with each byte.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dimse {

class TlsSession;

/// One thread at a time, except shutting the descriptor down from outside.
class Transport {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Status { ok, timed_out, closed };  ///< closed: by the peer, or broken
  enum class Wait { readable, beside, timed_out };

  /// descriptor: a connected stream socket; not owned. Sets TCP_NODELAY. tls: after its handshake;
  /// null: the bytes go as they are.
  explicit Transport(int descriptor);
  Transport(int descriptor, std::unique_ptr<TlsSession> tls);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int descriptor() const { return descriptor_; }
  /// What TLS complained about, for the log; empty if it did not.
  std::string tls_failure() const;

  /// Bytes that have arrived and were not consumed. Valid until the next call.
  std::string_view input() const { return {input_.data() + begin_, end_ - begin_}; }
  void consume(std::size_t count);
  /// Flushes, then reads until input() holds that many bytes.
  Status fill(std::size_t wanted, Clock::time_point deadline);
  /// Reads once what is there without blocking. ok even if nothing was.
  Status fill_available();
  /// Flushes, then waits for more input, the end of the connection, or `beside` (-1 = none) to
  /// become readable. Gives back large empty buffers first.
  Wait wait(Clock::time_point deadline, int beside = -1);

  /// Appends to what the next flush sends.
  void write(std::string_view bytes) { output_.append(bytes); }
  /// For building in place.
  std::string& output() { return output_; }
  Status flush(Clock::time_point deadline);
  /// Sends what can be sent without blocking; the rest stays.
  Status flush_available();
  /// Bytes that left so far.
  std::uint64_t sent() const { return sent_; }

  /// Deadline of the flushes that fill and wait do. Set by whoever writes.
  void set_write_timeout(std::chrono::milliseconds timeout) { write_timeout_ = timeout; }

  /// Ends our direction and swallows what still comes, until the peer closes or the time is over:
  /// closing with unread input would reset the connection and could destroy what we sent last.
  void close_gracefully(std::chrono::milliseconds at_most);

 private:
  void make_room(std::size_t wanted);
  Status receive();
  Status receive_by_tls();
  Status send_once();
  Status send_by_tls();
  void count_sent(std::size_t bytes);
  void acknowledge();
  bool await(short events, Clock::time_point deadline);  ///< false: timed out

  const int descriptor_;
  const std::unique_ptr<TlsSession> tls_;
  short receive_on_, send_on_;  ///< what poll must see before another try; TLS may need the other
  std::vector<char> input_;
  std::size_t begin_ = 0, end_ = 0;
  std::string output_;
  std::size_t flushed_ = 0;  ///< of output_
  std::uint64_t sent_ = 0;
  bool owes_acknowledgement_ = false;  ///< the kernel may hold it back
  std::chrono::milliseconds write_timeout_{30'000};
};

/// A poll timeout for a deadline: rounded up, capped at a day, 0 if it has passed.
int poll_timeout(Transport::Clock::time_point deadline);

}  // namespace dimse
