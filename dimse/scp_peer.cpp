// What the answering functions share.
#include "dimse/scp_peer.h"

#include <fmt/format.h>

#include <atomic>
#include <vector>

namespace dimse {
namespace {

std::string next_transaction_id() {
  static std::atomic<std::uint64_t> last{0};
  return fmt::format("d{:x}", ++last);
}

}  // namespace

std::string to_string(const mapping::Caller& caller) {
  if (caller.name.empty()) return caller.address;
  return fmt::format("{}@{}", mapping::to_error_comment(caller.name), caller.address);
}

mapping::Result<mapping::DataSet> ScpPeer::read(const Message& request) {
  mapping::WireReadOptions read_options;
  if (modality != nullptr) read_options.assume_character_set = modality->assume_character_set;
  read_options.max_bytes = options->max_data_set_bytes;
  const auto* context = association.context(request.context_id);
  auto read = mapping::read_data_set(request.data_set, context->transfer_syntax, read_options);
  if (!read) return read.fault();
  used_by_peer = read.value().character_set;
  return std::move(read).value().data_set;
}

mapping::WireWriteOptions ScpPeer::write_options() const {
  mapping::WireWriteOptions write_options;
  if (modality != nullptr) {
    write_options.configured = modality->character_set;
    if (modality->replace_unencodable) write_options.count_replaced = &replaced;
  }
  write_options.used_by_peer = used_by_peer;
  return write_options;
}

bool ScpPeer::respond(const Message& request, Command response, std::string_view data_set) {
  if (!data_set.empty()) response.data_set_type = Command::data_set_follows;
  auto sent = Transport::Status::ok;
  const auto send = [&](std::uint8_t context, const Command& command, std::string_view bytes) {
    if (sent == Transport::Status::ok) sent = association.send(context, command, bytes);
  };
  std::vector<Message> repeated;  // looked for before our answer can make the peer use the ID again
  while (auto again = association.take_repeated(*request.command.message_id)) {
    repeated.push_back(*std::move(again));
  }
  send(request.context_id, response, data_set);
  for (const auto& again : repeated) {
    repeated_search = repeated_search || again.command.field == command_field::c_find_rq;
    const auto refusal = mapping::dimse_status::duplicate_invocation;
    send(again.context_id, response_to(again.command, refusal), {});
  }
  return sent == Transport::Status::ok;
}

bool PeerCancellation::requested() {
  if (gone_ || cancelled_) return true;
  const auto arrival = association_.look();
  gone_ = arrival != Arrival::nothing && arrival != Arrival::message;
  cancelled_ = association_.take_cancel(message_id_);
  return gone_ || cancelled_;
}

ScpTransaction::ScpTransaction(const ScpPeer& peer, std::string_view operation,
                               mapping::Cancellation* cancellation)
    : peer_(peer), operation_(operation), begun_(Transport::Clock::now()) {
  context_.caller = peer.caller;
  context_.transaction = next_transaction_id();
  context_.deadline = begun_ + peer.options->transaction_timeout;
  context_.cancellation = cancellation;
}

ScpTransaction::~ScpTransaction() {
  if (peer_.replaced == 0) return;
  peer_.replaced_characters += peer_.replaced;
  peer_.log(mapping::LogLevel::warn,
            fmt::format("tx={} {}: {} characters replaced by question marks", context_.transaction,
                        operation_, peer_.replaced));
  peer_.replaced = 0;
}

void ScpTransaction::log(std::uint16_t status) const {
  if (of_service_ == status) return;
  auto spent =
      std::chrono::duration_cast<std::chrono::milliseconds>(Transport::Clock::now() - begun_);
  peer_.log(mapping::LogLevel::info,
            fmt::format("tx={} {} from {} status={:04X} ms={}", context_.transaction, operation_,
                        to_string(peer_.caller), status, spent.count()));
}

mapping::Outcome ScpTransaction::failed(std::uint16_t status, std::string_view what) {
  of_service_ = status;
  peer_.log(mapping::LogLevel::error,
            fmt::format("tx={} {}: {}", context_.transaction, operation_, what));
  return mapping::Outcome::local(status, "internal error");
}

}  // namespace dimse
