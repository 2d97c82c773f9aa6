#include "mapping/outcome.h"

#include <catch2/catch.hpp>

using namespace mapping;

TEST_CASE("A status word is sorted into its class, unknown words by range (PS3.7, Annex C)") {
  struct Row {
    std::uint16_t status;
    StatusClass expected;
    const char* why;
  };
  const Row rows[] = {
      {0x0000, StatusClass::success, "C.1.1"},
      {0x0001, StatusClass::warning, "F.8.2-2"},
      {0x0107, StatusClass::warning, "C.4.2"},
      {0x0116, StatusClass::warning, "C.4.3"},
      {0xB000, StatusClass::warning, "Bxxx"},
      {0xBFFF, StatusClass::warning, "Bxxx"},
      {0xFF00, StatusClass::pending, "K.4-1"},
      {0xFF01, StatusClass::pending, "K.4-1"},
      {0xFE00, StatusClass::cancel, "K.4-1"},
      {0xFE01, StatusClass::failure, "illegal words are failures"},
      {0xFF02, StatusClass::failure, "illegal words are failures"},
      {0x0002, StatusClass::failure, "illegal words are failures"},
      {0x0106, StatusClass::failure, "01xx except 0107 and 0116"},
      {0x0110, StatusClass::failure, "01xx except 0107 and 0116"},
      {0x0213, StatusClass::failure, "02xx"},
      {0xA700, StatusClass::failure, "Axxx"},
      {0xAFFF, StatusClass::failure, "Axxx"},
      {0xC000, StatusClass::failure, "Cxxx"},
      {0xCFFF, StatusClass::failure, "Cxxx"},
      {0xD000, StatusClass::failure, "illegal words are failures"},
      {0xFFFF, StatusClass::failure, "illegal words are failures"},
  };
  for (const Row& row : rows) {
    INFO(row.status << ": " << row.why);
    CHECK(classify(row.status) == row.expected);
  }
}

TEST_CASE("An outcome is good exactly if it is a success or a warning") {
  for (unsigned status = 0; status <= 0xFFFF; ++status) {
    const bool expected = status == 0 || status == 1 || status == 0x0107 || status == 0x0116 ||
                          (status >= 0xB000 && status <= 0xBFFF);
    if (Outcome::answered(static_cast<std::uint16_t>(status)).good() != expected) FAIL(status);
  }
}

TEST_CASE("An unreachable peer is A700 to a C-FIND and 0213 to the N-services (mapping.md 5b)") {
  const auto status = [](Transaction t) {
    return Outcome::unreachable(t, NetworkEvent::connect_failed, "refused").status;
  };
  CHECK(status(Transaction::search) == 0xA700);
  CHECK(status(Transaction::create) == 0x0213);
  CHECK(status(Transaction::update) == 0x0213);
  CHECK(status(Transaction::retrieve) == 0x0213);
  const Outcome outcome =
      Outcome::unreachable(Transaction::create, NetworkEvent::tls_failed, "certificate expired");
  CHECK(outcome.how == Outcome::How::unreachable);
  CHECK(outcome.event == NetworkEvent::tls_failed);
  CHECK(outcome.error_comment == "certificate expired");
  CHECK_FALSE(outcome.good());
}

TEST_CASE("A missing answer is A700 or C003 to a C-FIND and 0110 to the N-services (5b)") {
  struct Row {
    Transaction transaction;
    NetworkEvent event;
    std::uint16_t expected;
  };
  const Row rows[] = {
      {Transaction::search, NetworkEvent::response_timeout, 0xA700},
      {Transaction::search, NetworkEvent::connection_lost, 0xC003},
      {Transaction::search, NetworkEvent::unreadable_answer, 0xC003},
      {Transaction::search, NetworkEvent::protocol_error, 0xC003},
      {Transaction::create, NetworkEvent::response_timeout, 0x0110},
      {Transaction::update, NetworkEvent::connection_lost, 0x0110},
      {Transaction::retrieve, NetworkEvent::response_timeout, 0x0110},
  };
  for (const Row& row : rows) {
    const Outcome outcome = Outcome::unknown(row.transaction, row.event, "");
    CHECK(outcome.status == row.expected);
    CHECK(outcome.how == Outcome::How::unknown);
    CHECK(outcome.event == row.event);
  }
}

TEST_CASE("A final step is refused with 0110, the prescribed comment and Error ID A710 (F22)") {
  const Outcome outcome = Outcome::may_no_longer_be_updated();
  CHECK(outcome.status == 0x0110);
  CHECK(outcome.error_comment == "Performed Procedure Step Object may no longer be updated");
  CHECK(outcome.error_id == 0xA710);
  CHECK(outcome.how == Outcome::How::answered);
}

TEST_CASE("A local verdict keeps its tags and its comment is made fit") {
  const Outcome outcome = Outcome::local(0xA900, "two items\nin it", {Tag(0x0040, 0x0100)});
  CHECK(outcome.how == Outcome::How::local);
  CHECK(outcome.error_comment == "two items?in it");
  REQUIRE(outcome.attributes.size() == 1);
  CHECK(outcome.attributes[0] == Tag(0x0040, 0x0100));
}

TEST_CASE("An Error Comment is printable ASCII of at most 64 characters (G12)") {
  struct Row {
    std::string in;
    std::string out;
    const char* why;
  };
  const Row rows[] = {
      {"HTTP 409 Conflict", "HTTP 409 Conflict", "as it is"},
      {"", "", "nothing"},
      {"a\tb\r\nc\x7F", "a?b??c?", "control characters"},
      {"a\\b", "a?b", "a backslash would begin a second value"},
      {"Gr\xC3\xB6\xC3\x9F"
       "e",
       "Gr??e", "one question mark a character"},
      {"\xE5\xB1\xB1", "?", "three bytes, one character"},
      {std::string("a\0b", 3), "a?b", "NUL"},
      {std::string(70, 'x'), std::string(64, 'x'), "cut at 64"},
      {std::string(64, 'x'), std::string(64, 'x'), "64 fit"},
  };
  for (const Row& row : rows) {
    INFO(row.why);
    CHECK(to_error_comment(row.in) == row.out);
  }
}
