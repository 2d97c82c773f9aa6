// Messages to PDUs and back. PS3.8, 9.3.5 and Annex E; PS3.7, 6.3.1 (command PDVs come first).
#include "dimse/association.h"

#include <algorithm>
#include <optional>

namespace dimse {
namespace {

using Status = Transport::Status;

constexpr std::size_t pdu_header = 6;
constexpr std::size_t pdv_header = 6;  // length, context ID, message control header
constexpr std::size_t flush_at = 32u << 10;
constexpr std::uint32_t largest_pdu = 131072;
constexpr std::size_t largest_control_pdu = 128;  // release and abort have four bytes
constexpr std::chrono::milliseconds slice{50};
constexpr std::uint8_t control_command = 1, control_last = 2;

enum PduType : std::uint8_t { p_data = 4, release_rq = 5, release_rp = 6, a_abort = 7 };

std::uint32_t read_32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (auto byte : bytes.substr(at, 4)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

void write_32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void write_control_pdu(std::string& out, std::uint8_t type, std::uint8_t source = 0,
                       std::uint8_t reason = 0) {
  out.push_back(static_cast<char>(type));
  out.push_back(0);
  write_32(out, 4);
  out.append(2, '\0');
  out.push_back(static_cast<char>(source));
  out.push_back(static_cast<char>(reason));
}

}  // namespace

std::string_view to_string(Arrival arrival) {
  switch (arrival) {
    case Arrival::message:
      return "message";
    case Arrival::nothing:
      return "nothing";
    case Arrival::interrupted:
      return "interrupted";
    case Arrival::timed_out:
      return "timed out";
    case Arrival::released:
      return "released";
    case Arrival::aborted:
      return "aborted by the peer";
    case Arrival::closed:
      return "connection lost";
    case Arrival::protocol_error:
      return "protocol error";
    case Arrival::too_large:
      return "message too large";
  }
  return "unknown";
}

Association::Association(Transport& transport, Negotiated negotiated, Limits limits)
    : transport_(transport), negotiated_(std::move(negotiated)), limits_(limits) {
  transport_.set_write_timeout(limits_.write_timeout);
}

const PresentationContext* Association::context(std::uint8_t id) const {
  for (const auto& context : negotiated_.contexts) {
    if (context.id == id) return &context;
  }
  return nullptr;
}

const PresentationContext* Association::context_for(std::string_view abstract_syntax) const {
  for (const auto& context : negotiated_.contexts) {
    if (context.abstract_syntax == abstract_syntax) return &context;
  }
  return nullptr;
}

bool Association::has_begun() const {
  return phase_ != Phase::between || !transport_.input().empty();
}

Arrival Association::receive(Message& message, const ReceiveOptions& options) {
  std::optional<Clock::time_point> begun;
  for (;;) {
    take_pdus(1);
    if (!waiting_.empty()) {
      message = std::move(waiting_.front());
      waiting_.pop_front();
      waiting_bytes_ -= message.data_set.size();
      return Arrival::message;
    }
    if (ended_ != Arrival::nothing) return ended_;
    if (has_begun() && !begun) begun = Clock::now();
    auto deadline = begun ? *begun + options.once_begun : options.first_byte;
    const auto arrival = wait_for_more(std::min(deadline, options.whole), options);
    if (arrival != Arrival::nothing) return arrival;
    if (transport_.fill_available() == Status::closed) {
      take_pdus(1);
      if (waiting_.empty() && ended_ == Arrival::nothing) ended_ = Arrival::closed;
    }
  }
}

/// nothing: there is something to read.
Arrival Association::wait_for_more(Clock::time_point deadline, const ReceiveOptions& options) {
  auto* cancellation = options.cancellation;
  int beside = cancellation != nullptr ? cancellation->descriptor() : options.beside;
  for (;;) {
    if (cancellation != nullptr && cancellation->requested()) return Arrival::interrupted;
    // Without a descriptor, or with one that cries wolf, the cancellation is asked now and then.
    const bool slices = cancellation != nullptr && beside < 0;
    const auto until = slices ? std::min(deadline, Clock::now() + slice) : deadline;
    switch (transport_.wait(until, beside)) {
      case Transport::Wait::readable:
        return Arrival::nothing;
      case Transport::Wait::beside:
        if (cancellation == nullptr) return Arrival::interrupted;
        if (!cancellation->requested()) beside = -1;
        break;
      case Transport::Wait::timed_out:
        if (Clock::now() >= deadline) return Arrival::timed_out;
        break;
    }
  }
}

Arrival Association::look() {
  if (ended_ == Arrival::nothing) {
    if (!transport_.output().empty()) transport_.flush_available();
    take_in();
  }
  if (ended_ != Arrival::nothing) return ended_;
  return waiting_.empty() ? Arrival::nothing : Arrival::message;
}

void Association::take_in() {
  const bool open = transport_.fill_available() == Status::ok;
  take_pdus(max_waiting_messages);
  // Nobody sends so many requests ahead: one behind the other is all that DIMSE has here (H7).
  if (waiting_.size() >= max_waiting_messages) ended_ = Arrival::protocol_error;
  if (!open && ended_ == Arrival::nothing) ended_ = Arrival::closed;
}

std::optional<Message> Association::take_repeated(std::uint16_t message_id) {
  if (ended_ == Arrival::nothing) take_in();
  auto again = std::find_if(waiting_.begin(), waiting_.end(), [&](const Message& message) {
    return message.command.is_request() && message.command.field != command_field::c_cancel_rq &&
           message.command.message_id == message_id;
  });
  if (again == waiting_.end()) return std::nullopt;
  auto message = std::move(*again);
  waiting_.erase(again);
  waiting_bytes_ -= message.data_set.size();
  return message;
}

bool Association::take_cancel(std::uint16_t message_id) {
  auto cancel = std::find_if(waiting_.begin(), waiting_.end(), [&](const Message& message) {
    return message.command.field == command_field::c_cancel_rq &&
           message.command.message_id_being_responded_to == message_id;
  });
  if (cancel == waiting_.end()) return false;
  waiting_.erase(cancel);
  return true;
}

void Association::take_pdus(std::size_t enough) {
  while (ended_ == Arrival::nothing && waiting_.size() < enough) {
    auto input = transport_.input();
    if (input.size() < pdu_header) break;
    const auto type = static_cast<std::uint8_t>(input[0]);
    const std::size_t length = read_32(input, 2);
    const std::size_t most = type == p_data ? negotiated_.max_pdu_bytes : largest_control_pdu;
    if (type < p_data || type > a_abort) {
      ended_ = Arrival::protocol_error;
    } else if (length > most) {
      ended_ = Arrival::too_large;
    } else if (input.size() < pdu_header + length) {
      break;
    } else {
      ended_ = take_pdu(type, input.substr(pdu_header, length));
      transport_.consume(pdu_header + length);
    }
  }
}

Arrival Association::take_pdu(std::uint8_t type, std::string_view body) {
  switch (type) {
    case p_data:
      return take_pdvs(body);
    case release_rq:
      return phase_ == Phase::between ? Arrival::released : Arrival::protocol_error;
    case a_abort:
      return Arrival::aborted;
    default:
      return Arrival::protocol_error;  // A-RELEASE-RP that nobody waits for
  }
}

Arrival Association::take_pdvs(std::string_view body) {
  if (body.empty()) return Arrival::protocol_error;
  while (!body.empty()) {
    if (body.size() < pdv_header) return Arrival::protocol_error;
    const std::size_t length = read_32(body, 0);
    if (length < 2 || length > body.size() - 4) return Arrival::protocol_error;
    const auto id = static_cast<std::uint8_t>(body[4]);
    const auto control = static_cast<std::uint8_t>(body[5]);
    auto arrival = take_pdv(id, control, body.substr(pdv_header, length - 2));
    if (arrival != Arrival::nothing) return arrival;
    body.remove_prefix(4 + length);
  }
  return Arrival::nothing;
}

Arrival Association::take_pdv(std::uint8_t context_id, std::uint8_t control,
                              std::string_view fragment) {
  const bool command = (control & control_command) != 0;
  const bool last = (control & control_last) != 0;
  if (phase_ == Phase::between) {
    if (context(context_id) == nullptr) return Arrival::protocol_error;
    partial_ = {};
    partial_.context_id = context_id;
    partial_command_.clear();
    phase_ = Phase::command;
  }
  if (context_id != partial_.context_id || command != (phase_ == Phase::command)) {
    return Arrival::protocol_error;
  }
  auto& bytes = command ? partial_command_ : partial_.data_set;
  const auto most = command ? Command::max_bytes : limits_.max_data_set_bytes - waiting_bytes_;
  if (fragment.size() > most - bytes.size()) return Arrival::too_large;
  bytes.append(fragment);
  if (!last) return Arrival::nothing;
  if (command) return take_command();
  finish_message();
  return Arrival::nothing;
}

void Association::finish_message() {
  phase_ = Phase::between;
  waiting_bytes_ += partial_.data_set.size();
  waiting_.push_back(std::move(partial_));
}

Arrival Association::take_command() {
  auto decoded = decode_command(partial_command_);
  if (!decoded) return Arrival::protocol_error;
  partial_.command = std::move(decoded).value();
  if (partial_.command.has_data_set()) {
    phase_ = Phase::data_set;
    return Arrival::nothing;
  }
  finish_message();
  return Arrival::nothing;
}

Status Association::send(std::uint8_t context_id, const Command& command,
                         std::string_view data_set) {
  encoded_command_.clear();
  encode_command(command, encoded_command_);
  write_fragments(context_id, true, encoded_command_);
  if (command.has_data_set()) write_fragments(context_id, false, data_set);
  return unflushed() >= flush_at ? flush() : Status::ok;
}

void Association::write_fragments(std::uint8_t context_id, bool command, std::string_view bytes) {
  const auto peer = negotiated_.peer_max_pdu_bytes;
  const std::size_t most = (peer == 0 ? largest_pdu : std::min(peer, largest_pdu)) - pdv_header;
  auto& out = transport_.output();
  do {
    auto fragment = bytes.substr(0, most - most % 2);
    bytes.remove_prefix(fragment.size());
    const auto length = static_cast<std::uint32_t>(fragment.size() + 2);
    out.push_back(static_cast<char>(p_data));
    out.push_back(0);
    write_32(out, length + 4);
    write_32(out, length);
    out.push_back(static_cast<char>(context_id));
    out.push_back(
        static_cast<char>((command ? control_command : 0) | (bytes.empty() ? control_last : 0)));
    out.append(fragment);
  } while (!bytes.empty());
}

Status Association::flush() { return transport_.flush(Clock::now() + limits_.write_timeout); }

std::uint16_t Association::next_message_id() {
  if (++last_message_id_ == 0) ++last_message_id_;
  return last_message_id_;
}

bool Association::release(Clock::time_point deadline) {
  write_control_pdu(transport_.output(), release_rq);
  if (transport_.flush(deadline) != Status::ok) return false;
  for (;;) {
    if (transport_.fill(pdu_header, deadline) != Status::ok) return false;
    auto type = static_cast<std::uint8_t>(transport_.input()[0]);
    const std::size_t length = read_32(transport_.input(), 2);
    if (length > std::max<std::size_t>(negotiated_.max_pdu_bytes, largest_control_pdu) ||
        transport_.fill(pdu_header + length, deadline) != Status::ok) {
      return false;
    }
    transport_.consume(pdu_header + length);
    if (type == release_rp) return true;
    if (type == release_rq) {  // both want to release: PS3.8, 7.2.2.6
      write_control_pdu(transport_.output(), release_rp);
    } else if (type != p_data) {
      return false;
    }
  }
}

void Association::confirm_release() {
  write_control_pdu(transport_.output(), release_rp);
  flush();
}

void Association::abort(AbortSource source, AbortReason reason) {
  write_control_pdu(transport_.output(), a_abort, static_cast<std::uint8_t>(source),
                    static_cast<std::uint8_t>(reason));
  transport_.flush_available();
}

}  // namespace dimse
