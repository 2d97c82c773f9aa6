// An established association, both roles: whole messages (command and data set bytes) over
// P-DATA-TF PDUs, release and abort. PS3.8, 9.3 and Annex E; PS3.7, 8.4. Knows no command's
// meaning.
//
// The PDUs of an established association are read and written here and not by DCMTK's DUL, because
// DUL cannot look for a C-CANCEL without waiting for the rest of a PDU that drips, cannot abort as
// the provider or without waiting for the peer to close, and copies every fragment into a 128 kB
// buffer that each idle association would hold.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "dimse/command.h"
#include "dimse/negotiation.h"
#include "dimse/transport.h"
#include "mapping/services.h"

namespace dimse {

struct Message {
  std::uint8_t context_id = 0;
  Command command;
  std::string data_set;  ///< encoded; empty if the command says that there is none
};

/// What ended an association, or what else receive came back with.
enum class Arrival {
  message,
  nothing,         ///< look: no whole message yet
  interrupted,     ///< the descriptor beside became readable
  timed_out,       ///< no first byte in time, or no whole message
  released,        ///< A-RELEASE-RQ: answer with confirm_release
  aborted,         ///< A-ABORT
  closed,          ///< the connection ended
  protocol_error,  ///< a PDU or message that may not be here: abort
  too_large        ///< a PDU or message over a limit: abort
};
std::string_view to_string(Arrival arrival);

/// One thread at a time.
class Association {
 public:
  using Clock = Transport::Clock;

  struct Limits {
    std::size_t max_data_set_bytes = 16u << 20;
    std::chrono::milliseconds write_timeout{30'000};
  };

  Association(Transport& transport, Negotiated negotiated, Limits limits);
  Association(const Association&) = delete;
  Association& operator=(const Association&) = delete;

  const Negotiated& negotiated() const { return negotiated_; }
  /// The accepted context with this ID, or of this abstract syntax; null if there is none.
  const PresentationContext* context(std::uint8_t id) const;
  const PresentationContext* context_for(std::string_view abstract_syntax) const;

  struct ReceiveOptions {
    Clock::time_point first_byte;                        ///< until the message begins
    Clock::time_point whole = Clock::time_point::max();  ///< until it is here, whenever it began
    /// … or so long after it began, whichever is first.
    std::chrono::milliseconds once_begun{30'000};
    int beside = -1;  ///< a descriptor that interrupts the waiting
    /// Asked before each waiting, and while it lasts; interrupts it. Not together with beside.
    mapping::Cancellation* cancellation = nullptr;
  };
  /// Waits for the next message. What was sent but not flushed leaves first.
  Arrival receive(Message& message, const ReceiveOptions& options);
  /// Takes in what has arrived, without blocking, and says whether a message is waiting or how the
  /// association ended. Sends what can be sent without blocking.
  Arrival look();
  /// A C-CANCEL of this message has arrived. It is taken away.
  bool take_cancel(std::uint16_t message_id);
  /// Takes in what has arrived, without sending anything, and takes away a request of this Message
  /// ID: one that was sent while the first was not answered yet.
  std::optional<Message> take_repeated(std::uint16_t message_id);
  /// A descriptor that becomes readable when look is worth a call.
  int descriptor() const { return transport_.descriptor(); }

  /// Appends a message to what the next flush sends. Big ones leave at once.
  Transport::Status send(std::uint8_t context_id, const Command& command,
                         std::string_view data_set = {});
  Transport::Status flush();
  std::size_t unflushed() const { return transport_.output().size(); }
  /// Bytes that left so far, for knowing whether a request was delivered at all.
  std::uint64_t bytes_sent() const { return transport_.sent(); }

  std::uint16_t next_message_id();

  /// A-RELEASE-RQ, then waits for A-RELEASE-RP. False: it did not come in time.
  bool release(Clock::time_point deadline);
  /// A-RELEASE-RP.
  void confirm_release();
  /// PS3.8, 9.3.8: who aborts, and the provider's reason.
  enum class AbortSource : std::uint8_t { service_user = 0, service_provider = 2 };
  enum class AbortReason : std::uint8_t {
    none = 0,
    unrecognized_pdu = 1,
    unexpected_pdu = 2,
    invalid_parameter = 6
  };
  /// Sends what can be sent without waiting for the peer.
  void abort(AbortSource source, AbortReason reason = AbortReason::none);

 private:
  enum class Phase { between, command, data_set };
  static constexpr std::size_t max_waiting_messages = 16;

  void take_in();                      ///< what has arrived, without blocking
  void take_pdus(std::size_t enough);  ///< stops when so many messages wait
  Arrival take_pdu(std::uint8_t type, std::string_view body);
  Arrival take_pdvs(std::string_view body);
  Arrival take_pdv(std::uint8_t context_id, std::uint8_t control, std::string_view fragment);
  Arrival take_command();
  void finish_message();
  bool has_begun() const;
  Arrival wait_for_more(Clock::time_point deadline, const ReceiveOptions& options);
  void write_fragments(std::uint8_t context_id, bool command, std::string_view bytes);

  Transport& transport_;
  const Negotiated negotiated_;
  const Limits limits_;
  Arrival ended_ = Arrival::nothing;
  std::deque<Message> waiting_;
  std::size_t waiting_bytes_ = 0;  ///< of their data sets; all together within the limit of one
  Phase phase_ = Phase::between;
  Message partial_;
  std::string partial_command_;
  std::uint16_t last_message_id_ = 0;
  std::string encoded_command_;  ///< kept for its memory
};

}  // namespace dimse
