#include "gateway/mirror.h"

#include <catch2/catch.hpp>

#include "tests/gateway/queue_support.h"

using namespace gateway;
using namespace queue_test;
using How = Destination::How;

namespace {

std::optional<How> how(const MirrorFilter& filter, const MppsMessage& message,
                       const RecordedStep* recorded = nullptr) {
  const auto to = destination("ris", filter, message, recorded);
  if (!to) return std::nullopt;
  CHECK(to->receiver == "ris");
  return to->how;
}

const RecordedStep in_progress{created(1), true};

}  // namespace

TEST_CASE("without a filter everything is delivered") {
  CHECK(how({}, create_message(1)) == How::deliver);
  CHECK(how({}, update_message(1, described("a")), &in_progress) == How::deliver);
  CHECK(how({}, update_message(1, in_state("DISCONTINUED"))) == How::deliver);
}

TEST_CASE("a message counts as the state it leaves the step in") {
  const MirrorFilter completed_only{{"COMPLETED"}, {}};
  CHECK(how(completed_only, create_message(1)) == How::withhold);
  CHECK(how(completed_only, update_message(1, described("a")), &in_progress) == How::withhold);
  CHECK(how(completed_only, update_message(1, in_state("COMPLETED")), &in_progress) ==
        How::deliver);
  CHECK(how(completed_only, update_message(1, in_state("DISCONTINUED")), &in_progress) ==
        How::drop_withheld);
  // What nobody here knows the state of is not kept back.
  CHECK(how(completed_only, update_message(1, described("a"))) == How::deliver);
}

TEST_CASE("a step of another modality is not for this receiver, its later messages neither") {
  const MirrorFilter ct_only{{}, {"CT"}};
  CHECK(how(ct_only, create_message(1, "CT")) == How::deliver);
  CHECK(how(ct_only, create_message(1, "MR")) == std::nullopt);
  const RecordedStep mr{created(1, "MR"), true};
  CHECK(how(ct_only, update_message(1, described("a")), &mr) == std::nullopt);
  CHECK(how(ct_only, update_message(1, described("a")), &in_progress) == How::deliver);
}
