#include "dimse/connector.h"

#include "loopback.h"
#include "tests/support/listening_address.h"

using namespace loopback;  // NOLINT: test code

namespace {

dimse::Descriptor connect(const addrinfo* addresses, std::string& why) {
  return dimse::connect_to(addresses, std::chrono::steady_clock::now() + 600ms, why);
}

}  // namespace

TEST_CASE("An address of a host that answers nothing leaves time for the next") {
  ListeningAddress silent("127.0.0.2"), other("127.0.0.3"), good("127.0.0.1");
  silent.fall_silent();
  other.fall_silent();
  std::string why;
  CHECK(connect(silent.then(other.then(good.then(nullptr))), why));
  CHECK_FALSE(connect(silent.then(other.then(nullptr)), why));
  CHECK(why == "cannot connect: Connection timed out");
}

TEST_CASE("A host that nobody knows is told apart from one that does not answer") {
  std::string why;
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  CHECK_FALSE(dimse::connect_to("no-such-host.invalid", 104, deadline, why));
  CHECK(why.starts_with("unknown host: "));
  CHECK_FALSE(dimse::connect_to("127.0.0.1", 1, deadline, why));
  CHECK(why == "cannot connect: Connection refused");
}
