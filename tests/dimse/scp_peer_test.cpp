#include "dimse/scp_peer.h"

#include "loopback.h"

using namespace loopback;  // NOLINT: test code
namespace command_field = dimse::command_field;

namespace {

mapping::Caller caller(const std::string& name) {
  return {mapping::Caller::Protocol::dimse, name, "10.0.0.7"};
}

/// The modality's end as a bare socket, ours as an association with one context, 1.
struct Pair {
  Pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ours = dimse::Descriptor(ends[0]);
    modality.emplace(dimse::Descriptor(ends[1]));
    transport.emplace(ours.get());
    dimse::Negotiated negotiated;
    negotiated.contexts.push_back({1, std::string(uids::modality_worklist_find),
                                   mapping::TransferSyntax::explicit_vr_little_endian});
    association.emplace(*transport, negotiated, dimse::Association::Limits{});
  }
  dimse::Descriptor ours;
  std::optional<RawPeer> modality;
  std::optional<dimse::Transport> transport;
  std::optional<dimse::Association> association;
};

std::string cancel(std::uint16_t id) {
  dimse::Command command;
  command.field = command_field::c_cancel_rq;
  command.message_id_being_responded_to = id;
  return message(1, command);
}

}  // namespace

TEST_CASE("A caller is shown by AE title and address, printable whatever it sent") {
  CHECK(dimse::to_string(caller("CT1")) == "CT1@10.0.0.7");
  CHECK(dimse::to_string(caller("")) == "10.0.0.7");
  for (char c : dimse::to_string(caller("C\nT\x1b[2J\xff"))) CHECK((c >= ' ' && c <= '~'));
}

TEST_CASE("A C-CANCEL of this search is a cancellation, of another it is not (rule F11)") {
  Pair pair;
  dimse::PeerCancellation cancellation(*pair.association, 7);
  CHECK_FALSE(cancellation.requested());
  pair.modality->send(cancel(8));
  CHECK_FALSE(cancellation.requested());
  pair.modality->send(cancel(7));
  CHECK(eventually([&] { return cancellation.requested(); }));
  CHECK(cancellation.cancelled());
  CHECK_FALSE(cancellation.gone());
  CHECK(cancellation.requested());  // for good
}

TEST_CASE("A modality that releases, aborts or hangs up in its search is gone") {
  for (const std::string& end : {release_rq, abort_pdu, std::string()}) {
    Pair pair;
    dimse::PeerCancellation cancellation(*pair.association, 7);
    pair.modality->send(end);
    if (end.empty()) pair.modality->close();
    CHECK(eventually([&] { return cancellation.requested(); }));
    CHECK(cancellation.gone());
    CHECK_FALSE(cancellation.cancelled());
  }
}

TEST_CASE("The descriptor tells when a cancellation is worth a look") {
  Pair pair;
  const dimse::PeerCancellation cancellation(*pair.association, 7);
  pollfd ready{cancellation.descriptor(), POLLIN, 0};
  CHECK(::poll(&ready, 1, 0) == 0);
  pair.modality->send(cancel(7));
  CHECK(::poll(&ready, 1, 20000) == 1);
}
