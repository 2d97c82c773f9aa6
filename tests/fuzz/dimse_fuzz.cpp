// Any bytes as what a peer sends (the first byte chooses: an association request, the answer to
// one, or the PDUs of an established association in one of the transfer syntaxes): ended or taken
// apart, never waited for. The corpus is what record_dimse.mjs took down from real peers.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "dimse/associate_pdu.h"
#include "dimse/association.h"
#include "dimse/command.h"
#include "dimse/negotiation.h"
#include "mapping/uids.h"
#include "tests/fuzz/check.h"

namespace {

using Clock = dimse::Transport::Clock;
using namespace std::chrono_literals;
/// Of whoever would wait, which libFuzzer notices first. A machine that stands still is no finding.
constexpr auto patience = 1h;

/// A connection whose peer has sent these bytes and closed.
class Connection {
 public:
  explicit Connection(std::string_view sent) {
    FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) == 0);
    FUZZ_CHECK(::send(ends_[1], sent.data(), sent.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(sent.size()));
    ::shutdown(ends_[1], SHUT_WR);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  int descriptor() const { return ends_[0]; }

 private:
  int ends_[2];
};

void request_association(std::string_view bytes) {
  const Connection connection(bytes);
  dimse::Transport transport(connection.descriptor());
  const auto result = dimse::accept_association(
      transport, 16384, Clock::now() + patience, [](const dimse::AssociationRequest&) {
        dimse::Decision decision;
        decision.abstract_syntaxes = {mapping::uids::verification,
                                      mapping::uids::modality_worklist_find};
        decision.fuzzy_matching = true;
        return decision;
      });
  const bool accepted = result.kind == dimse::AcceptResult::Kind::accepted;
  FUZZ_CHECK(accepted || !result.why.empty());
  FUZZ_CHECK(result.kind != dimse::AcceptResult::Kind::timed_out);
  if (bytes.size() > 6) (void)dimse::is_well_formed_associate(bytes.substr(6));
}

void answer_association(std::string_view bytes) {
  const Connection connection(bytes);
  dimse::Transport transport(connection.descriptor());
  dimse::ProposedAssociation proposed;
  proposed.calling_ae_title = "MODGATE";
  proposed.called_ae_title = "RIS";
  proposed.abstract_syntaxes = {mapping::uids::verification, mapping::uids::modality_worklist_find,
                                mapping::uids::mpps};
  proposed.fuzzy_matching = true;
  proposed.user = dimse::UserIdentity{dimse::UserIdentity::Type::passcode, "ct", "secret"};
  const auto result = dimse::request_association(transport, proposed, Clock::now() + patience);
  const bool accepted = result.event == mapping::NetworkEvent::none;
  FUZZ_CHECK(accepted || !result.why.empty());
  FUZZ_CHECK(result.event != mapping::NetworkEvent::acse_timeout);
  for (const auto& context : result.negotiated.contexts) {
    FUZZ_CHECK(context.id == 1 || context.id == 3 || context.id == 5);
  }
}

void check_command(const dimse::Command& command) {
  std::string encoded;
  dimse::encode_command(command, encoded);
  const auto again = dimse::decode_command(encoded);
  FUZZ_CHECK(again);
  FUZZ_CHECK(again.value().field == command.field);
  FUZZ_CHECK(again.value().message_id == command.message_id);
  FUZZ_CHECK(again.value().status == command.status);
  FUZZ_CHECK(again.value().attribute_identifier_list == command.attribute_identifier_list);
}

void converse(std::string_view bytes, mapping::TransferSyntax syntax) {
  const Connection connection(bytes);
  dimse::Transport transport(connection.descriptor());
  dimse::Negotiated negotiated;
  for (const std::uint8_t id :
       {std::uint8_t{1}, std::uint8_t{3}, std::uint8_t{5}, std::uint8_t{7}}) {
    negotiated.contexts.push_back({id, std::string(mapping::uids::mpps), syntax});
  }
  dimse::Association association(transport, std::move(negotiated), {});
  dimse::Message message;
  dimse::Association::ReceiveOptions receive;
  receive.first_byte = Clock::now() + patience;
  auto arrival = dimse::Arrival::message;
  while ((arrival = association.receive(message, receive)) == dimse::Arrival::message) {
    check_command(message.command);
    if (message.command.has_data_set()) (void)mapping::read_data_set(message.data_set, syntax);
    if (message.command.message_id) (void)association.take_repeated(*message.command.message_id);
  }
  FUZZ_CHECK(arrival != dimse::Arrival::timed_out && arrival != dimse::Arrival::nothing);
  (void)association.look();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 8 == 3) {
    request_association(bytes);
  } else if (data[0] % 8 == 7) {
    answer_association(bytes);
  } else {
    converse(bytes, static_cast<mapping::TransferSyntax>(data[0] % 4));
  }
  return 0;
}
