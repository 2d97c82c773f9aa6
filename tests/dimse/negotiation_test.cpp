// What is negotiated: who is let in, each presentation context, matching of names, the user.
// Between our two roles, and with bare PDUs.
#include "dimse/negotiation.h"

#include "raw_modality.h"
#include "scu_support.h"

using namespace loopback;  // NOLINT: test code
using dimse::UserIdentity;

namespace {

Outcome search(dimse::Scu& scu, bool fuzzy_matching) {
  auto search = search_for(identifier());
  search.fuzzy_matching = fuzzy_matching;
  return scu.search(
      search, [](mapping::Match&&) { return true; }, context());
}

/// An A-ASSOCIATE-RQ for the worklist with another sub-item of user information.
std::string request_with(const std::string& sub_item) {
  auto bytes = associate_rq({{std::string(uids::modality_worklist_find)}});
  const auto plain = user_information(16384);
  const auto at = bytes.rfind(plain);
  auto body = bytes.substr(6, at - 6);
  return pdu(1, body + pdu_item(0x50, plain.substr(4) + sub_item));
}

std::string extended_negotiation(const std::string& options) {
  const std::string uid(uids::modality_worklist_find);
  std::string item;
  put_16(item, uid.size());
  return pdu_item(0x56, item + uid + options);
}

std::string user_identity(int type, const std::string& primary, const std::string& secondary = {}) {
  std::string item{static_cast<char>(type), 1};
  put_16(item, primary.size());
  item += primary;
  put_16(item, secondary.size());
  return pdu_item(0x58, item + secondary);
}

std::string answer_to(std::uint16_t port, const std::string& request) {
  auto peer = RawPeer::connect(port);
  peer.send(request);
  return peer.receive_pdu();
}

}  // namespace

TEST_CASE("Association requests are rejected with result, source and reason (rules H1, H2)") {
  dimse::ScpOptions options;
  options.modalities.push_back({"CT1", "127.0.0.1", {}, {}, false});
  options.modalities.push_back({"CT2", "192.0.2.1", {}, {}, false});
  options.known_modalities_only = true;
  Front front(options);
  const std::string application = "1.2.840.10008.3.1.1.1";
  struct {
    std::string called, calling, application;
    int version;
    std::string rejection;
  } const cases[] = {
      {"MODGATE", "CT1", "1.2.3", 1, {1, 1, 2}},     {"OTHER", "CT1", application, 1, {1, 1, 7}},
      {"MODGATE", "CT3", application, 1, {1, 1, 3}}, {"MODGATE", "CT2", application, 1, {1, 1, 3}},
      {"MODGATE", "CT1", application, 2, {1, 2, 2}},
  };
  for (const auto& refused : cases) {
    INFO(refused.called << " " << refused.calling << " version " << refused.version);
    auto peer = RawPeer::connect(front.port);
    peer.send(associate_rq({{verification}}, refused.called, refused.calling, refused.application,
                           16384, refused.version));
    auto answer = peer.receive_pdu();
    REQUIRE(answer.size() == 10);
    CHECK(answer[0] == 3);
    CHECK(answer.substr(7) == refused.rejection);
    CHECK(peer.closed());
  }
  CHECK(front.lines.hold("OTHER") == false);
  CHECK(front.lines.hold("CT1@127.0.0.1: association rejected"));
  check_served(front);
}

TEST_CASE("Each presentation context gets its own answer (rule H3)") {
  Front front;
  front.offered.mpps = nullptr;  // this caller has no MPPS
  auto peer = RawPeer::connect(front.port);
  const std::string explicit_le(uids::explicit_vr_little_endian);
  const std::string implicit_le(uids::implicit_vr_little_endian);
  const std::string big_endian(uids::explicit_vr_big_endian);
  peer.send(associate_rq({{verification, {implicit_le}},
                          {mwl, {implicit_le, big_endian, explicit_le}},
                          {mpps_class, {implicit_le}},
                          {"1.2.840.10008.5.1.4.1.1.2", {implicit_le}},
                          {mwl, {"1.2.840.10008.1.2.4.50"}},
                          {mwl, {big_endian, implicit_le}},
                          {mwl, {big_endian}}}));
  const auto answer = peer.receive_pdu();
  REQUIRE(answer.at(0) == 2);
  CHECK(context_results(answer) == std::vector<ContextResult>{{1, 0, implicit_le},
                                                              {3, 0, explicit_le},
                                                              {5, 3, ""},
                                                              {7, 3, ""},
                                                              {9, 4, ""},
                                                              {11, 0, implicit_le},
                                                              {13, 0, big_endian}});
}

TEST_CASE("A peer whose PDUs can hold nothing is not accepted") {
  Front front;
  for (std::size_t max_pdu : {1u, 6u, 7u, 63u}) {
    auto peer = RawPeer::connect(front.port);
    peer.send(associate_rq({{verification}}, "MODGATE", "CT1", "1.2.840.10008.3.1.1.1", max_pdu));
    const auto answer = peer.receive_pdu();  // DCMTK closes, we would reject
    INFO("PDU " << int(answer.at(0)) << " at " << max_pdu);
    CHECK(answer[0] == 3);
  }
  check_served(front);
}

TEST_CASE("Fuzzy matching is agreed to where both want it, and reaches the service (rule H9)") {
  for (const bool agree : {true, false}) {
    INFO(agree);
    dimse::ScpOptions options;
    options.fuzzy_matching = agree;
    Front front(options);
    dimse::Scu scu(options_for(front.port), {});
    CHECK(search(scu, true).fuzzy_matching_ignored != agree);
    CHECK(front.services.last_search().fuzzy_matching == agree);
    CHECK_FALSE(search(scu, false).fuzzy_matching_ignored);
    CHECK_FALSE(front.services.last_search().fuzzy_matching);  // on an association of its own
    CHECK(search(scu, true).fuzzy_matching_ignored != agree);
    CHECK(scu.pool().taken() == 1);  // one replaces the other: the limit holds for all together
  }
}

TEST_CASE("Extended negotiation is answered where it is asked, with three bytes and with four") {
  dimse::ScpOptions options;
  options.fuzzy_matching = true;
  Front front(options);
  const std::string agreed("\1\1\1\0", 4), refused("\1\1\0\0", 4);
  struct {
    std::string proposed, answered;
  } const cases[] = {
      {std::string("\1\1\1", 3), agreed},    {std::string("\1\1\1\1", 4), agreed},
      {std::string("\1\1\0", 3), refused},   {std::string("\1\1", 2), refused},
      {std::string("\1\1\7\1", 4), refused},
  };
  for (const auto& one : cases) {
    const auto answer = answer_to(front.port, request_with(extended_negotiation(one.proposed)));
    REQUIRE(answer.size() > 6);
    CHECK(answer[0] == 2);
    CHECK(answer.find(extended_negotiation(one.answered)) != std::string::npos);
  }
  const auto answer = answer_to(front.port, request_with(""));
  CHECK(answer.find('\x56') == std::string::npos);
}

TEST_CASE("A user identity is checked where the options say so, in every form (rule H10)") {
  dimse::ScpOptions options;
  options.admits = [](const UserIdentity& user) {
    switch (user.type) {
      case UserIdentity::Type::passcode:
        return user.primary == "ct" && user.passcode == "secret";
      case UserIdentity::Type::jwt:
        return user.primary == "a.b.c";
      default:
        return false;
    }
  };
  Front front(options);
  auto scu_options = options_for(front.port);
  struct {
    std::optional<UserIdentity> user;
    bool served;
  } const cases[] = {
      {UserIdentity{UserIdentity::Type::passcode, "ct", "secret"}, true},
      {UserIdentity{UserIdentity::Type::passcode, "ct", "wrong"}, false},
      {UserIdentity{UserIdentity::Type::jwt, "a.b.c", ""}, true},
      {UserIdentity{UserIdentity::Type::user, "ct", ""}, false},
      {std::nullopt, false},
  };
  for (const auto& one : cases) {
    INFO((one.user ? one.user->primary + one.user->passcode : "none"));
    const bool token = one.user && one.user->type == UserIdentity::Type::jwt;
    scu_options.bearer_token = token ? one.user->primary : "";
    scu_options.username = one.user && !token ? one.user->primary : "";
    scu_options.passcode = one.user ? one.user->passcode : "";
    const auto outcome = dimse::Scu(scu_options, {}).echo(context());
    CHECK(outcome.good() == one.served);
    if (one.served) continue;
    CHECK(outcome.event ==
          (one.user ? NetworkEvent::user_identity_refused : NetworkEvent::rejected_permanent));
  }
  CHECK_FALSE(front.lines.hold("secret"));
  const auto refused = answer_to(front.port, request_with(user_identity(1, "x")));
  CHECK(refused == pdu(3, std::string("\0\1\2\1", 4)));
  const auto admitted = answer_to(front.port, request_with(user_identity(2, "ct", "secret")));
  REQUIRE(admitted.size() > 6);
  CHECK(admitted[0] == 2);
  CHECK(admitted.find(pdu_item(0x59, std::string(2, '\0'))) != std::string::npos);
}

TEST_CASE("Where no user is asked for, any identity may come along; a broken one ends it") {
  Front front;
  for (int type : {1, 2, 3, 4, 5, 77}) {
    INFO(type);
    const auto answer =
        answer_to(front.port, request_with(user_identity(type, "user", type == 2 ? "code" : "")));
    REQUIRE(answer.size() > 6);
    CHECK(answer[0] == 2);
  }
  for (const auto& broken : {pdu_item(0x58, std::string("\2\1\0\5abc", 7)),
                             pdu_item(0x58, std::string("\2", 1)), pdu_item(0x58, "")}) {
    const auto answer = answer_to(front.port, request_with(broken));
    CHECK((answer.empty() || answer[0] != 2));
  }
  dimse::Scu scu(options_for(front.port), {});
  CHECK(scu.echo(context()).good());
}

TEST_CASE(
    "A JSON Web Token goes along to the service as it is, other identities do not (rule H10)") {
  Front front;
  struct {
    int type;
    std::string primary, handed_on;
  } const cases[] = {
      {5, "eyJ.eyJ-_~+/9.c2ln==", "eyJ.eyJ-_~+/9.c2ln=="},
      {5, "a.b.c\r\nHost: evil", "a.b.c\r\nHost: evil"},  // whoever writes a header looks at it
      {5, "", ""},
      {1, "a.b.c", ""},
      {2, "a.b.c", ""},
  };
  for (const auto& one : cases) {
    INFO(one.type << ' ' << one.primary);
    auto peer = RawPeer::connect(front.port);
    const auto passcode = one.type == 2 ? "code" : "";
    peer.send(request_with(user_identity(one.type, one.primary, passcode)));
    REQUIRE(peer.receive_pdu().at(0) == 2);
    dimse::Command find;
    find.field = dimse::command_field::c_find_rq;
    find.message_id = std::uint16_t{1};
    peer.send(message(1, find, explicit_bytes(identifier())));
    REQUIRE(peer.receive_message());
    CHECK(front.services.last_caller().bearer_token == one.handed_on);
  }
  CHECK_FALSE(front.lines.hold("eyJ"));
}

TEST_CASE(
    "MPPS Retrieve is refused to the caller whose backend is known not to offer it (H3, C9)") {
  Front front;
  const auto results = [&] {
    return context_results(answer_to(
        front.port, associate_rq({{std::string(uids::mpps)}, {std::string(uids::mpps_retrieve)}})));
  };
  const std::string syntax(uids::explicit_vr_little_endian);
  CHECK(results() == std::vector<ContextResult>{{1, 0, syntax}, {3, 0, syntax}});
  front.services.retrievable = false;
  CHECK(results() == std::vector<ContextResult>{{1, 0, syntax}, {3, 3, ""}});
  dimse::Scu scu(options_for(front.port), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).good());
  CHECK_FALSE(scu.offers_retrieve());  // so the next gateway says so too
  DataSet found;
  const auto outcome = scu.retrieve(uid("1.2.3"), {}, found, context());
  CHECK(outcome.event == NetworkEvent::abstract_syntax_refused);
  front.services.retrievable = true;  // as it is for whoever comes later
  CHECK(results() == std::vector<ContextResult>{{1, 0, syntax}, {3, 0, syntax}});
}

TEST_CASE("An AE title without a character is rejected as not recognized (rule H11)") {
  dimse::ScpOptions options;
  options.any_called_ae_title = true;
  Front front(options);
  const std::string empty[] = {"", std::string("\0FIS", 4)};
  for (const auto& title : empty) {
    const std::vector<RequestedContext> contexts = {{std::string(uids::verification)}};
    CHECK(answer_to(front.port, associate_rq(contexts, title)) ==
          pdu(3, std::string("\0\1\1\7", 4)));
    CHECK(answer_to(front.port, associate_rq(contexts, "MODGATE", title)) ==
          pdu(3, std::string("\0\1\1\3", 4)));
  }
}
