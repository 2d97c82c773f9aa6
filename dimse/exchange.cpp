#include "dimse/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mapping/uids.h"
#include "mapping/wire.h"

namespace dimse {
namespace {

using mapping::DataSet;
using mapping::NetworkEvent;
using mapping::Outcome;
using mapping::Transaction;
using Clock = Association::Clock;
namespace status = mapping::dimse_status;
using namespace std::chrono_literals;

constexpr std::size_t look_every = 16;  ///< responses between two looks at the cancellation
// After a C-CANCEL the peer sends what is under way, which for a fast one is what fits into the
// buffers of two sockets (megabytes); one that goes on for ever is aborted.
constexpr std::size_t max_drained = 100'000;
constexpr auto drain_timeout = 3s;

Outcome answered(const Command& response) {
  auto outcome = Outcome::answered(*response.status, response.error_comment);
  outcome.error_id = response.error_id;
  outcome.attributes = response.attribute_identifier_list.empty()
                           ? response.offending_elements
                           : response.attribute_identifier_list;
  return outcome;
}

/// A request that cannot be written for this peer. mapping.md, 5b; rule G11
Outcome unwritable(Transaction transaction, const mapping::Fault& fault) {
  const bool set = fault.kind == mapping::Fault::Kind::character_set;
  auto refusal = status::processing_failure;
  if (transaction == Transaction::search) {
    refusal = set ? status::character_set_not_supported : status::upstream_client_error;
  } else if (set) {
    refusal = status::invalid_attribute_value;
  }
  return Outcome::local(refusal, fault.what, fault.attributes);
}

mapping::Result<DataSet> no_identifier() {
  return mapping::Fault{
      mapping::Fault::Kind::malformed, "a pending response without identifier", {}};
}

Outcome conclude_search(const Command& response, std::size_t delivered, std::size_t dropped) {
  auto outcome = answered(response);
  if (outcome.good() && delivered == 0 && dropped > 0) {  // a failed search is no empty one
    outcome = Outcome::unknown(Transaction::search, NetworkEvent::unreadable_answer,
                               "no match could be read");
  }
  outcome.dropped_matches = dropped;
  return outcome;
}

}  // namespace

NetworkEvent event_of(Arrival arrival) {
  switch (arrival) {
    case Arrival::timed_out:
      return NetworkEvent::response_timeout;
    case Arrival::protocol_error:
    case Arrival::too_large:
      return NetworkEvent::protocol_error;
    default:
      return NetworkEvent::connection_lost;
  }
}

void Exchange::begin(Transaction transaction, const Command& request) {
  transaction_ = transaction;
  request_ = request;
  request_.message_id = association_.next_message_id();
}

Exchange::Clock::time_point Exchange::response_deadline() const {
  return std::min(Clock::now() + options_.dimse_timeout, context_.deadline);
}

mapping::Result<std::string> Exchange::encode(const DataSet& data_set) {
  mapping::WireWriteOptions write;
  write.configured = options_.character_set;
  const bool mpps = transaction_ == Transaction::create || transaction_ == Transaction::update;
  if (mpps) {  // the same set through N-CREATE and every N-SET: rule F25
    write.configured = write.configured.value_or(mapping::CharacterSet::utf_8());
    write.declare_always = true;
  }
  std::size_t replaced = 0;
  if (options_.replace_unencodable) write.count_replaced = &replaced;
  auto written = mapping::write_data_set(data_set, presentation_.transfer_syntax, write);
  if (replaced > 0) {
    replaced_ = replaced;
    log_(mapping::LogLevel::warn, fmt::format("tx={} {}: {} characters replaced by question marks",
                                              context_.transaction, options_.ae_title, replaced));
  }
  return written;
}

std::optional<Outcome> Exchange::send(std::string_view data_set) {
  const auto before = association_.bytes_sent();
  auto sent = association_.send(presentation_.id, request_, data_set);
  if (sent == Transport::Status::ok) sent = association_.flush();
  left_ = association_.bytes_sent() != before;
  if (sent == Transport::Status::ok) return std::nullopt;
  end_ = sent == Transport::Status::closed ? Arrival::closed : Arrival::timed_out;
  return Outcome::unknown(transaction_, event_of(end_), "request not sent whole");
}

/// The next response to the request, or why there is none. end_ is interrupted if the caller has
/// cancelled; the association is whole then.
std::optional<Outcome> Exchange::receive(Message& response, Clock::time_point deadline,
                                         mapping::Cancellation* cancellation) {
  Association::ReceiveOptions options;
  options.first_byte = options.whole = deadline;
  options.once_begun = options_.dimse_timeout;
  options.cancellation = cancellation;
  auto arrival = association_.receive(response, options);
  const auto& command = response.command;
  if (arrival == Arrival::message &&
      (command.field != (request_.field | command_field::response) || !command.status ||
       command.message_id_being_responded_to != request_.message_id ||
       response.context_id != presentation_.id ||
       // Only a C-FIND has responses before its last. PS3.7, 9.1.2 and 10.1
       (transaction_ != Transaction::search &&
        mapping::classify(*command.status) == mapping::StatusClass::pending))) {
    arrival = Arrival::protocol_error;
  }
  end_ = arrival;
  heard_ = heard_ || arrival == Arrival::message;
  if (arrival == Arrival::message) return std::nullopt;
  return Outcome::unknown(transaction_, event_of(arrival),
                          fmt::format("no response: {}", to_string(arrival)));
}

mapping::Result<DataSet> Exchange::read(const Message& response) const {
  mapping::WireReadOptions read;
  read.assume_character_set = options_.assume_character_set;
  read.max_bytes = options_.max_data_set_bytes;
  auto result = mapping::read_data_set(response.data_set, presentation_.transfer_syntax, read);
  if (!result) return result.fault();
  return std::move(result).value().data_set;
}

Outcome Exchange::search(const Command& request, const mapping::Search& search,
                         const mapping::OnMatch& on_match) {
  begin(Transaction::search, request);
  const auto identifier = encode(search.identifier);
  if (!identifier) return unwritable(Transaction::search, identifier.fault());
  if (auto failed = send(identifier.value())) return *failed;
  std::size_t delivered = 0, dropped = 0;
  Message response;
  for (std::size_t received = 1;; ++received) {
    auto failed = receive(response, response_deadline(), context_.cancellation);
    if (end_ == Arrival::interrupted) return drain();
    if (failed) return *failed;
    if (mapping::classify(*response.command.status) != mapping::StatusClass::pending) {
      return conclude_search(response.command, delivered, dropped);
    }
    auto match = response.data_set.empty() ? no_identifier() : read(response);
    if (!match) {
      if (++dropped == 1) {  // of thousands one is told; the outcome has their number
        log_(mapping::LogLevel::warn,
             fmt::format("tx={} match left out: {}", context_.transaction, match.fault().what));
      }
    } else {
      ++delivered;
      const bool all_keys = *response.command.status == status::pending;
      if (!on_match({std::move(match).value(), all_keys})) return drain();
    }
    if (received % look_every == 0 && context_.cancelled()) return drain();
    if (Clock::now() >= context_.deadline) {
      end_ = Arrival::timed_out;
      return Outcome::unknown(Transaction::search, NetworkEvent::response_timeout,
                              "search not over in time");
    }
  }
}

/// Sends one C-CANCEL and reads on to the final response, so that the association can be used
/// again; a peer that does not come to an end is aborted. rule F11
Outcome Exchange::drain() {
  Command cancel;
  cancel.field = command_field::c_cancel_rq;
  cancel.message_id_being_responded_to = request_.message_id;
  const auto cancelled = Outcome::answered(status::cancel);
  auto sent = association_.send(presentation_.id, cancel);
  if (sent == Transport::Status::ok) sent = association_.flush();
  end_ = Arrival::closed;
  if (sent != Transport::Status::ok) return cancelled;
  const auto deadline =
      Clock::now() + std::min<Clock::duration>(drain_timeout, options_.dimse_timeout);
  Message response;
  for (std::size_t drained = 0; drained < max_drained; ++drained) {
    if (receive(response, deadline, nullptr)) return cancelled;
    const auto kind = mapping::classify(*response.command.status);
    if (kind == mapping::StatusClass::success) return answered(response.command);
    if (kind != mapping::StatusClass::pending) return cancelled;  // what it held is not missed
  }
  end_ = Arrival::timed_out;
  return cancelled;
}

Outcome Exchange::ask(Transaction transaction, const Command& request, const DataSet* data_set,
                      DataSet* found) {
  begin(transaction, request);
  std::string encoded;
  if (data_set != nullptr) {
    auto written = encode(*data_set);
    if (!written) return unwritable(transaction_, written.fault());
    encoded = std::move(written).value();
  }
  if (auto failed = send(encoded)) return *failed;
  Message response;
  auto* cancellation = found != nullptr ? context_.cancellation : nullptr;
  auto failed = receive(response, response_deadline(), cancellation);
  if (failed) return *failed;
  auto outcome = answered(response.command);
  if (found != nullptr) return take_found(response, std::move(outcome), *found);
  take_offending(response, outcome);
  return outcome;
}

/// The Attribute List of an N-GET. Four status words say "not all of it", and all four come with
/// data (rule F28); 0106, a failure elsewhere, is told as 0107, the warning of PS3.7 for the same.
Outcome Exchange::take_found(const Message& response, Outcome outcome, DataSet& found) const {
  const bool sent = !response.data_set.empty();
  if (outcome.status == status::invalid_attribute_value && sent) {
    outcome.status = status::attribute_list_error;
  }
  if (!outcome.good()) return outcome;
  if (!sent) {
    if (outcome.status_class() == mapping::StatusClass::warning) return outcome;
    return Outcome::unknown(Transaction::retrieve, NetworkEvent::unreadable_answer,
                            "success without an attribute list");
  }
  auto read_back = read(response);
  if (!read_back) {
    return Outcome::unknown(Transaction::retrieve, NetworkEvent::unreadable_answer,
                            read_back.fault().what);
  }
  found = std::move(read_back).value();
  return outcome;
}

/// 0106, 0116 and 0121 name the attributes at fault by a data set. PS3.7, C.4.3, C.5.11, C.5.14
void Exchange::take_offending(const Message& response, Outcome& outcome) const {
  if (outcome.status == status::success || response.data_set.empty()) return;
  if (!outcome.attributes.empty()) return;
  if (auto offending = read(response)) {
    for (const auto& element : offending.value().view()) outcome.attributes.push_back(element.tag);
  }
}

}  // namespace dimse
