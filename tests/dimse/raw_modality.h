// A modality of raw PDUs, as the tests of the front need one.
#pragma once

#include <string>

#include "dimse/scp.h"
#include "loopback.h"

namespace loopback {

namespace command_field = dimse::command_field;

inline const std::string mwl(uids::modality_worklist_find);
inline const std::string verification(uids::verification);
inline const std::string mpps_class(uids::mpps);
inline const std::string mpps_retrieve(uids::mpps_retrieve);

/// An association with contexts 1 Verification, 3 MWL, 5 MPPS, 7 MPPS Retrieve.
inline RawPeer associate(std::uint16_t port, std::size_t max_pdu = 16384) {
  auto peer = RawPeer::connect(port);
  peer.send(associate_rq({{verification}, {mwl}, {mpps_class}, {mpps_retrieve}}, "MODGATE", "CT1",
                         "1.2.840.10008.3.1.1.1", max_pdu));
  REQUIRE(peer.receive_pdu().at(0) == 2);
  return peer;
}

inline dimse::Command request(std::uint16_t field, std::uint16_t id = 1) {
  dimse::Command command;
  command.field = field;
  command.message_id = id;
  return command;
}

/// A good client, afterwards.
inline void check_served(Front& front) {
  auto peer = associate(front.port);
  peer.send(message(1, request(command_field::c_echo_rq, 77)));
  auto response = peer.receive_message();
  REQUIRE(response);
  CHECK(response->status == 0);
  CHECK(response->message_id_being_responded_to == 77);
  peer.send(release_rq);
  CHECK(peer.receive_pdu() == release_rp);
}

}  // namespace loopback
