// Messages over PDUs, against bare sockets.
#include "dimse/association.h"

#include "loopback.h"

using namespace loopback;  // NOLINT: test code
using dimse::Arrival;
using dimse::Association;
namespace command_field = dimse::command_field;

namespace {

constexpr std::uint8_t worklist = 3;

dimse::Negotiated negotiated(std::uint32_t peer_max_pdu) {
  dimse::Negotiated agreed;
  agreed.contexts.push_back({worklist, std::string(uids::modality_worklist_find),
                             mapping::TransferSyntax::explicit_vr_little_endian});
  agreed.peer_max_pdu_bytes = peer_max_pdu;
  agreed.max_pdu_bytes = 4096;
  return agreed;
}

/// An association, and the peer's end as a bare socket.
struct Pair {
  explicit Pair(std::uint32_t peer_max_pdu = 0, Association::Limits limits = {}) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ours = dimse::Descriptor(ends[0]);
    peer.emplace(dimse::Descriptor(ends[1]));
    transport.emplace(ours.get());
    association.emplace(*transport, negotiated(peer_max_pdu), limits);
  }
  Arrival receive(std::chrono::milliseconds patience = 20s) {
    Association::ReceiveOptions options;
    options.first_byte = Association::Clock::now() + patience;
    return association->receive(message, options);
  }
  dimse::Descriptor ours;
  std::optional<RawPeer> peer;
  std::optional<dimse::Transport> transport;
  std::optional<Association> association;
  dimse::Message message;
};

dimse::Command find(std::uint16_t id) {
  dimse::Command command;
  command.field = command_field::c_find_rq;
  command.message_id = id;
  return command;
}

dimse::Command cancel(std::uint16_t id) {
  dimse::Command command;
  command.field = command_field::c_cancel_rq;
  command.message_id_being_responded_to = id;
  return command;
}

std::string encoded(const dimse::Command& command) {
  std::string bytes;
  dimse::encode_command(command, bytes);
  return bytes;
}

}  // namespace

TEST_CASE("A message arrives whole however its PDVs are cut, and several in one burst in order") {
  auto first = find(1);
  first.data_set_type = dimse::Command::data_set_follows;
  const auto command = encoded(first);
  const auto half = command.size() / 2;
  const std::string data(3000, 'd');
  const std::string ways[] = {
      message(worklist, find(1), data),
      pdu(4, pdv(worklist, 1, command.substr(0, half))) +
          pdu(4, pdv(worklist, 3, command.substr(half))) +
          pdu(4, pdv(worklist, 0, data.substr(0, 1000))) +
          pdu(4, pdv(worklist, 2, data.substr(1000))),
      pdu(4, pdv(worklist, 3, command) + pdv(worklist, 0, data.substr(0, 10)) +
                 pdv(worklist, 0, "") + pdv(worklist, 2, data.substr(10))),
  };
  for (const auto& way : ways) {
    Pair pair;
    pair.peer->send(way + message(worklist, find(2)));
    REQUIRE(pair.receive() == Arrival::message);
    CHECK(pair.message.command.message_id == 1);
    CHECK(pair.message.data_set == data);
    REQUIRE(pair.receive() == Arrival::message);
    CHECK(pair.message.command.message_id == 2);
    CHECK(pair.receive(0ms) == Arrival::timed_out);
  }
}

TEST_CASE("What may not be here ends the association, and stays its end") {
  const std::string long_pdu = std::string("\x04\x00\xFF\xFF\xFF\xFF", 6);
  const struct {
    std::string sent;
    Arrival end;
    const char* why;
  } rows[] = {
      {release_rq, Arrival::released, "A-RELEASE-RQ"},
      {abort_pdu, Arrival::aborted, "A-ABORT"},
      {release_rp, Arrival::protocol_error, "an A-RELEASE-RP that nobody waits for"},
      {pdu(9, "xxxx"), Arrival::protocol_error, "an unknown PDU"},
      {pdu(1, "xxxx"), Arrival::protocol_error, "a second A-ASSOCIATE-RQ"},
      {pdu(4, ""), Arrival::protocol_error, "a P-DATA-TF without a PDV"},
      {pdu(4, "xxx"), Arrival::protocol_error, "half a PDV"},
      {pdu(4, pdv(99, 3, encoded(find(1)))), Arrival::protocol_error, "an unknown context"},
      {pdu(4, pdv(worklist, 2, "data")), Arrival::protocol_error, "data before a command"},
      {pdu(4, pdv(worklist, 3, "garbage")), Arrival::protocol_error, "a broken command"},
      {pdu(4, pdv(worklist, 1, "")) + release_rq, Arrival::protocol_error,
       "a release in mid message"},
      {long_pdu, Arrival::too_large, "a PDU of 4 GiB"},
      {pdu(4, std::string(5000, 'x')), Arrival::too_large, "a PDU over our limit"},
      {std::string("\x05\x00\x00\x00\xFF\xFF", 6), Arrival::too_large, "a long A-RELEASE-RQ"},
  };
  for (const auto& row : rows) {
    INFO(row.why);
    Pair pair;
    pair.peer->send(row.sent);
    CHECK(pair.receive() == row.end);
    pair.peer->send(message(worklist, find(1)));
    CHECK(pair.receive() == row.end);
    CHECK(pair.association->look() == row.end);
  }
  Pair pair;
  pair.peer->send(message(worklist, find(1)).substr(0, 20));
  pair.peer->close();
  CHECK(pair.receive() == Arrival::closed);
}

TEST_CASE("A data set over the limit is refused before it is taken in") {
  Association::Limits limits;
  limits.max_data_set_bytes = 1000;
  Pair pair(0, limits);
  pair.peer->send(message(worklist, find(1), std::string(1000, 'd')));
  REQUIRE(pair.receive() == Arrival::message);
  pair.peer->send(message(worklist, find(2), std::string(1001, 'd')));
  CHECK(pair.receive() == Arrival::too_large);
}

TEST_CASE("A C-CANCEL is found between other messages, once, and by its Message ID") {
  Pair pair;
  pair.peer->send(message(worklist, find(2)) + message(worklist, cancel(1)) +
                  message(worklist, find(3)));
  REQUIRE(eventually([&] { return pair.association->look() == Arrival::message; }));
  CHECK_FALSE(pair.association->take_cancel(2));
  CHECK(eventually([&] { return pair.association->look(), pair.association->take_cancel(1); }));
  CHECK_FALSE(pair.association->take_cancel(1));
  REQUIRE(pair.receive() == Arrival::message);
  CHECK(pair.message.command.message_id == 2);
  REQUIRE(pair.receive() == Arrival::message);
  CHECK(pair.message.command.message_id == 3);
}

TEST_CASE("A peer that sends requests ahead without end is not listened to") {
  Pair pair;
  std::string many;
  for (std::uint16_t id = 1; id < 100; ++id) many += message(worklist, find(id));
  pair.peer->send(many);
  CHECK(eventually([&] { return pair.association->look() == Arrival::protocol_error; }));
}

TEST_CASE("What is sent fits the peer's PDUs, and is there only after a flush") {
  for (const std::uint32_t most : {64u, 1001u, 16384u, 0u}) {
    INFO(most);
    Pair pair(most);
    const std::string data(20'000, 'd');
    auto command = find(7);
    command.data_set_type = dimse::Command::data_set_follows;
    REQUIRE(pair.association->send(worklist, command, data) == dimse::Transport::Status::ok);
    const auto unflushed = pair.association->unflushed();
    CHECK(unflushed > data.size());
    std::thread flushing([&] { pair.association->flush(); });
    std::string commands, got;
    while (got.size() < data.size()) {
      const auto one = pair.peer->receive_pdu();
      REQUIRE(one.size() > 12);
      CHECK((most == 0 || one.size() - 6 <= most));
      CHECK(static_cast<std::uint8_t>(one[10]) == worklist);
      ((one[11] & 1) != 0 ? commands : got) += one.substr(12);
    }
    flushing.join();
    CHECK(commands == encoded(command));
    CHECK(got == data);
    CHECK(pair.association->bytes_sent() == unflushed);
  }
}

TEST_CASE(
    "A release waits for its answer, over data that still comes, and at most until its deadline") {
  const auto deadline = [] { return Association::Clock::now() + 20s; };
  Pair answered;
  answered.peer->send(message(worklist, find(1)) + release_rq + release_rp);
  CHECK(answered.association->release(deadline()));
  answered.transport->close_gracefully(0ms);  // as is done next
  CHECK(answered.peer->receive_pdu() == release_rq);
  CHECK(answered.peer->receive_pdu() == release_rp);  // both wanted to: PS3.8, 7.2.2.6
  Pair silent;
  CHECK_FALSE(silent.association->release(Association::Clock::now() + 20ms));
  Pair aborted;
  aborted.peer->send(abort_pdu);
  CHECK_FALSE(aborted.association->release(deadline()));
  Pair gone;
  gone.peer->close();
  CHECK_FALSE(gone.association->release(deadline()));
}

TEST_CASE("An A-ABORT names its source and reason, and waits for nobody (PS3.8, 9.3.8)") {
  Pair pair;
  pair.association->abort(Association::AbortSource::service_provider,
                          Association::AbortReason::unexpected_pdu);
  CHECK(pair.peer->receive_pdu() == pdu(7, std::string("\0\0\2\2", 4)));
}

TEST_CASE("Message IDs begin at 1 and come round without 0") {
  Pair pair;
  CHECK(pair.association->next_message_id() == 1);
  for (int i = 2; i <= 0xFFFF; ++i) pair.association->next_message_id();
  CHECK(pair.association->next_message_id() == 1);
}
