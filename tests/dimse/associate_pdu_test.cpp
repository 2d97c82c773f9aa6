// The structure check that stands before DCMTK's parser.
#include "dimse/associate_pdu.h"

#include <random>

#include "loopback.h"

using namespace loopback;  // NOLINT: test code

namespace {

std::string body(const std::string& pdu) { return pdu.substr(6); }

}  // namespace

TEST_CASE("Whole association PDUs are well formed, cut ones are not") {
  const auto request = body(
      associate_rq({{std::string(uids::verification)}, {std::string(uids::mpps), {"1.2", "1.3"}}}));
  const auto answer = body(associate_ac(4));
  CHECK(dimse::is_well_formed_associate(request));
  CHECK(dimse::is_well_formed_associate(answer));
  for (const auto& whole : {request, answer}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<long>(size));
      CHECK_FALSE(dimse::is_well_formed_associate({cut.data(), cut.size()}));
    }
  }
}

TEST_CASE("Items that PS3.8, 9.3.2 does not allow are not well formed") {
  const std::string fixed(68, '\0');
  const auto user = user_information(16384);
  const auto application = pdu_item(0x10, "1.2.840.10008.3.1.1.1");
  const std::string id("\x01\0\0\0", 4);
  struct {
    std::string items;
    std::string_view why;
  } const cases[] = {
      {application, "no user information"},
      {user + user, "two of them"},
      {user + pdu_item(0x10, ""), "an empty application context"},
      {user + pdu_item(0x20, "\x01"), "a presentation context of one byte"},
      {user + pdu_item(0x20, id + pdu_item(0x30, "1.2")), "no transfer syntax"},
      {user + pdu_item(0x20, id + pdu_item(0x40, "1.2")), "no abstract syntax"},
      {user + pdu_item(0x20, id + pdu_item(0x30, "1.2") + pdu_item(0x40, std::string(65, '1'))),
       "a UID of 65 characters"},
      {pdu_item(0x50, pdu_item(0x51, "abc")), "a maximum length of three bytes"},
      {pdu_item(0x50, pdu_item(0x54, std::string("\0\x03", 2) + "1.2\1")), "half a role"},
      {pdu_item(0x50, pdu_item(0x56, std::string("\xFF\xFF", 2) + "1.2")), "a UID of 64 kB"},
  };
  CHECK(dimse::is_well_formed_associate(fixed + application + user));
  for (const auto& broken : cases) {
    INFO(broken.why);
    CHECK_FALSE(dimse::is_well_formed_associate(fixed + broken.items));
  }
}

TEST_CASE("Mutated association PDUs are never read out of bounds") {
  const auto whole = body(associate_rq({{std::string(uids::verification)}}));
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    std::vector<char> bytes(whole.begin(), whole.end());
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    (void)dimse::is_well_formed_associate({bytes.data(), bytes.size()});
  }
}
