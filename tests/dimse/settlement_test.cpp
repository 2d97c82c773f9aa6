// A lost answer of an SCP, settled by N-GET: what is certain is said, what is not stays unknown.
#include "dimse/settlement.h"

#include "scu_support.h"

using namespace loopback;  // NOLINT: test code

namespace {

/// An SCP that drops the connection instead of answering, as often as the test says, after or
/// without having done what was asked.
struct ForgetfulScp {
  std::optional<DataSet> step;
  int lost = 1;            ///< answers to swallow
  bool done_first = true;  ///< … and what was asked is done all the same
  int contexts = 4;        ///< 3: no N-GET
  std::vector<std::uint16_t> writes{};
  mutable std::mutex mutex{};  ///< of all above, once it serves
  RawScp scp{[this](RawPeer& peer, int) { serve(peer); }};

  void serve(RawPeer& peer) {
    peer.receive_pdu();
    peer.send(associate_ac(contexts));
    std::string bytes;
    while (auto request = peer.receive_message(&bytes)) {
      const std::lock_guard lock(mutex);
      auto response = dimse::response_to(*request, status::success);
      std::optional<std::string> answer;
      if (request->field == command_field::n_get_rq) {
        response.status = step ? status::success : status::no_such_sop_instance;
        if (step) answer = explicit_bytes(*step);
        peer.send(message(7, response, answer));
        continue;
      }
      writes.push_back(request->field);
      const bool swallow = lost-- > 0;
      if (!swallow || done_first) response.status = perform(*request, bytes);
      if (swallow) return;
      peer.send(message(5, response));
    }
  }
  void set(DataSet stored) {
    const std::lock_guard lock(mutex);
    step = std::move(stored);
  }
  std::size_t write_count() const {
    const std::lock_guard lock(mutex);
    return writes.size();
  }
  std::string state() const {
    const std::lock_guard lock(mutex);
    return std::string(step ? step->view().text(tags::PerformedProcedureStepStatus) : "none");
  }
  std::uint16_t perform(const dimse::Command& request, const std::string& bytes) {
    const bool create = request.field == command_field::n_create_rq;
    if (create && step) return status::duplicate_sop_instance;
    if (!create && !step) return status::no_such_sop_instance;
    if (!create && step->view().text(tags::PerformedProcedureStepStatus) == "COMPLETED") {
      return status::processing_failure;
    }
    step = mapping::read_data_set(bytes, mapping::TransferSyntax::explicit_vr_little_endian)
               .value()
               .data_set;
    return status::success;
  }
};

}  // namespace

TEST_CASE("A create whose answer was lost is found done by N-GET, and not repeated") {
  ForgetfulScp peer;
  dimse::Scu scu(options_for(peer.scp.port()), {});
  const auto outcome = scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context());
  CHECK(outcome.how == Outcome::How::answered);
  CHECK(outcome.status == status::success);
  CHECK(peer.write_count() == 1);
}

TEST_CASE("A create that was not done is sent once more") {
  ForgetfulScp peer;
  peer.done_first = false;
  dimse::Scu scu(options_for(peer.scp.port()), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).status == status::success);
  CHECK(peer.state() == "IN PROGRESS");
  CHECK(peer.write_count() == 2);
}

TEST_CASE("A create that is lost twice stays unknown") {
  ForgetfulScp peer;
  peer.done_first = false;
  peer.lost = 2;
  dimse::Scu scu(options_for(peer.scp.port()), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).how == Outcome::How::unknown);
  CHECK(peer.write_count() == 2);
}

TEST_CASE("A UID that holds somebody else's step is no success") {
  ForgetfulScp peer;
  peer.done_first = false;
  mapping::DataSetBuilder other;
  other.add(tags::PerformedProcedureStepID, Vr::SH, "OTHER")
      .add(tags::PerformedProcedureStepStatus, Vr::CS, "IN PROGRESS");
  peer.set(other.build().value());
  dimse::Scu scu(options_for(peer.scp.port()), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).how == Outcome::How::unknown);
  CHECK(peer.write_count() == 1);
}

TEST_CASE("A create that is repeated and meets a step is ours only if that is") {
  mapping::DataSetBuilder other;
  other.add(tags::PerformedProcedureStepID, Vr::SH, "OTHER")
      .add(tags::PerformedProcedureStepStatus, Vr::CS, "IN PROGRESS");
  const auto somebody_elses = other.build().value();
  const auto ours = mpps("IN PROGRESS");
  for (const auto& [there, told] : {std::pair(ours, status::success),
                                    std::pair(somebody_elses, status::duplicate_sop_instance)}) {
    int asked = 0;
    const dimse::LostRequest request{
        Outcome::unknown(mapping::Transaction::create, NetworkEvent::connection_lost, "lost"),
        [] { return Outcome::answered(status::duplicate_sop_instance); },
        [&, step = there](const mapping::AttributeList&, DataSet& found) {
          if (++asked == 1) return Outcome::answered(status::no_such_sop_instance);
          found = step;
          return Outcome::answered(status::success);
        },
        [](std::string_view) {}};
    CHECK(dimse::settle_create(ours, request).status == told);
    CHECK(asked == 2);
  }
}

TEST_CASE(
    "An update whose answer was lost is compared with the step, and repeated where it lacks") {
  for (const bool done : {true, false}) {
    INFO(done);
    ForgetfulScp peer;
    peer.set(mpps("IN PROGRESS"));
    peer.done_first = done;
    dimse::Scu scu(options_for(peer.scp.port()), {});
    CHECK(scu.update(uid("1.2.3"), mpps("COMPLETED"), context()).status == status::success);
    CHECK(peer.state() == "COMPLETED");
    CHECK(peer.write_count() == (done ? 1u : 2u));
  }
}

TEST_CASE("Where the SCP offers no N-GET the outcome stays unknown and nothing is repeated") {
  ForgetfulScp peer;
  peer.contexts = 3;
  dimse::Scu scu(options_for(peer.scp.port()), {});
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).how == Outcome::How::unknown);
  CHECK(scu.create(uid("1.2.3"), mpps("IN PROGRESS"), context()).status ==
        status::duplicate_sop_instance);
  CHECK(peer.write_count() == 2);
}

TEST_CASE("A step that became final by the lost N-SET is a success, one that was final is not") {
  const auto modifications = mpps("COMPLETED");
  for (const bool ours : {true, false}) {
    INFO(ours);
    int asked = 0;
    dimse::LostRequest request;
    request.lost = Outcome::unknown(mapping::Transaction::update,
                                    mapping::NetworkEvent::connection_lost, "lost");
    request.repeat = [] { return Outcome::may_no_longer_be_updated(); };
    request.retrieve = [&](const auto&, DataSet& found) {
      // First as the SCP shows it with a name of its own making, so that it does not compare equal.
      found = mpps(ours ? "COMPLETED" : "DISCONTINUED", "DOE^JANE^^^");
      ++asked;
      return Outcome::answered(status::success);
    };
    request.note = [](std::string_view) {};
    const auto outcome = dimse::settle_update(modifications, request);
    CHECK(asked == 2);
    CHECK(outcome.status == (ours ? status::success : status::processing_failure));
  }
}
